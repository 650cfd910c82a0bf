"""The job of the probe: a few real steps of every arm, so that time and memory can be foretold."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil

from kasa.arms import Arm
from kasa.model.source import ModelSource, resolve_model
from kasa.runs.job import Job
from kasa.runs.process import age
from kasa.study import Study, study_from_dict
from kasa.tuning.baselines import run_majority, run_tfidf
from kasa.tuning.measure import choose_precision, peak_memory_bytes, precision_file, stopwatch
from kasa.tuning.outcome import Parts, split_parts

# The first step pays for memory and caches; the others are what a run repeats.
PROBE_STEPS = 16
# So many batches of answers, spread over the rows' lengths, tell how long all of them take.
ANSWERED_BATCHES = 4
LIGHT_METHODS = ("majority", "tfidf")
WEIGHTS = (*LIGHT_METHODS, "baseline", "adapter", "full")


def execute(job: Job) -> dict[str, Any]:
    """Measure every arm once, the smallest first, so that each one's memory peak is its own."""
    study = study_from_dict(job.config["study"])
    with stopwatch() as reading:
        # Imported here: a run finds its rows checked and divided, and has no need of the checks.
        from kasa.data.card import prepare_study

        prepared, _ = prepare_study(study.data, study.protocol)
    study.check_task()
    parts = split_parts(prepared.rows, study.task)
    source = resolve_model(study.model, hub_access=bool(job.config["hub_access"]))
    probe = StudyProbe(job, source, parts, study)
    probe.light_seconds = reading.seconds
    named = study.named_arms(judged=True)
    order = sorted(named.items(), key=lambda pair: WEIGHTS.index(_weight(pair[1])))
    for index, (name, arm) in enumerate(order):
        job.stop_if_asked()
        job.progress(index, len(order), arm=name)
        probe.measure(name, arm)
    job.progress(len(order), len(order))
    return {"rows": prepared.sizes, **probe.measured}


def _weight(arm: Arm) -> str:
    return arm.method if arm.method in LIGHT_METHODS else arm.facts.kind


class StudyProbe:
    """Measures a study's arms one after another; the base is loaded and probed once."""

    def __init__(self, job: Job, source: ModelSource, parts: Parts, study: Study) -> None:
        """Begin with nothing measured."""
        self.job = job
        self.source = source
        self.parts = parts
        self.study = study
        self.measured: dict[str, Any] = {"arms": {}}
        self.task: Any = None
        self.longest = parts.test
        self.light_seconds = 0.0

    def measure(self, name: str, arm: Arm) -> None:
        """Measure one arm and keep its figures under its name."""
        if arm.method in LIGHT_METHODS:
            # What this process has spent so far, the other light methods apart, a run spends too.
            spent = age(psutil.Process()) - self.light_seconds
            with stopwatch() as watch:
                run_tfidf(self.parts) if arm.method == "tfidf" else run_majority(self.parts)
            figures = {"run_seconds": spent + watch.seconds}
            self.light_seconds += watch.seconds
        else:
            self._prepare_base()
            figures = self._tuned(arm) if arm.tuned else self._untuned()
        self.measured["arms"][name] = figures | {"peak_memory_bytes": peak_memory_bytes()}

    def _prepare_base(self) -> None:
        if self.task is not None:
            return
        from kasa.tuning.collateral import impression
        from kasa.tuning.tasks import task_for
        from kasa.tuning.train import quiet_transformers

        # Everything a run pays before its own work: interpreter, libraries, model resolution.
        startup = age(psutil.Process()) - self.light_seconds
        quiet_transformers()
        with stopwatch() as watch:
            self.task = task_for(self.source, self.parts, self.study.protocol)
            model = self.task.prepare()
        self.measured["startup_seconds"] = startup
        self.measured["base_seconds"] = watch.seconds
        self.measured["answer_seconds_per_row"] = self._row_seconds(model)
        with stopwatch() as watch:
            impression(self.task, model)
        self.measured["neutral_seconds"] = watch.seconds

    def _row_seconds(self, model: Any) -> float:
        """Return what answering one test row takes, in batches of similar length as in a run.

        The longest rows come first and unmeasured: they hold the most memory, and what is new is
        paid for. Nothing but time and memory is taken from these answers.
        """
        test, size = self.parts.test, self.task.answered_together
        order = np.argsort(self.task.tokenise(test)["length"], kind="stable")
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        self.longest = test.take(order[-size:])
        self.task.answer(model, self.longest)
        middles = (np.arange(ANSWERED_BATCHES) + 0.5) / ANSWERED_BATCHES * len(batches)
        some = np.concatenate([batches[place] for place in sorted({*middles.astype(int)})])
        with stopwatch() as answering:
            self.task.answer(model, test.take(some))
        return answering.seconds / len(some)

    def _untuned(self) -> dict[str, Any]:
        row = self.measured["answer_seconds_per_row"]
        return {"run_seconds": self.measured["base_seconds"] + row * len(self.parts.test.rows)}

    def _tuned(self, arm: Arm) -> dict[str, Any]:
        from kasa.tuning.trial import Tuning

        # The arm before left its model to the collector; this one's peak must not hold it.
        gc.collect()
        precision = choose_precision(precision_file(self.job.folder))
        seed = self.study.protocol.seeds[0]
        tuning = Tuning(self.task, arm, seed, self.job.folder, precision)
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

        rate = self.study.learning_rates(arm)[0]
        with counted_tokens(self.task) as tokens:
            model, trial = tuning.trial(rate, report, max_steps=PROBE_STEPS)
        self.task.answer(model, self.longest)  # the adapter's part of an answer needs memory too
        # The first batches hold longer rows than the others; time goes with their tokens.
        seen = tokens[1 : 1 + len(steps)]
        pace = [spent / count for spent, count in zip(steps, seen, strict=True)]
        # A batch of a new shape pays once for preparing its products; a long run seldom does.
        usual = float(np.median(pace)) * tokens_per_step(self.task)
        return {
            "prepare_seconds": trial.record["prepare_seconds"],
            "step_seconds": usual,
            "start_memory_bytes": trial.start_memory_bytes,
        }


@contextmanager
def counted_tokens(task: Any) -> Iterator[list[int]]:
    """Collect the tokens, padding included, of every batch that the task makes in the block."""
    tokens: list[int] = []
    plain = task.collate

    def counted(rows: Any) -> Any:
        batch = plain(rows)
        tokens.append(batch["input_ids"].numel())
        return batch

    task.collate = counted
    try:
        yield tokens
    finally:
        del task.collate


def tokens_per_step(task: Any) -> float:
    """Return the mean tokens of a training batch, padding included, over one epoch's batches."""
    from kasa.tuning.order import ByLength

    size = task.protocol.batch_size
    order = list(ByLength(task.train["length"], size, seed=0))
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    sizes = [task.collate([task.train[i] for i in rows])["input_ids"].numel() for rows in batches]
    return sum(sizes) / len(sizes)
