"""What the Spectrum page shows of the whole model: the heatmap, its choices and the downloads."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components import chart, number_field, plain, whole_field
from app.i18n import t, text
from kasa.model.source import ModelSource, model_facts
from kasa.report.spectrum_plots import (
    MEASURES,
    heatmap,
    in_grid,
    measure_text,
    measure_value,
    spectrum_name,
)
from kasa.spectral.spectrum import Spectrum, spectra_csv, spectra_npz
from kasa.spectral.truncation import Options

GRID, CLICK = "spectrum_grid", "spectrum_click"
WEIGHT, COMPARE = "spectrum_weight", "spectrum_compare"


def say_sketch(spectra: Sequence[Spectrum]) -> None:
    """Say where values are a sketch, how many of them, and how wide the widest band is."""
    rough = [s for s in spectra if s.band is not None]
    if not rough:
        return
    width = max(float((s.band[1] - s.band[0]).max()) for s in rough if s.band is not None)
    words = t(
        "spectrum.sketch.notice",
        count=text().number(len(rough)),
        total=text().number(len(spectra)),
        width=text().number(100 * width, 1),
    )
    st.info(words, icon=":material/draw:")


def say_fused(source: ModelSource) -> None:
    """Say where one matrix holds several projections, which the figures then describe as one."""
    kinds = sorted({weight.kind for weight in model_facts(source).weights if weight.fused})
    if kinds:
        st.caption(t("spectrum.fused", kinds=", ".join(map(plain, kinds))))


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
    took = text().seconds(seconds)
    if all(s.method == "exact" for s in spectra):
        st.caption(t("spectrum.computed", count=count, values=written, seconds=took))
    else:
        st.caption(t("spectrum.sketch.computed", count=count, seconds=took))
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
