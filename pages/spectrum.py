"""Spectrum: how the strength of each weight is spread, and where each criterion would cut."""

from __future__ import annotations

import streamlit as st

from app import drafts, state
from app.components import model_name, next_step, page_header, refresh, show_error
from app.i18n import t
from app.plan_panel import show_plan
from app.spectrum_cache import spectra_of
from app.spectrum_cuts import show_curves
from app.spectrum_jobs import (
    is_active,
    is_large,
    is_ready,
    latest_job,
    offer_start,
    show_exact_job,
    show_progress,
)
from app.spectrum_panels import choose, say_fused, say_sketch, show_downloads, show_grid
from app.spectrum_table import show_table
from kasa.errors import KasaError
from kasa.model.source import ModelSource, resolve_model
from kasa.runs.records import RunRecord
from kasa.spectral.spectrum import SPECTRA_FILE


def show_result(source: ModelSource, job: RunRecord) -> None:
    """Show the finished job's spectra; files that cannot be read are made anew."""
    path = str(job.folder / SPECTRA_FILE)
    try:
        spectra = spectra_of(path)
    except KasaError as error:
        show_error(error)
        offer_start(source, job)
        return
    say_sketch(spectra)
    say_fused(source)
    options = show_grid(spectra)
    show_curves(choose(spectra), options)
    show_plan(path, spectra, options)
    show_table(path, spectra, options)
    result = state.store().result(job.id) or {"measured": {"analyse_seconds": 0.0}}
    show_downloads(spectra, result["measured"]["analyse_seconds"])


def show_page(source: ModelSource) -> None:
    """Show the exact spectra; until they are there, the sketch, the progress, or the start."""
    exact, sketch = (latest_job(source, method) for method in ("exact", "sketch"))
    if exact is not None and is_ready(exact):
        show_result(source, exact)
    elif sketch is not None and is_ready(sketch) and is_large(source):
        show_exact_job(source, exact)
        show_result(source, sketch)
    else:
        working = [job.id for job in (sketch, exact) if job is not None and is_active(job)]
        if working:
            refresh(show_progress, 1.0, *working)
        else:
            offer_start(source, exact or sketch)


page_header("spectrum.title", "spectrum.lead")
model = drafts.current_settings().model
st.caption(t("spectrum.model", model=model_name(model)))
show_page(resolve_model(model, hub_access=state.store().hub_access()))
next_step("shell.next.data", "pages/data.py")
