"""How far a study is, and how long it will still take, from its runs' events and times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kasa.runs.records import RunRecord


@dataclass(frozen=True)
class Progress:
    """A run at work: share done, seconds left (None while nothing can be said), memory now in bytes."""

    share: float
    seconds_left: float | None
    memory_bytes: int | None


def run_progress(events: Sequence[dict[str, Any]]) -> Progress:
    """Return how far a run is; the time left is steps left × the mean step so far."""
    steps = [event for event in events if "loss" in event]
    if not steps:
        return Progress(0.0, None, None)
    first, last = steps[0], steps[-1]
    share = last["done"] / last["total"]
    made = last["done"] - first["done"]
    left = None
    if made > 0:
        left = (last["time"] - first["time"]) / made * (last["total"] - last["done"])
    return Progress(share, left, last["memory_bytes"])


def seconds_left(
    runs: Sequence[RunRecord], current: Progress | None, expected: dict[str, float]
) -> float | None:
    """Return the seconds a study still needs, or None while some waiting arm was never timed.

    A waiting run takes what its arm's last finished run took, else what the estimate `expected`.
    """
    known = expected | {
        run.arm: (run.finished_at - run.started_at).total_seconds()
        for run in runs
        if run.status == "finished" and run.arm and run.started_at and run.finished_at
    }
    left = 0.0
    for run in runs:
        if run.status == "queued":
            if run.arm not in known:
                return None
            left += known[run.arm]
        elif run.status == "running":
            if current is not None and current.seconds_left is not None:
                left += current.seconds_left
            elif run.arm in known and run.started_at:
                spent = (datetime.now(UTC) - run.started_at).total_seconds()
                left += max(0.0, known[run.arm] - spent)
            else:
                return None
    return left
