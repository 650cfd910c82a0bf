"""The Spectrum page's table of the whole model: one line per weight, to sort and to take away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from app.i18n import t, text
from app.spectrum_cache import laws_of
from app.spectrum_cuts import fine_percent
from kasa.spectral.overview import WeightRow, rows_csv, weight_rows
from kasa.spectral.spectrum import Spectrum
from kasa.spectral.truncation import Options

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

FIT_AT_ONCE = 50_000
"""With more singular values than this, power laws are fitted when somebody asks for them."""


def show_table(path: str, spectra: Sequence[Spectrum], options: Options) -> None:
    """Show every weight's measures as a table that can be sorted, and offer it as CSV."""
    st.subheader(t("spectrum.table.title"), anchor=False)
    st.markdown(t("spectrum.table.lead", count=text().number(options.removed_components)))
    sizes = [s.singular_values.size for s in spectra if s.method == "exact"]
    laws = {}
    at_once = sum(sizes) <= FIT_AT_ONCE
    if sizes and st.toggle(t("spectrum.table.fit"), at_once, key="spectrum_fit"):
        with st.spinner(t("spectrum.table.fitting")):
            laws = laws_of(path)
    rows = weight_rows(spectra, options.removed_components, laws)
    names = ("effective", "stable", "numerical", "energy", "alpha", "alpha_error")
    helps = {
        t(f"spectrum.column_{name}"): st.column_config.Column(help=t(f"spectrum.table.{name}_help"))
        for name in names
    }
    st.dataframe(
        styled(rows), hide_index=True, width="stretch", key="spectrum_table", column_config=helps
    )
    if laws:
        st.caption(t("spectrum.table.alpha_note"))
    st.download_button(
        t("spectrum.table.csv"),
        lambda: rows_csv(rows),
        "weights.csv",
        "text/csv",
        key="spectrum_table_csv",
        on_click="ignore",
    )


def styled(rows: Sequence[WeightRow]) -> Styler:
    """Return the rows with numbers that sort as numbers and read as the language writes them."""
    words = text()
    ways: dict[str, tuple[Callable[[WeightRow], object], Callable[[float], str] | None]] = {
        "layer": (lambda r: r.layer, words.number),
        "weight": (lambda r: r.kind, None),
        "shape": (lambda r: r.shape, None),
        "full": (lambda r: r.full_rank, words.number),
        "effective": (lambda r: r.effective_rank, lambda v: words.number(v, 1)),
        "stable": (lambda r: r.stable_rank, lambda v: words.number(v, 1)),
        "numerical": (lambda r: r.numerical_rank, words.number),
        "largest": (lambda r: r.largest, "{:.4g}".format),
        "smallest": (lambda r: r.smallest, "{:.3g}".format),
        "energy": (lambda r: r.energy_kept, fine_percent),
        "alpha": (lambda r: r.alpha, lambda v: words.number(v, 2)),
        "alpha_error": (lambda r: r.alpha_error, lambda v: words.number(v, 2)),
    }
    titles = {name: t(f"spectrum.column_{name}") for name in ways}
    columns = {titles[name]: [value(row) for row in rows] for name, (value, _) in ways.items()}
    # A sketch has no numerical rank and a small weight no power law: such columns go.
    frame = pd.DataFrame(columns).convert_dtypes().dropna(axis="columns", how="all")
    formats: dict[str, Any] = {
        titles[name]: write
        for name, (_, write) in ways.items()
        if write is not None and titles[name] in frame.columns
    }
    return frame.style.format(formats, na_rep="–")
