"""The job `explain`: what a finished run has learned, and what its test rows lose without it."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from kasa.model.source import resolve_model
from kasa.runs.again import run_again, tuned_again
from kasa.runs.job import Job
from kasa.runs.store import Store
from kasa.tuning.explain import explain
from kasa.tuning.train import quiet_transformers


def execute(job: Job) -> dict[str, Any]:
    """Load the run of `config` again and explain it; nothing of its rows but numbers is kept."""
    started, store = time.perf_counter(), Store()
    job.progress(0, 1)
    quiet_transformers()
    hub = bool(job.config.get("hub_access"))
    run = run_again(store, job.config["run"], partial(resolve_model, hub_access=hub))

    def step(done: int, total: int) -> None:
        job.stop_if_asked()
        job.progress(done, total)

    arm = run.study.arms[run.arm_index]
    found = explain(tuned_again(store, run), run.source, arm, run.record.id, step)
    return found | {
        "arm": run.record.arm,
        "seed": run.record.seed,
        "total_seconds": time.perf_counter() - started,
        "conditions": {"model_sha256": run.source.sha256},
    }
