"""How far a study is, and how long it will still take, from its runs' events and times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kasa.runs.records import RunRecord


@dataclass(frozen=True)
class Progress:
    """A run at work: share done, seconds left (None while nothing can be said), bytes in use."""

    share: float
    seconds_left: float | None
    memory_bytes: int | None


def run_progress(events: Sequence[dict[str, Any]]) -> Progress:
    """Return how far a run is; the time left is steps left × the mean step so far."""
    steps = steps_of_piece(events)
    if not steps:
        return Progress(0.0, None, None)
    first, last = steps[0], steps[-1]
    made = last["done"] - first["done"]
    left = None
    if made > 0:
        spent = max(0.0, last["time"] - first["time"])  # the clock may have been set back
        left = spent / made * (last["total"] - last["done"])
    return Progress(min(1.0, last["done"] / last["total"]), left, last["memory_bytes"])


def steps_of_piece(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the training steps since the run was started last, as each start says "prepare"."""
    starts = [at for at, event in enumerate(events) if event.get("phase") == "prepare"]
    return [event for event in events[starts[-1] if starts else 0 :] if "loss" in event]


def signature(runs: Sequence[RunRecord], paused: bool) -> str:
    """Return what the page's buttons depend on; progress within a run does not change it."""
    return " ".join([*(run.status for run in runs), "paused" * paused])


def known_seconds(runs: Sequence[RunRecord], expected: dict[str, float]) -> dict[str, float]:
    """Return seconds per arm: what its last finished run took, else what was expected of it."""
    return expected | {
        run.arm: run.seconds
        for run in runs
        if run.status == "finished" and run.arm and run.seconds is not None
    }


def overall_share(runs: Sequence[RunRecord], share: float, expected: dict[str, float]) -> float:
    """Return how much of a study is done; runs weigh by their seconds where all are known.

    `share` is that of the run at work.
    """
    known = known_seconds(runs, expected)
    equal = any(run.arm not in known for run in runs)
    weights = [1.0 if equal else known[str(run.arm)] for run in runs]
    parts = [1.0 if not run.active else share if run.status != "queued" else 0.0 for run in runs]
    done = sum(weight * part for weight, part in zip(weights, parts, strict=True))
    return min(1.0, done / (sum(weights) or 1.0))


def seconds_left(
    runs: Sequence[RunRecord], current: Progress, expected: dict[str, float]
) -> float | None:
    """Return the seconds a study still needs, or None while some waiting arm was never timed."""
    known = known_seconds(runs, expected)
    left = 0.0
    for run in runs:
        if run.status == "queued":
            if run.arm not in known:
                return None
            left += known[run.arm]
        elif run.status == "running":
            if current.seconds_left is not None:
                left += current.seconds_left
            elif run.arm in known and run.started_at:
                spent = (datetime.now(UTC) - run.started_at).total_seconds()
                left += max(0.0, known[run.arm] - max(0.0, spent))
            else:
                return None
    return left
