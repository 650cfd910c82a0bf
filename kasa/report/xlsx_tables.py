"""The tables of the workbook: every number of a study as a number, under its heading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from kasa.report.labels import arm_labels
from kasa.report.method import conditions_section
from kasa.report.sections import gate_sentence
from kasa.report.tree import Table
from kasa.report.xlsx_cells import Cell, Kind, local, money_kind
from kasa.report.xlsx_grid import Column, Grid
from kasa.runs.records import FinishedRun, RunRecord
from kasa.text import Translator
from kasa.verdict.compare import ArmSummary
from kasa.verdict.costs import run_cost
from kasa.verdict.evidence import Evidence
from kasa.verdict.measures import METRIC_MEASURES

MOST_PREDICTIONS = 100_000
MB = 1e6
# A gate's unit as a kind of cell.
GATE_KINDS: dict[str, Kind] = {
    "train_minutes_max": "minutes",
    "peak_memory_gb_max": "gigabytes",
    "money_max": "money",
}
SECONDS = ("prepare_seconds", "train_seconds", "evaluate_seconds", "total_seconds")


def metric_kind(metric: str) -> Kind:
    """Return the kind of a metric's cells."""
    return "fraction" if METRIC_MEASURES[metric].unit == "fraction" else "correlation"


def _run_money(evidence: Evidence) -> Kind:
    currency = evidence.study.prices.currency
    return money_kind(
        currency, *(run_cost(run.total_seconds, evidence.study) for run in evidence.finished)
    )


def arms_grid(evidence: Evidence, text: Translator) -> Grid:
    """Return a row per method: every metric with its 95 % interval, then what it took."""
    labels, metrics = arm_labels(evidence.study, text), evidence.study.metrics
    writes = any(arm.perplexity is not None for arm in evidence.summaries)

    def row(arm: ArmSummary) -> tuple[Any, ...]:
        quality: list[Any] = []
        for metric in metrics:
            quality += [arm.metrics[metric].mean, *evidence.intervals[metric][arm.arm]]
        return (
            labels[arm.arm],
            arm.num_seeds,
            *quality,
            *((arm.perplexity,) if writes else ()),
            arm.train_seconds,
            arm.total_seconds,
            arm.peak_memory_bytes / MB,
            arm.num_trainable_params,
            arm.num_total_params,
            run_cost(arm.total_seconds, evidence.study),
        )

    columns = [Column(text("report.column.arm")), Column(text("report.column.seeds"), "count")]
    for metric in metrics:
        name = text(f"metrics.{metric}")
        titles = (name, text("sheet.low", name=name), text("sheet.high", name=name))
        columns += [Column(title, metric_kind(metric)) for title in titles]
    if writes:
        columns.append(Column(text("metrics.perplexity"), "number"))
    columns += [
        Column(text("metrics.axis.train_seconds"), "tenths"),
        Column(text("metrics.axis.total_seconds"), "tenths"),
        Column(text("metrics.axis.peak_memory_bytes"), "count"),
        Column(text("metrics.num_trainable_params"), "count"),
        Column(text("metrics.num_total_params"), "count"),
        Column(text("metrics.money"), _run_money(evidence)),
    ]
    return Grid(tuple(columns), tuple(row(arm) for arm in evidence.summaries))


def gates_grid(evidence: Evidence, text: Translator) -> Grid:
    """Return a row per method and requirement: what is asked, what was measured, and the result."""
    labels, rows = arm_labels(evidence.study, text), []
    for gate in evidence.gates:
        kind = GATE_KINDS.get(gate.gate) or metric_kind(evidence.metric)
        if kind == "money":
            currency = evidence.study.prices.currency
            kind = money_kind(currency, gate.measured, gate.high)
        numbers = (gate.required, gate.measured, gate.low, gate.high)
        rows.append(
            (
                labels[gate.arm],
                gate_sentence(gate, evidence, text),
                *(Cell(number, kind) for number in numbers),
                Cell(text(f"verdict.gate_status.{gate.status}"), look=gate.status),
            )
        )
    names = ("required", "measured", "from", "to", "status")
    columns = (
        Column(text("report.column.arm")),
        Column(text("sheet.column.requirement"), span=3),
        *(Column(text(f"sheet.column.{name}"), "number") for name in names),
    )
    return Grid(columns, tuple(rows))


def comparison_grid(evidence: Evidence, text: Translator) -> Grid:
    """Return a row per pair of methods and metric: both values, their difference, the verdict."""
    labels, rows = arm_labels(evidence.study, text), []
    for found in evidence.verdicts:
        kind = metric_kind(found.metric)
        rows.append(
            (
                text(f"metrics.{found.metric}"),
                labels[found.a],
                labels[found.b],
                Cell(found.a_value, kind),
                Cell(found.b_value, kind),
                100 * found.difference,
                100 * found.interval[0],
                100 * found.interval[1],
                text(f"verdict.word.{found.verdict}"),
                found.num_seeds,
                found.num_rows,
            )
        )
    gap = text("report.column.difference")
    columns = (
        Column(text("sheet.column.metric")),
        Column(text("sheet.column.a")),
        Column(text("sheet.column.b")),
        Column(text("sheet.column.value_a"), "fraction"),
        Column(text("sheet.column.value_b"), "fraction"),
        Column(gap, "points"),
        Column(text("sheet.low", name=gap), "points"),
        Column(text("sheet.high", name=gap), "points"),
        Column(text("sheet.column.verdict")),
        Column(text("report.column.seeds"), "count"),
        Column(text("report.column.test_rows"), "count"),
    )
    return Grid(columns, tuple(rows))


def runs_grid(evidence: Evidence, text: Translator) -> Grid:
    """Return a row per run with all its measurements; a failed one has its reason."""
    metrics = evidence.study.metrics
    names = {name: text(f"metrics.{name}") for name in metrics}
    columns = (
        Column(text("report.column.run_id")),
        Column(text("report.column.arm")),
        Column(text("report.column.seed"), "integer"),
        Column(text("report.column.run_status")),
        *(Column(names[name], metric_kind(name)) for name in metrics),
        *(
            Column(text("sheet.column.validation", metric=names[name]), metric_kind(name))
            for name in metrics
        ),
        Column(text("report.column.selected")),
        Column(text("sheet.column.prepare"), "tenths"),
        Column(text("metrics.axis.train_seconds"), "tenths"),
        Column(text("sheet.column.evaluate"), "tenths"),
        Column(text("metrics.axis.total_seconds"), "tenths"),
        Column(text("sheet.column.before"), "count"),
        Column(text("metrics.axis.peak_memory_bytes"), "count"),
        Column(text("sheet.column.speed"), "count"),
        Column(text("sheet.column.energy"), "count"),
        Column(text("metrics.num_trainable_params"), "count"),
        Column(text("metrics.num_total_params"), "count"),
        Column(text("metrics.money"), _run_money(evidence)),
        Column(text("sheet.column.started"), "date"),
        Column(text("sheet.column.finished"), "date"),
        Column(text("sheet.column.error")),
    )
    labels = arm_labels(evidence.study, text)
    measured = {run.id: run for run in evidence.all_finished}
    rows = []
    for run in evidence.runs:
        done = measured.get(run.id)
        facts = _measured(done, evidence) if done else (None,) * (2 * len(metrics) + 12)
        status = text(f"report.status.{run.status}")
        first = (run.id, labels[str(run.arm)], run.seed, status)
        rows.append((*first, *facts, *_moments(run, text)))
    return Grid(columns, tuple(rows)).filled()


def _measured(run: FinishedRun, evidence: Evidence) -> tuple[Any, ...]:
    metrics = evidence.study.metrics
    return (
        *(run.metrics.get(name) for name in metrics),
        *(run.validation.get(name) for name in metrics),
        ", ".join(f"{name} = {value:g}" for name, value in run.selected.items()),
        *(getattr(run, name) for name in SECONDS),
        run.baseline_memory_bytes / MB,
        run.peak_memory_bytes / MB,
        run.tokens_per_second,
        run.energy_joules,
        run.num_trainable_params,
        run.num_total_params,
        run_cost(run.total_seconds, evidence.study),
    )


def _moments(run: RunRecord, text: Translator) -> tuple[Any, ...]:
    reason = " ".join(run.error.parts(text)) if run.error else None
    return local(run.started_at), local(run.finished_at), reason


def classes_grid(evidence: Evidence, text: Translator) -> Grid:
    """Return a row per method and class: test rows, recall with its interval, precision."""
    labels, rows = arm_labels(evidence.study, text), []
    for arm in evidence.summaries:
        shares = evidence.classes.get(arm.arm, {})
        for place, label in enumerate(arm.labels if arm.confusion else ()):
            right, true = arm.confusion[place][place], sum(arm.confusion[place])
            named, share = sum(row[place] for row in arm.confusion), shares.get(label)
            rows.append(
                (
                    labels[arm.arm],
                    label,
                    true,
                    right / true if true else None,
                    share.low if share else None,
                    share.high if share else None,
                    right / named if named else None,
                )
            )
    recall = text("sheet.column.recall")
    columns = (
        Column(text("report.column.arm")),
        Column(text("report.column.label")),
        Column(text("report.column.rows_over_seeds"), "count"),
        Column(recall, "fraction"),
        Column(text("sheet.low", name=recall), "fraction"),
        Column(text("sheet.high", name=recall), "fraction"),
        Column(text("sheet.column.precision"), "fraction"),
    )
    return Grid(columns, tuple(rows))


def count_predictions(evidence: Evidence) -> int:
    """Return how many predictions all runs have made."""
    return sum(len(run.predictions) for run in evidence.all_finished)


def predictions_grid(evidence: Evidence, text: Translator) -> Grid:
    """Return the first predictions of all runs; scores are numbers."""
    scores = evidence.study.task == "regression"
    kind: Kind = "number" if scores else "text"
    sure = any("confidence" in run.predictions for run in evidence.all_finished)
    columns = (
        Column(text("report.column.run_id")),
        Column(text("report.column.arm")),
        Column(text("report.column.seed"), "integer"),
        Column(text("report.column.row"), "integer"),
        Column(text("report.column.label"), kind),
        Column(text("sheet.column.predicted"), kind),
        *((Column(text("sheet.column.sure"), "fraction"),) if sure else ()),
    )
    names = arm_labels(evidence.study, text)
    rows = tuple(
        (run, names[arm], *rest[: len(columns) - 2])
        for run, arm, *rest in _predicted(evidence, numbers=scores)
    )
    return Grid(columns, rows)


def _predicted(evidence: Evidence, *, numbers: bool) -> Iterator[tuple[Any, ...]]:
    left = MOST_PREDICTIONS
    for run in evidence.all_finished:
        table = run.predictions.head(left)
        left -= len(table)
        answers = [table[name] for name in ("label", "predicted")]
        if numbers:
            answers = [pd.to_numeric(column, errors="coerce") for column in answers]
        sure = table["confidence"] if "confidence" in table else [None] * len(table)
        columns = (table["row"].tolist(), *(column.tolist() for column in answers), list(sure))
        yield from ((run.id, run.arm, run.seed, *values) for values in zip(*columns, strict=True))


def conditions_grid(evidence: Evidence, text: Translator) -> Grid:
    """Return the report's conditions, with numbers and dates as such."""
    section = conditions_section(evidence, text)
    table = next(block for block in section.blocks if isinstance(block, Table))
    protocol = evidence.study.protocol
    ended = [run.finished_at for run in evidence.runs if run.finished_at]
    typed: dict[str, Cell] = {
        "created": Cell(local(evidence.record.created_at), "date"),
        "last_run": Cell(local(max(ended, default=None)), "date"),
        "split_seed": Cell(protocol.split_seed, "count"),
        "max_length": Cell(protocol.max_length, "count"),
        "parallel_runs": Cell(protocol.places, "count"),
    }
    for name, value in evidence.conditions.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            size = name.endswith("_bytes")
            kind: Kind = "gigabytes" if size else "count" if isinstance(value, int) else "number"
            typed[name] = Cell(value / 1e9 if size else value, kind)
    keys = {name: f"report.condition.{name}" for name in typed}
    known = {text(key) if text.has(key) else name: typed[name] for name, key in keys.items()}
    rows = tuple(
        (name, replace(known[name], look="left", shown=words) if name in known else words)
        for name, words in table.rows
    )
    return Grid(tuple(Column(title) for title in table.header), rows)
