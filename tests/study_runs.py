"""Finished runs made by hand, for the tests of the verdict and report rooms."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.metrics import accuracy_score, f1_score

from kasa.arms import METHODS
from kasa.data.card import CardProblem, DatasetCard
from kasa.data.split import PARTS
from kasa.dataspec import DataSpec
from kasa.errors import KasaError
from kasa.runs.records import FinishedRun, RunRecord, StudyRecord
from kasa.study import Gates, Study
from kasa.verdict.evidence import Evidence, build_evidence

CONDITIONS: dict[str, Any] = {
    "model_sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "data_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "versions": {"python": "3.11.9", "torch": "2.13.0", "peft": "0.21.2"},
    "machine": {"processor": "Test CPU", "cores": 2, "memory_bytes": 8_000_000_000},
    "precision": "float32",
    "threads": 2,
    "git_commit": "0123456",
}


def finished_run(
    arm: str,
    seed: int,
    labels: Sequence[str],
    predicted: Sequence[str],
    *,
    confidence: Sequence[float] | None = None,
    train_seconds: float = 60.0,
    peak_memory_bytes: int = 900_000_000,
    rows: Sequence[int] | None = None,
    conditions: dict[str, Any] | None = None,
) -> FinishedRun:
    """Return a finished run whose metrics are scikit-learn's for these predictions."""
    method = arm.partition("-")[0]
    tuned = METHODS[method].kind != "baseline"
    curve = [{"step": step, "loss": 2.0 / (1 + step)} for step in range(5)]
    trials = [
        {
            "learning_rate": rate,
            "validation": {"accuracy": 0.5 + 10 * rate, "macro_f1": 0.5},
            "train_seconds": train_seconds / 2,
            "curve": curve if tuned else [],
        }
        for rate in (0.001, 0.003)
    ]
    selected: dict[str, float] = {"learning_rate": 0.003} if method != "tfidf" else {"C": 10.0}
    return FinishedRun(
        id=f"{arm}-s{seed}",
        arm=arm,
        method=method,
        seed=seed,
        metrics={
            "accuracy": float(accuracy_score(labels, predicted)),
            "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
        },
        validation={"accuracy": 0.5, "macro_f1": 0.5},
        selected=selected,
        trials=trials if tuned else [],
        prepare_seconds=2.5 if method == "kasa" else 0.0,
        train_seconds=train_seconds,
        evaluate_seconds=1.0,
        total_seconds=train_seconds + 4.0,
        baseline_memory_bytes=400_000_000,
        peak_memory_bytes=peak_memory_bytes,
        num_trainable_params=76_000 if tuned else 2_310,
        num_total_params=22_789_000,
        labels=tuple(sorted(set(labels))),
        conditions=CONDITIONS if conditions is None else conditions,
        predictions=pd.DataFrame(
            {
                "row": list(range(2, 2 + len(labels))) if rows is None else list(rows),
                "label": list(labels),
                "predicted": list(predicted),
                "confidence": [0.9] * len(labels) if confidence is None else list(confidence),
            }
        ),
    )


LABELS = ("bearing noise", "oil leak", "sensor fault")


def example_runs(
    arms: Sequence[str] = ("kasa-r8", "lora-r8", "frozen_head", "tfidf"),
    seeds: Sequence[int] = (0, 1, 2),
    num_rows: int = 120,
) -> list[FinishedRun]:
    """Return runs in which every arm is wrong on the same kind of rows, TF-IDF on most of them."""
    wrong_every = {"kasa": 9, "lora": 10, "frozen_head": 6, "tfidf": 3}
    labels = [LABELS[row % 3] for row in range(num_rows)]
    runs = []
    for arm in arms:
        method = arm.partition("-r")[0]
        for seed in seeds:
            shift = seed if method in {"kasa", "lora"} else 0
            predicted = [
                LABELS[(row + 1) % 3] if (row + shift) % wrong_every[method] == 0 else label
                for row, label in enumerate(labels)
            ]
            seconds = {"kasa": 48.0, "lora": 41.0, "frozen_head": 2.2, "tfidf": 0.3}[method]
            memory = 300_000_000 if method == "tfidf" else 910_000_000
            runs.append(
                finished_run(
                    arm,
                    seed,
                    labels,
                    predicted,
                    train_seconds=seconds + seed,
                    peak_memory_bytes=memory,
                )
            )
    return runs


def example_study(**changes: Any) -> Study:
    """Return the study of the example runs, with gates."""
    settings: dict[str, Any] = {
        "title": "Which defect is it?",
        "model": "embedded",
        "data": DataSpec("/some/folder/inspection notes.csv", "note", "defect"),
        "gates": Gates(
            metric_min=0.85, train_minutes_max=0.5, peak_memory_gb_max=2.0, money_max=50
        ),
    }
    return Study(**(settings | changes))


def example_rows(num_rows: int = 120) -> pd.DataFrame:
    """Return the example study's rows: 240 to train, 60 to validate, then the test part."""
    rows = [
        {"row": 1000 + row, "text": f"earlier note {row}", "label": LABELS[row % 3], "part": part}
        for row, part in enumerate(["train"] * 240 + ["validation"] * 60)
    ]
    rows += [
        {"row": 2 + row, "text": f"note {row}", "label": LABELS[row % 3], "part": "test"}
        for row in range(num_rows)
    ]
    return pd.DataFrame(rows)


def run_record(
    run: FinishedRun, status: str = "finished", error: KasaError | None = None
) -> RunRecord:
    """Return the store's record of a run."""
    moment = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
    return RunRecord(
        id=run.id,
        kind="run",
        status=status,
        study_id="abc123",
        arm=run.arm,
        method=run.method,
        seed=run.seed,
        error=error,
        created_at=moment,
        started_at=moment,
        finished_at=moment,
        folder=Path("runs") / run.id,
    )


def example_evidence(
    runs: Sequence[FinishedRun] | None = None,
    study: Study | None = None,
    records: Sequence[RunRecord] | None = None,
    rows: pd.DataFrame | None = None,
) -> Evidence:
    """Return the evidence of the example study, or of the parts given."""
    finished = example_runs() if runs is None else runs
    record = StudyRecord(
        "abc123", study or example_study(), "started", datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
    )
    known = [run_record(run) for run in finished] if records is None else records
    rows = example_rows() if rows is None else rows
    return build_evidence(record, known, finished, rows, example_card(record.study, rows))


def example_card(study: Study, rows: pd.DataFrame) -> DatasetCard:
    """Return the card of the example's rows, as a CP932 file with three kinds of problems."""
    return DatasetCard(
        file="inspection notes.csv",
        sha256="ab12",
        format="csv",
        encoding="cp932",
        task="classification",
        columns={"text": [study.data.text], "label": [study.data.label]},
        num_rows=len(rows) + 7,
        num_used=len(rows),
        num_left_out=7,
        sizes={part: int((rows["part"] == part).sum()) for part in PARTS},
        split_by="label",
        labels={str(label): int(n) for label, n in rows["label"].value_counts().items()},
        median_length=18.0,
        longest_length=64,
        problems=(
            CardProblem("label_variants", 5, "changed"),
            CardProblem("empty_text", 4, "left_out"),
            CardProblem("duplicate", 3, "left_out"),
            CardProblem("near_duplicate", 12, "kept_together"),
        ),
        personal={"phone": 2},
        masked=study.data.mask,
        fixes=("label_variants", "duplicate", "near_duplicate"),
    )
