"""What a run has learned, as charts from what the job `explain` found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from kasa.report.explain import Found, class_names, interval, is_clear, layer_name
from kasa.report.labels import plain
from kasa.report.palette import METHOD_COLORS, apply_theme
from kasa.report.plots import Chart
from kasa.text import Translator

MOST_CLASSES = 15
SHORT_NAME, WHOLE_NAME = 18, 80
CHANCE_COLOR = "#9AA5B1"


def _chart(key: str, figure: go.Figure, text: Translator, **facts: Any) -> Chart:
    title, note = (text(f"explain.chart.{key}.{part}", **facts) for part in ("title", "note"))
    return Chart(f"explain-{key}", title, note, figure)


def layers_chart(found: Found, text: Translator) -> Chart:
    """Return how the loss changes without a layer's addition, with 95 % intervals."""
    figure = go.Figure()
    layers = found["layers"]
    ticks, names = ([say(own, text) for own in layers] for say in (_layer_tick, layer_name))
    _bars(figure, ticks, names, [own["effect"] for own in layers], text, upright=True)
    apply_theme(figure, height=320)
    figure.update_layout(showlegend=False, margin={"t": 16})
    figure.update_xaxes(title=text("explain.layer_axis"), type="category")
    figure.update_yaxes(title=text("explain.rise_axis"), nticks=6)
    return _chart("layers", figure, text, rows=text.number(found["num_rows"]))


def _layer_tick(own: Found, text: Translator) -> str:
    return layer_name(own, text) if own["layer"] < 0 else text.number(own["layer"])


def _short(names: Sequence[str]) -> list[str]:
    """Return names short enough for an axis, but no two of them alike."""
    cut = [plain(name, SHORT_NAME) for name in names]
    return [
        short if cut.count(short) == 1 else plain(name, WHOLE_NAME)
        for name, short in zip(names, cut, strict=True)
    ]


def _bars(
    figure: go.Figure,
    ticks: Sequence[str],
    names: Sequence[str],
    changes: Sequence[Found],
    text: Translator,
    *,
    upright: bool,
) -> None:
    """Add one bar a change with its interval."""
    values = [change["change"] for change in changes]
    halves = [
        interval(change)[1] - change["change"] if change["rows"] > 1 else 0 for change in changes
    ]
    hover = [
        f"{plain(name, WHOLE_NAME)}<br>{text('explain.rise_axis')}: "
        f"{text.number(change['change'], 4)} ± "
        f"{text.number(half, 4)}<br>{text('explain.rows', count=text.number(change['rows']))}"
        for name, change, half in zip(names, changes, halves, strict=True)
    ]
    colors = [
        CHANCE_COLOR if half >= abs(value) else METHOD_COLORS["kasa" if value > 0 else "lora"]
        for value, half in zip(values, halves, strict=True)
    ]
    error = {"array": halves, "thickness": 1.2}
    across = {"x": ticks, "y": values, "error_y": error}
    along = {"y": ticks, "x": values, "error_x": error, "orientation": "h"}
    figure.add_bar(
        **(across if upright else along),
        marker={"color": colors},
        hovertext=hover,
        hoverinfo="text",
    )


def classes_chart(found: Found, text: Translator, *, masked: bool) -> Chart | None:
    """Return how each class's loss changes without a layer.

    Changes that chance may have made, all cells taken together, are left white. None for tasks
    without classes, and where chance may have made all of them.
    """
    names, layers = class_names(found, masked=masked), found["layers"]
    if not names:
        return None
    cells = [[own["effect"]["classes"][k] for own in layers] for k in range(len(names))]
    most = sorted(range(len(names)), key=lambda k: -max(abs(c["change"]) for c in cells[k]))
    shown = sorted(most[:MOST_CLASSES], reverse=True)
    count = len(names) * len(layers)
    known = [[c["change"] if _beyond_chance(c, count) else 0.0 for c in cells[k]] for k in shown]
    hover = [[_cell_words(names[k], c, count, text) for c in cells[k]] for k in shown]
    largest = max((abs(value) for row in known for value in row), default=0.0)
    if not largest:
        return None
    layers_shown = [_layer_tick(own, text) for own in layers]
    classes_shown = _short([names[k] for k in shown])
    figure = _heat(known, layers_shown, classes_shown, largest, hover)
    apply_theme(figure, height=140 + 26 * len(shown))
    figure.update_layout(margin={"t": 16})
    figure.update_xaxes(title=text("explain.layer_axis"), type="category")
    figure.update_yaxes(type="category")
    return _chart("classes", figure, text)


def _heat(
    values: Any, x: Sequence[str], y: Sequence[str], largest: float, hover: Any, **bar: Any
) -> go.Figure:
    """Return a field of colours from blue (−largest) over white to orange (largest)."""
    return go.Figure(
        go.Heatmap(
            z=values,
            x=x,
            y=y,
            zmin=-largest,
            zmax=largest,
            colorscale=[(0, METHOD_COLORS["lora"]), (0.5, "#FFFFFF"), (1, METHOD_COLORS["kasa"])],
            xgap=1,
            ygap=1,
            colorbar={"thickness": 12} | bar,
            hovertext=hover,
            hoverinfo="text",
        )
    )


def _beyond_chance(change: Found, num_joint: int) -> bool:
    mirrored = {**change, "change": -change["change"]}
    return is_clear(change, num_joint) or is_clear(mirrored, num_joint)


def _cell_words(name: str, change: Found, num_joint: int, text: Translator) -> str:
    sure = text(f"explain.{'sure' if _beyond_chance(change, num_joint) else 'unsure'}")
    value = text.number(change["change"], 3)
    return (
        f"{plain(name, WHOLE_NAME)}<br>{text('explain.rise_axis')}: {value} ({sure})"
        f"<br>{text('explain.rows', count=text.number(change['rows']))}"
    )


def values_chart(module: Found, text: Translator) -> Chart:
    """Return the addition's true singular values, and beside them KaSA's trained diagonal.

    Each series is shown relative to its largest.
    """
    figure = go.Figure()
    series = {"true": module["values"]}
    if module["diagonal"] is not None:
        series["trained"] = sorted((abs(d) for d in module["diagonal"]), reverse=True)
    looks = {
        "true": (METHOD_COLORS["lora"], "circle"),
        "trained": (METHOD_COLORS["kasa"], "diamond"),
    }
    for name, values in series.items():
        color, symbol = looks[name]
        largest = max(values, default=0.0) or 1.0
        figure.add_scatter(
            x=list(range(1, len(values) + 1)),
            y=[value / largest for value in values],
            mode="lines+markers",
            name=text(f"explain.series.{name}"),
            line={"color": color, "width": 2},
            marker={"symbol": symbol, "size": 9},
            hovertext=[
                f"{text(f'explain.series.{name}')}<br>{number}: {text.number(value, 4)}"
                for number, value in enumerate(values, 1)
            ],
            hoverinfo="text",
        )
    apply_theme(figure, height=340)
    figure.update_layout(showlegend=True)
    figure.update_xaxes(
        title=text("explain.component_axis"), dtick=1 if len(module["values"]) < 20 else None
    )
    figure.update_yaxes(title=text("explain.relative_axis"), tickformat=".0%", range=[0, 1.08])
    return _chart("values" if module["diagonal"] is not None else "values_plain", figure, text)


def overlap_chart(module: Found, text: Translator) -> Chart:
    """Return how an addition lies on the base's own directions, against a random one."""
    shares, random = np.array(module["shares"]), np.array(module["random"])
    ratio = np.divide(shares, random, out=np.zeros_like(shares), where=random > 0)
    depth = np.log2(np.clip(ratio, 0.25, 4.0))
    bins = len(shares)
    ends = [text.percent(k / bins, 0) for k in range(bins + 1)]
    groups = [f"{ends[k]}–{ends[k + 1]}" for k in range(bins)]
    hover = [
        [
            f"{text('explain.input_axis')}: {groups[j]}<br>{text('explain.output_axis')}: "
            f"{groups[i]}<br>{text('explain.share', share=text.percent(shares[i, j], 2))}"
            f"<br>{text('explain.times', times=text.number(float(ratio[i, j]), 1))}"
            for j in range(bins)
        ]
        for i in range(bins)
    ]
    times = {"tickvals": [-2, -1, 0, 1, 2], "ticktext": ["≤ ¼×", "½×", "1×", "2×", "≥ 4×"]}
    title = {"text": text("explain.times_chance"), "side": "right"}
    figure = _heat(depth, groups, groups, 2.0, hover, title=title, **times)
    apply_theme(figure, height=380)
    figure.update_layout(margin={"t": 16})
    marks = {
        "tickvals": [groups[0], groups[-1]],
        "ticktext": [text("explain.strong"), text("explain.weak")],
    }
    figure.update_xaxes(title=text("explain.input_axis"), **marks, tickangle=0)
    figure.update_yaxes(
        title=text("explain.output_axis"), autorange="reversed", **marks, tickangle=-90
    )
    return _chart("overlap", figure, text)


def effect_chart(found: Found, effect: Found, text: Translator, *, masked: bool) -> Chart | None:
    """Return how each class's loss changes without one component; None without classes."""
    names = class_names(found, masked=masked)
    if not names or not effect["classes"]:
        return None
    order = sorted(range(len(names)), key=lambda k: -abs(effect["classes"][k]["change"]))
    shown = order[:MOST_CLASSES][::-1]
    figure = go.Figure()
    whole = [names[k] for k in shown]
    changes = [effect["classes"][k] for k in shown]
    _bars(figure, _short(whole), whole, changes, text, upright=False)
    apply_theme(figure, height=120 + 26 * len(shown))
    figure.update_layout(showlegend=False, margin={"t": 16})
    figure.update_xaxes(title=text("explain.rise_axis"), nticks=5)
    figure.update_yaxes(type="category")
    return _chart("effect", figure, text)
