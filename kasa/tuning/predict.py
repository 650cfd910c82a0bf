"""A tuned run beside its base: answers of both to new rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from kasa.errors import StoreError
from kasa.model.source import ModelSource
from kasa.study import Study
from kasa.tuning import adapters
from kasa.tuning.heads import HeadTask
from kasa.tuning.outcome import Part, Parts
from kasa.tuning.tasks import Task, task_for
from kasa.tuning.train import ADAPTER_FOLDER, FULL_FILE


@dataclass(frozen=True)
class Tuned:
    """A run's tuned model with its task, ready to answer."""

    task: Task
    model: nn.Module


def load_tuned(
    source: ModelSource, study: Study, parts: Parts, arm_index: int, folder: Path
) -> Tuned:
    """Load the base anew, prepare it as the arm does, and give it the saved adapter and head."""
    arm = study.arms[arm_index]
    kept = folder / FULL_FILE if arm.method == "full" else folder / ADAPTER_FOLDER
    if not kept.exists():
        raise StoreError("no_tuned_model", run=folder.name)
    task = task_for(source, parts, study.protocol)
    model: Any = task.model()
    start = adapters.saved_start(kept) if arm.spread else adapters.RANDOM_START
    model.base, _ = adapters.adapt(model.base, arm, start=start)
    if arm.method == "full":
        model.base.load_state_dict(load_file(kept), strict=False)
    else:
        adapters.restore(model.base, kept)
    task.restore(model, folder)
    return Tuned(task, model)


def predict_tuned(
    source: ModelSource,
    study: Study,
    parts: Parts,
    arm_index: int,
    folder: Path,
    texts: Sequence[str],
) -> list[dict[str, Any]]:
    """Return what the tuned model answers to each text, with its confidence where it has one."""
    tuned = load_tuned(source, study, parts, arm_index, folder)
    return _answers(tuned.task, tuned.model, parts, texts)


def predict_base(
    source: ModelSource, study: Study, parts: Parts, texts: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what the untouched base answers: with its linear probe, or in its own words."""
    task = task_for(source, parts, study.protocol)
    model: Any = task.prepare()
    if isinstance(task, HeadTask) and task.probe is not None:
        model.set_head(*task.probe.head())
    return _answers(task, model, parts, texts)


def _answers(
    task: Task, model: nn.Module, parts: Parts, texts: Sequence[str]
) -> list[dict[str, Any]]:
    """Answer texts of which the right answer is not known; metrics of the placeholders are unused.

    A second text, or choices, follow the first after a line with `|||`.
    """
    pieces = [[piece.strip() for piece in text.split("|||")] for text in texts]
    two = bool(parts.train.seconds)
    wanted = 2 if two else 1
    for text, found in zip(texts, pieces, strict=True):
        short = len(found) < 2 if parts.train.choices else len(found) != wanted
        if short and (two or parts.train.choices):
            raise StoreError("pieces_missing", text=text[:80])
    placeholder: Any = parts.train.labels[0] if not parts.train.choices else 0
    part = Part(
        rows=tuple(range(len(texts))),
        texts=tuple(
            found[0] if two or parts.train.choices else text
            for found, text in zip(pieces, texts, strict=True)
        ),
        labels=(placeholder,) * len(texts),
        seconds=tuple(found[1] for found in pieces) if two else (),
        choices=tuple(tuple(found[1:]) for found in pieces) if parts.train.choices else (),
    )
    table = task.answer(model, part).table
    names = {"predicted": "label", "confidence": "confidence"}
    kept = table[[name for name in names if name in table]].rename(columns=names)
    return [{str(name): value for name, value in row.items()} for row in kept.to_dict("records")]
