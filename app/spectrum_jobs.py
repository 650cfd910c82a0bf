"""Computing a model's spectra in the background: a sketch first where the model is large."""

from __future__ import annotations

import time

import streamlit as st

from app.components import plain, refresh, show_error
from app.i18n import about_seconds, t, text
from app.state import store
from kasa.model.source import ModelSource, model_facts
from kasa.runs.records import RunRecord
from kasa.spectral.spectrum import SPECTRA_FILE, spectrum_key

LARGE_PARAMS = 300_000_000
"""Linear weights with more parameters than this take minutes exactly; a sketch takes seconds."""


def num_linear_params(source: ModelSource) -> int:
    """Return how many parameters the model's linear weights hold, from the headers alone."""
    return sum(weight.num_params for weight in model_facts(source).weights)


def is_large(source: ModelSource) -> bool:
    """Whether a sketch is offered before the exact values."""
    return num_linear_params(source) > LARGE_PARAMS


def latest_job(source: ModelSource, method: str) -> RunRecord | None:
    """Return the newest job that computed, or computes, this model's spectra by a method."""
    return store().latest(spectrum_key(source, method))


def is_active(job: RunRecord | None) -> bool:
    """Whether a job waits or works."""
    return job is not None and job.active


def is_ready(job: RunRecord | None) -> bool:
    """Whether a job has ended with its spectra."""
    return job is not None and job.status == "finished" and (job.folder / SPECTRA_FILE).is_file()


def enqueue(source: ModelSource, *methods: str) -> None:
    """Start the computation by each method in turn and draw the page again."""
    place = str(source.folder) if source.kind == "folder" else source.name
    for method in methods:
        config = {"model": place, "method": method}
        store().enqueue("spectrum", config, spectrum_key(source, method))
    st.rerun()


def offer_start(source: ModelSource, job: RunRecord | None) -> None:
    """Offer to compute the spectra: for the first time, or again after an end without them."""
    if job is not None:
        show_end(job)
    large = is_large(source)
    if large:
        params = text().number(num_linear_params(source))
        st.markdown(t("spectrum.sketch.offer", params=params))
        if st.button(t("spectrum.sketch.start"), key="spectrum_sketch", type="primary"):
            enqueue(source, "sketch", "exact")
    elif job is None:
        st.markdown(t("spectrum.not_yet"))
    words = "spectrum.start" if job is None else "spectrum.again"
    label = t("spectrum.sketch.exact_only" if large else words)
    if st.button(label, key="spectrum_start", type="secondary" if large else "primary"):
        enqueue(source, "exact")


def show_exact_job(source: ModelSource, job: RunRecord | None) -> None:
    """Above a sketch, show how far the exact values are, or offer to compute them."""
    if job is not None and job.active:
        refresh(show_progress, 1.0, job.id)
        return
    if job is not None:
        show_end(job)
    if st.button(t("spectrum.sketch.exact"), key="spectrum_start"):
        enqueue(source, "exact")


def show_progress(*job_ids: str) -> None:
    """Show the first job until it ends, then draw the whole page again; Stop ends all of them."""
    job = store().run(job_ids[0])
    if not job.active:
        st.rerun()
    events = store().events(job.id)
    if not events:
        waiting = "waiting" if job.status == "queued" else "starting"
        st.progress(0.0, t(f"spectrum.{waiting}"))
    else:
        last = events[-1]
        elapsed = max(0.0, time.time() - events[0]["time"])
        # The share of the work, which follows time better than the count of weights.
        share = min(1.0, last.get("share", last["done"] / last["total"]))
        left = elapsed / share * (1 - share) if share else 0.0
        words = t(
            "spectrum.working",
            done=last["done"],
            total=last["total"],
            module=plain(last["module"]),
            left=about_seconds(left),
        )
        st.progress(share, words if last["done"] else t("spectrum.starting"))
    if st.button(t("spectrum.stop"), key="spectrum_stop", disabled=job.status == "stopping"):
        for job_id in job_ids:
            store().stop(job_id)


def show_end(job: RunRecord) -> None:
    """Say why an ended job left no spectra."""
    if job.error is not None:
        show_error(job.error)
    elif job.status in {"cancelled", "lost"}:
        st.warning(t(f"spectrum.{job.status}"))
