"""KaSA's parts as a waterfall from LoRA: chart, sentences and section of the report."""

from __future__ import annotations

import plotly.graph_objects as go

from kasa.report.palette import METHOD_COLORS, apply_theme
from kasa.report.plots import Chart
from kasa.report.tree import Block, Charts, Section, Table
from kasa.text import Translator
from kasa.verdict.ablation import Step, ablation
from kasa.verdict.evidence import Evidence


def ablation_chart(evidence: Evidence, text: Translator, metric: str) -> Chart | None:
    """Return what each part adds in points, with 95 % intervals; None without the parts' arms."""
    steps = ablation(evidence, metric)
    if not steps:
        return None
    names = [text(f"report.part.{step.part}") for step in steps]
    changes = [100 * step.verdict.difference for step in steps]
    figure = go.Figure(
        go.Waterfall(
            x=[*names, text("report.part.together")],
            y=[*changes, None],
            measure=[*["relative"] * len(steps), "total"],
            connector={"line": {"color": "#9AA5B1", "width": 1}},
            increasing={"marker": {"color": METHOD_COLORS["frozen_head"]}},
            decreasing={"marker": {"color": METHOD_COLORS["kasa"]}},
            totals={"marker": {"color": METHOD_COLORS["lora"]}},
            hovertext=[_words(step, text) for step in steps] + [_total(changes, text)],
            hoverinfo="text",
        )
    )
    tops = [sum(changes[: place + 1]) for place in range(len(changes))]
    figure.add_scatter(
        x=names,
        y=tops,
        mode="markers",
        marker={"color": "#1F2933", "size": 5},
        error_y={
            "array": [100 * (s.verdict.interval[1] - s.verdict.difference) for s in steps],
            "arrayminus": [100 * (s.verdict.difference - s.verdict.interval[0]) for s in steps],
            "thickness": 2,
            "width": 6,
        },
        hoverinfo="skip",
    )
    apply_theme(figure, height=360)
    figure.update_layout(showlegend=False, margin={"l": 8, "r": 16, "t": 16, "b": 8})
    figure.update_yaxes(
        title=text("report.points_axis", metric=text(f"metrics.word.{metric}")),
        nticks=6,
        zeroline=True,
        zerolinecolor="#52606D",
    )
    title = text("report.chart.ablation.title", metric=text(f"metrics.word.{metric}"))
    return Chart(f"ablation-{metric}", title, text("report.chart.ablation.note"), figure)


def _words(step: Step, text: Translator) -> str:
    low, high = (text.points(end) for end in step.verdict.interval)
    between = text("report.interval", low=low, high=high)
    word = text(f"report.part_word.{step.verdict.verdict}")
    return (
        f"{text(f'report.part.{step.part}')}: {text.points(step.verdict.difference)} "
        f"({between})<br>{word}"
    )


def _total(changes: list[float], text: Translator) -> str:
    return f"{text('report.part.together')}: {text.points(sum(changes) / 100)}"


def ablation_table(evidence: Evidence, text: Translator, metric: str) -> Table:
    """Return one row per part: what it adds, the interval, and what that says."""
    rows = tuple(
        (
            text(f"report.part.{step.part}"),
            text.points(step.verdict.difference),
            text(
                "report.interval",
                low=text.points(step.verdict.interval[0]),
                high=text.points(step.verdict.interval[1]),
            ),
            text(f"report.part_word.{step.verdict.verdict}"),
        )
        for step in ablation(evidence, metric)
    )
    names = ("part", "difference", "interval", "part_verdict")
    return Table(tuple(text(f"report.column.{name}") for name in names), rows, numeric=(1, 2))


def ablation_section(evidence: Evidence, text: Translator) -> Section:
    """Return what KaSA's parts bring, where the study has them as arms."""
    metrics = evidence.study.metrics
    charts = [ablation_chart(evidence, text, metric) for metric in metrics]
    shown = tuple(chart for chart in charts if chart is not None)
    blocks: tuple[Block, ...] = ()
    if len(shown) == len(metrics):
        names = tuple(text(f"metrics.{metric}") for metric in metrics)
        tables = tuple(ablation_table(evidence, text, metric) for metric in metrics)
        blocks = (Charts(shown, text("report.choose.metric"), names, tables),)
    return Section("ablation", text("report.section.ablation"), blocks)
