"""Run on its own: load an exported model as anybody would, and write down what it says.

It imports nothing of the studio, so that what it proves holds without it. With an adapter it also
proves that the base without it is the untouched base.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer


def main(path: str) -> None:
    """Answer the record at `path`."""
    record = json.loads(Path(path).read_text("utf-8"))
    classes = {"causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM}
    kind = classes.get(record["kind"], AutoModel)
    model = kind.from_pretrained(record["base"], dtype=torch.float32, local_files_only=True)
    if record["kind"] == "encoder":
        model = model.get_encoder()
    tokenizer = AutoTokenizer.from_pretrained(record["base"], local_files_only=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    tokenizer.padding_side = "right"
    tokens = tokenizer(
        record["texts"],
        padding=True,
        truncation=True,
        max_length=record["max_length"],
        return_tensors="pt",
    )
    batch = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    if record["kind"] == "seq2seq":
        batch["decoder_input_ids"] = batch["input_ids"][:, :2]

    def said() -> torch.Tensor:
        with torch.inference_mode():
            found = model.eval()(**batch)
        states = found.logits if "logits" in found else found.last_hidden_state
        if record["kind"] != "seq2seq":
            states = states * batch["attention_mask"].unsqueeze(-1).to(states)
        return states.float()

    if record["adapter"]:
        untouched = said()
        model = PeftModel.from_pretrained(model, record["adapter"])
        answer = said()
        if record["portable"]:
            with model.disable_adapter():
                if not torch.equal(said(), untouched):
                    raise SystemExit("The base without the adapter is not the untouched base.")
    else:
        answer = said()
    np.save(record["answer"], answer.numpy().astype(np.float64))


if __name__ == "__main__":
    main(sys.argv[1])
