"""Taking a tuned run away: as PEFT adapter, as portable plain LoRA, or as a merged model folder.

A KaSA result is an ordinary LoRA on the *untouched* base: with the removed part U_D·Σ_D·V_Dᵀ,

    W' + ΔW = W + [s·B·diag(d), −U_D·Σ_D]·[A; V_Dᵀ]

is a plain LoRA of rank r + |D|, which any server of LoRAs can load and take off again. Every export
is loaded in a fresh process, by transformers and PEFT alone, and must say what the run says.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig
from safetensors.torch import save_file
from torch import Tensor, nn

from kasa.arms import Arm
from kasa.errors import StoreError
from kasa.model.source import EMBEDDED, ModelSource
from kasa.tuning import adapters
from kasa.tuning.addition import adapted_layers, untouched_weights, up_and_down
from kasa.tuning.heads import HEAD_FILE
from kasa.tuning.keys import check_kind
from kasa.tuning.language import LanguageTask
from kasa.tuning.predict import Tuned
from kasa.tuning.tasks import Task, on_device
from kasa.tuning.train import ADAPTER_FOLDER

TOLERANCE = 1e-4
NUM_TEXTS = 8
EMBEDDED_ORIGIN = "sentence-transformers/all-MiniLM-L6-v2"
ADAPTER_FILE, CONFIG_FILE = "adapter_model.safetensors", "adapter_config.json"
LABELS_FILE = "labels.json"
AUTO_CLASSES = {"causal": "AutoModelForCausalLM", "seq2seq": "AutoModelForSeq2SeqLM"}


@dataclass(frozen=True)
class Exported:
    """Where an export lies, its rank where it is a LoRA, and how far a fresh process was off.

    `deviation` is max |y − y_run| / max(1, max |y_run|) over the outputs for a few test texts.
    `auto` is the class of transformers that loads its `base`; with a head, `pooling` says how the
    states that it reads are pooled.
    """

    folder: Path
    kind: str
    rank: int | None
    deviation: float
    num_texts: int
    num_test_rows: int
    auto: str
    base: str
    pooling: str | None

    def facts(self) -> dict[str, Any]:
        """Return everything but the folder, ready for JSON."""
        return {name: value for name, value in vars(self).items() if name != "folder"}


def base_name(source: ModelSource) -> str:
    """Return the name by which others find the base."""
    if source.name == EMBEDDED:
        return EMBEDDED_ORIGIN
    # Where a folder lies on this machine is nobody else's affair.
    return Path(source.name).name if source.kind == "folder" else source.name


def export(
    tuned: Tuned,
    source: ModelSource,
    arm: Arm,
    run_folder: Path,
    kind: str,
    out: Path,
) -> Exported:
    """Write a tuned run into the new folder `out`, verified by a fresh process.

    Both sides are asked a few of the test texts. Raises `StoreError` for a folder that is not
    empty, for an arm that cannot be exported so, and where the fresh process says something else;
    then nothing is left.
    """
    check_kind(arm, kind, run_folder.name)
    if out.exists() and any(out.iterdir()):
        raise StoreError("export_folder_full", path=str(out))
    task, test = tuned.task, tuned.task.parts.test
    asked = list(test.texts)[:NUM_TEXTS]
    expected = base_outputs(task, tuned.model, asked)
    out.mkdir(parents=True, exist_ok=True)
    try:
        rank = None
        if kind == "peft":
            _copy_adapter(run_folder / ADAPTER_FOLDER, source, out)
        elif kind == "lora":
            rank = _write_lora(tuned.model, source, arm, out)
        else:
            _write_merged(tuned.model, source, arm, out)
        for name in (HEAD_FILE, LABELS_FILE):
            if (run_folder / name).exists():
                shutil.copy(run_folder / name, out / name)
        deviation = _verified(task, source, kind, out, asked, expected)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    return Exported(
        folder=out,
        kind=kind,
        rank=rank,
        deviation=deviation,
        num_texts=len(asked),
        num_test_rows=len(test.rows),
        auto=AUTO_CLASSES.get(kind_of(task), "AutoModel"),
        base=base_name(source),
        pooling=task.reader.pooling if (out / LABELS_FILE).exists() else None,
    )


def _copy_adapter(adapter: Path, source: ModelSource, out: Path) -> None:
    """Copy an adapter as PEFT saved it, but for the base's place on this machine."""
    shutil.copytree(adapter, out, dirs_exist_ok=True)
    config = json.loads((out / CONFIG_FILE).read_text("utf-8"))
    config["base_model_name_or_path"] = base_name(source)
    (out / CONFIG_FILE).write_text(json.dumps(config, indent=2, ensure_ascii=False), "utf-8")


def _verified(
    task: Task,
    source: ModelSource,
    kind: str,
    out: Path,
    asked: Sequence[str],
    expected: NDArray[np.float64],
) -> float:
    """Return how far a fresh process is off, or raise `StoreError` where that is too far."""
    record: dict[str, Any] = {
        "kind": kind_of(task),
        "base": str(out if kind == "merged" else source.folder),
        "adapter": None if kind == "merged" else str(out),
        "portable": kind == "lora",
        "texts": list(asked),
        "max_length": task.reader.max_length,
    }
    found = _asked_again(record)
    deviation = float(np.abs(found - expected).max()) / max(1.0, float(np.abs(expected).max()))
    if not deviation <= TOLERANCE:
        raise StoreError("export_differs", path=str(out), got=f"{deviation:.1e}")
    return deviation


def _write_lora(model: Any, source: ModelSource, arm: Arm, out: Path) -> int:
    """Write the arm's change of the untouched base as one plain LoRA; return its rank."""
    untouched = untouched_weights(model, source)
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    for name, layer in adapted_layers(model).items():
        up, down = up_and_down(layer)
        if arm.method == "kasa":
            left, right = adapters.removed_part(untouched[name], arm.removed_from(name))
            up = torch.cat([up, -left.to(up)], dim=1)
            down = torch.cat([down, right.to(down)], dim=0)
        factors[name] = (up, down)
    rank = max(down.shape[0] for _, down in factors.values())
    state = {}
    for name, (up, down) in factors.items():
        short = rank - down.shape[0]
        prefix = f"base_model.model.{name}"
        state[f"{prefix}.lora_A.weight"] = nn.functional.pad(down, (0, 0, 0, short)).contiguous()
        state[f"{prefix}.lora_B.weight"] = nn.functional.pad(up, (0, short)).contiguous()
    save_file({key: value.cpu() for key, value in state.items()}, out / ADAPTER_FILE)
    config = model.base.peft_config[adapters.ADAPTER]
    LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=sorted(factors),
        fan_in_fan_out=config.fan_in_fan_out,
        inference_mode=True,
        base_model_name_or_path=base_name(source),
    ).save_pretrained(str(out))
    return rank


def _write_merged(model: Any, source: ModelSource, arm: Arm, out: Path) -> None:
    """Write the tuned base as a model folder with the tokenizer and what says how to pool."""
    base = model.base if arm.method == "full" else model.base.merge_and_unload()
    base.save_pretrained(str(out))
    weights = {path.name for path in source.weight_files()}
    for path in sorted(source.folder.iterdir()):
        # Configuration and weights are the model's own now; indexes and other formats are not.
        wanted = path.suffix in {".json", ".txt", ".model", ".jinja"}
        known = path.name in weights or path.name.endswith(".index.json")
        if wanted and not known and not (out / path.name).exists():
            shutil.copy(path, out / path.name)
    pooling = source.folder / "1_Pooling"
    if pooling.is_dir():
        shutil.copytree(pooling, out / pooling.name, dirs_exist_ok=True)


def base_outputs(task: Task, model: Any, texts: Sequence[str]) -> NDArray[np.float64]:
    """Return what the run's own base says: logits of a writer, token states of a reader."""
    model.eval()
    tokens = task.reader.tokenizer(
        list(texts),
        padding=True,
        truncation=True,
        max_length=task.reader.max_length,
        return_tensors="pt",
    )
    batch = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    if kind_of(task) == "seq2seq":
        batch["decoder_input_ids"] = batch["input_ids"][:, :2]
    with torch.inference_mode():
        found = model.base(**on_device(batch, model))
    states = found.logits if isinstance(task, LanguageTask) else found.last_hidden_state
    if kind_of(task) != "seq2seq":
        states = states * batch["attention_mask"].unsqueeze(-1).to(states)
    return np.asarray(states.float().cpu().numpy(), dtype=np.float64)


def kind_of(task: Task) -> str:
    """Return how the base is loaded: causal, seq2seq, encoder (of a seq2seq base) or reader."""
    if isinstance(task, LanguageTask):
        return "causal" if task.causal else "seq2seq"
    return "encoder" if task.reader.writes == "seq2seq" else "reader"


def _asked_again(record: dict[str, Any]) -> NDArray[np.float64]:
    """Return what a fresh process says that knows transformers and PEFT, and nothing of us."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder) / "asked.json", Path(folder) / "answer.npy"
        asked.write_text(json.dumps(record | {"answer": str(answer)}), "utf-8")
        script = Path(__file__).with_name("loads_alone.py")
        done = subprocess.run(
            [sys.executable, "-I", str(script), str(asked)],
            check=False,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        if done.returncode != 0:
            detail = "\n".join(done.stderr.strip().splitlines()[-3:])[:400]
            raise StoreError(
                "export_unloadable", path=record["adapter"] or record["base"], detail=detail
            )
        found: NDArray[np.float64] = np.load(answer, allow_pickle=False)
        return found
