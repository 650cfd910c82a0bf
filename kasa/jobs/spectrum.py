"""The job `spectrum`: every linear weight's singular values, kept in its folder."""

from __future__ import annotations

import time
from typing import Any

from kasa.model.source import resolve_model
from kasa.runs.job import Job
from kasa.spectral.spectrum import SPECTRA_FILE, analyse, save_spectra


def execute(job: Job) -> dict[str, Any]:
    """Analyse `config["model"]`; reports each matrix, and a stopped job leaves no spectra.npz."""
    started = time.perf_counter()
    source = resolve_model(job.config["model"], hub_access=bool(job.config.get("hub_access")))
    spectra = analyse(
        source,
        progress=lambda done, total, module: job.progress(done, total, module=module),
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
