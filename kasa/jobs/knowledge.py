"""The job `knowledge`: what carries a study's task in its base, and the cut that it allows."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from kasa.data.card import prepare_study
from kasa.model.source import resolve_model
from kasa.runs.job import Job
from kasa.study import study_from_dict
from kasa.tuning.adapters import target_modules
from kasa.tuning.keys import TOLERANCE, kasa_arm
from kasa.tuning.knowledge import Knowledge
from kasa.tuning.outcome import split_parts
from kasa.tuning.sensitivity import SHARES, plan, sensitivity
from kasa.tuning.tasks import task_for
from kasa.tuning.train import quiet_transformers


def execute(job: Job) -> dict[str, Any]:
    """Score the components of the layers that the study's KaSA adapts, cut, measure and plan.

    `config`: the study, and the tolerance as a share of the loss. Training rows score, validation
    rows measure; test rows are not read.
    """
    started = time.perf_counter()
    study = study_from_dict(job.config["study"])
    tolerance = float(job.config.get("tolerance", TOLERANCE))
    job.progress(0, 1, phase="prepare")
    quiet_transformers()
    prepared, _ = prepare_study(study.data, study.protocol)
    source = resolve_model(study.model, hub_access=bool(job.config.get("hub_access")))
    parts = split_parts(prepared.rows, study.task)
    known = Knowledge(task_for(source, parts, study.protocol))
    modules = target_modules(known.base, kasa_arm(study))
    measured = parts.validation

    def step(phase: str, done: int, total: int) -> None:
        job.stop_if_asked()
        job.progress(done, total, phase=phase)

    step("score", 0, 1)
    before = time.perf_counter()
    scores = list(known.scores(modules))
    scoring_seconds = time.perf_counter() - before
    curves = list(
        sensitivity(
            known,
            scores,
            measured,
            tolerance=tolerance,
            progress=lambda done, total: step("curves", done, total),
        )
    )
    curves += sensitivity(
        known,
        scores,
        measured,
        scope="layer",
        criteria=("first_order",),
        shares=SHARES[2:],
        tolerance=tolerance,
        progress=lambda done, total: step("layers", done, total),
    )
    found = plan(
        known,
        scores,
        measured,
        tolerance=tolerance,
        progress=lambda done, total: step("plan", done, total),
    )
    return {
        "modules": [
            {"module": own.module, "shape": list(own.shape), "stability": own.stability}
            for own in scores
        ],
        "num_scored_rows": scores[0].num_rows,
        "num_measured_rows": len(measured.rows),
        "curves": [asdict(curve) for curve in curves],
        "plan": asdict(found),
        "scoring_seconds": scoring_seconds,
        "total_seconds": time.perf_counter() - started,
        "conditions": {"model_sha256": source.sha256, "data_sha256": study.data.sha256},
    }
