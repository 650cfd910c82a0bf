"""What the Spectrum page shows of the whole model: progress, the heatmap and the downloads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components import chart, number_field, plain, show_error, whole_field
from app.i18n import about_seconds, t, text
from app.state import store
from kasa.report.spectrum_plots import (
    MEASURES,
    heatmap,
    in_grid,
    measure_text,
    measure_value,
    spectrum_name,
)
from kasa.runs.records import RunRecord
from kasa.spectral.spectrum import (
    Spectrum,
    load_spectra,
    spectra_csv,
    spectra_npz,
)
from kasa.spectral.truncation import Options

GRID, CLICK = "spectrum_grid", "spectrum_click"
WEIGHT, COMPARE = "spectrum_weight", "spectrum_compare"


@st.cache_resource(max_entries=4, show_spinner=False)
def spectra_of(path: str) -> list[Spectrum]:
    """Return a finished job's spectra; its file never changes."""
    return load_spectra(Path(path))


def show_progress(job_id: str) -> None:
    """Show the running job until it ends, then draw the whole page again."""
    job = store().run(job_id)
    if not job.active:
        st.rerun()
    events = store().events(job_id)
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
        store().stop(job_id)


def show_end(job: RunRecord) -> None:
    """Say why an ended job left no spectra."""
    if job.error is not None:
        show_error(job.error)
    elif job.status in {"cancelled", "lost"}:
        st.warning(t(f"spectrum.{job.status}"))


def show_grid(spectra: Sequence[Spectrum]) -> Options:
    """Show the measure's heatmap and its meaning in a sentence; returns the criteria's options."""
    sides = st.columns([2, 1, 1, 1])
    count = int(st.session_state.get("spectrum_r", 8))
    titles = {name: t(f"spectral.measure.{name}.name", count=count) for name in MEASURES}
    measure = sides[0].selectbox(
        t("spectrum.measure"),
        MEASURES,
        format_func=titles.__getitem__,
        key="spectrum_measure",
    )
    options = choose_options(spectra, sides[1:])
    removed = options.removed_components
    shown = in_grid(spectra)
    st.markdown(grid_sentence(shown, measure, removed))
    st.caption(t(f"spectral.measure.{measure}.about", count=removed))
    chosen = (st.session_state.get(WEIGHT), st.session_state.get(COMPARE))
    figure = heatmap(spectra, measure, text(), removed, [name for name in chosen if name])
    chart(figure, GRID, on_select=take_click, selection_mode="points")
    boxes = {WEIGHT: t("spectrum.weight"), COMPARE: t("spectrum.compare")}
    st.segmented_control(
        t("spectrum.click"),
        list(boxes),
        default=WEIGHT,
        format_func=boxes.__getitem__,
        key=CLICK,
        required=True,
    )
    outside = [s.kind for s in spectra if s not in shown]
    if outside:
        st.caption(t("spectrum.outside", names=plain(", ".join(outside))))
    return options


def choose_options(spectra: Sequence[Spectrum], sides: Sequence[DeltaGenerator]) -> Options:
    """Show what the criteria can be told: components, energy and share."""
    largest = max(1, max(s.singular_values.size for s in spectra) - 1)
    removed = whole_field(
        sides[0],
        t("spectrum.removed"),
        min(8, largest),
        (0, largest),
        "spectrum_r",
        help=t("spectrum.removed_help"),
    )
    percent = {
        name: number_field(
            side,
            t(f"spectrum.{name}"),
            start,
            bounds,
            f"spectrum_{name}",
            step=step,
            help=t(f"spectrum.{name}_help"),
        )
        for side, (name, start, bounds, step) in zip(
            sides[1:],
            (("tau", 99.0, (1.0, 100.0), 0.5), ("share", 10.0, (0.0, 99.0), 1.0)),
            strict=True,
        )
    }
    return Options(removed, percent["tau"] / 100, percent["share"] / 100)


def grid_sentence(shown: Sequence[Spectrum], measure: str, removed: int) -> str:
    """Return one sentence on the range of a measure over the weights."""
    ranked = sorted(shown, key=lambda s: measure_value(s, measure, removed))
    ends = [measure_text(measure_value(s, measure, removed), measure, text()) for s in ranked]
    return t(
        f"spectral.summary.heatmap_{measure}",
        count=text().number(len(ranked)),
        low=ends[0],
        high=ends[-1],
        lowest=plain(spectrum_name(ranked[0], text())),
        highest=plain(spectrum_name(ranked[-1], text())),
    )


def take_click() -> None:
    """Carry a click on a cell over to the select box that clicks are for."""
    points = st.session_state[GRID].selection.points
    modules = [point["customdata"][0] for point in points if point.get("customdata")]
    if modules:
        st.session_state[st.session_state[CLICK]] = modules[-1]


def choose(spectra: Sequence[Spectrum]) -> list[Spectrum]:
    """Show the boxes for a weight and one to compare it with; returns one or two spectra."""
    found = {s.module: s for s in spectra}
    names: dict[str | None, str] = {None: t("spectrum.nothing")}
    names |= {module: spectrum_name(s, text()) for module, s in found.items()}
    sides = st.columns(2)
    first = sides[0].selectbox(
        t("spectrum.weight"), list(found), format_func=names.__getitem__, key=WEIGHT
    )
    second = sides[1].selectbox(
        t("spectrum.compare"),
        [None, *found],
        format_func=names.__getitem__,
        key=COMPARE,
    )
    return [found[module] for module in dict.fromkeys((first, second)) if module]


def show_downloads(spectra: Sequence[Spectrum], seconds: float) -> None:
    """Offer every value as CSV and npz; the files are made when they are asked for."""
    values = sum(s.singular_values.size for s in spectra)
    count, written = text().number(len(spectra)), text().number(values)
    st.caption(t("spectrum.computed", count=count, values=written, seconds=text().seconds(seconds)))
    with st.container(horizontal=True):
        st.download_button(
            t("spectrum.download_csv"),
            lambda: spectra_csv(spectra),
            "spectra.csv",
            "text/csv",
            key="spectrum_csv",
            on_click="ignore",
        )
        st.download_button(
            t("spectrum.download_npz"),
            lambda: spectra_npz(spectra),
            "spectra.npz",
            "application/octet-stream",
            key="spectrum_npz",
            on_click="ignore",
        )
