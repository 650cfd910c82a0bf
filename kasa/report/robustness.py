"""How firm the results are, as charts, tables and sections of the report."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from kasa.report.labels import arm_labels, metric_words, plain
from kasa.report.palette import apply_theme, legend_room, method_symbol
from kasa.report.plots import COUNTED_CLASSES, Chart, arm_names, colors_of, share_axis
from kasa.report.tree import Block, Charts, Paragraph, Section, Table
from kasa.text import Translator
from kasa.verdict.compare import CLASS_TASKS, runs_by_arm
from kasa.verdict.evidence import Evidence
from kasa.verdict.robustness import calibration, rate_results

MOST_ROWS = 30
# More names than this stand beside each other only when they are turned.
FLAT_NAMES = 4


def _looks(evidence: Evidence, text: Translator) -> dict[str, tuple[str, str, str]]:
    """Return name, colour and marker of every arm."""
    names, colors, study = arm_names(evidence, text), colors_of(evidence), evidence.study
    return {
        name: (names[name], colors[name], method_symbol(arm.method))
        for name, arm in study.named_arms(judged=True).items()
    }


def rates_chart(evidence: Evidence, text: Translator) -> Chart | None:
    """Return the deciding metric on validation by learning rate; None without two rates."""
    looks, figure, metric = _looks(evidence, text), go.Figure(), evidence.metric
    tried: set[float] = set()
    seen: list[float] = []
    for arm, runs in runs_by_arm(evidence.finished).items():
        results = rate_results(runs, metric)
        if len(results) < 2:
            continue
        name, color, symbol = looks[arm]
        rates = [result.learning_rate for result in results]
        tried |= set(rates)
        seen += [value for result in results for value in result.values]
        hover = [
            f"{name}, {text('report.rate', rate=f'{r.learning_rate:g}')}<br>"
            f"{text('report.mean')}: {metric_words(metric, r.mean, text)}"
            for r in results
        ]
        figure.add_scatter(
            x=rates,
            y=[result.mean for result in results],
            mode="lines+markers",
            line={"color": color, "width": 2},
            marker={"symbol": symbol, "size": 10},
            name=name,
            legendgroup=arm,
            hovertext=hover,
            hoverinfo="text",
        )
        figure.add_scatter(
            x=[result.learning_rate for result in results for _ in result.values],
            y=[value for result in results for value in result.values],
            mode="markers",
            marker={"color": color, "size": 6, "opacity": 0.5},
            legendgroup=arm,
            showlegend=False,
            hoverinfo="skip",
        )
    if not tried:
        return None
    apply_theme(figure, height=360 + legend_room(len(figure.data) // 2))
    figure.update_layout(showlegend=True, legend_tracegroupgap=0)
    ticks = sorted(tried)
    room = 0.15
    figure.update_xaxes(
        title=text("report.rate_axis"),
        type="log",
        range=[math.log10(ticks[0]) - room, math.log10(ticks[-1]) + room],
        tickvals=ticks,
        ticktext=[f"{tick:g}" for tick in ticks],
    )
    figure.update_yaxes(title=text(f"metrics.{metric}"), **share_axis(seen, metric))
    title = text("report.chart.rates.title", metric=text(f"metrics.{metric}"))
    return Chart("rates", title, text("report.chart.rates.note"), figure)


def calibration_chart(evidence: Evidence, text: Translator) -> Chart | None:
    """Return how often each arm is right against how sure it is; None without confidences."""
    if evidence.study.task not in CLASS_TASKS:
        return None
    looks, figure = _looks(evidence, text), go.Figure()
    for arm, runs in runs_by_arm(evidence.finished).items():
        found = calibration(runs)
        if found is None:
            continue
        name, color, symbol = looks[arm]
        figure.add_scatter(
            x=[b.confidence for b in found.bins],
            y=[b.right for b in found.bins],
            mode="lines+markers",
            line={"color": color, "width": 2},
            marker={"symbol": symbol, "size": 9},
            name=name,
            hovertext=[
                text(
                    "report.calibration_hover",
                    arm=name,
                    confidence=text.percent(b.confidence, 0),
                    right=text.percent(b.right, 0),
                    count=text.number(b.num_answers),
                )
                for b in found.bins
            ],
            hoverinfo="text",
        )
    if not figure.data:
        return None
    figure.add_shape(
        type="line",
        x0=0,
        y0=0,
        x1=1,
        y1=1,
        line={"color": "#9AA5B1", "dash": "dot", "width": 2},
        layer="below",
    )
    apply_theme(figure, height=360 + legend_room(len(figure.data)))
    figure.update_layout(showlegend=True)
    ends = {"range": [-0.02, 1.02], "tickformat": ".0%", "nticks": 6}
    figure.update_xaxes(title=text("report.confidence"), **ends)
    figure.update_yaxes(title=text("report.right"), **ends)
    return Chart(
        "calibration",
        text("report.chart.calibration.title"),
        text("report.chart.calibration.note"),
        figure,
    )


def calibration_table(evidence: Evidence, text: Translator) -> Table:
    """Return per arm whose answers have confidences: how sure, how often right, and the error."""
    labels, rows = arm_labels(evidence.study, text), []
    for arm, runs in runs_by_arm(evidence.finished).items():
        found = calibration(runs)
        if found is not None:
            rows.append(
                (
                    labels[arm],
                    text.percent(found.confidence),
                    text.percent(found.right),
                    text.points(found.excess),
                    text.percent(found.error),
                )
            )
    names = ("arm", "confidence", "right", "excess", "calibration_error")
    header = tuple(text(f"report.column.{name}") for name in names)
    return Table(header, tuple(rows), numeric=(1, 2, 3, 4))


def shares_chart(evidence: Evidence, text: Translator, by: str) -> Chart | None:
    """Return how often each arm is right `by` class or group, the hardest first; None without."""
    found = evidence.groups if by == "group" else evidence.classes
    if not found:
        return None
    arms = list(found)
    looks = _looks(evidence, text)
    names = {name for shares in found.values() for name in shares}

    def ease(name: str) -> float:
        return sum(found[arm][name].mean for arm in arms) / len(arms)

    order = sorted(names, key=lambda name: (ease(name), name))
    figure = go.Figure(
        go.Heatmap(
            z=[[found[arm][name].mean for arm in arms] for name in order],
            x=list(range(len(arms))),
            y=list(range(len(order))),
            zmin=0,
            zmax=1,
            # Never so dark that its number would need another colour.
            colorscale=[[0, "#FFFFFF"], [1, "#6BAED6"]],
            textfont={"color": "#1F2933"},
            showscale=False,
            xgap=1,
            ygap=1,
            text=[[text.percent(found[arm][name].mean, 0) for arm in arms] for name in order],
            texttemplate="%{text}" if len(arms) <= COUNTED_CLASSES else "",
            hovertext=[
                [
                    text(
                        "report.class_hover",
                        label=plain(name, 40),
                        arm=looks[arm][0],
                        share=text.percent(found[arm][name].mean, 0),
                        low=text.percent(found[arm][name].low, 0),
                        high=text.percent(found[arm][name].high, 0),
                    )
                    for arm in arms
                ]
                for name in order
            ],
            hoverinfo="text",
        )
    )
    turned = len(arms) > FLAT_NAMES
    rows_height = max(22, 40 - len(order)) * len(order)
    apply_theme(figure, height=(270 if turned else 150) + min(1000, rows_height))
    figure.update_layout(margin={"l": 8, "r": 8, "t": 12, "b": 8})
    figure.update_xaxes(
        tickvals=list(range(len(arms))),
        ticktext=[looks[arm][0].replace(" (", "<br>(") for arm in arms],
        tickangle=-60 if turned else 0,
        showgrid=False,
    )
    figure.update_yaxes(
        tickvals=list(range(len(order))),
        ticktext=[plain(name, 20) for name in order],
        autorange="reversed",
        showgrid=False,
    )
    words = {"column": str(evidence.study.data.group), "count": text.number(len(order))}
    title, note = (text(f"report.chart.by_{by}.{part}", **words) for part in ("title", "note"))
    return Chart(f"by-{by}", title, note, figure)


def shares_by(evidence: Evidence, text: Translator) -> dict[str, str]:
    """Return what results can be divided by, and its name: classes, and the data's groups."""
    names = {}
    if evidence.classes:
        names["class"] = text("report.by.class")
    if evidence.groups:
        names["group"] = str(evidence.study.data.group)
    return names


def never_right_note(evidence: Evidence, text: Translator) -> str:
    """Return how many test rows defeat every arm, and what to do about them."""
    count, rows = len(evidence.never_right), evidence.card.sizes["test"]
    if not count:
        return text("report.never_right_none", rows=text.number(rows))
    return text("report.never_right_note", count=text.number(count), rows=text.number(rows))


def never_right_table(evidence: Evidence, text: Translator) -> Table | None:
    """Return the first rows that every run of every arm gets wrong; None without any."""
    if evidence.never_right.empty:
        return None
    rows = tuple(
        (str(row), words, label, answer, text.percent(agreement, 0))
        for row, words, label, answer, agreement in evidence.never_right.head(MOST_ROWS).itertuples(
            index=False
        )
    )
    names = ("row", "text", "label", "usual_answer", "agreement")
    return Table(tuple(text(f"report.column.{name}") for name in names), rows, numeric=(0, 4))


def robustness_section(evidence: Evidence, text: Translator) -> Section:
    """Return learning rates and calibration."""
    rates, sure = rates_chart(evidence, text), calibration_chart(evidence, text)
    blocks: list[Block] = [Charts((rates,))] if rates else []
    if sure:
        table = calibration_table(evidence, text)
        blocks += [Charts((sure,)), table, Paragraph(text("report.calibration_note"), small=True)]
    return Section("robustness", text("report.section.robustness"), tuple(blocks))


def classes_section(evidence: Evidence, text: Translator) -> Section:
    """Return how often each arm is right per class, and per group where the data have them."""
    names = shares_by(evidence, text)
    charts = tuple(chart for by in names if (chart := shares_chart(evidence, text, by)))
    blocks = (Charts(charts, text("report.choose.by"), tuple(names.values())),) if charts else ()
    return Section("classes", text("report.section.classes"), blocks)


def never_right_section(evidence: Evidence, text: Translator) -> Section:
    """Return the rows that defeat every arm, possibly mislabelled."""
    title = text("report.section.never_right")
    if evidence.study.task not in CLASS_TASKS or not evidence.summaries:
        return Section("never_right", title, ())
    blocks: list[Block] = [Paragraph(never_right_note(evidence, text))]
    table = never_right_table(evidence, text)
    if table is not None:
        blocks.append(table)
    if len(evidence.never_right) > MOST_ROWS:
        blocks.append(Paragraph(text("report.examples_cap", shown=MOST_ROWS), small=True))
    return Section("never_right", title, tuple(blocks))
