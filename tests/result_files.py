"""A started study in a real store, with result files as a worker writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from kasa.dataspec import DataSpec
from kasa.errors import TrainingError
from kasa.runs.records import FinishedRun, RunRecord
from kasa.runs.store import Store
from kasa.study import Gates, Protocol, Study
from tests.study_runs import LABELS, finished_run

FACTS = (
    "metrics",
    "validation",
    "selected",
    "trials",
    "prepare_seconds",
    "train_seconds",
    "evaluate_seconds",
    "total_seconds",
    "baseline_memory_bytes",
    "peak_memory_bytes",
    "num_trainable_params",
    "num_total_params",
    "num_train_rows",
    "collateral",
)


def draft(store: Store, folder: Path, profile: str = "quick") -> str:
    """Return the id of a new draft over 240 short rows of three classes."""
    lines = [f"note {row} about {LABELS[row % 3]},{LABELS[row % 3]}" for row in range(240)]
    path = folder / "notes.csv"
    path.write_text("\n".join(["text,label", *lines]), "utf-8")
    data = DataSpec(str(path), "text", "label")
    gates = Gates(metric_min=0.7)
    return store.create_study(
        Study("Which *defect*?", "embedded", data, protocol=Protocol(profile), gates=gates)
    )


def usual(run: RunRecord, test: pd.DataFrame) -> FinishedRun:
    """Return a run that is wrong on every few rows, TF-IDF on most of them."""
    labels = list(test["label"])
    wrong_every = {"kasa": 9, "lora": 8, "frozen_head": 6, "tfidf": 3}
    predicted = [
        LABELS[(LABELS.index(label) + 1) % 3] if i % wrong_every[str(run.method)] == 0 else label
        for i, label in enumerate(labels)
    ]
    return finished_run(str(run.arm), int(run.seed or 0), labels, predicted, rows=list(test["row"]))


def finish(
    store: Store,
    study_id: str,
    *,
    failed: Sequence[str] = (),
    left: Sequence[str] = (),
    make: Callable[[RunRecord, pd.DataFrame], FinishedRun] = usual,
) -> None:
    """Start the study and end its runs as `make` makes them of the test rows.

    `left` arms stay queued.
    """
    runs = store.start_study(study_id)
    rows = store.rows(study_id)
    test = rows[rows["part"] == "test"]
    for run in runs:
        if run.arm in left:
            continue
        if run.arm in failed:
            store.mark(run.id, "failed", error=TrainingError("file_not_found", path="model.bin"))
            continue
        write_result(run.folder, make(run, test))
        store.mark(run.id, "finished")


def write_result(folder: Path, run: FinishedRun) -> None:
    """Write result.json and predictions.csv of a run."""
    measured = {name: getattr(run, name) for name in FACTS} | {"labels": list(run.labels)}
    result = {"asked": {}, "measured": measured, "conditions": run.conditions}
    (folder / "result.json").write_text(json.dumps(result), "utf-8")
    run.predictions.to_csv(folder / "predictions.csv", index=False)
