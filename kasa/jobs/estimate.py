"""The job of the probe: a few real steps of every arm, so that time and memory can be foretold."""

from __future__ import annotations

import gc
import time
from typing import Any

import psutil

from kasa.data.card import prepare_study
from kasa.model.source import ModelSource, resolve_model
from kasa.runs.job import Job
from kasa.study import Arm, Study, study_from_dict
from kasa.tuning.baselines import run_tfidf
from kasa.tuning.measure import choose_precision, peak_memory_bytes, precision_file, stopwatch
from kasa.tuning.outcome import Parts, split_parts

# The first step pays for memory and caches; the others are what a run repeats.
PROBE_STEPS = 5


def execute(job: Job) -> dict[str, Any]:
    """Measure every arm once, the smallest first, so that each one's memory peak is its own."""
    study = study_from_dict(job.config["study"])
    prepared, _ = prepare_study(study.data, study.protocol)
    parts = split_parts(prepared.rows)
    source = resolve_model(study.model, hub_access=bool(job.config["hub_access"]))
    probe = StudyProbe(job, source, parts, study)
    named = zip(study.arm_names(), study.arms, strict=True)
    order = sorted(named, key=lambda pair: (pair[1].tuned, pair[1].method != "tfidf"))
    for index, (name, arm) in enumerate(order):
        job.stop_if_asked()
        job.progress(index, len(order), arm=name)
        probe.measure(name, arm)
    job.progress(len(order), len(order))
    return {"rows": prepared.sizes, **probe.measured}


class StudyProbe:
    """Measures a study's arms one after another; the base is loaded and probed once."""

    def __init__(self, job: Job, source: ModelSource, parts: Parts, study: Study) -> None:
        """Begin with nothing measured."""
        self.job = job
        self.source = source
        self.parts = parts
        self.study = study
        self.measured: dict[str, Any] = {"arms": {}}
        self.ready: Any = None
        self.light_seconds = 0.0

    def measure(self, name: str, arm: Arm) -> None:
        """Measure one arm and keep its figures under its name."""
        if arm.method == "tfidf":
            with stopwatch() as watch:
                run_tfidf(self.parts)
            # It comes first, so what this process has spent is what a run of it spends.
            figures = {"run_seconds": _seconds_since_start()}
            self.light_seconds += watch.seconds
        else:
            self._prepare_base()
            figures = self._tuned(arm) if arm.tuned else self._frozen()
        self.measured["arms"][name] = figures | {"peak_memory_bytes": peak_memory_bytes()}

    def _prepare_base(self) -> None:
        if self.ready is not None:
            return
        from kasa.tuning.train import prepare

        # Everything a run pays before its own work: interpreter, libraries, model resolution.
        startup = _seconds_since_start() - self.light_seconds
        with stopwatch() as watch:
            self.ready, _ = prepare(self.source, self.parts, self.study.protocol)
        self.measured["startup_seconds"] = startup
        self.measured["base_seconds"] = watch.seconds
        self.measured["embed_seconds_per_row"] = self.ready.embed_seconds / len(self.ready.train)

    def _frozen(self) -> dict[str, Any]:
        row = self.measured["embed_seconds_per_row"]
        return {"run_seconds": self.measured["base_seconds"] + row * len(self.parts.test.rows)}

    def _tuned(self, arm: Arm) -> dict[str, Any]:
        from kasa.tuning.train import Tuning

        # The arm before left its model to the collector; this one's peak must not hold it.
        gc.collect()
        protocol = self.study.protocol
        tuning = Tuning(
            source=self.source,
            parts=self.parts,
            protocol=protocol,
            arm=arm,
            seed=protocol.seeds[0],
            folder=self.job.folder,
            ready=self.ready,
            precision=choose_precision(precision_file(self.job.folder)),
        )
        steps: list[float] = []
        last: float | None = None

        def report(_done: float, _total: float, **info: Any) -> None:
            nonlocal last
            now = time.perf_counter()
            # Few rows make several epochs of the probe; their validation is no part of a step.
            if "loss" in info and last is not None:
                steps.append(now - last)
            last = now
            self.job.stop_if_asked()

        _, trial = tuning.trial(protocol.learning_rates[0], report, max_steps=PROBE_STEPS)
        return {
            "prepare_seconds": trial.record["prepare_seconds"],
            "step_seconds": sum(steps) / len(steps),
        }


def _seconds_since_start() -> float:
    return time.time() - psutil.Process().create_time()
