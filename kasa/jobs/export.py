"""The job `export`: a tuned run as an archive that others can load, proven before it is there."""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any

from kasa.model.source import resolve_model
from kasa.report.model_card import model_card
from kasa.runs.again import run_again, tuned_again
from kasa.runs.files import write_bytes
from kasa.runs.job import Job
from kasa.runs.store import Store
from kasa.text import translator
from kasa.tuning.export import export
from kasa.tuning.keys import check_kind
from kasa.tuning.train import quiet_transformers

ARCHIVE = "model.zip"


def execute(job: Job) -> dict[str, Any]:
    """Export the run of `config` in its kind, with a card in its language, as model.zip."""
    job.progress(0, 1)
    store, kind = Store(), str(job.config["kind"])
    quiet_transformers()
    hub = bool(job.config.get("hub_access"))
    run = run_again(store, job.config["run"], partial(resolve_model, hub_access=hub))
    arm = run.study.arms[run.arm_index]
    check_kind(arm, kind, run.record.id)
    out = job.folder / "model"
    shutil.rmtree(out, ignore_errors=True)  # what an interrupted export left
    found = export(tuned_again(store, run), run.source, arm, run.record.folder, kind, out)
    job.stop_if_asked()
    card = model_card(run.study, run.result, found.facts(), translator(job.config["lang"]))
    write_bytes(out / "README.md", card.encode())
    shutil.make_archive(str((job.folder / ARCHIVE).with_suffix("")), "zip", out)
    shutil.rmtree(out)
    study_id = run.record.study_id
    store.ledger.note("export_written", study=study_id, run=run.record.id, format=kind)
    return found.facts() | {
        "archive": ARCHIVE,
        "num_bytes": (job.folder / ARCHIVE).stat().st_size,
        "conditions": {"model_sha256": run.source.sha256},
    }
