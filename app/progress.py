"""How far a study is, and how long it will still take, from its runs' events and times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kasa.runs.records import RunRecord
from kasa.tuning.estimate import makespan


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


def overall_share(
    runs: Sequence[RunRecord], working: Mapping[str, Progress], expected: dict[str, float]
) -> float:
    """Return how much of a study is done; runs weigh by their seconds where all are known.

    `working` is the progress of the runs at work, by their ids.
    """
    known = known_seconds(runs, expected)
    equal = any(run.arm not in known for run in runs)
    weights = [1.0 if equal else known[str(run.arm)] for run in runs]
    parts = [working[run.id].share if run.id in working else not run.active for run in runs]
    done = sum(weight * part for weight, part in zip(weights, parts, strict=True))
    return min(1.0, done / (sum(weights) or 1.0))


def seconds_left(
    runs: Sequence[RunRecord],
    working: Mapping[str, Progress],
    expected: dict[str, float],
    places: int,
) -> float | None:
    """Return the seconds a study still needs, or None while some waiting arm was never timed.

    `working` is the progress of the runs at work, by their ids; `places` of them work at a time.
    """
    known = known_seconds(runs, expected)
    left = []
    for run in runs:
        if run.status not in {"queued", "running"}:
            continue
        at_work = working.get(run.id)
        if at_work is not None and at_work.seconds_left is not None:
            left.append(at_work.seconds_left)
        elif run.arm not in known:
            return None
        else:
            now = datetime.now(UTC)
            spent = max(0.0, (now - (run.started_at or now)).total_seconds())
            left.append(max(0.0, known[run.arm] - spent))
    return makespan(left, places)
