"""Spectrum: how the strength of each weight is spread, and where each criterion would cut."""

from __future__ import annotations

import streamlit as st

from app import drafts, state
from app.components import model_name, next_step, page_header, refresh, show_error
from app.i18n import t
from app.spectrum_cuts import show_curves
from app.spectrum_panels import (
    choose,
    show_downloads,
    show_end,
    show_grid,
    show_progress,
    spectra_of,
)
from kasa.errors import KasaError
from kasa.model.source import ModelSource, resolve_model
from kasa.runs.records import RunRecord
from kasa.spectral.spectrum import SPECTRA_FILE, spectrum_key


def offer_start(source: ModelSource, job: RunRecord | None) -> None:
    """Offer to compute the spectra: for the first time, or again after an end without them."""
    if job is None:
        st.markdown(t("spectrum.not_yet"))
    else:
        show_end(job)
    label = t("spectrum.start" if job is None else "spectrum.again")
    if st.button(label, key="spectrum_start", type="primary"):
        place = str(source.folder) if source.kind == "folder" else source.name
        store.enqueue("spectrum", {"model": place}, spectrum_key(source))
        st.rerun()


def show_result(source: ModelSource, job: RunRecord) -> None:
    """Show the finished job's spectra; files that cannot be read are made anew."""
    try:
        spectra = spectra_of(str(job.folder / SPECTRA_FILE))
    except KasaError as error:
        show_error(error)
        offer_start(source, job)
        return
    options = show_grid(spectra)
    show_curves(choose(spectra), options)
    result = store.result(job.id) or {"measured": {"analyse_seconds": 0.0}}
    show_downloads(spectra, result["measured"]["analyse_seconds"])


page_header("spectrum.title", "spectrum.lead")
store = state.store()
model = drafts.current_settings().model
st.caption(t("spectrum.model", model=model_name(model)))
source = resolve_model(model, hub_access=store.hub_access())
job = store.latest(spectrum_key(source))
if job is not None and job.active:
    refresh(show_progress, 1.0, job.id)
elif job is not None and job.status == "finished" and (job.folder / SPECTRA_FILE).is_file():
    show_result(source, job)
else:
    offer_start(source, job)
next_step("shell.next.data", "pages/data.py")
