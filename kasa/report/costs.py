"""What every method costs and brings at work, what that depends on, and every number assumed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

import plotly.graph_objects as go

from kasa.prices import OWNED
from kasa.report.decision import months_words
from kasa.report.labels import arm_labels, plain
from kasa.report.palette import apply_theme
from kasa.report.plots import Chart, arm_names
from kasa.report.series import ChartData, Series
from kasa.report.tree import Block, Charts, Paragraph, Section, Table
from kasa.text import Translator
from kasa.verdict.business import (
    HORIZONS,
    PARTS,
    Case,
    Lever,
    answers_to_break_even,
    benefit,
    case_of,
    costs,
    given,
    levers,
    months_to_break_even,
    net,
    net_interval,
    result,
    right_metric,
    total,
)
from kasa.verdict.compare import ArmSummary
from kasa.verdict.decision import decide
from kasa.verdict.evidence import Evidence

PART_COLORS = dict(zip(PARTS, ("#0072B2", "#E69F00", "#56B4E9", "#9AA5B1"), strict=True))
LOW_COLOR, HIGH_COLOR = "#56B4E9", "#0072B2"
MOST_LEVERS = 8
TEN_TIMES, SEVEN_BILLION, BYTES_16_BIT = 10, 7_000_000_000, 2
MONEY_INPUTS = {
    "machine_per_hour",
    "purchase",
    "power_per_kwh",
    "staff_per_hour",
    "benefit_per_correct",
    "loss_per_wrong",
    "machine_hour",
    "staff_hour",
}


def costs_section(evidence: Evidence, text: Translator) -> Section:
    """Return costs and benefit per method and horizon, and every number behind them."""
    title = text("meeting.section.costs")
    if not evidence.summaries:
        return Section("costs", title, ())
    study = evidence.study
    blocks: list[Block] = [costs_table(evidence, text), Charts((costs_chart(evidence, text),))]
    blocks += [Paragraph(note, small=True) for note in costs_notes(evidence, text)]
    blocks += [inputs_table(evidence, text), scale_table(evidence, text)]
    blocks.append(Paragraph(text("meeting.scale_note"), small=True))
    arm = subject(evidence)
    case, label = case_of(evidence, arm), arm_labels(study, text)[arm]
    return Section("costs", title, tuple(blocks), _message(case, label, evidence, text))


def subject(evidence: Evidence) -> str:
    """Return the arm that the recommendation is about, else the first one."""
    return decide(evidence).arm or evidence.summaries[0].arm


def _message(case: Case, label: str, evidence: Evidence, text: Translator) -> str:
    money = _money(evidence, text)
    gained, ends = net(case, "three_years"), net_interval(case, "three_years")
    if gained is None or ends is None:
        people = money(costs(case, "three_years")["people"])
        spent = money(total(case, "three_years"))
        return text("meeting.costs_message", arm=label, total=spent, people=people)
    low, high = (money(end) for end in sorted(ends))
    return text("meeting.costs_message_net", arm=label, net=money(gained), low=low, high=high)


def _money(evidence: Evidence, text: Translator) -> Callable[[float], str]:
    currency = evidence.study.prices.currency
    return lambda amount: text.money(amount, currency)


def costs_notes(evidence: Evidence, text: Translator) -> list[str]:
    """Return what the costs count, and what was not entered."""
    notes = [text("meeting.costs_note")]
    if right_metric(evidence.study) is None:
        notes.append(text("meeting.right_unknown"))
    elif not case_of(evidence, evidence.summaries[0].arm).priced:
        notes.append(text("meeting.no_benefit"))
    return [*notes, machine_source(evidence, text)]


def machine_source(evidence: Evidence, text: Translator) -> str:
    """Say where the price of the machine is from, or that nobody has said so."""
    prices = evidence.study.prices
    if not prices.source:
        return text("meeting.machine_source_none")
    dated = prices.dated or text("meeting.unknown")
    return text("meeting.machine_source", source=prices.source, dated=dated)


def costs_table(evidence: Evidence, text: Translator) -> Table:
    """Return a row per method: cost at each horizon, then benefit, net and break-even if known."""
    labels, money = arm_labels(evidence.study, text), _money(evidence, text)
    cases = {summary.arm: case_of(evidence, summary.arm) for summary in evidence.summaries}
    priced = next(iter(cases.values())).priced
    horizons = (text(f"meeting.horizon.{name}") for name in HORIZONS)
    last = ("benefit", "net", "months", "answers") if priced else ()
    header = (
        text("report.column.arm"),
        *horizons,
        *(text(f"meeting.row.{name}") for name in last),
    )
    rows = []
    for arm, case in cases.items():
        spent = tuple(money(total(case, horizon)) for horizon in HORIZONS)
        rows.append((labels[arm], *spent, *(_gains(case, evidence, text) if priced else ())))
    return Table(header, tuple(rows), numeric=tuple(range(1, len(header))))


def _gains(case: Case, evidence: Evidence, text: Translator) -> tuple[str, ...]:
    """Return benefit, net with its interval, months and answers to break even, over three years."""
    money, ends = _money(evidence, text), net_interval(case, "three_years") or (0.0, 0.0)
    low, high = (money(end) for end in sorted(ends))
    value = money(net(case, "three_years") or 0.0)
    answers = answers_to_break_even(case)
    return (
        money(benefit(case, "three_years") or 0.0),
        text("meeting.between", value=value, low=low, high=high),
        months_words(months_to_break_even(case), text),
        text("meeting.never") if answers is None else text.number(math.ceil(answers)),
    )


def inputs(evidence: Evidence) -> dict[str, float | None]:
    """Return every number that the costs rest on by name; None where it was not entered."""
    study = evidence.study
    owned = study.prices.purchase is not None
    values: dict[str, float | None] = {}
    for record in (study.prices, study.operation):
        for each in fields(record):
            unused = each.name == "machine_per_hour" if owned else each.name in OWNED
            if each.name not in {"currency", "source", "dated"} and not unused:
                values[each.name] = getattr(record, each.name)
    values["staff_per_hour"] = study.operation.staff(study.prices.currency)
    return values


def num_assumed(evidence: Evidence) -> tuple[int, int]:
    """Return how many of the costs' numbers the studio assumed, and how many there are."""
    entered = given(evidence.study)
    sources = [source_of(name, value, entered) for name, value in inputs(evidence).items()]
    return sources.count("assumed"), len(sources) - sources.count("open")


def inputs_table(evidence: Evidence, text: Translator) -> Table:
    """Return every number that the costs rest on, and whether it was entered or assumed."""
    entered = given(evidence.study)
    rows = tuple(
        (
            text(f"meeting.input.{name}"),
            input_words(name, value, evidence, text),
            text(f"meeting.source.{source_of(name, value, entered)}"),
        )
        for name, value in inputs(evidence).items()
    )
    names = ("item", "value", "source")
    return Table(tuple(text(f"meeting.column.{name}") for name in names), rows, numeric=(1,))


def source_of(name: str, value: float | None, entered: frozenset[str]) -> str:
    """Say whether a number was entered or assumed, or is open."""
    if value is None:
        return "open"
    return "given" if name in entered else "assumed"


def input_words(name: str, value: float | None, evidence: Evidence, text: Translator) -> str:
    """Return a number of the cost model as people write it."""
    if value is None:
        return text("meeting.unknown")
    if name in MONEY_INPUTS:
        return text.money(value, evidence.study.prices.currency)
    if name == "right":
        return text.percent(value)
    digits = 0 if value == int(value) else 2
    units = {"watts": "watts", "years": "years", "seconds": "seconds"}
    unit = next((u for word, u in units.items() if name.endswith(word)), None)
    if unit is None and "hours" in name:
        unit = "hours"
    number = text.number(value, digits)
    return text(f"meeting.unit.{unit}", value=number) if unit else number


def scale_arm(evidence: Evidence) -> ArmSummary:
    """Return the arm that estimates for more rows and a larger base start from."""
    tuned = [s for s in evidence.summaries if s.num_trainable_params and s.train_seconds]
    return max(tuned or evidence.summaries, key=lambda s: s.num_total_params)


def scale_table(evidence: Evidence, text: Translator) -> Table:
    """Return the measured tuning beside estimates for ten times the rows and a 7B base.

    Time grows with rows · parameters, the 7B base's memory is at least two bytes a parameter.
    """
    names, arm = arm_labels(evidence.study, text), scale_arm(evidence)
    larger = SEVEN_BILLION / max(1, arm.num_total_params)
    rows = text.number(evidence.card.sizes["train"])
    now = text("meeting.scale.now", arm=names[arm.arm], rows=rows)
    least = text("meeting.scale.at_least", size=text.bytes(SEVEN_BILLION * BYTES_16_BIT))
    memory = text.bytes(arm.peak_memory_bytes)
    table = (
        (now, text.seconds(arm.total_seconds), memory),
        (text("meeting.scale.rows"), text.seconds(TEN_TIMES * arm.total_seconds), memory),
        (text("meeting.scale.base"), text.seconds(larger * arm.total_seconds), least),
    )
    header = tuple(text(f"meeting.column.{name}") for name in ("scale", "time", "memory"))
    return Table(header, table, numeric=(1, 2))


def costs_chart(evidence: Evidence, text: Translator) -> Chart:
    """Return three years' cost per method, in pieces."""
    names, figure, series = arm_names(evidence, text), go.Figure(), []
    arms = [summary.arm for summary in evidence.summaries]
    found = {arm: costs(case_of(evidence, arm), "three_years") for arm in arms}
    money, currency = _money(evidence, text), evidence.study.prices.currency
    for part in PARTS:
        label, values = text(f"meeting.part.{part}"), tuple(found[arm][part] for arm in arms)
        figure.add_bar(
            y=[names[arm] for arm in reversed(arms)],
            x=list(reversed(values)),
            orientation="h",
            name=label,
            marker={"color": PART_COLORS[part]},
            hovertext=[
                f"{names[arm]}<br>{label}: {plain(money(value), 40)}"
                for arm, value in zip(reversed(arms), reversed(values), strict=True)
            ],
            hoverinfo="text",
        )
        series.append(Series(label, values, colors=(PART_COLORS[part],)))
    apply_theme(figure, height=170 + 48 * len(arms))
    title = text("meeting.money_axis", currency=currency)
    figure.update_layout(barmode="stack", showlegend=True, margin={"l": 8, "r": 16, "t": 64})
    figure.update_layout(legend={"traceorder": "normal"})
    figure.update_xaxes(title=title, nticks=5, rangemode="tozero")
    labels = arm_labels(evidence.study, text, short=True)
    categories = tuple(labels[arm] for arm in arms)
    data = ChartData("stacked", "money", tuple(series), title, categories, currency=currency)
    words = (text("meeting.chart.costs.title"), text("meeting.chart.costs.note"))
    return Chart("costs", *words, figure, data)


def dependence_section(evidence: Evidence, text: Translator) -> Section:
    """Return the tornado: what the three-year result depends on, with the numbers below it."""
    title = text("meeting.section.dependence")
    if not evidence.summaries:
        return Section("dependence", title, ())
    arm = subject(evidence)
    found = levers(case_of(evidence, arm))[:MOST_LEVERS]
    if not found:
        return Section("dependence", title, ())
    first = text.listed([text(f"meeting.input.{lever.name}") for lever in found[:2]])
    message = text("meeting.dependence_message", names=first)
    blocks = (Charts((tornado(evidence, text, arm, found),)), _levers_table(found, evidence, text))
    return Section("dependence", title, blocks, message)


def _levers_table(found: tuple[Lever, ...], evidence: Evidence, text: Translator) -> Table:
    money = _money(evidence, text)
    rows = tuple(
        (_lever_name(lever, evidence, text), money(lever.at_low), money(lever.at_high))
        for lever in found
    )
    names = ("item", "result", "result_high")
    return Table(tuple(text(f"meeting.column.{name}") for name in names), rows, numeric=(1, 2))


def _lever_name(lever: Lever, evidence: Evidence, text: Translator) -> str:
    ends = [input_words(lever.name, value, evidence, text) for value in (lever.low, lever.high)]
    between = text("report.interval", low=ends[0], high=ends[1])
    return f"{text(f'meeting.input.{lever.name}')}\n({between})"


def tornado(evidence: Evidence, text: Translator, arm: str, found: tuple[Lever, ...]) -> Chart:
    """Return a bar per number from the result at its low value to that at its high one."""
    case, currency = case_of(evidence, arm), evidence.study.prices.currency
    base, money, figure = result(case), _money(evidence, text), go.Figure()
    names = tuple(text(f"meeting.input.{lever.name}") for lever in found)
    series = []
    for end, color in (("low", LOW_COLOR), ("high", HIGH_COLOR)):
        values = tuple(getattr(lever, f"at_{end}") for lever in found)
        label = text(f"meeting.chart.levers.{end}")
        figure.add_bar(
            y=list(reversed(names)),
            x=[value - base for value in reversed(values)],
            base=base,
            orientation="h",
            name=label,
            marker={"color": color},
            hovertext=[f"{label}: {plain(money(value), 40)}" for value in reversed(values)],
            hoverinfo="text",
        )
        series.append(Series(label, values, colors=(color,)))
    figure.add_vline(x=base, line={"color": "#52606D", "width": 1})
    apply_theme(figure, height=150 + 40 * len(found))
    title = text("meeting.money_axis", currency=currency)
    figure.update_layout(barmode="overlay", showlegend=True, margin={"l": 8, "r": 16, "t": 64})
    figure.update_xaxes(title=title, nticks=5)
    kind = "title_net" if case.priced else "title_cost"
    label = arm_labels(evidence.study, text)[arm]
    heading = text(f"meeting.chart.levers.{kind}", arm=label)
    data = ChartData("span", "money", tuple(series), title, names, base=base, currency=currency)
    return Chart("levers", heading, text("meeting.chart.levers.note"), figure, data)
