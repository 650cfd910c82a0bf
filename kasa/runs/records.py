"""What the store hands out: a study, a run, and a finished run with its measurements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from kasa.errors import KasaError
from kasa.study import Study

ACTIVE = ("queued", "running", "stopping")
ENDED = ("finished", "failed", "cancelled", "lost")


@dataclass(frozen=True)
class StudyRecord:
    """A study as stored; `status` is draft until it is started, then started for good."""

    id: str
    study: Study
    status: str
    created_at: datetime


@dataclass(frozen=True)
class RunRecord:
    """One job of one worker process: a training run (arm and seed), a spectrum, an estimate."""

    id: str
    kind: str
    status: str
    study_id: str | None
    arm: str | None
    method: str | None
    seed: int | None
    error: KasaError | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    folder: Path

    @property
    def active(self) -> bool:
        """Whether the run waits, works or is being stopped."""
        return self.status in ACTIVE

    @property
    def seconds(self) -> float | None:
        """How long its last process worked on an ended run; 0 where the clock was set back."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, (self.finished_at - self.started_at).total_seconds())


@dataclass(frozen=True)
class FinishedRun:
    """The measurements of one finished training run; seconds and bytes as in result.json."""

    id: str
    arm: str
    method: str
    seed: int
    metrics: dict[str, float]
    validation: dict[str, float]
    selected: dict[str, float]
    trials: list[dict[str, Any]]
    prepare_seconds: float
    train_seconds: float
    evaluate_seconds: float
    total_seconds: float
    baseline_memory_bytes: int
    peak_memory_bytes: int
    num_trainable_params: int
    num_total_params: int
    labels: tuple[str, ...]
    conditions: dict[str, Any]
    predictions: pd.DataFrame
    tokens_per_second: float | None = None
    matmul_share: float | None = None
    energy_joules: float | None = None
    num_train_rows: int | None = None
    collateral: dict[str, Any] | None = None
