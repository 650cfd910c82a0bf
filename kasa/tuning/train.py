"""One run of a tuned arm or of a baseline on the base model, from rows to outcome.

Read top to bottom: load the base, fit the linear probe where the task has a head, then for every
learning rate of the grid a fresh base with fresh adapters whose head starts from that probe, judged
on validation; the best one is measured once on the test rows.
"""

from __future__ import annotations

import gc
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers.utils import logging as transformers_logging

from kasa.arms import Arm
from kasa.errors import TrainingError
from kasa.model.source import ModelSource
from kasa.study import Protocol
from kasa.tuning import adapters
from kasa.tuning.checkpoint import Checkpoints, run_key
from kasa.tuning.collateral import damage, impression, untouched_impression
from kasa.tuning.heads import ComparedTask, HeadTask
from kasa.tuning.measure import choose_precision, memory_bytes, precision_file, stopwatch
from kasa.tuning.outcome import Outcome, Parts
from kasa.tuning.reader import Reader
from kasa.tuning.tasks import Task, device, task_for
from kasa.tuning.trial import Report, Trial, Tuning, silent, trained_weights

FULL_FILE, ADAPTER_FOLDER = "tuned.safetensors", "adapter"


def quiet_transformers() -> None:
    """Turn transformers' own messages off; what matters is reported by the run."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def run_frozen_head(
    source: ModelSource, parts: Parts, protocol: Protocol, cache: Path | None = None
) -> Outcome:
    """Fit a linear model on the pooled states of the untouched base."""
    before = memory_bytes()
    quiet_transformers()
    task = HeadTask(source, parts, protocol, cache)
    with stopwatch() as preparing:
        model, probe = task.probed()
    prepare_seconds = preparing.seconds + task.cache.seconds
    train_seconds = task.probe_seconds + probe.train_seconds
    features, seconds = task.kept_features(model, parts.test)
    with stopwatch() as evaluating:
        answers = probe.answers(features, parts.test)
    return Outcome(
        answers=answers,
        selected={"C": probe.strength},
        validation=probe.validation,
        trials=probe.trials,
        prepare_seconds=prepare_seconds - train_seconds,
        train_seconds=train_seconds,
        evaluate_seconds=seconds + evaluating.seconds,
        num_trainable_params=_count(model.head),
        num_total_params=_count(model),
        baseline_memory_bytes=before,
        conditions=_conditions("fp32", task.reader),
        cached_seconds=task.cache.seconds,
    )


def run_zero_shot(source: ModelSource, parts: Parts, protocol: Protocol) -> Outcome:
    """Let the untouched base answer: in words, or by how likely or alike choices are."""
    before = memory_bytes()
    quiet_transformers()
    task = task_for(source, parts, protocol)
    if isinstance(task, HeadTask):
        task = ComparedTask(source, parts, protocol)
    with stopwatch() as preparing:
        model = task.model()
    validation = task.answer(model, parts.validation)
    with stopwatch() as evaluating:
        answers = task.answer(model, parts.test)
    return Outcome(
        answers=answers,
        selected={},
        validation=validation.validation,
        trials=[],
        prepare_seconds=preparing.seconds,
        train_seconds=0.0,
        evaluate_seconds=evaluating.seconds,
        num_trainable_params=0,
        num_total_params=_count(model.get_submodule("base")),
        baseline_memory_bytes=before,
        conditions=_conditions("fp32", task.reader),
    )


def run_tuned(
    source: ModelSource,
    parts: Parts,
    protocol: Protocol,
    arm: Arm,
    rates: tuple[float, ...],
    seed: int,
    folder: Path,
    report: Report = silent,
    checkpoints: Path | None = None,
    cache: Path | None = None,
) -> Outcome:
    """Tune one arm with one seed over its learning rates and measure the best on test.

    `folder` is the run's own and takes adapter and head. Memory holds one model at a time.
    A run that was killed goes on from what it left in the folder `checkpoints`; `cache` keeps what
    the untouched base says to the rows for the study's other runs.
    """
    before = memory_bytes()
    quiet_transformers()
    task = task_for(source, parts, protocol, cache)
    untouched = untouched_impression(task, task.prepare())
    precision = choose_precision(precision_file(folder))
    tuning = Tuning(task, arm, seed, folder, precision)
    key = run_key(source.sha256, parts, protocol, arm, rates, seed, precision.name, device())
    kept = Checkpoints(checkpoints, key)
    trials, trained = [Trial(**facts) for facts in kept.trials], kept.weights
    model: nn.Module | None = None
    for index, rate in enumerate(rates):
        if index < len(trials):
            continue
        # bf16 training leaves a model that refers to itself: only the collector frees it.
        model = None
        gc.collect()
        step_report = _shifted(report, index, len(rates), learning_rate=rate)
        model, trial = tuning.trial(rate, step_report, kept=kept)
        if all(trial.preference < other.preference for other in trials):
            trained = trained_weights(model)
        trials.append(trial)
        kept.keep_trials([asdict(each) for each in trials], trained)
    if not trials:
        raise TrainingError("no_learning_rate")
    best = min(trials, key=lambda each: each.preference)
    if model is None:  # killed after its last trial, the run has none yet
        model, _ = tuning.build()
    # What is frozen is the same in every trial, so this makes the last model the best one.
    model.load_state_dict(trained, strict=False)
    with stopwatch() as evaluating:
        answers = task.answer(model, parts.test)
    collateral = damage(untouched, impression(task, model))
    save_tuned(model, task, arm, folder)
    return Outcome(
        answers=answers,
        selected={"learning_rate": best.record["learning_rate"]},
        validation=best.record["validation"],
        trials=[each.record for each in trials],
        prepare_seconds=best.record["prepare_seconds"],
        train_seconds=best.record["train_seconds"],
        evaluate_seconds=evaluating.seconds,
        num_trainable_params=sum(weight.numel() for weight in trained.values()),
        num_total_params=_count(model),
        baseline_memory_bytes=before,
        guard=best.guard,
        collateral=collateral,
        cached_seconds=task.cache.seconds,
        tokens_per_second=best.record["tokens"] / best.record["train_seconds"],
        matmul_share=tuning.matmul_share(model, best.record),
        conditions=_conditions(precision.name, task.reader)
        | {"bf16_speedup": precision.bf16_speedup}
        | kept.conditions(),
    )


def _shifted(report: Report, index: int, count: int, **fixed: Any) -> Report:
    def shifted(done: float, total: float, **info: Any) -> None:
        report(index * total + done, count * total, trial=index + 1, trials=count, **fixed, **info)

    return shifted


def save_tuned(model: Any, task: Task, arm: Arm, folder: Path) -> None:
    """Save adapter (or all of the base's weights) and head as safetensors."""
    if arm.method == "full":
        weights = trained_weights(model.base)
        save_file({k: v.cpu().contiguous() for k, v in weights.items()}, folder / FULL_FILE)
    else:
        adapters.save(model.base, folder / ADAPTER_FOLDER)
    task.save(model, folder)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _conditions(precision: str, reader: Reader) -> dict[str, Any]:
    return {
        "precision": precision,
        "threads": torch.get_num_threads(),
        "device": device(),
        "pooling": reader.pooling,
        "max_length": reader.max_length,
    }
