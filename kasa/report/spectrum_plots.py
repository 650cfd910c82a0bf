"""Spectra as charts: layers × weights as a heatmap, one or two spectra with the criteria's cuts."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from kasa.report.palette import apply_theme
from kasa.spectral.spectrum import (
    Spectrum,
    Values,
    effective_rank,
    energy_fraction,
    energy_without_smallest,
    stable_rank,
)
from kasa.spectral.truncation import Cut
from kasa.text import Translator

MEASURES = ("effective_rank", "stable_rank", "energy_kept")
POINTS_IN_SVG = 3000
CELLS_WITH_TEXT = (16, 8)
"""Up to this many layers and kinds a cell has room for its number."""
ROW_HEIGHT, LABEL_HEIGHT = 34, 18
SPECTRUM_COLORS = ("#1F2933", "#56B4E9")
CUT_STYLES = {
    "paper": ("#D55E00", "solid"),
    "share": ("#6A4FB3", "longdashdot"),
    "energy": ("#0072B2", "dash"),
    "effective_rank": ("#009E73", "dashdot"),
    "stable_rank": ("#5F6B7A", "4px,2px"),
    "gavish_donoho": ("#A8417E", "longdash"),
    "marchenko_pastur": ("#7A5C00", "dot"),
}


def measure_value(spectrum: Spectrum, measure: str, removed_components: int) -> float:
    """Return one of `MEASURES`: effective rank ÷ k, stable rank, or the energy kept (a share)."""
    s = spectrum.singular_values
    if measure == "effective_rank":
        return effective_rank(s) / s.size
    if measure == "stable_rank":
        return stable_rank(s)
    return energy_without_smallest(s, min(removed_components, s.size - 1))


def measure_text(value: float, measure: str, text: Translator) -> str:
    """Return a measure's value as people read it: a percentage, or a plain number for a rank."""
    if measure == "stable_rank":
        return text.number(value, 1)
    return text.percent(value, 2 if measure == "energy_kept" else 0)


def spectrum_name(spectrum: Spectrum, text: Translator) -> str:
    """Return a weight's name for people: its layer and its kind."""
    if spectrum.layer is None:
        return text("spectral.cell.title_outside", kind=spectrum.kind)
    return text("spectral.cell.title", layer=spectrum.layer, kind=spectrum.kind)


def in_grid(spectra: Sequence[Spectrum]) -> list[Spectrum]:
    """Return the weights the heatmap shows: those inside layers, or all where none is."""
    inside = [spectrum for spectrum in spectra if spectrum.layer is not None]
    return inside or list(spectra)


def heatmap(
    spectra: Sequence[Spectrum],
    measure: str,
    text: Translator,
    removed_components: int = 8,
    selected: Sequence[str] = (),
) -> go.Figure:
    """Return layers × weights coloured by a measure of `MEASURES`; `selected` modules are framed.

    Points carry their module name as `customdata`, so that a click tells which weight was meant.
    """
    shown = in_grid(spectra)
    layers = list(dict.fromkeys(_layer(s) for s in shown))
    kinds = list(dict.fromkeys(s.kind for s in shown))
    values = [measure_value(s, measure, removed_components) for s in shown]
    cells = {(_layer(s), s.kind): value for s, value in zip(shown, values, strict=True)}
    grid = [[cells.get((layer, kind)) for kind in kinds] for layer in layers]
    figure = go.Figure(_colors(grid, layers, kinds, measure, text))
    figure.add_trace(_targets(shown, values, measure, text, removed_components))
    for spectrum in (s for s in shown if s.module in selected):
        x, y = kinds.index(spectrum.kind), layers.index(_layer(spectrum))
        frame = {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
        figure.add_shape(type="rect", line={"color": "#D55E00", "width": 4}, **frame)
    apply_theme(figure, height=170 + ROW_HEIGHT * max(3, len(layers)))
    figure.update_xaxes(title=text("spectral.axis.module"), type="category", showgrid=False)
    # Broken at its dots, a long name stays upright on a narrow screen.
    names = [html.escape(kind) for kind in kinds]
    ticks = [name.replace(".", ".<br>") for name in names]
    figure.update_xaxes(tickmode="array", tickvals=names, ticktext=ticks)
    figure.update_yaxes(
        title=text("spectral.axis.layer"), type="category", autorange="reversed", showgrid=False
    )
    figure.update_layout(showlegend=False, dragmode=False, clickmode="event+select")
    figure.update_layout(margin={"t": 44})
    return figure


def spectrum_chart(spectra: Sequence[Spectrum], cuts: Sequence[Cut], text: Translator) -> go.Figure:
    """Return the singular values (log) of one or two weights; `cuts` are those of the first."""
    hover = text("spectral.hover.value", component="%{x}", value="%{y:.4g}")
    # A logarithm has no place for zero; such components are left out of the line.
    lines = [np.where(s.singular_values > 0, s.singular_values, np.nan) for s in spectra]
    figure = _lines(spectra, lines, hover, text)
    figure.update_yaxes(
        type="log", title=text("spectral.axis.singular_value"), exponentformat="power", dtick=1
    )
    return _with_cuts(figure, cuts, text)


def energy_chart(spectra: Sequence[Spectrum], cuts: Sequence[Cut], text: Translator) -> go.Figure:
    """Return the cumulative energy of one or two weights; `cuts` are those of the first."""
    hover = text("spectral.hover.energy", component="%{x}", value="%{y:.2%}")
    lines = [energy_fraction(spectrum.singular_values) for spectrum in spectra]
    figure = _lines(spectra, lines, hover, text)
    figure.update_yaxes(title=text("spectral.axis.energy"), tickformat=".0%", range=[0, 1.03])
    return _with_cuts(figure, cuts, text)


def _cell_text(value: float, measure: str, text: Translator) -> str:
    short = {"effective_rank": 0, "energy_kept": 1}
    return text.percent(value, short[measure]) if measure in short else text.number(value, 1)


def _layer(spectrum: Spectrum) -> str:
    return "–" if spectrum.layer is None else str(spectrum.layer)


def _colors(
    grid: list[list[float | None]],
    layers: list[str],
    kinds: list[str],
    measure: str,
    text: Translator,
) -> go.Heatmap:
    roomy = len(layers) <= CELLS_WITH_TEXT[0] and len(kinds) <= CELLS_WITH_TEXT[1]
    # The hover text has every digit; a cell on a narrow screen has room for few.
    labels = [
        ["" if value is None else _cell_text(value, measure, text) for value in row] for row in grid
    ]
    return go.Heatmap(
        z=grid,
        x=[html.escape(kind) for kind in kinds],
        y=layers,
        text=labels,
        texttemplate="%{text}" if roomy else None,
        textfont={"size": 11},
        colorscale="Cividis",
        colorbar={
            "orientation": "h",
            "thickness": 10,
            "y": 1,
            "yanchor": "bottom",
            "tickformat": "" if measure == "stable_rank" else ".3~%",
            "nticks": 5,
        },
        xgap=2,
        ygap=2,
        hoverinfo="skip",
    )


def _targets(
    shown: Sequence[Spectrum],
    values: Sequence[float],
    measure: str,
    text: Translator,
    removed_components: int,
) -> go.Scatter:
    """Return invisible markers over the cells: a click selects markers, never a heatmap's cell."""
    hovers = [
        "<br>".join(
            html.escape(line)
            for line in (
                spectrum_name(s, text),
                _shape(s, text),
                _hover(s, v, measure, text, removed_components),
            )
        )
        for s, v in zip(shown, values, strict=True)
    ]
    return go.Scatter(
        x=[html.escape(s.kind) for s in shown],
        y=[_layer(s) for s in shown],
        mode="markers",
        marker={"size": ROW_HEIGHT - 4, "symbol": "square", "color": "rgba(0, 0, 0, 0)"},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        customdata=[[s.module] for s in shown],
        hovertext=hovers,
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _shape(spectrum: Spectrum, text: Translator) -> str:
    rows, columns = (text.number(size) for size in spectrum.shape)
    return text("spectral.cell.shape", rows=rows, columns=columns)


def _hover(
    spectrum: Spectrum, value: float, measure: str, text: Translator, removed_components: int
) -> str:
    full = spectrum.singular_values.size
    if measure == "effective_rank":
        rank = text.number(value * full, 1)
        return text("spectral.measure.effective_rank.hover", value=rank, full=text.number(full))
    written = measure_text(value, measure, text)
    if measure == "stable_rank":
        return text("spectral.measure.stable_rank.hover", value=written)
    count = min(removed_components, full - 1)
    return text("spectral.measure.energy_kept.hover", value=written, count=count)


def _lines(
    spectra: Sequence[Spectrum], lines: Sequence[Values], hover: str, text: Translator
) -> go.Figure:
    figure = go.Figure()
    for spectrum, line, color in zip(spectra, lines, SPECTRUM_COLORS, strict=False):
        kind = go.Scattergl if line.size > POINTS_IN_SVG else go.Scatter
        name = html.escape(spectrum_name(spectrum, text))
        figure.add_trace(
            kind(
                x=np.arange(1, line.size + 1),
                y=line,
                mode="lines" if line.size > 1 else "markers",
                name=name,
                line={"color": color, "width": 2.5},
                hovertemplate=f"{name}<br>{hover}<extra></extra>",
            )
        )
    return figure


def _with_cuts(figure: go.Figure, cuts: Sequence[Cut], text: Translator) -> go.Figure:
    """Add a vertical line per cut, each label on its own level above the plot, and the theme."""
    drawn = sorted((cut for cut in cuts if cut.criterion in CUT_STYLES), key=lambda c: c.num_kept)
    apply_theme(figure, height=400 + LABEL_HEIGHT * len(drawn))
    widest = max((len(trace.x) for trace in figure.data), default=1)
    for level, cut in enumerate(drawn):
        color, dash = CUT_STYLES[cut.criterion]
        x = cut.num_kept + 0.5
        figure.add_shape(
            type="line", x0=x, x1=x, y0=0, y1=1, yref="paper", line={"color": color, "dash": dash}
        )
        kept = text("spectral.hover.cut", kept=text.number(cut.num_kept))
        figure.add_annotation(
            x=x,
            y=1,
            yref="paper",
            yshift=LABEL_HEIGHT * level + 2,
            yanchor="bottom",
            # Labels lean inwards, so that none leaves a narrow screen.
            xanchor="left" if cut.num_kept < widest / 2 else "right",
            text=f"{text(f'spectral.criterion.{cut.criterion}.short')}: {kept}",
            font={"color": color, "size": 12},
            showarrow=False,
        )
    figure.update_xaxes(title=text("spectral.axis.component"), range=[0, widest + 1.5])
    figure.update_layout(
        margin={"t": 16 + LABEL_HEIGHT * len(drawn)},
        legend={"y": -0.18, "yanchor": "top"},
        showlegend=True,
        hovermode="closest",
    )
    return figure
