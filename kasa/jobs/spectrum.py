"""The job `spectrum`: every linear weight's singular values, kept in its folder."""

from __future__ import annotations

import time
from typing import Any

from kasa.model.source import resolve_model
from kasa.runs.job import Job
from kasa.runs.store import Store
from kasa.spectral.spectrum import SPECTRA_FILE, save_spectra
from kasa.spectral.stream import analyse


def execute(job: Job) -> dict[str, Any]:
    """Analyse `config["model"]`; reports each matrix, and a stopped job leaves no spectra.npz."""
    started = time.perf_counter()
    source = resolve_model(job.config["model"], hub_access=bool(job.config.get("hub_access")))
    spectra = analyse(
        source,
        method=job.config.get("method", "exact"),
        keep=Store().spectra_folder(source.sha256),
        progress=lambda p: job.progress(p.done, p.total, module=p.module, share=p.share),
        should_stop=job.should_stop,
    )
    job.stop_if_asked()
    save_spectra(job.folder / SPECTRA_FILE, spectra)
    return {
        "model": source.name,
        "num_matrices": len(spectra),
        "num_singular_values": sum(s.singular_values.size for s in spectra),
        "analyse_seconds": time.perf_counter() - started,
        "file": SPECTRA_FILE,
        "conditions": {"model_sha256": source.sha256},
    }
