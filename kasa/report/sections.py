"""The report as small sections, each made from the evidence; formats only lay them out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from weakref import WeakKeyDictionary

from kasa.report import plots
from kasa.report.ablation import ablation_section
from kasa.report.collateral import collateral_section
from kasa.report.costs import costs_section, dependence_section
from kasa.report.curves import curves_section
from kasa.report.data_section import data_section
from kasa.report.decision import decision_section, stages_section
from kasa.report.glossary import glossary_section
from kasa.report.handling import handling_section
from kasa.report.headline import headline
from kasa.report.labels import arm_labels, metric_words
from kasa.report.method import (
    conditions_section,
    joint_note,
    limits_section,
    method_section,
)
from kasa.report.options import PackOptions
from kasa.report.robustness import (
    classes_section,
    never_right_section,
    robustness_section,
)
from kasa.report.talk import phrases_section
from kasa.report.talk_questions import questions_section
from kasa.report.tradeoff import cost_measures, tradeoff
from kasa.report.tree import Block, Bullets, Charts, Paragraph, Section, Table
from kasa.text import Translator
from kasa.verdict.compare import ArmSummary
from kasa.verdict.costs import machine_seconds, run_cost, total_cost
from kasa.verdict.evidence import Evidence
from kasa.verdict.gates import GateResult

MOST_EXAMPLES = 30
MADE: WeakKeyDictionary[Evidence, dict[str, tuple[Section, ...]]] = WeakKeyDictionary()
SHOWING_ROWS = ("examples", "never_right", "data")


def report_sections(
    evidence: Evidence, text: Translator, options: PackOptions | None = None
) -> tuple[Section, ...]:
    """Return the report's sections in reading order, the verdict first; empty ones are left out.

    `options` choose among them; its language is `text`'s affair. Sections of one evidence are made
    once for all formats of a pack, and kept as long as the evidence is.
    """
    wanted, made = options or PackOptions(), MADE.setdefault(evidence, {})
    if text.lang not in made:
        made[text.lang] = _all_sections(evidence, text)
    return tuple(section for section in made[text.lang] if wanted.shows(section.key))


def _all_sections(evidence: Evidence, text: Translator) -> tuple[Section, ...]:
    makers: tuple[Callable[[Evidence, Translator], Section], ...] = (
        verdict_section,
        decision_section,
        gates_section,
        arms_section,
        differences_section,
        ablation_section,
        tradeoff_section,
        costs_section,
        dependence_section,
        stages_section,
        phrases_section,
        questions_section,
        training_section,
        classes_section,
        confusion_section,
        never_right_section,
        examples_section,
        robustness_section,
        curves_section,
        collateral_section,
        data_section,
        handling_section,
        method_section,
        conditions_section,
        limits_section,
        glossary_section,
        runs_section,
    )
    sections = (_told(make(evidence, text), evidence, text) for make in makers)
    return tuple(section for section in sections if section.blocks)


def _told(section: Section, evidence: Evidence, text: Translator) -> Section:
    """Return a section that would show rows with a note where their texts are not here."""
    if evidence.card.texts or section.key not in SHOWING_ROWS or not section.blocks:
        return section
    note = Paragraph(text("bundle.no_texts"), small=True)
    return replace(section, blocks=(note, *section.blocks))


def verdict_section(evidence: Evidence, text: Translator) -> Section:
    """Return the verdict in sentences, with its cautions."""
    found = headline(evidence, text)
    blocks: list[Block] = [Paragraph(sentence) for sentence in found.sentences]
    if found.cautions:
        blocks.append(Bullets(found.cautions))
    return Section("verdict", text("report.section.verdict"), tuple(blocks))


def gate_sentence(gate: GateResult, evidence: Evidence, text: Translator) -> str:
    """Return what a gate asks for, for example "Accuracy at least 85.0%"."""
    metric = text(f"metrics.{evidence.metric}")
    value = gate_value(gate.gate, gate.required, evidence, text)
    return text(f"verdict.gate.{gate.gate}", metric=metric, value=value)


def gate_value(gate: str, value: float | None, evidence: Evidence, text: Translator) -> str:
    """Return a gate's number with its unit; a dash where nothing was measured."""
    if value is None:
        return "–"
    ways: dict[str, Callable[[float], str]] = {
        "metric_min": lambda least: metric_words(evidence.metric, least, text),
        "train_minutes_max": lambda minutes: _minutes(minutes, text),
        "peak_memory_gb_max": lambda size: text.bytes(1e9 * size),
        "money_max": lambda amount: text.money(amount, evidence.study.prices.currency),
    }
    return ways[gate](value)


def _minutes(minutes: float, text: Translator) -> str:
    if minutes == int(minutes) and minutes < 60:
        return text.unit(minutes, "minute")
    return text.seconds(60 * minutes)


def gates_table(evidence: Evidence, text: Translator) -> Table:
    """Return one row per arm and one column per gate: status, measured value and range."""
    labels = arm_labels(evidence.study, text)
    gates = {gate.gate: gate_sentence(gate, evidence, text) for gate in evidence.gates}
    cells = {(gate.arm, gate.gate): _gate_cell(gate, evidence, text) for gate in evidence.gates}
    rows = tuple(
        (labels[arm], *(cells[arm, gate] for gate in gates))
        for arm in evidence.study.named_arms(judged=True)
    )
    header = (text("report.column.arm"), *gates.values())
    return Table(header, rows, numeric=tuple(range(1, len(header))))


def _gate_cell(gate: GateResult, evidence: Evidence, text: Translator) -> str:
    status = text(f"verdict.gate_status.{gate.status}")
    if gate.measured is None:
        return status
    value, low, high = (
        gate_value(gate.gate, number, evidence, text)
        for number in (gate.measured, gate.low, gate.high)
    )
    between = "" if low == high else f"\n({text('report.interval', low=low, high=high)})"
    return f"{status}\n{value}{between}"


def gates_section(evidence: Evidence, text: Translator) -> Section:
    """Return the requirements, each arm against each; without gates a sentence that says so."""
    title = text("report.section.gates")
    if not evidence.gates:
        return Section("gates", title, (Paragraph(text("report.no_gates")),))
    blocks = (gates_table(evidence, text), Paragraph(text("report.gates_note"), small=True))
    return Section("gates", title, blocks)


def arms_table(evidence: Evidence, text: Translator, *, short: bool = False) -> Table:
    """Return one row per arm: metrics with their range, time, memory, parameters, money."""
    labels, prices = arm_labels(evidence.study, text, short=short), evidence.study.prices
    seconds = ("prepare_seconds", "train_seconds", "total_seconds")
    metrics = sorted(evidence.study.metrics)
    writes = any(arm.perplexity is not None for arm in evidence.summaries)
    header = (
        *(text(f"report.column.{name}") for name in ("arm", "seeds")),
        *(text(f"metrics.{name}") for name in metrics),
        *((text("metrics.perplexity"),) if writes else ()),
        *(text(f"metrics.{name}") for name in seconds),
        *(text(f"report.column.{name}") for name in ("memory", "params")),
        text("metrics.money"),
    )

    def row(arm: ArmSummary) -> tuple[str, ...]:
        return (
            labels[arm.arm],
            text.number(arm.num_seeds),
            *(metric_cell(arm, metric, text) for metric in metrics),
            *((_perplexity(arm, text),) if writes else ()),
            *(text.seconds(getattr(arm, name)) for name in seconds),
            f"{text.bytes(arm.peak_memory_bytes)}\n({text.bytes(arm.baseline_memory_bytes)})",
            f"{text.number(arm.num_trainable_params)}\n/ {text.number(arm.num_total_params)}",
            text.money(run_cost(arm.total_seconds, evidence.study), prices.currency),
        )

    rows = tuple(row(arm) for arm in evidence.summaries)
    return Table(header, rows, numeric=tuple(range(1, len(header))))


def _perplexity(arm: ArmSummary, text: Translator) -> str:
    return "–" if arm.perplexity is None else text.number(arm.perplexity, 2)


def metric_cell(arm: ArmSummary, metric: str, text: Translator) -> str:
    """Return a mean with its lowest and highest seed, for example 88.1% (87.3–88.9)."""
    values = arm.metrics[metric]
    if arm.num_seeds == 1:
        return metric_words(metric, values.mean, text)
    ends = [metric_words(metric, value, text) for value in (values.min, values.max)]
    low, high = (words.removesuffix("%") for words in ends)
    return f"{metric_words(metric, values.mean, text)}\n({low}–{high})"


def arms_section(evidence: Evidence, text: Translator) -> Section:
    """Return the table of arms and the dots per seed."""
    title = text("report.section.arms")
    if not evidence.summaries:
        return Section("arms", title, ())
    metrics = evidence.study.metrics
    dots = tuple(plots.metric_dots(evidence, text, metric) for metric in metrics)
    names = tuple(text(f"metrics.{metric}") for metric in metrics)
    study = evidence.study
    finished = evidence.all_finished
    spent = sum(run.total_seconds for run in finished)
    total = text(
        "report.total_cost",
        runs=text.number(len(finished)),
        time=text.seconds(machine_seconds(spent, study)),
        money=text.money(total_cost(finished, study), study.prices.currency),
        price=text.money(study.prices.hourly, study.prices.currency),
    )
    blocks = (
        arms_table(evidence, text),
        Paragraph(text("report.arms_note"), small=True),
        Paragraph(total, small=True),
        Charts(dots, text("report.choose.metric"), names),
    )
    return Section("arms", title, blocks)


def verdicts_table(evidence: Evidence, text: Translator, metric: str) -> Table:
    """Return one row per pair of arms: difference, interval, verdict, seeds and rows."""
    labels = arm_labels(evidence.study, text)
    names = ("pair", "difference", "interval", "verdict", "seeds", "test_rows")
    rows = tuple(
        (
            text("report.pair", a=labels[verdict.a], b=labels[verdict.b]),
            text.points(verdict.difference),
            text(
                "report.interval",
                low=text.points(verdict.interval[0]),
                high=text.points(verdict.interval[1]),
            ),
            text(f"verdict.word.{verdict.verdict}"),
            text.number(verdict.num_seeds),
            text.number(verdict.num_rows),
        )
        for verdict in evidence.verdicts
        if verdict.metric == metric
    )
    return Table(tuple(text(f"report.column.{name}") for name in names), rows, numeric=(1, 2, 4, 5))


def differences_section(evidence: Evidence, text: Translator) -> Section:
    """Return every pair of arms: chart and table per metric."""
    title = text("report.section.differences")
    if not evidence.verdicts:
        return Section("differences", title, ())
    metrics = evidence.study.metrics
    charts = tuple(plots.differences(evidence, text, metric) for metric in metrics)
    tables = tuple(verdicts_table(evidence, text, metric) for metric in metrics)
    names = tuple(text(f"metrics.{metric}") for metric in metrics)
    blocks: tuple[Block, ...] = (
        Charts(charts, text("report.choose.metric"), names, tables),
        *(Paragraph(note, small=True) for note in joint_note(evidence, text)),
    )
    return Section("differences", title, blocks)


def tradeoff_section(evidence: Evidence, text: Translator) -> Section:
    """Return the deciding metric against each cost."""
    title = text("report.section.tradeoff")
    if not evidence.summaries:
        return Section("tradeoff", title, ())
    costs = [measure.name for measure in cost_measures(evidence)]
    charts = tuple(tradeoff(evidence, text, evidence.metric, cost) for cost in costs)
    names = tuple(text(f"metrics.{cost}") for cost in costs)
    return Section("tradeoff", title, (Charts(charts, text("report.choose.cost"), names),))


def training_section(evidence: Evidence, text: Translator) -> Section:
    """Return the training loss of the tuned arms."""
    chart = plots.loss_curves(evidence, text)
    blocks = (Charts((chart,)),) if chart else ()
    return Section("training", text("report.section.training"), blocks)


def per_class_table(arm: ArmSummary, text: Translator) -> Table:
    """Return per label: test rows over all seeds, recall, and precision."""
    names = ("label", "rows_over_seeds", "recall", "precision")
    rows = []
    for place, label in enumerate(arm.labels):
        right, true = arm.confusion[place][place], sum(arm.confusion[place])
        named = sum(row[place] for row in arm.confusion)
        shares = (text.percent(right / whole, 0) if whole else "–" for whole in (true, named))
        rows.append((label, text.number(true), *shares))
    header = tuple(text(f"report.column.{name}") for name in names)
    return Table(header, tuple(rows), numeric=(1, 2, 3))


def confusion_section(evidence: Evidence, text: Translator) -> Section:
    """Return each arm's confusion matrix with a table per class below it."""
    labels = arm_labels(evidence.study, text)
    arms = [arm for arm in evidence.summaries if arm.confusion]
    charts = tuple(plots.confusion(evidence, text, arm.arm) for arm in arms)
    tables = tuple(per_class_table(arm, text) for arm in arms)
    names = tuple(labels[arm.arm] for arm in arms)
    blocks = (Charts(charts, text("report.choose.arm"), names, tables),) if charts else ()
    return Section("confusion", text("report.section.confusion"), blocks)


def examples_section(evidence: Evidence, text: Translator) -> Section:
    """Return the first test rows on which the arms disagree."""
    title, labels = text("report.section.examples"), arm_labels(evidence.study, text, short=True)
    arms = [arm.arm for arm in evidence.summaries]
    if len(arms) < 2:
        return Section("examples", title, ())
    table = evidence.disagreements
    intro = Paragraph(examples_note(evidence, text))
    if table.empty:
        return Section("examples", title, (intro,))
    first = table.head(MOST_EXAMPLES)
    rows = tuple(tuple(str(cell) for cell in row) for row in first.itertuples(index=False))
    header = tuple(text(f"report.column.{name}") for name in ("row", "text", "label"))
    blocks: list[Block] = [
        intro,
        Table((*header, *(labels[arm] for arm in arms)), rows, numeric=(0,)),
    ]
    if len(table) > MOST_EXAMPLES:
        blocks.append(Paragraph(text("report.examples_cap", shown=MOST_EXAMPLES), small=True))
    return Section("examples", title, tuple(blocks))


def examples_note(evidence: Evidence, text: Translator) -> str:
    """Return on how many test rows the arms differ, and what counts as an arm's answer."""
    kinds = {"regression": "mean", "generation": "first"}
    return text(
        "report.examples_note",
        count=text.number(len(evidence.disagreements)),
        rows=text.number(evidence.card.sizes["test"]),
        kind=text(f"report.usual_answer.{kinds.get(evidence.study.task, 'most')}"),
    )


def runs_table(evidence: Evidence, text: Translator, arms: Collection[str] = ()) -> Table:
    """Return the runs of these arms, or of all, with their id, status and numbers."""
    labels = arm_labels(evidence.study, text)
    measured = {run.id: run for run in evidence.all_finished}
    names = ("run_id", "arm", "seed", "run_status", evidence.metric, "train_seconds", "selected")
    header = tuple(
        text(
            f"metrics.{name}"
            if name in {evidence.metric, "train_seconds"}
            else f"report.column.{name}"
        )
        for name in names
    )
    rows = []
    for run in evidence.runs:
        if arms and run.arm not in arms:
            continue
        done = measured.get(run.id)
        numbers = ("–", "–", "–")
        if done:
            chosen = ", ".join(f"{name} = {value:g}" for name, value in done.selected.items())
            value = metric_words(evidence.metric, done.metrics[evidence.metric], text)
            numbers = (value, text.seconds(done.train_seconds), chosen or "–")
        status = text(f"report.status.{run.status}")
        rows.append((run.id, labels[str(run.arm)], str(run.seed), status, *numbers))
    return Table(header, tuple(rows), numeric=(2, 4, 5))


def runs_section(evidence: Evidence, text: Translator) -> Section:
    """Return every run, and why the failed ones failed."""
    blocks: list[Block] = [runs_table(evidence, text)]
    reasons = tuple(failure_sentences(evidence, text))
    if reasons:
        blocks.append(Bullets(reasons))
    title = text("report.section.runs")
    return Section("runs", title, tuple(blocks) if evidence.runs else ())


def failure_sentences(evidence: Evidence, text: Translator) -> Iterator[str]:
    """Return for each run without a result which one it was and why."""
    labels = arm_labels(evidence.study, text)
    for run in evidence.failed:
        status = text(f"report.status.{run.status}")
        reason = " ".join(run.error.parts(text)) if run.error else ""
        words = {"arm": labels[str(run.arm)], "seed": run.seed, "status": status, "reason": reason}
        yield text("report.failure", **words).strip()
