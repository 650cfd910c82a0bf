"""The chart of a run at work, from its events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from kasa.report.palette import METHOD_COLORS, apply_theme
from kasa.text import Translator

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


MOST_POINTS = 400


def thinned(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return at most `MOST_POINTS` of the events, evenly spread, with the newest among them."""
    stride = -(-len(events) // MOST_POINTS) or 1
    return list(events[::-1][::stride])[::-1]


def live_loss(events: Sequence[dict[str, Any]], method: str, text: Translator) -> go.Figure:
    """Return training loss, a line for each learning rate, and validation as points.

    They stand against the step, or against the seconds where those are the budget.
    """
    figure = go.Figure()
    color = METHOD_COLORS[method]
    for trial in sorted({event["trial"] for event in events if "trial" in event}):
        own = [event for event in events if event.get("trial") == trial]
        steps_per_trial = own[0]["total"] / own[0]["trials"]
        before = (trial - 1) * steps_per_trial
        name = text("report.live.rate", rate=f"{own[0]['learning_rate']:g}")
        losses = thinned([event for event in own if "loss" in event])
        dash = DASHES[(trial - 1) % len(DASHES)]
        figure.add_scatter(
            x=[event["done"] - before for event in losses],
            y=[event["loss"] for event in losses],
            name=name,
            mode="lines",
            line={"color": color, "dash": dash, "width": 1.5},
            opacity=0.75,
        )
        checks = [event for event in own if "validation" in event]
        figure.add_scatter(
            x=[event["done"] - before for event in checks],
            y=[event["validation"]["loss"] for event in checks],
            name=text("report.live.validation", rate=f"{own[0]['learning_rate']:g}"),
            mode="markers",
            marker={"color": "#1F2933", "size": 8, "symbol": trial - 1},
        )
    apply_theme(figure, height=320)
    figure.update_layout(
        legend={"y": -0.3, "yanchor": "top"}, margin={"l": 8, "r": 8, "t": 12, "b": 8}
    )
    # The whole way from the first moment on, so that the curve grows and does not stretch.
    ends = [event["total"] / event["trials"] for event in events if "trial" in event]
    units = [event["unit"] for event in events if "unit" in event]
    title = text(f"report.live.{units[0] if units else 'step'}")
    figure.update_xaxes(title=title, range=[0, 1.02 * max(ends, default=1)])
    figure.update_yaxes(title=text("report.live.loss"), rangemode="tozero")
    return figure
