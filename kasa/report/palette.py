"""One look for every chart: a method's colour is the same everywhere, for colour-blind readers too.

Colours are Okabe and Ito's (2008) set; arms of one method share its colour in lighter steps and
differ in marker symbol, so that print in grey still tells them apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.colors import find_intermediate_color

METHOD_COLORS = {
    "kasa": "#D55E00",
    "lora": "#0072B2",
    "frozen_head": "#009E73",
    "tfidf": "#7F7F7F",
}
METHOD_SYMBOLS = {"kasa": "diamond", "lora": "circle", "frozen_head": "square", "tfidf": "x"}
# The less usual methods share what is left of the set, and differ in marker as well.
OTHER_COLORS = ("#CC79A7", "#E69F00", "#56B4E9", "#000000")
OTHER_METHODS = (
    *("full", "dora", "pissa", "zero_shot", "rslora", "majority", "vera", "ia3", "adalora", "peft"),
)
OTHER_SYMBOLS = ("triangle-up", "star", "pentagon", "cross", "hexagon", "triangle-down")
# Behind a verdict's word (report.css has them too); the second is for words that settle nothing.
VERDICT_COLORS = {
    "better": "#009E73",
    "worse": "#D55E00",
    "equivalent": "#0072B2",
    "cannot_tell": "#E69F00",
}
NO_VERDICT_COLOR = "#7B8794"
# The words themselves in a table, dark enough to be read on white, by their key.
_GREEN, _RED, _AMBER = "#00805D", "#B84A00", "#8F6300"
WORD_COLORS = {
    "verdict.gate_status.met": _GREEN,
    "verdict.gate_status.not_met": _RED,
    "verdict.gate_status.not_settled": _AMBER,
    "verdict.word.better": _GREEN,
    "verdict.word.worse": _RED,
    "verdict.word.equivalent": VERDICT_COLORS["equivalent"],
    "verdict.word.cannot_tell": _AMBER,
}
# Of series that are no methods.
SERIES_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
FONT = (
    '"Source Sans", "Noto Sans JP", "Noto Sans CJK JP", "Hiragino Sans", "Yu Gothic UI", '
    "Meiryo, sans-serif"
)


def arm_colors(arms: Sequence[str], methods: Sequence[str]) -> dict[str, str]:
    """Return a colour per arm: the method's own, lightened for its second and later arms."""
    colors: dict[str, str] = {}
    for arm, method in zip(arms, methods, strict=True):
        base = METHOD_COLORS.get(method) or OTHER_COLORS[_place(method) % len(OTHER_COLORS)]
        earlier = sum(other == method for other in methods[: len(colors)])
        share = earlier * min(0.3, 0.65 / max(1, methods.count(method) - 1))
        colors[arm] = _lighten(base, share) if earlier else base
    return colors


def method_symbol(method: str) -> str:
    """Return a method's marker, the same in every chart."""
    other = OTHER_SYMBOLS[_place(method) % len(OTHER_SYMBOLS)]
    return METHOD_SYMBOLS.get(method, other)


def _place(method: str) -> int:
    return OTHER_METHODS.index(method) if method in OTHER_METHODS else len(OTHER_METHODS)


def _lighten(color: str, share: float) -> str:
    channels = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    rgb = f"rgb({channels[0]}, {channels[1]}, {channels[2]})"
    return str(find_intermediate_color(rgb, "rgb(255, 255, 255)", share, colortype="rgb"))


def hex_color(color: str) -> str:
    """Return a colour of `arm_colors` as #RRGGBB."""
    if color.startswith("#"):
        return color
    channels = (float(part) for part in color.removeprefix("rgb(").removesuffix(")").split(","))
    return "#" + "".join(f"{round(channel):02X}" for channel in channels)


def legend_room(num_names: int) -> int:
    """Return the pixels that a legend of so many names needs beyond its first two lines."""
    return 18 * max(0, num_names - 4)


def apply_theme(figure: go.Figure, *, height: int = 380) -> go.Figure:
    """Give a figure the studio's font, margins, grid and legend above the plot; returns it."""
    figure.update_layout(
        template="plotly_white",
        font={"family": FONT, "size": 14, "color": "#1F2933"},
        height=height,
        margin={"l": 8, "r": 8, "t": 48, "b": 8},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0},
        hoverlabel={"font": {"family": FONT, "size": 13}},
    )
    figure.update_xaxes(automargin=True, gridcolor="#E4E7EB", zeroline=False)
    figure.update_yaxes(automargin=True, gridcolor="#E4E7EB", zeroline=False)
    return figure
