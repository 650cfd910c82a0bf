"""Exports of 24 trained runs: each says what its run says, and without the adapter the base is the base.

LoRA, rank-stabilised LoRA and KaSA with several cuts and plans, on the embedded encoder and on two small decoders that
write or carry a head: 60 training rows, two epochs, one learning rate, one seed, through the studio's own queue.

- lora, peft, merged: how far the export's own fresh process is off, relative, for 8 test rows (wanted: at most 1e-4);
  PEFT's own form is left out where it has none for the arm's cut
- logits: max |y − y_run| over the logits for all test rows, when the run's head reads a base that plain transformers
  loads and plain PEFT gives the portable LoRA; what writes has no head (wanted: at most 1e-4)
- off: whether a process that knows transformers and PEFT alone finds the base with the portable LoRA off equal, bit by
  bit, to another that never had one; moved: what the adapter does there to the outputs when it is on
"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from banking77 import read_rows
from common import conditions, shared
from peft import PeftModel
from transformers import AutoModel, AutoModelForCausalLM

from kasa.arms import Arm
from kasa.commands import source_of
from kasa.dataspec import DataSpec
from kasa.errors import KasaError
from kasa.runs.again import run_again, tuned_again
from kasa.runs.local import ensure_dispatcher
from kasa.runs.store import Store
from kasa.study import Protocol, Study
from kasa.tuning.export import TOLERANCE, base_outputs, export, kind_of
from kasa.tuning.keys import possible_exports
from kasa.tuning.tasks import device
from kasa.tuning.train import quiet_transformers

PARTS, NUM_INTENTS = ["train"] * 60 + ["validation"] * 12 + ["test"] * 24, 6
CHOICE = re.compile(r"Answer\d: (.*?)(?= Answer\d:|$)")
BARRED = ("lora", "peft", "merged", "logits")
NAMES = ("rank", *BARRED, "off", "moved", "good")
ALL = ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense")
DECODER_ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
COUNTS = {f"encoder.layer.{n}.attention.self.query": 1 + 9 * n for n in range(6)}
NUMBERS = {
    "encoder.layer.0.intermediate.dense": [5, 90, 91, 380, 383],
    "encoder.layer.1.attention.self.query": [0, 7, 200],
    "encoder.layer.3.output.dense": [1, 2, 300],
    "encoder.layer.5.attention.output.dense": [3, 383],
}
SHORT_COUNTS = {f"model.layers.{n}.self_attn.q_proj": 5 + 8 * n for n in range(2)}
SHORT_NUMBERS = {
    "model.layers.1.mlp.down_proj": [0, 20, 60],
    "model.layers.0.self_attn.v_proj": [4],
}
NO_CUT, COUNTED = Arm("kasa", 4, removed_components=0), Arm("kasa", plan=COUNTS)
NUMBERED = Arm("kasa", plan=SHORT_NUMBERS, target_modules=DECODER_ALL)
ENCODER_ARMS = (
    *(Arm("lora", 4), Arm("rslora"), Arm("lora", 4, target_modules=ALL), Arm("kasa"), NO_CUT),
    *(Arm("kasa", removed_components=32), Arm("kasa", target_modules=ALL), COUNTED),
    Arm("kasa", beta=0.0, gamma=0.0, diagonal=False),
    Arm("kasa", plan=NUMBERS, target_modules=("query", "intermediate.dense", "output.dense")),
)
STUDIES: tuple[tuple[str, str, tuple[Arm, ...]], ...] = (
    ("embedded", "classification", ENCODER_ARMS),
    ("embedded", "regression", (Arm("lora"), Arm("kasa"), COUNTED)),
    (
        "stories260K",
        "generation",
        (Arm("lora", 4), Arm("kasa"), NO_CUT, Arm("kasa", 4, plan=SHORT_COUNTS)),
    ),
    ("stories260K", "classification", (Arm("lora", target_modules=DECODER_ALL), NUMBERED)),
    ("tinystories-656k", "multiple_choice", (Arm("rslora"), Arm("kasa"), NUMBERED)),
    ("tinystories-656k", "classification", (Arm("kasa", removed_components=24), NUMBERED)),
)
ALONE = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

def said(model, job, asked):
    with torch.inference_mode():
        found = model.eval()(input_ids=asked["input_ids"], attention_mask=asked["attention_mask"])
    return found.logits if job["writes"] else found.last_hidden_state

def answer(job):
    kind = AutoModelForCausalLM if job["writes"] else AutoModel
    tokenizer = AutoTokenizer.from_pretrained(job["base"])
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    asked = tokenizer(job["texts"], padding=True, return_tensors="pt")
    never, base = (kind.from_pretrained(job["base"], dtype="float32") for _ in range(2))
    model = PeftModel.from_pretrained(base, job["adapter"])
    before, on = said(never, job, asked), said(model, job, asked)
    with model.disable_adapter():
        off = said(model, job, asked)
    assert "kasa" not in sys.modules
    return "equal" if torch.equal(off, before) else "NOT EQUAL", (on - before).abs().max().item()

for line in sys.stdin:
    try:
        print(json.dumps(answer(json.loads(line))), flush=True)
    except Exception as error:
        print(json.dumps([repr(error), 0.0]), flush=True)
"""
COMMAND = (sys.executable, "-I", "-W", "ignore", "-c", ALONE)
Alone = subprocess.Popen[str]


def rows_of(task: str) -> tuple[dict[str, Any], list[tuple[str, ...]]]:
    """Return a task's columns by role, and its rows."""
    if task == "regression":
        lines = (shared("data/jsts") / "valid-v1.3.json").read_text("utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        rows = [(row["sentence1"], row["sentence2"], row["label"]) for row in found]
        return {"text": "a", "second_text": "b", "score": "c"}, rows
    if task == "multiple_choice":
        found = json.loads((shared("data/arc_easy") / "train.json").read_text("utf-8"))
        asked = [(*row["instruction"].split("\n\n")[:2], row["answer"][-1]) for row in found]
        rows = [(a, json.dumps(CHOICE.findall(b)), c) for a, b, c in asked if len(b) < 200]
        return {"prompt": "a", "choices": ("b",), "answer": "c"}, rows
    pool = read_rows(shared("data/banking77") / "train.csv")
    names = sorted({intent for _, intent in pool})[:NUM_INTENTS]
    columns = [[row for row in pool if row[1] == name] for name in names]
    roles = ("prompt", "answer") if task == "generation" else ("text", "label")
    turns = zip(*columns, strict=False)  # one row of every intent in turn
    return dict(zip(roles, "ab", strict=True)), [row for turn in turns for row in turn]


def queued(store: Store, base: str, task: str, arms: tuple[Arm, ...]) -> list[str]:
    """Start a study and return its runs."""
    file = store.home / f"{base}-{task}.csv"
    roles, rows = rows_of(task)
    lines = [(part, *row) for part, row in zip(PARTS, rows, strict=False)]
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("part", "a", "b", "c")[: len(lines[0])], *lines])
    model = base if base == "embedded" else str(shared(f"models/{base}"))
    data = DataSpec(str(file), split="part", fixes=(), **roles)
    protocol = Protocol("quick", seeds=(0,), learning_rates=(3e-3,), epochs=2, answer_tokens=8)
    study_id = store.create_study(Study(f"{base}, {task}", model, data, arms, protocol))
    return [run.id for run in store.start_study(study_id)]


def taken_away(store: Store, run_id: str, folder: Path, alone: Alone) -> dict[str, Any]:
    """Export a finished run in every form that its arm has, and return the figures of its row."""
    run = run_again(store, run_id, source_of)
    arm, row, tuned = run.study.arms[run.arm_index], {}, tuned_again(store, run)
    task, model, test = tuned.task, tuned.model, tuned.task.parts.test
    texts, writes = test.texts, kind_of(task) == "causal"

    def logits() -> Any:
        return base_outputs(task, model, texts) if writes else task.figures(model, test)

    said = logits()
    # Merging changes the model in memory, so it comes last.
    for kind in sorted(possible_exports(arm), key=("lora", "peft", "merged").index):
        found = export(tuned, run.source, arm, run.record.folder, kind, folder / kind)
        row[kind] = found.deviation
        if kind == "lora":
            row["rank"] = f"{arm.rank} → {found.rank}"
    auto, adapter = AutoModelForCausalLM if writes else AutoModel, str(folder / "lora")
    base = auto.from_pretrained(run.source.folder, dtype="float32", local_files_only=True)
    model.base = PeftModel.from_pretrained(base, adapter).to(device())
    row["logits"] = float(np.abs(logits() - said).max())
    job = {"writes": writes, "texts": texts, "base": str(run.source.folder), "adapter": adapter}
    print(json.dumps(job), file=alone.stdin, flush=True)
    row["off"], row["moved"] = json.loads(alone.stdout.readline())
    near = all(row.get(name, 0.0) <= TOLERANCE for name in BARRED)
    row["good"] = near and row["off"] == "equal" and row["moved"] > 100 * TOLERANCE
    return row


def finished(store: Store, run_id: str, folder: Path, alone: Alone) -> dict[str, Any]:
    """Wait for a run and return its row; what goes wrong becomes part of it."""
    while store.run(run_id).active:
        ensure_dispatcher(store)
        time.sleep(0.5)
    try:
        return taken_away(store, run_id, folder, alone)
    except (KasaError, OSError, ValueError, RuntimeError) as error:
        return {"good": False, "off": repr(store.run(run_id).error or error)}


def words(arm: Arm) -> str:
    """Return an arm's name, what its plan holds and how many kinds of layers it adapts."""
    counted = {isinstance(entry, int) for entry in (arm.plan or {}).values()}
    plan = "".join(" of counts" if each else " of numbers" for each in counted)
    return arm.slug + plan + f" on {len(arm.target_modules)} kinds" * bool(arm.target_modules)


def main() -> None:
    """Train, export, and print a row a run and the worst of all."""
    quiet_transformers()
    warnings.simplefilter("ignore", FutureWarning)
    began, rows = time.perf_counter(), []
    print(f"| base | task | arm | {' | '.join(NAMES)} |\n|{'---|' * (3 + len(NAMES))}")
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"KASA_HOME": home, "HF_HUB_OFFLINE": "1"}
        store, piped = Store(), {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        runs = [(s, pair) for s in STUDIES for pair in zip(s[2], queued(store, *s), strict=True)]
        with subprocess.Popen(COMMAND, **piped) as alone:
            for (base, task, _), (arm, run) in runs:
                with tempfile.TemporaryDirectory() as folder:
                    rows.append(finished(store, run, Path(folder), alone))
                values = [rows[-1].get(name, "–") for name in NAMES]
                cells = [f"{value:.1e}" if type(value) is float else str(value) for value in values]
                print("|", " | ".join((base, task, words(arm), *cells)), "|", flush=True)
    worst = [f"{n} {max((r[n] for r in rows if n in r), default=1):.1e}" for n in BARRED]
    faults = sum(not row["good"] for row in rows)
    off = sum(row["off"] == "equal" for row in rows)
    spent = (time.perf_counter() - began) / 60
    print(
        f"{len(rows)} runs, {faults} with a fault; worst: {', '.join(worst)} (bar {TOLERANCE:g});"
    )
    print(f"equal to the base with the adapter off: {off} of {len(rows)}; {spent:.1f} minutes")
    print(conditions("torch", "transformers", "peft"))
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
