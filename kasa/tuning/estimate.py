"""Time and memory before anything is spent: a few measured steps, extrapolated to the whole study.

A probe (kasa.jobs.estimate) measures this machine, this model and these rows; the arithmetic here
is light, so that a page can redo it while epochs, seeds and the grid change.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kasa.arms import Arm
from kasa.study import Protocol, Study

# What one probe measures does not depend on these, so changing them needs no new probe.
FREE_SETTINGS = {
    *("profile", "seeds", "learning_rates", "epochs", "equivalence_margin", "patience"),
    "trial_seconds",
}


@dataclass(frozen=True)
class Estimate:
    """Expected cost of one arm: seconds and bytes of one run, and the seconds of all its seeds."""

    arm: str
    run_seconds: float
    peak_memory_bytes: int
    num_runs: int

    @property
    def total_seconds(self) -> float:
        """Seconds of all the arm's runs together, as if they went one after another."""
        return self.run_seconds * self.num_runs


def study_seconds(estimates: Sequence[Estimate], study: Study) -> float:
    """Return the seconds from the first run's start to the last one's end."""
    a_seed = [each.run_seconds for each in estimates]
    return makespan(a_seed * len(study.protocol.seeds), study.protocol.places)


def study_memory_bytes(estimates: Sequence[Estimate], study: Study) -> int:
    """Return the bytes of the largest runs that may be at work together."""
    peaks = [each.peak_memory_bytes for each in estimates for _ in range(each.num_runs)]
    return sum(sorted(peaks, reverse=True)[: study.protocol.places])


def makespan(seconds: Iterable[float], places: int) -> float:
    """Return when the last of these works ends, each begun in order as soon as a place is free."""
    ends = [0.0] * places
    for each in seconds:
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def probe_key(study: Study) -> str:
    """Return the job key of the probe that fits this study: model, data, arms, batch and split."""
    record = study.to_dict()
    protocol = {k: v for k, v in record["protocol"].items() if k not in FREE_SETTINGS}
    data = {k: v for k, v in record["data"].items() if not (k == "path" and study.data.sha256)}
    # A curve's points cost what their arm costs, in proportion to their rows.
    judged = [facts for facts, arm in zip(record["arms"], study.arms, strict=True) if arm.judged]
    parts = {"model": study.model, "data": data, "arms": judged, "protocol": protocol}
    text = json.dumps(parts, sort_keys=True)
    return f"estimate:{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def extrapolate(study: Study, measured: dict[str, Any]) -> list[Estimate]:
    """Return one estimate per arm from a probe's measurements.

    tuned run = startup + probe of the base + L·(prepare + steps·step + epochs·validate) + test,
    with L learning rates and steps = epochs·⌈train rows / batch⌉; with seconds as the budget
    prepare + steps·step is those seconds, and epochs are as many as are begun in them. Source of
    every figure: the probe's result.json.
    """
    return [_estimate(name, arm, study, measured) for name, arm in study.named_arms().items()]


def _estimate(name: str, arm: Arm, study: Study, measured: dict[str, Any]) -> Estimate:
    protocol = study.protocol
    figures = measured["arms"][study.whole_of(name)]
    rows, share = measured["rows"], arm.train_share or 1.0
    needs_base = arm.method not in {"tfidf", "majority"}
    seconds = measured["startup_seconds"] if needs_base else 0.0
    if arm.tuned:
        row = measured["answer_seconds_per_row"]
        training, epochs = _training(protocol, figures, round(rows["train"] * share))
        trial = training + epochs * rows["validation"] * row
        seconds += measured["base_seconds"] + len(study.learning_rates(arm)) * trial
        # Text unlike the task is read by the base and by the tuned model.
        seconds += rows["test"] * row + 2 * measured.get("neutral_seconds", 0.0)
    else:
        seconds += figures["run_seconds"]
    return Estimate(name, seconds, figures["peak_memory_bytes"], len(protocol.seeds))


def _training(protocol: Protocol, figures: dict[str, Any], rows: int) -> tuple[float, int]:
    """Return a trial's seconds of preparation and training, and how often it validates."""
    prepare, step = figures["prepare_seconds"], figures["step_seconds"]
    an_epoch = -(-rows // protocol.batch_size)
    if not protocol.trial_seconds:
        return prepare + protocol.epochs * an_epoch * step, protocol.epochs
    steps = max(1, math.ceil((protocol.trial_seconds - prepare) / step))
    return max(protocol.trial_seconds, prepare + step), math.ceil(steps / an_epoch)
