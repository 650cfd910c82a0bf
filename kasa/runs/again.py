"""A finished run once more: its study, its base, and its tuned model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kasa.errors import StoreError
from kasa.model.source import ModelSource
from kasa.runs.records import RunRecord
from kasa.runs.store import Store
from kasa.study import Study, study_from_dict

if TYPE_CHECKING:
    from kasa.tuning.predict import Tuned


@dataclass(frozen=True)
class RunAgain:
    """A finished run with its study, its base, and the place of its arm."""

    record: RunRecord
    result: dict[str, Any]
    study: Study
    source: ModelSource
    arm_index: int


def run_again(store: Store, run_id: str, source_of: Callable[[str], ModelSource]) -> RunAgain:
    """Return a finished run, on the base that it was tuned on; raises `StoreError` for others."""
    record = store.run(run_id)
    result = store.result(record.id)
    if result is None or record.study_id is None:
        raise StoreError("no_tuned_model", run=record.id)
    study = study_from_dict(result["asked"]["study"])
    source = source_of(study.model)
    if source.sha256 != result["conditions"]["model_sha256"]:
        raise StoreError("model_changed", run=record.id)
    return RunAgain(record, result, study, source, result["asked"]["arm_index"])


def reading(store: Store, run: RunAgain, kind: str) -> AbstractContextManager[None]:
    """Log that a command, of the kind of a job, reads the rows of a run's study."""
    record = run.record
    facts = {"run": record.id, "kind": kind, "study": record.study_id}
    return store.ledger.reading(facts | {"arm": record.arm, "seed": record.seed})


def tuned_again(store: Store, run: RunAgain) -> Tuned:
    """Load a run's tuned model with the rows of its study."""
    from kasa.tuning.outcome import split_parts
    from kasa.tuning.predict import load_tuned

    parts = split_parts(store.rows(str(run.record.study_id)), run.study.task)
    return load_tuned(run.source, run.study, parts, run.arm_index, run.record.folder)
