"""`python -m kasa.worker RUN_ID`: one run, one process, which writes its own end where it can."""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # Before anything else is imported: what a library does on import is seen too.
    from kasa.runs.connections import watch

    watch()

import psutil

from kasa.errors import KasaError, StoreError, TrainingError
from kasa.runs.connections import outside_connections
from kasa.runs.files import FULL, PROTECTED, read_json, storage_error, write_json
from kasa.runs.interrupt import hearing_stop
from kasa.runs.job import Job, JobCancelled
from kasa.runs.ledger import job_facts
from kasa.runs.process import born
from kasa.runs.schedule import end_stopped
from kasa.runs.store import Store

KINDS = ("run", "spectrum", "estimate", "knowledge", "explain", "answers", "export")
ROWLESS = ("spectrum",)


def work(store: Store, run_id: str) -> bool:
    """Carry out one run and record how it ended; True when it finished."""
    record = store.run(run_id)
    config = read_json(record.folder / "config.json") or {}
    job = Job(
        id=run_id,
        kind=record.kind,
        config=config,
        folder=record.folder,
        asked_to_stop=lambda: store.run(run_id).status == "stopping",
    )
    try:
        with store.ledger.reading(_rows_read(store, job)), hearing_stop(job):
            result = _execute(job)
    except JobCancelled:
        end_stopped(store, run_id)
        return False
    except Exception as error:  # noqa: BLE001 - whatever happened, the page must show it
        traceback.print_exc()
        if job.should_stop():  # a library made its own failure of the interruption
            end_stopped(store, run_id)
            return False
        store.mark(run_id, "failed", error=_explained(error, job))
        return False
    try:
        write_json(record.folder / "result.json", result)
    except StoreError as error:
        store.mark(run_id, "failed", error=error)
        return False
    store.mark(run_id, "finished")
    shutil.rmtree(job.checkpoints, ignore_errors=True)
    return True


def _execute(job: Job) -> dict[str, Any]:
    if job.kind not in KINDS:
        raise TrainingError("unknown_kind", kind=job.kind)
    module = importlib.import_module(f"kasa.jobs.{job.kind}")
    started = datetime.now(UTC)
    measured = module.execute(job)
    from kasa.tuning.measure import conditions  # after the job: it has paid for importing torch

    found = measured.pop("conditions", {})
    facts = conditions(started) | outside_connections() | found
    return {"asked": job.config, "measured": measured, "conditions": facts}


def _rows_read(store: Store, job: Job) -> dict[str, Any]:
    """Return what the log says of a job that reads rows; nothing of one that does not."""
    if job.kind in ROWLESS or job.kind not in KINDS or not isinstance(job.config, dict):
        return {}
    return job_facts(job.id, job.kind, job.config, lambda run_id: store.run(run_id).study_id)


def _explained(error: Exception, job: Job) -> KasaError:
    if isinstance(error, KasaError):
        return error
    if isinstance(error, OSError) and error.errno in FULL | PROTECTED:
        return storage_error(error, Path(error.filename or job.folder))
    if "no space left" in str(error).lower():  # safetensors says the system's reason in words
        return StoreError("disk_full", path=str(job.folder), detail=os.strerror(errno.ENOSPC))
    if isinstance(error, MemoryError) or "not enough memory" in str(error).lower():
        return _too_large(job)
    detail = f"{type(error).__name__}: {error}"[:400]
    return TrainingError("unexpected", detail=detail, log=str(job.folder / "log.txt"))


def _too_large(job: Job) -> KasaError:
    """Return what memory did not suffice for, with the setting to change first."""
    protocol = job.config.get("study", {}).get("protocol", {})
    places, batch = protocol.get("parallel_runs", 0), protocol.get("batch_size", 1)
    if job.kind == "run" and places > 1:
        return TrainingError("out_of_memory_shared", places=places, fewer=places // 2)
    if batch > 1:
        return TrainingError("out_of_memory_batch", batch=batch, smaller=batch // 2)
    return TrainingError("out_of_memory")


def main(run_id: str) -> int:
    """Take the run, if it still waits for this process, and carry it out; return the exit code."""
    store, me = Store(), psutil.Process()
    if not store.adopt_run(run_id, me.pid, born(me), me.ppid()):
        return 1
    return 0 if work(store, run_id) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
