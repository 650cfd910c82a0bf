"""Charts from records alone: each is a plotly figure with a title and a sentence on how to read it.

Titles stand outside the figure, so that they wrap on a phone and screen readers find them. Words
that people wrote (labels, arm settings) pass `plain`, since plotly reads markup in labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from kasa.report.labels import arm_labels, format_measure, plain
from kasa.report.palette import apply_theme, arm_colors, hex_color
from kasa.report.series import ChartData, Series, Unit
from kasa.runs.records import FinishedRun
from kasa.text import Translator
from kasa.verdict.evidence import Evidence
from kasa.verdict.measures import METRIC_MEASURES

COUNTED_CLASSES = 12


@dataclass(frozen=True)
class Chart:
    """One figure; `key` is unique in a report, `title` says what it shows, `note` how to read.

    `data` are its numbers, where slides and sheets draw it with their own means.
    """

    key: str
    title: str
    note: str
    figure: go.Figure
    data: ChartData | None = None


def arm_names(evidence: Evidence, text: Translator) -> dict[str, str]:
    labels = arm_labels(evidence.study, text, short=True)
    return {arm: plain(label, 40) for arm, label in labels.items()}


def colors_of(evidence: Evidence) -> dict[str, str]:
    arms = evidence.study.named_arms(judged=True)
    return arm_colors(list(arms), [arm.method for arm in arms.values()])


def metric_dots(evidence: Evidence, text: Translator, metric: str) -> Chart:
    """Return a metric per arm: a dot per seed and a bar at their mean."""
    names, colors = arm_names(evidence, text), colors_of(evidence)
    measure, figure = METRIC_MEASURES[metric], go.Figure()
    ticks = []
    for place, arm in enumerate(reversed(evidence.summaries)):
        values = arm.metrics[metric]
        shown = [format_measure(v, measure, text, "") for v in (*values.values, values.mean)]
        ticks.append(f"{names[arm.arm]}<br><b>{shown[-1]}</b>")
        figure.add_scatter(
            x=values.values,
            y=[place] * arm.num_seeds,
            mode="markers",
            marker={"color": colors[arm.arm], "size": 11, "opacity": 0.75},
            hovertext=[
                f"{names[arm.arm]}<br>{text('report.seed', seed=seed)}: {value}"
                for seed, value in zip(arm.seeds, shown, strict=False)
            ],
            hoverinfo="text",
        )
        figure.add_scatter(
            x=[values.mean, values.mean],
            y=[place - 0.28, place + 0.28],
            mode="lines",
            line={"color": colors[arm.arm], "width": 4},
            hovertext=f"{names[arm.arm]}<br>{text('report.mean')}: {shown[-1]}",
            hoverinfo="text",
        )
    apply_theme(figure, height=110 + 62 * len(evidence.summaries))
    figure.update_layout(showlegend=False, margin={"l": 8, "r": 16, "t": 12, "b": 8})
    seen = [value for arm in evidence.summaries for value in arm.metrics[metric].values]
    figure.update_xaxes(title=text(f"metrics.{metric}"), **share_axis(seen, metric))
    figure.update_yaxes(tickvals=list(range(len(ticks))), ticktext=ticks, showgrid=False)
    title = text("report.chart.dots.title", metric=text(f"metrics.{metric}"))
    data = _means(evidence, text, metric)
    return Chart(f"dots-{metric}", title, text("report.chart.dots.note"), figure, data)


def _means(evidence: Evidence, text: Translator, metric: str) -> ChartData:
    """Return every arm's mean with its 95 % interval."""
    names, colors = arm_labels(evidence.study, text, short=True), colors_of(evidence)
    arms = [summary.arm for summary in evidence.summaries]
    ends = [evidence.intervals[metric][arm] for arm in arms]
    series = Series(
        text(f"metrics.{metric}"),
        tuple(summary.metrics[metric].mean for summary in evidence.summaries),
        low=tuple(low for low, _ in ends),
        high=tuple(high for _, high in ends),
        colors=tuple(hex_color(colors[arm]) for arm in arms),
    )
    share = METRIC_MEASURES[metric].unit == "fraction"
    categories = tuple(names[arm] for arm in arms)
    unit: Unit = "fraction" if share else "number"
    return ChartData("bars", unit, (series,), series.name, categories)


def share_axis(values: Sequence[float], metric: str) -> dict[str, Any]:
    """Return an axis over these values with room at both ends, never beyond what there is."""
    share = METRIC_MEASURES[metric].unit == "fraction"
    room = max(0.02, 0.12 * (max(values) - min(values)))
    ends = [max(-0.01 if share else -1.01, min(values) - room), min(1.01, max(values) + room)]
    return {"range": ends, "tickformat": ".0%" if share else ".2f", "nticks": 6}


def differences(evidence: Evidence, text: Translator, metric: str) -> Chart:
    """Return every pair's difference in points with its 95 % interval and the margin as a band."""
    names, colors, figure = arm_names(evidence, text), colors_of(evidence), go.Figure()
    verdicts = [verdict for verdict in evidence.verdicts if verdict.metric == metric][::-1]
    margin = 100 * evidence.study.protocol.equivalence_margin
    band = {"fillcolor": "#CBD2D9", "opacity": 0.5, "line_width": 0, "layer": "below"}
    figure.add_vrect(x0=-margin, x1=margin, **band)
    figure.add_vline(x=0, line={"color": "#52606D", "width": 1}, layer="below")
    for place, verdict in enumerate(verdicts):
        low, high = verdict.interval
        word = text(f"verdict.word.{verdict.verdict}")
        between = text("report.interval", low=text.points(low), high=text.points(high))
        figure.add_scatter(
            x=[100 * verdict.difference],
            y=[place],
            mode="markers",
            marker={"color": colors[verdict.a], "size": 11},
            error_x={
                "array": [100 * (high - verdict.difference)],
                "arrayminus": [100 * (verdict.difference - low)],
                "thickness": 2.5,
                "width": 5,
            },
            hovertext=f"{names[verdict.a]} − {names[verdict.b]}: {word}<br>"
            f"{text.points(verdict.difference)} ({between})",
            hoverinfo="text",
        )
    apply_theme(figure, height=110 + 52 * len(verdicts))
    figure.update_layout(showlegend=False, margin={"l": 8, "r": 16, "t": 12, "b": 8})
    figure.update_xaxes(
        title=text("report.points_axis", metric=text(f"metrics.word.{metric}")), nticks=6
    )
    figure.update_yaxes(
        tickvals=list(range(len(verdicts))),
        ticktext=[f"{names[verdict.a]}<br>− {names[verdict.b]}" for verdict in verdicts],
        showgrid=False,
    )
    title = text("report.chart.differences.title", metric=text(f"metrics.word.{metric}"))
    data = _gaps(evidence, text, metric)
    note = text("report.chart.differences.note")
    return Chart(f"differences-{metric}", title, note, figure, data)


def _gaps(evidence: Evidence, text: Translator, metric: str) -> ChartData:
    """Return every pair's difference with its interval, in points."""
    names, colors = arm_labels(evidence.study, text, short=True), colors_of(evidence)
    found = [verdict for verdict in evidence.verdicts if verdict.metric == metric]
    title = text("report.points_axis", metric=text(f"metrics.word.{metric}"))
    series = Series(
        title,
        tuple(100 * verdict.difference for verdict in found),
        low=tuple(100 * verdict.interval[0] for verdict in found),
        high=tuple(100 * verdict.interval[1] for verdict in found),
        colors=tuple(hex_color(colors[verdict.a]) for verdict in found),
    )
    pairs = tuple(f"{names[verdict.a]} − {names[verdict.b]}" for verdict in found)
    band = 100 * evidence.study.protocol.equivalence_margin
    return ChartData("intervals", "points", (series,), title, pairs, band=band)


def confusion(evidence: Evidence, text: Translator, arm: str) -> Chart:
    """Return an arm's confusion matrix over its seeds: true labels down, predicted across."""
    summary = next(summary for summary in evidence.summaries if summary.arm == arm)
    counts, size = summary.confusion, len(summary.labels)
    shares = [[n / max(1, sum(row)) for n in row] for row in counts]
    labels = [plain(label, 16) for label in summary.labels]
    hover = [
        [
            text(
                "report.confusion_hover",
                true=true,
                predicted=predicted,
                count=text.number(counts[i][j]),
                share=text.percent(shares[i][j], 0),
            )
            for j, predicted in enumerate(labels)
        ]
        for i, true in enumerate(labels)
    ]
    places = list(range(size))
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=places,
            y=places,
            zmin=0,
            zmax=1,
            colorscale="Blues",
            showscale=False,
            xgap=1,
            ygap=1,
            hovertext=hover,
            hoverinfo="text",
            text=[[str(n) if n else "" for n in row] for row in counts],
            texttemplate="%{text}" if size <= COUNTED_CLASSES else "",
        )
    )
    apply_theme(figure, height=min(900, 190 + max(22, 40 - size) * size))
    figure.update_layout(margin={"l": 8, "r": 8, "t": 12, "b": 8})
    small = {"size": 12 if size <= COUNTED_CLASSES else 9}
    axis: dict[str, Any] = {
        "tickvals": places,
        "ticktext": labels,
        "showgrid": False,
        "tickfont": small,
    }
    figure.update_xaxes(title=text("report.predicted_label"), tickangle=-60, **axis)
    figure.update_yaxes(title=text("report.true_label"), autorange="reversed", **axis)
    name = arm_labels(evidence.study, text)[arm]
    title = text("report.chart.confusion.title", arm=name)
    return Chart(f"confusion-{arm}", title, text("report.chart.confusion.note"), figure)


def loss_curves(evidence: Evidence, text: Translator) -> Chart | None:
    """Return the training loss of every run's chosen setting; None where no run has a curve."""
    names, colors, figure = arm_names(evidence, text), colors_of(evidence), go.Figure()
    shown: set[str] = set()
    for run in evidence.finished:
        curve = chosen_curve(run)
        if not curve:
            continue
        figure.add_scatter(
            x=[point["step"] for point in curve],
            y=[point["loss"] for point in curve],
            mode="lines",
            line={"color": colors[run.arm], "width": 2},
            opacity=0.8,
            name=names[run.arm],
            legendgroup=run.arm,
            showlegend=run.arm not in shown,
            hovertext=[
                f"{names[run.arm]}, {text('report.seed', seed=run.seed)}<br>"
                f"{text('report.step')} {text.number(p['step'])}: {text.number(p['loss'], 3)}"
                for p in curve
            ],
            hoverinfo="text",
        )
        shown.add(run.arm)
    if not shown:
        return None
    apply_theme(figure, height=340)
    figure.update_layout(showlegend=True)
    figure.update_xaxes(title=text("report.step"), nticks=6)
    figure.update_yaxes(title=text("report.loss"), rangemode="tozero")
    title = text("report.chart.loss.title")
    return Chart("loss", title, text("report.chart.loss.note"), figure)


def chosen_curve(run: FinishedRun) -> list[dict[str, Any]]:
    """Return the loss curve of the trial that was chosen on validation; empty without one."""
    for trial in run.trials:
        if all(trial.get(name) == value for name, value in run.selected.items()):
            return list(trial.get("curve") or [])
    return []
