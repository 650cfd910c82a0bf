"""Runs tuned a little on tiny bases, and their models loaded anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kasa.arms import Arm
from kasa.dataspec import DataSpec
from kasa.model.source import ModelSource
from kasa.runs.records import RunRecord
from kasa.runs.store import Store
from kasa.study import Protocol, Study
from kasa.tuning.outcome import Parts
from kasa.tuning.predict import Tuned, load_tuned
from kasa.tuning.train import run_tuned
from kasa.worker import work
from tests.small_studies import small_study
from tests.tiny_models import run_folder, write_tiny_bert

COLUMNS: dict[str, dict[str, Any]] = {
    "classification": {"text": "text", "label": "crew"},
    "pair_classification": {"text": "text", "second_text": "second", "label": "crew"},
    "regression": {"text": "text", "score": "score"},
    "multiple_choice": {"prompt": "text", "choices": ("choices",), "answer": "crew"},
    "generation": {"prompt": "text", "answer": "crew"},
}


def tuned_run(
    source: ModelSource, parts: Parts, arm: Arm, folder: Path, epochs: int = 1
) -> tuple[Tuned, Path]:
    """Train an arm a little and return its model, loaded anew, with the run's folder."""
    protocol = Protocol("quick", epochs=epochs, learning_rates=(3e-2,), max_length=32)
    data = DataSpec("rows.csv", **COLUMNS[parts.task])
    study = Study("Tuned", source.name, data, (arm,), protocol)
    own = run_folder(folder, "run")
    run_tuned(source, parts, protocol, arm, (3e-2,), 0, own)
    return load_tuned(source, study, parts, 0, own), own


def worked_run(store: Store, folder: Path, arm: Arm) -> tuple[RunRecord, ModelSource]:
    """Carry out a study of one arm on a tiny BERT in this process; return its run and the base."""
    texts = [f"{a} {b}" for a in ("fuse blown in panel", "oil leaks at the pump") for b in "0123"]
    model = write_tiny_bert(folder / "model", texts)
    protocol = Protocol("quick", epochs=1, learning_rates=(1e-2,), parallel_runs=1)
    study = small_study(folder, (arm,), protocol)
    study_id = store.create_study(Study(**(vars(study) | {"model": model.name})))
    (run,) = store.start_study(study_id)
    assert work(store, run.id), store.run(run.id).error
    return run, model
