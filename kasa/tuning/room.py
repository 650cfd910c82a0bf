"""How many runs fit on this machine at a time, and what would make a study fit into memory."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from kasa.errors import KasaError
from kasa.model.source import model_facts, resolve_model
from kasa.study import Study
from kasa.tuning.estimate import Estimate, extrapolate, study_memory_bytes
from kasa.tuning.measure import machine

# Other programs and the system want memory too.
USABLE_SHARE = 0.8
# Without being asked, runs share a machine only where the base is so small that more threads bring
# a run next to nothing (measured: 22.7M parameters, batches of 16, one thread or two within 10 %),
# and where all of them together leave half of its memory alone.
SMALL_MODEL_BYTES, MOST_PLACES, UNASKED_SHARE = 500_000_000, 4, 0.5
# What a run holds beside its weights: the libraries, and activations of a small model.
RUN_BYTES = 800_000_000


def settled(study: Study) -> Study:
    """Return the study with the number of runs that share this machine, where it leaves it open."""
    if study.protocol.parallel_runs:
        return study
    if study.protocol.trial_seconds:
        # Equal seconds are only equal while every run has the machine to itself.
        return replace(study, protocol=replace(study.protocol, parallel_runs=1))
    places = 1
    # What is wrong with the model is said by whoever needs it.
    with suppress(KasaError):
        weights = model_facts(resolve_model(study.model)).memory_bytes
        places = usual_places(weights, os.cpu_count() or 1, int(machine()["memory_bytes"]))
    return replace(study, protocol=replace(study.protocol, parallel_runs=places))


def usual_places(weight_bytes: int, cores: int, memory_bytes: int) -> int:
    """Return how many runs on a base of this size share a machine if nobody says otherwise."""
    if weight_bytes > SMALL_MODEL_BYTES or shutil.which("nvidia-smi"):
        return 1  # a run alone makes use of everything
    # Weights, their gradients and the optimiser's two moments, where all of them are trained.
    need = RUN_BYTES + 4 * weight_bytes
    return max(1, min(MOST_PLACES, cores, int(UNASKED_SHARE * memory_bytes / need)))


@dataclass(frozen=True)
class Change:
    """Settings of a protocol with which a study should fit, and the bytes it should take then."""

    settings: dict[str, int]
    peak_memory_bytes: int


def fits(num_bytes: int, memory_bytes: int) -> bool:
    """Say whether so many bytes leave enough of a machine's memory to everything else."""
    return num_bytes <= USABLE_SHARE * memory_bytes


def fitting_change(study: Study, measured: dict[str, Any], memory_bytes: int) -> Change | None:
    """Return the smallest change after which a study should fit, from its probe's figures.

    First fewer runs at a time; then, one at a time, batches halved: peak(b) = start + (peak −
    start)·b/B with the probe's batch B and `start`, what the process held before its first step.
    None where even single rows would not fit.
    """
    protocol = study.protocol
    estimates = extrapolate(study, measured)
    alone: dict[str, int] = {}
    for places in range(protocol.places - 1, 0, -1):
        alone = {"parallel_runs": places}
        fewer = replace(study, protocol=replace(protocol, parallel_runs=places))
        need = study_memory_bytes(estimates, fewer)
        if fits(need, memory_bytes):
            return Change(alone, need)
    size = protocol.batch_size // 2
    # A curve's points need what their arm needs, which alone was measured.
    probed = [each for each in estimates if each.arm in measured["arms"]]
    while size:
        need = max(_peak(each, measured, size / protocol.batch_size) for each in probed)
        if fits(need, memory_bytes):
            return Change(alone | {"batch_size": size}, need)
        size //= 2
    return None


def _peak(estimate: Estimate, measured: dict[str, Any], share: float) -> int:
    """Return an arm's peak with that share of the batch; what does not train stays as it is."""
    peak = estimate.peak_memory_bytes
    start = measured["arms"][estimate.arm].get("start_memory_bytes", peak)
    return int(start + (peak - start) * share)
