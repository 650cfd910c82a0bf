"""A tuned run beside its base: answers of both to new rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from kasa.data.questions import pieces_of
from kasa.errors import StoreError
from kasa.model.source import ModelSource
from kasa.study import Study
from kasa.tuning import adapters
from kasa.tuning.answers import Answers
from kasa.tuning.heads import HeadTask
from kasa.tuning.outcome import Part, Parts, asked_part
from kasa.tuning.tasks import Task, task_for
from kasa.tuning.train import ADAPTER_FOLDER, FULL_FILE


@dataclass(frozen=True)
class Tuned:
    """A run's tuned model, or its base, with its task, ready to answer."""

    task: Task
    model: nn.Module

    def answers(self, part: Part) -> Answers:
        """Return the model's answers to a part."""
        return self.task.answer(self.model, part)


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


def load_base(source: ModelSource, study: Study, parts: Parts, cache: Path | None = None) -> Tuned:
    """Return the untouched base, ready to answer: with its linear probe, or in its own words.

    `cache` keeps what the base says to the rows of the study.
    """
    task = task_for(source, parts, study.protocol, cache)
    model: Any = task.prepare()
    if isinstance(task, HeadTask) and task.probe is not None:
        model.set_head(*task.probe.head())
    return Tuned(task, model)


def predict_tuned(
    source: ModelSource,
    study: Study,
    parts: Parts,
    arm_index: int,
    folder: Path,
    texts: Sequence[str],
) -> list[dict[str, Any]]:
    """Return what the tuned model answers to each text, with its confidence where it has one.

    A second text, or choices, follow the first after `|||`.
    """
    tuned = load_tuned(source, study, parts, arm_index, folder)
    return tuned.answers(_part(study, parts, texts)).records()


def predict_base(
    source: ModelSource, study: Study, parts: Parts, texts: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what the untouched base answers to each text, as `predict_tuned` does."""
    base = load_base(source, study, parts)
    return base.answers(_part(study, parts, texts)).records()


def _part(study: Study, parts: Parts, texts: Sequence[str]) -> Part:
    return asked_part(study.data, parts, [pieces_of(text, parts.inputs) for text in texts])
