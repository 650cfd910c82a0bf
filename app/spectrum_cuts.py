"""What the Spectrum page says about one or two chosen weights: curves, cuts and exact figures."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app.components import chart, plain
from app.i18n import t, text
from kasa.report.spectrum_curves import curve_name, energy_chart, spectrum_chart
from kasa.report.spectrum_plots import spectrum_name
from kasa.spectral.spectrum import (
    Spectrum,
    numerical_rank,
    stable_rank,
)
from kasa.spectral.truncation import CRITERIA, Cut, Options, cut


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
    exact = all(spectrum.method == "exact" for spectrum in chosen)
    with st.expander(t("spectrum.exact" if exact else "spectrum.sketch.figures")):
        show_exact(chosen)


def cell_sentence(spectrum: Spectrum, options: Options) -> str:
    """Return one sentence on where a weight's energy sits and what the smallest hold."""
    energies = spectrum.energies
    kept = cut("paper", spectrum.singular_values, spectrum.shape, options)
    lost = kept.relative_change**2
    return t(
        "spectral.summary.cell",
        name=plain(curve_name(spectrum, text())),
        half=text().number(int((energies < 0.5).sum()) + 1),
        full=text().number(energies.size),
        removed=text().number(kept.num_removed),
        lost=text().percent(lost, 3 if lost >= 1e-4 else 6),
    )


def rule_name(criterion: str, options: Options) -> str:
    """Return a criterion's name with its setting."""
    tau, share = (
        text().percent(value, 1).replace(".0%", "%") for value in (options.tau, options.share)
    )
    count = text().number(options.removed_components)
    return t(f"spectral.criterion.{criterion}.name", count=count, tau=tau, share=share)


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
            fine_percent(each.energy_kept),
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


def fine_percent(share: float) -> str:
    """Return a percentage with digits enough that almost all does not read as all."""
    return text().percent(share, 6 if 0 < 1 - share < 1e-4 else 3)


def show_exact(chosen: Sequence[Spectrum]) -> None:
    """Show every measure of the chosen weights with all its digits."""
    names = ("shape", "full", "effective", "stable", "numerical", "largest", "smallest")
    columns = {}
    for spectrum in chosen:
        s = spectrum.singular_values
        ranks = (s.size, spectrum.effective_rank, stable_rank(s))
        # A sketch knows neither the smallest values nor how many are zero.
        exact = spectrum.method == "exact"
        ends = (
            numerical_rank(s, spectrum.shape) if exact else None,
            s[0],
            s[-1] if exact else None,
        )
        columns[curve_name(spectrum, text())] = [
            f"{spectrum.shape[0]} × {spectrum.shape[1]}",
            *("–" if figure is None else f"{figure:.10g}" for figure in (*ranks, *ends)),
        ]
    frame = pd.DataFrame(columns, index=[t(f"spectrum.column_{name}") for name in names])
    st.dataframe(frame, width="stretch", key="spectrum_exact")
