"""The spectra of a whole model as a chart: layers × weights, coloured by a measure."""

from __future__ import annotations

import html
from collections.abc import Sequence

import plotly.graph_objects as go

from kasa.report.palette import apply_theme
from kasa.spectral.spectrum import Spectrum, stable_rank
from kasa.text import Translator

MEASURES = ("effective_rank", "stable_rank", "energy_kept")
CELLS_WITH_TEXT = (16, 8)
"""Up to this many layers and kinds a cell has room for its number."""
ROW_HEIGHT = 34


def measure_value(spectrum: Spectrum, measure: str, removed_components: int) -> float:
    """Return one of `MEASURES`: effective rank ÷ k, stable rank, or the energy kept (a share)."""
    full = spectrum.singular_values.size
    if measure == "effective_rank":
        return spectrum.effective_rank / full
    if measure == "stable_rank":
        return stable_rank(spectrum.singular_values)
    return float(spectrum.energies[full - min(removed_components, full - 1) - 1])


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
