"""One or two spectra as curves, with the criteria's cuts, and the band of a sketch."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from kasa.report.palette import apply_theme
from kasa.report.spectrum_plots import spectrum_name
from kasa.spectral.spectrum import Spectrum, Values
from kasa.spectral.truncation import Cut
from kasa.text import Translator

MOST_POINTS = 3000
"""A longer line is thinned to fewer points than this and drawn by the graphics card."""
LABEL_HEIGHT = 18
SPECTRUM_COLORS = ("#1F2933", "#56B4E9")
BAND_COLORS = ("rgba(31, 41, 51, 0.18)", "rgba(86, 180, 233, 0.3)")
CUT_STYLES = {
    "paper": ("#D55E00", "solid"),
    "share": ("#6A4FB3", "longdashdot"),
    "energy": ("#0072B2", "dash"),
    "effective_rank": ("#009E73", "dashdot"),
    "stable_rank": ("#5F6B7A", "4px,2px"),
    "gavish_donoho": ("#A8417E", "longdash"),
    "marchenko_pastur": ("#7A5C00", "dot"),
}


def spectrum_chart(spectra: Sequence[Spectrum], cuts: Sequence[Cut], text: Translator) -> go.Figure:
    """Return the singular values (log) of one or two weights; `cuts` are those of the first."""
    hover = text("spectral.hover.value", component="%{x}", value="%{y:.4g}")
    # A logarithm has no place for zero; such components are left out of the line.
    lines = [np.where(s.singular_values > 0, s.singular_values, np.nan) for s in spectra]
    figure = go.Figure()
    _add_lines(figure, spectra, lines, hover, text)
    figure.update_yaxes(
        type="log", title=text("spectral.axis.singular_value"), exponentformat="power", dtick=1
    )
    return _with_cuts(figure, cuts, text)


def energy_chart(spectra: Sequence[Spectrum], cuts: Sequence[Cut], text: Translator) -> go.Figure:
    """Return the cumulative energy of one or two weights; `cuts` are those of the first.

    A sketch has its band as a shaded area below its line.
    """
    hover = text("spectral.hover.energy", component="%{x}", value="%{y:.2%}")
    figure = go.Figure()
    for spectrum, color in zip(spectra, BAND_COLORS, strict=False):
        if spectrum.band is not None:
            _add_band(figure, spectrum.band, curve_name(spectrum, text), color, text)
    _add_lines(figure, spectra, [spectrum.energies for spectrum in spectra], hover, text)
    figure.update_yaxes(title=text("spectral.axis.energy"), tickformat=".0%", range=[0, 1.03])
    return _with_cuts(figure, cuts, text)


def curve_name(spectrum: Spectrum, text: Translator) -> str:
    """Return a weight's name for people, with a word where its values are a sketch."""
    name = spectrum_name(spectrum, text)
    return name if spectrum.method == "exact" else text("spectral.sketch.name", name=name)


def drawn_points(size: int) -> NDArray[np.int64]:
    """Return which of `size` components a line shows: all, or both ends and an even choice."""
    if size <= MOST_POINTS:
        return np.arange(size)
    end = MOST_POINTS // 6
    even = np.linspace(0, size - 1, MOST_POINTS // 2).round().astype(np.int64)
    return np.unique(np.concatenate([np.arange(end), even, np.arange(size - end, size)]))


def _add_band(
    figure: go.Figure, band: tuple[Values, Values], name: str, color: str, text: Translator
) -> None:
    points = drawn_points(band[0].size)
    label = text("spectral.sketch.band", name=html.escape(name))
    edge = {"x": points + 1, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure.add_trace(go.Scatter(y=band[0][points], showlegend=False, **edge))
    figure.add_trace(
        go.Scatter(y=band[1][points], fill="tonexty", fillcolor=color, name=label, **edge)
    )


def _add_lines(
    figure: go.Figure,
    spectra: Sequence[Spectrum],
    lines: Sequence[Values],
    hover: str,
    text: Translator,
) -> None:
    for spectrum, line, color in zip(spectra, lines, SPECTRUM_COLORS, strict=False):
        kind = go.Scattergl if line.size > MOST_POINTS else go.Scatter
        name = html.escape(curve_name(spectrum, text))
        points = drawn_points(line.size)
        figure.add_trace(
            kind(
                x=points + 1,
                y=line[points],
                mode="lines" if line.size > 1 else "markers",
                name=name,
                line={"color": color, "width": 2.5},
                hovertemplate=f"{name}<br>{hover}<extra></extra>",
            )
        )


def _with_cuts(figure: go.Figure, cuts: Sequence[Cut], text: Translator) -> go.Figure:
    """Add a vertical line per cut, each label on its own level above the plot, and the theme."""
    drawn = sorted((cut for cut in cuts if cut.criterion in CUT_STYLES), key=lambda c: c.num_kept)
    apply_theme(figure, height=400 + LABEL_HEIGHT * len(drawn))
    widest = max((int(trace.x[-1]) for trace in figure.data), default=1)
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
