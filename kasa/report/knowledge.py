"""What carries a task, as charts and sentences from what the job `knowledge` measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from kasa.report.headline import verdict_sentence
from kasa.report.labels import arm_labels
from kasa.report.palette import METHOD_COLORS, OTHER_COLORS, apply_theme
from kasa.report.plots import Chart
from kasa.report.tree import Table
from kasa.study import Study
from kasa.text import Translator
from kasa.verdict.evidence import Evidence

CRITERION_LOOKS = {
    "first_order": (METHOD_COLORS["lora"], "circle"),
    "fisher": (METHOD_COLORS["frozen_head"], "square"),
    "activation": (OTHER_COLORS[0], "star"),
    "magnitude": (METHOD_COLORS["kasa"], "diamond"),
}
GATE_LINE = {"color": "#B44D12", "dash": "dash", "width": 1.5}
# Dearer cuts than this would press the interesting ones flat.
MOST_RISE = 1.0


def removal_chart(measured: Mapping[str, Any], text: Translator) -> Chart:
    """Return the held-out loss's rise by share removed from every matrix, a line per criterion."""
    figure, base = go.Figure(), measured["plan"]["base_loss"]
    tolerance, shares = measured["plan"]["tolerance"], {0.0}
    highest, lowest = tolerance, 0.0
    for curve in measured["curves"]:
        if curve["scope"] != "all":
            continue
        color, symbol = CRITERION_LOOKS[curve["criterion"]]
        name, steps = text(f"knowledge.criterion.{curve['criterion']}"), curve["steps"]
        rises = [step["change"] / base for step in steps]
        highest, lowest = max(highest, *rises), min(lowest, *rises)
        shares |= {step["share"] for step in steps}
        figure.add_scatter(
            x=[step["share"] for step in steps],
            y=rises,
            mode="lines+markers",
            line={"color": color, "width": 2},
            marker={"symbol": symbol, "size": 9},
            error_y={
                "array": [(step["interval"][1] - step["change"]) / base for step in steps],
                "thickness": 1.2,
            },
            name=name,
            hovertext=[_step_words(name, step, base, text) for step in steps],
            hoverinfo="text",
        )
    figure.add_hline(tolerance, line=GATE_LINE)
    apply_theme(figure, height=420)
    figure.update_layout(showlegend=True)
    ticks = sorted(shares)
    figure.update_xaxes(
        title=text("knowledge.share_axis"),
        tickvals=[tick for tick in ticks if tick == 0 or tick >= 1 / 16],
        ticktext=[text.percent(tick, 0) for tick in ticks if tick == 0 or tick >= 1 / 16],
    )
    top = min(MOST_RISE, 1.1 * highest)
    ends = [1.1 * lowest - 0.08 * top, top]
    figure.update_yaxes(title=text("knowledge.rise_axis"), tickformat="+.0%", range=ends, nticks=6)
    words = {"tolerance": text.percent(tolerance, 1)}
    title, note = (text(f"knowledge.chart.removal.{part}", **words) for part in ("title", "note"))
    return Chart("knowledge-removal", title, note, figure)


def _step_words(name: str, step: Mapping[str, Any], base: float, text: Translator) -> str:
    low, high = (text.percent(end / base, 1) for end in step["interval"])
    rise = text.percent(step["change"] / base, 1)
    return (
        f"{name}: {text.percent(step['share'], 1)}<br>{text('knowledge.rise_axis')}: {rise} "
        f"({text('report.interval', low=low, high=high)})"
    )


def layers_chart(measured: Mapping[str, Any], text: Translator) -> Chart:
    """Return how much each layer can lose within the tolerance, and what half of it would cost."""
    curves = [curve for curve in measured["curves"] if curve["scope"] == "layer"]
    base = measured["plan"]["base_loss"]
    names = [text("knowledge.layer", number=curve["name"]) for curve in curves]
    stable = [curve["stable"] for curve in curves]
    figure = go.Figure(
        go.Bar(
            x=names,
            y=stable,
            marker={"color": METHOD_COLORS["lora"]},
            hovertext=[
                text(
                    "knowledge.layer_hover",
                    layer=name,
                    share=text.percent(curve["stable"], 0),
                    most=text.percent(curve["steps"][-1]["share"], 0),
                    rise=text.percent(curve["steps"][-1]["change"] / base, 1),
                )
                for name, curve in zip(names, curves, strict=True)
            ],
            hoverinfo="text",
            text=[text.percent(share, 0) for share in stable],
            textposition="outside",
            cliponaxis=False,
        )
    )
    apply_theme(figure, height=320)
    figure.update_layout(showlegend=False, margin={"l": 8, "r": 8, "t": 28, "b": 8})
    figure.update_yaxes(title=text("knowledge.stable_axis"), tickformat=".0%", range=[0, 0.6])
    title, note = (text(f"knowledge.chart.layers.{part}") for part in ("title", "note"))
    return Chart("knowledge-layers", title, note, figure)


def plan_sentences(measured: Mapping[str, Any], text: Translator) -> list[str]:
    """Say which cut is proposed, what it costs, and what the paper's cut of that size costs."""
    plan, chosen = measured["plan"], measured["plan"]["chosen"]
    rows = {
        "scored": text.number(measured["num_scored_rows"]),
        "measured": text.number(measured["num_measured_rows"]),
    }
    tolerance = text.percent(plan["tolerance"], 1)
    if chosen is None:
        return [text("knowledge.plan.none", tolerance=tolerance), text("knowledge.rows", **rows)]
    step, base = chosen["step"], plan["base_loss"]
    low, high = (text.percent(end / base, 1) for end in step["interval"])
    sentences = [
        text(
            "knowledge.plan.found",
            count=text.number(chosen["num_removed"]),
            share=text.percent(chosen["share"], 1),
            part=text(f"knowledge.part.{chosen['part']}"),
            criterion=text(f"knowledge.criterion.{chosen['criterion']}"),
            rise=text.percent(step["change"] / base, 1),
            between=text("report.interval", low=low, high=high),
            tolerance=tolerance,
        )
    ]
    if step["accuracy"] is not None:
        before, after = (text.percent(v) for v in (plan["base_accuracy"], step["accuracy"]))
        sentences.append(text("knowledge.plan.accuracy", before=before, after=after))
    smallest = _magnitude_at(measured, chosen["share"]) if chosen["part"] == "all" else None
    if smallest is not None and chosen["criterion"] != "magnitude":
        rise = text.percent(smallest["change"] / base, 1)
        sentences.append(text("knowledge.plan.paper", rise=rise))
    return [*sentences, text("knowledge.rows", **rows)]


def planned_arm(study: Study, removed: Mapping[str, Sequence[int]]) -> str | None:
    """Return the name of the study's method that makes exactly this cut; None without one."""
    wanted = {module: list(own) for module, own in removed.items()}
    judged = study.named_arms(judged=True).items()
    return next((name for name, arm in judged if wanted and arm.plan == wanted), None)


def outcome_sentences(evidence: Evidence, arm: str, text: Translator) -> list[str]:
    """Say how a planned cut did after tuning, against every other tuned method of the study."""
    labels, judged = arm_labels(evidence.study, text), evidence.study.named_arms(judged=True)
    others = [name for name, other in judged.items() if other.tuned and name != arm]
    found = [evidence.verdict_between(arm, other) for other in others]
    return [verdict_sentence(each, labels, text) for each in found if each is not None]


def _magnitude_at(measured: Mapping[str, Any], share: float) -> Mapping[str, Any] | None:
    for curve in measured["curves"]:
        if (curve["scope"], curve["criterion"]) == ("all", "magnitude"):
            found: Sequence[Mapping[str, Any]] = curve["steps"]
            return next((step for step in found if step["share"] == share), None)
    return None


def criteria_table(measured: Mapping[str, Any], text: Translator) -> Table:
    """Return one row per criterion: what it looks at, how stable it is, how much it can cut."""
    modules = measured["modules"]
    rows = []
    for curve in measured["curves"]:
        if curve["scope"] != "all":
            continue
        name = curve["criterion"]
        found = sorted(module["stability"][name] for module in modules)
        rows.append(
            (
                text(f"knowledge.criterion.{name}"),
                text(f"knowledge.about.{name}"),
                text.number(found[len(found) // 2], 2),
                text.percent(curve["stable"], 1),
            )
        )
    names = ("criterion", "looks_at", "stability", "stable")
    header = tuple(text(f"knowledge.column.{name}") for name in names)
    return Table(header, tuple(rows), numeric=(2, 3))
