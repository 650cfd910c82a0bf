"""The job of one training run: one arm, one seed, from stored rows to result and predictions."""

from __future__ import annotations

import time
from typing import Any

from kasa.arms import Arm
from kasa.model.source import ModelSource, resolve_model
from kasa.runs.files import write_bytes
from kasa.runs.job import Job
from kasa.runs.store import Store
from kasa.study import Study, study_from_dict
from kasa.tuning.altered import altered
from kasa.tuning.baselines import run_majority, run_tfidf
from kasa.tuning.measure import EnergyMeter, peak_memory_bytes
from kasa.tuning.outcome import Outcome, Parts, split_parts


def execute(job: Job) -> dict[str, Any]:
    """Carry out the run and return what was measured; predictions and adapter go to its folder."""
    started, energy = time.perf_counter(), EnergyMeter()
    study = study_from_dict(job.config["study"])
    arm = study.arms[job.config["arm_index"]]
    job.progress(0, 1, phase="prepare")
    whole = split_parts(Store().rows(job.config["study_id"]), study.task)
    parts = altered(whole, arm, int(job.config["seed"]))
    source = resolve_model(study.model, hub_access=bool(job.config["hub_access"]))
    outcome = _run(job, source, study, arm, parts)
    table = outcome.answers.table.to_csv(index=False)
    write_bytes(job.folder / "predictions.csv", table.encode())
    conditions = dict(outcome.conditions)
    earlier_peak = conditions.pop("earlier_peak_memory_bytes", 0)
    earlier_seconds = conditions.pop("earlier_seconds", 0.0)
    measured = {
        "metrics": outcome.answers.metrics,
        "validation": outcome.validation,
        "selected": outcome.selected,
        "trials": outcome.trials,
        "prepare_seconds": outcome.prepare_seconds,
        "train_seconds": outcome.train_seconds,
        "evaluate_seconds": outcome.evaluate_seconds,
        "total_seconds": earlier_seconds + outcome.cached_seconds + (time.perf_counter() - started),
        "baseline_memory_bytes": outcome.baseline_memory_bytes,
        "peak_memory_bytes": max(earlier_peak, peak_memory_bytes()),
        "tokens_per_second": outcome.tokens_per_second,
        "matmul_share": outcome.matmul_share,
        "energy_joules": energy.joules(study.protocol.places),
        "num_trainable_params": outcome.num_trainable_params,
        "num_total_params": outcome.num_total_params,
        "num_train_rows": len(parts.train.rows),
        "labels": list(parts.labels),
        "guard": outcome.guard,
        "collateral": outcome.collateral,
    }
    facts = {"model_sha256": source.sha256, "data_sha256": study.data.sha256}
    return measured | {"conditions": facts | conditions}


def _run(job: Job, source: ModelSource, study: Study, arm: Arm, parts: Parts) -> Outcome:
    if arm.method == "majority":
        return run_majority(parts)
    if arm.method == "tfidf":
        return run_tfidf(parts, class_weights=study.protocol.class_weights)
    # torch and transformers take seconds and memory that the methods without a base do not need.
    from kasa.tuning.train import run_frozen_head, run_tuned, run_zero_shot

    cache = Store().study_folder(job.config["study_id"]) / "features"
    if arm.method == "frozen_head":
        return run_frozen_head(source, parts, study.protocol, cache)
    if arm.method == "zero_shot":
        return run_zero_shot(source, parts, study.protocol)

    def report(done: float, total: float, **info: Any) -> None:
        job.progress(done, total, phase="train", **info)
        job.stop_if_asked()

    return run_tuned(
        source,
        parts,
        study.protocol,
        arm,
        study.learning_rates(arm),
        int(job.config["seed"]),
        job.folder,
        report,
        job.checkpoints,
        cache,
    )
