"""What the Spectrum page shows: progress, the heatmap, the chosen weights and the downloads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from app.components import chart, plain, show_error
from app.i18n import t, text
from app.state import store
from kasa.report.spectrum_plots import (
    MEASURES,
    energy_chart,
    heatmap,
    in_grid,
    measure_text,
    measure_value,
    spectrum_chart,
    spectrum_name,
)
from kasa.runs.records import RunRecord
from kasa.spectral.spectrum import (
    Spectrum,
    effective_rank,
    energy_fraction,
    load_spectra,
    numerical_rank,
    spectra_csv,
    spectra_npz,
    stable_rank,
)
from kasa.spectral.truncation import CRITERIA, Cut, Options, cut

GRID, WEIGHT, COMPARE = "spectrum_grid", "spectrum_weight", "spectrum_compare"


@st.cache_resource(max_entries=4, show_spinner=False)
def spectra_of(path: str) -> list[Spectrum]:
    """Return a finished job's spectra; its file never changes."""
    return load_spectra(Path(path))


@st.fragment(run_every=1)
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
        left = elapsed / max(1, last["done"]) * (last["total"] - last["done"])
        known = last["done"] > 0
        words = t(
            "spectrum.working",
            done=last["done"],
            total=last["total"],
            module=plain(last["module"]),
            left=text().seconds(left),
        )
        share = last["done"] / last["total"]
        st.progress(share, words if known else t("spectrum.starting"))
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
    sides = st.columns([2, 1, 1])
    measure = sides[0].selectbox(
        t("spectrum.measure"),
        MEASURES,
        format_func=lambda name: measure_title(name, int(st.session_state.get("spectrum_r", 8))),
        key="spectrum_measure",
    )
    largest = max(s.singular_values.size for s in spectra) - 1
    removed = sides[1].number_input(
        t("spectrum.removed"),
        min_value=0,
        max_value=max(1, largest),
        value=min(8, max(1, largest)),
        key="spectrum_r",
        help=t("spectrum.removed_help"),
    )
    tau = sides[2].number_input(
        t("spectrum.tau"),
        min_value=1.0,
        max_value=100.0,
        value=99.0,
        step=0.5,
        key="spectrum_tau",
        help=t("spectrum.tau_help"),
    )
    shown = in_grid(spectra)
    st.markdown(grid_sentence(shown, measure, removed))
    st.caption(t(f"spectral.measure.{measure}.about", count=removed))
    chosen = (st.session_state.get(WEIGHT), st.session_state.get(COMPARE))
    figure = heatmap(spectra, measure, text(), removed, [name for name in chosen if name])
    chart(figure, GRID, on_select=take_click, selection_mode="points")
    st.caption(t("spectrum.click"))
    outside = [s.kind for s in spectra if s not in shown]
    if outside:
        st.caption(t("spectrum.outside", names=plain(", ".join(outside))))
    return Options(removed_components=removed, tau=tau / 100)


def measure_title(measure: str, removed: int) -> str:
    """Return a measure's name."""
    return t(f"spectral.measure.{measure}.name", count=removed)


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
    """Carry a click on one cell, or Shift-clicks on two, over to the select boxes."""
    points = st.session_state[GRID].selection.points
    modules = [point["customdata"][0] for point in points if point.get("customdata")]
    if modules:
        st.session_state[WEIGHT] = modules[0]
    if len(modules) > 1:
        st.session_state[COMPARE] = modules[1]


def choose(spectra: Sequence[Spectrum]) -> list[Spectrum]:
    """Show the boxes for a weight and one to compare it with; returns one or two spectra."""
    found = {s.module: s for s in spectra}
    names = {module: spectrum_name(s, text()) for module, s in found.items()}
    sides = st.columns(2)
    first = sides[0].selectbox(
        t("spectrum.weight"), list(found), format_func=names.__getitem__, key=WEIGHT
    )
    second = sides[1].selectbox(
        t("spectrum.compare"),
        [None, *found],
        format_func=lambda module: names[module] if module else t("spectrum.nothing"),
        key=COMPARE,
    )
    return [found[module] for module in dict.fromkeys((first, second)) if module]


def show_curves(chosen: Sequence[Spectrum], options: Options) -> None:
    """Show the chosen weights' singular values, cumulative energy, cuts and exact figures."""
    cuts = {
        s.module: [cut(c, s.singular_values, s.shape, options) for c in CRITERIA] for s in chosen
    }
    for spectrum in chosen:
        st.markdown(cell_sentence(spectrum, options))
    first = cuts[chosen[0].module]
    sides = st.columns(2)
    with sides[0]:
        st.subheader(t("spectrum.chart_spectrum"), anchor=False)
        chart(spectrum_chart(chosen, first, text()), "spectrum_values")
    with sides[1]:
        st.subheader(t("spectrum.chart_energy"), anchor=False)
        chart(energy_chart(chosen, first, text()), "spectrum_energy")
    st.caption(t("spectrum.cuts_of", name=plain(spectrum_name(chosen[0], text()))))
    st.subheader(t("spectrum.cuts"), anchor=False)
    show_cuts(chosen, cuts, options)
    st.info(t("spectrum.untested"))
    with st.expander(t("spectrum.assumptions"), expanded=True):
        lines = [
            f"- **{rule_name(c, options)}**: {t(f'spectral.criterion.{c}.assumes')}"
            for c in CRITERIA
        ]
        st.markdown("\n".join(lines))
    with st.expander(t("spectrum.exact")):
        show_exact(chosen)


def cell_sentence(spectrum: Spectrum, options: Options) -> str:
    """Return one sentence on where a weight's energy sits and what the smallest hold."""
    energies = energy_fraction(spectrum.singular_values)
    kept = cut("paper", spectrum.singular_values, spectrum.shape, options)
    lost = kept.relative_change**2
    return t(
        "spectral.summary.cell",
        name=plain(spectrum_name(spectrum, text())),
        half=text().number(int((energies < 0.5).sum()) + 1),
        full=text().number(energies.size),
        removed=text().number(kept.num_removed),
        lost=text().percent(lost, 2 if lost >= 1e-4 else 5),
    )


def rule_name(criterion: str, options: Options) -> str:
    """Return a criterion's name with its setting."""
    tau = text().percent(options.tau, 1).replace(".0%", "%")
    return t(f"spectral.criterion.{criterion}.name", count=options.removed_components, tau=tau)


def show_cuts(chosen: Sequence[Spectrum], cuts: dict[str, list[Cut]], options: Options) -> None:
    """Show how much each criterion removes and keeps, for each chosen weight."""
    words = text()
    names = ("weight", "rule", "removed", "kept", "energy", "change", "threshold")
    titles = {name: t(f"spectrum.column_{name}") for name in names}
    rows = [
        (
            spectrum_name(spectrum, words),
            rule_name(each.criterion, options),
            each.num_removed,
            each.num_kept,
            words.percent(each.energy_kept, 3),
            words.percent(each.relative_change, 3),
            f"{each.threshold:.4g}",
        )
        for spectrum in chosen
        for each in cuts[spectrum.module]
    ]
    frame = pd.DataFrame(rows, columns=list(titles.values()))
    if len(chosen) == 1:
        frame = frame.drop(columns=titles["weight"])
    explained = {
        titles[name]: st.column_config.TextColumn(help=t(f"spectrum.{name}_help"))
        for name in ("change", "threshold")
    }
    st.dataframe(
        frame, hide_index=True, width="stretch", key="spectrum_cuts", column_config=explained
    )


def show_exact(chosen: Sequence[Spectrum]) -> None:
    """Show every measure of the chosen weights with all its digits."""
    names = ("shape", "full", "effective", "stable", "numerical", "largest", "smallest")
    columns = {}
    for spectrum in chosen:
        s = spectrum.singular_values
        rank = numerical_rank(s, spectrum.shape)
        ranks = (s.size, effective_rank(s), stable_rank(s), rank, s[0], s[-1])
        figures = [
            f"{spectrum.shape[0]} × {spectrum.shape[1]}",
            *(f"{rank:.10g}" for rank in ranks),
        ]
        columns[spectrum_name(spectrum, text())] = figures
    frame = pd.DataFrame(columns, index=[t(f"spectrum.column_{name}") for name in names])
    st.dataframe(frame, width="stretch", key="spectrum_exact")


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
