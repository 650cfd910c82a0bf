"""Learning curves and noise curves as charts, tables, sentences and a section of the report."""

from __future__ import annotations

from collections.abc import Iterator

import plotly.graph_objects as go

from kasa.report.labels import arm_labels, metric_words
from kasa.report.palette import apply_theme, legend_room, method_symbol
from kasa.report.plots import Chart, arm_names, colors_of, share_axis
from kasa.report.tree import Block, Bullets, Charts, Paragraph, Section, Table
from kasa.text import Translator
from kasa.verdict.curves import MORE_ROWS, NOISE, ROWS, Curve, CurveSet, Gap, Point
from kasa.verdict.evidence import Evidence

BAND_OPACITY = 0.14


def sets_of(evidence: Evidence, metric: str) -> tuple[CurveSet, ...]:
    """Return the curves on one metric, the learning curves first; empty where there are none."""
    return tuple(found for found in evidence.curves if found.metric == metric)


def curve_chart(evidence: Evidence, text: Translator, found: CurveSet) -> Chart:
    """Return each arm's metric by level with its 95 % band, and what more rows should bring."""
    names, colors, figure = arm_names(evidence, text), colors_of(evidence), go.Figure()
    arms = evidence.study.named_arms()
    ends: list[float] = []
    for curve in found.curves:
        xs = [_place(point, found.kind) for point in curve.points]
        low, high = zip(*(point.interval for point in curve.points), strict=True)
        ends += [*low, *high]
        _band(figure, xs, low, high, colors[curve.arm])
        figure.add_scatter(
            x=xs,
            y=[point.estimate.value for point in curve.points],
            mode="lines+markers",
            line={"color": colors[curve.arm], "width": 2},
            marker={"symbol": method_symbol(arms[curve.arm].method), "size": 10},
            name=names[curve.arm],
            legendgroup=curve.arm,
            hovertext=[
                f"{names[curve.arm]}, {_level_words(point, found.kind, text)}<br>"
                f"{_between(point, found.metric, text)}"
                for point in curve.points
            ],
            hoverinfo="text",
        )
        ends += _forecast(figure, curve, found.metric, names[curve.arm], colors[curve.arm], text)
    apply_theme(figure, height=360 + legend_room(len(found.curves)))
    figure.update_layout(showlegend=True, legend_tracegroupgap=0)
    _level_axis(figure, found.kind, text)
    figure.update_yaxes(title=text(f"metrics.{found.metric}"), **share_axis(ends, found.metric))
    words = {"metric": text(f"metrics.{found.metric}")}
    title, note = (text(f"report.chart.curve_{found.kind}.{part}", **words) for part in _PARTS)
    return Chart(f"curve-{found.kind}-{found.metric}", title, note, figure)


_PARTS = ("title", "note")


def _place(point: Point, kind: str) -> float:
    return point.num_train_rows if kind == ROWS else point.level


def _level_axis(figure: go.Figure, kind: str, text: Translator) -> None:
    if kind == ROWS:
        figure.update_xaxes(title=text("report.curves.rows_axis"), rangemode="tozero", nticks=6)
    else:
        figure.update_xaxes(title=text("report.curves.noise_axis"), tickformat=".0%", nticks=6)


def _band(
    figure: go.Figure, xs: list[float], low: tuple[float, ...], high: tuple[float, ...], color: str
) -> None:
    figure.add_scatter(
        x=[*xs, *reversed(xs)],
        y=[*high, *reversed(low)],
        mode="lines",
        fill="toself",
        fillcolor=color,
        opacity=BAND_OPACITY,
        line={"width": 0},
        showlegend=False,
        hoverinfo="skip",
    )


def _forecast(
    figure: go.Figure, curve: Curve, metric: str, name: str, color: str, text: Translator
) -> list[float]:
    """Draw the dashed way to more rows; return the ends of its interval."""
    ahead, last = curve.forecast, curve.points[-1]
    if ahead is None:
        return []
    xs = [last.num_train_rows, MORE_ROWS * last.num_train_rows]
    low, high = ahead.interval
    _band(figure, xs, (last.interval[0], low), (last.interval[1], high), color)
    figure.add_scatter(
        x=xs,
        y=[last.estimate.value, ahead.value],
        mode="lines",
        line={"color": color, "width": 2, "dash": "dash"},
        legendgroup=curve.arm,
        showlegend=False,
        hovertext=f"{name}: {metric_words(metric, ahead.value, text)} "
        f"({_interval_words(ahead.interval, metric, text)})",
        hoverinfo="text",
    )
    return [low, high]


def _level_words(point: Point, kind: str, text: Translator) -> str:
    if kind == ROWS:
        return text("report.curves.level_rows", rows=text.number(point.num_train_rows))
    return text("report.curves.level_noise", share=text.percent(point.level, 0))


def _between(point: Point, metric: str, text: Translator) -> str:
    words = metric_words(metric, point.estimate.value, text)
    return f"{words} ({_interval_words(point.interval, metric, text)})"


def _interval_words(interval: tuple[float, float], metric: str, text: Translator) -> str:
    low, high = (metric_words(metric, end, text) for end in interval)
    return text("report.interval", low=low, high=high)


def gap_chart(evidence: Evidence, text: Translator, found: CurveSet) -> Chart | None:
    """Return the pair's difference in points by level; None where no two arms share a level."""
    if found.pair is None or not found.gaps:
        return None
    names, colors, figure = arm_names(evidence, text), colors_of(evidence), go.Figure()
    a, b = found.pair
    margin = 100 * evidence.study.protocol.equivalence_margin
    places = _places(found)
    band = {"fillcolor": "#CBD2D9", "opacity": 0.5, "line_width": 0, "layer": "below"}
    figure.add_hrect(y0=-margin, y1=margin, **band)
    figure.add_hline(y=0, line={"color": "#52606D", "width": 1}, layer="below")
    figure.add_scatter(
        x=[places[gap.level] for gap in found.gaps],
        y=[100 * gap.estimate.value for gap in found.gaps],
        mode="markers",
        marker={"color": colors[a], "size": 11, "symbol": "diamond"},
        error_y={
            "array": [100 * (gap.interval[1] - gap.estimate.value) for gap in found.gaps],
            "arrayminus": [100 * (gap.estimate.value - gap.interval[0]) for gap in found.gaps],
            "thickness": 2.5,
            "width": 6,
        },
        hovertext=[_gap_words(gap, text) for gap in found.gaps],
        hoverinfo="text",
    )
    apply_theme(figure, height=300)
    figure.update_layout(showlegend=False, margin={"l": 8, "r": 16, "t": 12, "b": 8})
    _level_axis(figure, found.kind, text)
    figure.update_yaxes(
        title=text("report.points_axis", metric=text(f"metrics.word.{found.metric}")), nticks=6
    )
    words = {"a": names[a], "b": names[b]}
    title, note = (text(f"report.chart.gap_{found.kind}.{part}", **words) for part in _PARTS)
    return Chart(f"gap-{found.kind}-{found.metric}", title, note, figure)


def _places(found: CurveSet) -> dict[float, float]:
    return {point.level: _place(point, found.kind) for c in found.curves for point in c.points}


def _gap_words(gap: Gap, text: Translator) -> str:
    low, high = (text.points(end) for end in gap.interval)
    between = text("report.interval", low=low, high=high)
    return f"{text.points(gap.estimate.value)} ({between})"


def curves_table(evidence: Evidence, text: Translator, found: CurveSet) -> Table:
    """Return one row per level: each arm's metric with its interval, and the pair's difference."""
    labels = arm_labels(evidence.study, text)
    points = {curve.arm: {p.level: p for p in curve.points} for curve in found.curves}
    gaps = {gap.level: gap for gap in found.gaps}
    shown = {level: point for own in points.values() for level, point in own.items()}
    rows = []
    for level in sorted(shown):
        cells = [_level_words(shown[level], found.kind, text)]
        for own in points.values():
            point = own.get(level)
            cells.append(_between(point, found.metric, text) if point else "–")
        if found.gaps:
            cells.append(_gap_words(gaps[level], text) if level in gaps else "–")
        rows.append(tuple(cells))
    header = [text(f"report.column.level_{found.kind}"), *(labels[arm] for arm in points)]
    if found.pair is not None and found.gaps:
        a, b = (labels[arm] for arm in found.pair)
        header.append(text("report.pair", a=a, b=b))
    return Table(tuple(header), tuple(rows), numeric=tuple(range(1, len(header))))


def curve_sentences(evidence: Evidence, text: Translator, found: CurveSet) -> Iterator[str]:
    """Say what the hardest level does to the pair's difference, and what more rows should bring."""
    labels = arm_labels(evidence.study, text)
    if found.pair is not None and found.change is not None:
        names = {"a": labels[found.pair[0]], "b": labels[found.pair[1]]}
        gaps = {gap.level: gap for gap in found.gaps}
        level, whole = found.change.level, 1.0 if found.kind == ROWS else 0.0
        yield text(
            f"report.curves.change.{found.kind}",
            **names,
            level=text.percent(level, 0),
            far=_gap_words(gaps[level], text),
            near=_gap_words(gaps[whole], text),
            change=_gap_words(found.change, text),
            word=text(f"report.curves.word.{found.kind}.{found.verdict}", **names),
        )
    for curve in found.curves:
        if found.kind == NOISE and curve.points[0].level == 0.0:
            yield _harm_words(curve, found.metric, labels[curve.arm], text)
        yield from forecast_sentence(evidence, text, curve, found.metric)


def forecast_sentence(
    evidence: Evidence, text: Translator, curve: Curve, metric: str
) -> Iterator[str]:
    """Say what twice the training rows should bring an arm, where its curve can tell."""
    ahead = curve.forecast
    if ahead is not None:
        low, high = (text.points(end) for end in ahead.gain_interval)
        yield text(
            f"report.curves.forecast.{ahead.verdict}",
            arm=arm_labels(evidence.study, text)[curve.arm],
            gain=text.points(ahead.gain),
            between=text("report.interval", low=low, high=high),
            value=metric_words(metric, ahead.value, text),
            rows=text.number(curve.points[-1].num_train_rows),
        )


def _harm_words(curve: Curve, metric: str, label: str, text: Translator) -> str:
    """Say how far an arm falls from its labels as they are to the most wrong ones."""
    first, last = curve.points[0].estimate.value, curve.points[-1].estimate.value
    return text(
        "report.curves.harm_noise",
        arm=label,
        level=text.percent(curve.points[-1].level, 0),
        metric=text(f"metrics.word.{metric}"),
        before=metric_words(metric, first, text),
        after=metric_words(metric, last, text),
        change=text.points(last - first),
    )


def curve_notes(text: Translator, found: CurveSet) -> Iterator[str]:
    """Say how the points came about, and what a forecast takes for granted."""
    yield text(f"report.curves.note.{found.kind}")
    if any(curve.forecast for curve in found.curves):
        yield text("report.curves.forecast_note")


def curves_section(evidence: Evidence, text: Translator) -> Section:
    """Return the curves on the deciding metric with what they say."""
    blocks: list[Block] = []
    for found in sets_of(evidence, evidence.metric):
        blocks.append(Charts((curve_chart(evidence, text, found),)))
        gaps = gap_chart(evidence, text, found)
        if gaps is not None:
            blocks.append(Charts((gaps,)))
        blocks.append(curves_table(evidence, text, found))
        sentences = tuple(curve_sentences(evidence, text, found))
        if sentences:
            blocks.append(Bullets(sentences))
        blocks += [Paragraph(note, small=True) for note in curve_notes(text, found)]
    return Section("curves", text("report.section.curves"), tuple(blocks))
