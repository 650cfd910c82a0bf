"""A finished run taken up again: with its study, the base it was tuned on, and its arm's place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kasa.errors import StoreError
from kasa.model.source import ModelSource
from kasa.runs.records import RunRecord
from kasa.runs.store import Store
from kasa.study import Study, study_from_dict


@dataclass(frozen=True)
class RunAgain:
    """A finished run with what is needed to load its model: study, base and place of its arm."""

    record: RunRecord
    result: dict[str, Any]
    study: Study
    source: ModelSource
    arm_index: int


def run_again(store: Store, run_id: str, source_of: Callable[[str], ModelSource]) -> RunAgain:
    """Return a finished run, on the base that it was tuned on; raises `StoreError` for others.

    `source_of` finds a model by its name.
    """
    record = store.run(run_id)
    result = store.result(record.id)
    if result is None or record.study_id is None:
        raise StoreError("no_tuned_model", run=record.id)
    study = study_from_dict(result["asked"]["study"])
    source = source_of(study.model)
    if source.sha256 != result["conditions"]["model_sha256"]:
        raise StoreError("model_changed", run=record.id)
    return RunAgain(record, result, study, source, result["asked"]["arm_index"])
