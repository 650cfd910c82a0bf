"""The deciding chart: a metric against a cost, with intervals, requirements and the front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from kasa.report.labels import arm_labels, format_measure, metric_words
from kasa.report.palette import apply_theme, hex_color, legend_room, method_symbol
from kasa.report.plots import Chart, arm_names, colors_of, share_axis
from kasa.report.series import ChartData, Series, Unit
from kasa.text import Translator
from kasa.verdict.compare import runs_by_arm
from kasa.verdict.evidence import Evidence
from kasa.verdict.measures import COSTS, GATED_COSTS, METRIC_MEASURES, Measure, pareto_front

MB = 1e6
LOG_RATIO = 20
# With more arms than this the legend names those on the front only.
NAMED_ARMS = 14
GATE_LINE = {"color": "#B44D12", "dash": "dash", "width": 1.5}


def tradeoff(evidence: Evidence, text: Translator, metric: str, cost: str) -> Chart:
    """Return the metric's mean against a cost: a mark per arm, the Pareto front as a line.

    Whiskers are the metric's 95 % interval and the cheapest and dearest run; requirements on either
    axis are dashed lines. Every mark carries its arm's name as custom data.
    """
    names, colors = arm_names(evidence, text), colors_of(evidence)
    measure, currency = COSTS[cost], evidence.study.prices.currency
    by_arm, intervals = runs_by_arm(evidence.finished), evidence.intervals[metric]
    kinds = evidence.study.named_arms()
    points = {
        arm.arm: (measure.value(arm, evidence.study), arm.metrics[metric].mean)
        for arm in evidence.summaries
    }
    scale = MB if measure.unit == "bytes" else 1.0
    front = pareto_front(points, (measure.direction, METRIC_MEASURES[metric].direction))
    figure = go.Figure()
    figure.add_scatter(
        x=[points[arm][0] / scale for arm in front],
        y=[points[arm][1] for arm in front],
        mode="lines",
        line={"color": "#9AA5B1", "dash": "dot", "width": 2},
        showlegend=False,
        hoverinfo="skip",
    )
    for arm in evidence.summaries:
        x, y = points[arm.arm]
        low, high = intervals[arm.arm]
        spent = [measure.of_run(run, evidence.study) for run in by_arm[arm.arm]]
        between = [metric_words(metric, end, text) for end in (low, high)]
        symbol = method_symbol(arm.method)
        figure.add_scatter(
            x=[x / scale],
            y=[y],
            mode="markers",
            marker={
                "color": colors[arm.arm],
                "symbol": symbol if kinds[arm.arm].tuned else f"{symbol}-open",
                "size": 14,
                "line": {"width": 0 if kinds[arm.arm].tuned else 2.5},
            },
            error_x={
                "array": [(max(spent) - x) / scale],
                "arrayminus": [(x - min(spent)) / scale],
                "thickness": 1.5,
                "visible": len(spent) > 1,
            },
            error_y={"array": [high - y], "arrayminus": [y - low], "thickness": 1.5},
            name=names[arm.arm],
            customdata=[[arm.arm]],
            showlegend=len(points) <= NAMED_ARMS or arm.arm in front,
            hovertext=f"{names[arm.arm]}<br>"
            f"{text(f'metrics.{metric}')}: {metric_words(metric, y, text)} "
            f"({text('report.interval', low=between[0], high=between[1])})<br>"
            f"{text(f'metrics.{cost}')}: {format_measure(x, measure, text, currency)}",
            hoverinfo="text",
        )
    most, least = _required(evidence, metric, cost)
    if most is not None:
        figure.add_vline(most / scale, line=GATE_LINE)
    if least is not None:
        figure.add_hline(least, line=GATE_LINE)
    apply_theme(figure, height=420 + legend_room(min(len(points), NAMED_ARMS)))
    figure.update_layout(margin={"l": 8, "r": 16, "t": 64, "b": 8}, showlegend=True)
    title = text(f"metrics.axis.{cost}", currency=currency)
    costs = [x for x, _ in points.values()] + ([] if most is None else [most])
    figure.update_xaxes(title=title, **_cost_axis([value / scale for value in costs], text))
    ends = [end for interval in intervals.values() for end in interval]
    axis = share_axis([*ends, *([] if least is None else [least])], metric)
    figure.update_yaxes(title=text(f"metrics.{metric}"), **axis)
    words = {"metric": text(f"metrics.{metric}"), "cost": text(f"metrics.word.{cost}")}
    return Chart(
        f"tradeoff-{metric}-{cost}",
        text("report.chart.tradeoff.title", **words),
        text(f"report.chart.tradeoff.{'note_all' if len(points) <= NAMED_ARMS else 'note_many'}"),
        figure,
        _points(evidence, text, metric, measure, title),
    )


UNITS: dict[str, Unit] = {
    "seconds": "seconds",
    "bytes": "megabytes",
    "money": "money",
    "count": "count",
}


def _points(
    evidence: Evidence, text: Translator, metric: str, measure: Measure, title: str
) -> ChartData:
    """Return each arm's cost and metric, with the metric's interval."""
    names, colors = arm_labels(evidence.study, text, short=True), colors_of(evidence)
    scale = MB if measure.unit == "bytes" else 1.0
    series = []
    for arm in evidence.summaries:
        low, high = evidence.intervals[metric][arm.arm]
        cost = measure.value(arm, evidence.study) / scale
        point = Series(
            names[arm.arm],
            (arm.metrics[metric].mean,),
            low=(low,),
            high=(high,),
            x=(cost,),
            colors=(hex_color(colors[arm.arm]),),
        )
        series.append(point)
    return ChartData(
        "points",
        "fraction" if METRIC_MEASURES[metric].unit == "fraction" else "number",
        tuple(series),
        text(f"metrics.{metric}"),
        x_title=title,
        x_unit=UNITS[measure.unit],
        currency=evidence.study.prices.currency,
    )


def _required(evidence: Evidence, metric: str, cost: str) -> tuple[float | None, float | None]:
    """Return what the study requires of cost and metric at most and at least, None for nothing."""
    gates = evidence.study.gates
    least = gates.metric_min if metric == evidence.metric else None
    for gate, (name, factor) in GATED_COSTS.items():
        most = getattr(gates, gate)
        if name == cost and most is not None:
            return most * factor, least
    return None, least


def _cost_axis(values: Sequence[float], text: Translator) -> dict[str, Any]:
    """Return a logarithmic axis where the costs differ much, else one from zero."""
    low, high = min(values), max(values)
    if low <= 0 or high / low <= LOG_RATIO:
        top = high or 1.0
        return {"range": [-0.04 * top, 1.12 * top], "nticks": 6}
    start, end = math.log10(low), math.log10(high)
    room = 0.08 * (end - start)
    # 1, 2, 5, 10 … over up to two decades, powers of ten beyond that.
    digits = (1, 2, 5) if end - start < 2 else (1,)
    decades = range(math.floor(start), math.ceil(end) + 1)
    ticks = [digit * 10.0**decade for decade in decades for digit in digits]
    return {
        "type": "log",
        "range": [start - room, end + room],
        "tickvals": ticks,
        "ticktext": [text.number(tick, max(0, -math.floor(math.log10(tick)))) for tick in ticks],
    }


def cost_measures(evidence: Evidence) -> list[Measure]:
    """Return the costs worth a choice: money only where a machine hour has a price."""
    priced = evidence.study.prices.hourly > 0
    return [measure for measure in COSTS.values() if priced or measure.unit != "money"]
