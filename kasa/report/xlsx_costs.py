"""The costs sheet: live formulas over coloured input cells.

Inputs stand on the left, each under a name (machine_hour, staff_per_hour, …) that the formulas on
the right use; a column there is a method. Every formula carries the value that the study has, for
viewers that do not compute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
from xlsxwriter.utility import xl_rowcol_to_cell
from xlsxwriter.worksheet import Worksheet

from kasa.report.costs import PART_COLORS
from kasa.report.labels import arm_labels
from kasa.report.xlsx_cells import (
    Book,
    Kind,
    clean,
    money_kind,
    printed,
    put,
    width,
)
from kasa.report.xlsx_charts import stacked_chart
from kasa.report.xlsx_cost_lines import UNKNOWN, Line, costs_lines
from kasa.text import Translator
from kasa.verdict import business
from kasa.verdict.business import PARTS, case_of, right_metric
from kasa.verdict.evidence import Evidence

# Every input with its unit; `machine_hour` is a formula of those above it.
INPUTS = {
    "machine_per_hour": "money_hour",
    "purchase": "money",
    "life_years": "years",
    "hours_per_year": "hours_year",
    "power_watts": "watts",
    "power_per_kwh": "money_kwh",
    "machine_hour": "money_hour",
    "staff_per_hour": "money_hour",
    "poc_hours": "hours",
    "rollout_hours": "hours",
    "upkeep_hours_per_month": "hours_month",
    "retrainings_per_year": "times_year",
    "retraining_hours": "hours",
    "rows_per_retraining": "rows",
    "labelling_seconds": "seconds",
    "serving_hours_per_year": "hours_year",
    "answers_per_year": "answers_year",
    "benefit_per_correct": "money_answer",
    "loss_per_wrong": "money_answer",
}
DIVISORS = ("purchase", "life_years", "hours_per_year")
OWN = "AND(N(purchase)>0,N(life_years)>0,N(hours_per_year)>0)"
MACHINE_HOUR = (
    f"=IF({OWN},purchase/(life_years*hours_per_year)"
    "+power_watts/1000*power_per_kwh,machine_per_hour)"
)

TOP = 3
RESULTS = 5  # the column in which the results begin; the inputs take four, then there is a gap


def write_costs(book: Book, sheet: Worksheet, evidence: Evidence) -> None:
    """Write the sheet: inputs on the left, results on the right, the chart below the inputs."""
    text, labels = book.text, arm_labels(evidence.study, book.text)
    arms = [labels[summary.arm] for summary in evidence.summaries]
    lines = costs_lines(evidence, text) if arms else []
    widths = _set_columns(sheet, lines, arms, book)
    sheet.set_row(0, 2 * book.line)
    put(book, sheet, 0, 0, text("sheet.costs.title"), "text", "title")
    put(book, sheet, 1, 1, text("sheet.costs.legend"), "text", "input")
    put(book, sheet, 1, 2, text("sheet.costs.how"), "text", "note")
    sheet.set_row(TOP, 1.6 * book.line)
    below = _write_inputs(book, sheet, evidence)
    _write_results(book, sheet, arms, lines)
    row = _write_notes(book, sheet, evidence, below + 1, sum(widths[:4]))
    if arms:
        _place_chart(book, sheet, lines, len(arms), row)
    printed(sheet, evidence.study.title, top=TOP, pages=1)


def _set_columns(sheet: Worksheet, lines: list[Line], arms: list[str], book: Book) -> list[int]:
    """Set and return the widths of item, value, unit and source, gap, result, and the methods."""
    text = book.text
    item = max(width(text(f"meeting.input.{name}")) for name in INPUTS)
    unit = max(width(_unit(name, book)) for name in INPUTS)
    words = ("sheet.costs.open", "sheet.costs.owned", "meeting.source.assumed")
    source = max(width(text(key)) for key in words)
    result = max(width(line.words) for line in lines) if lines else 0
    own = [min(24, max(15, width(arm) + 2)) for arm in arms]
    widths = [item + 2, 16, unit + 3, source + 3, 3, result + 3, *own]
    for col, wide in enumerate(widths):
        sheet.set_column(col, col, wide)
    return widths


def _unit(name: str, book: Book) -> str:
    return book.text(f"sheet.unit.{INPUTS[name]}", currency=book.currency)


def _write_inputs(book: Book, sheet: Worksheet, evidence: Evidence) -> int:
    """Write the inputs, each cell under its name; return the row below."""
    text, study = book.text, evidence.study
    entered = business.given(study)
    titles = (
        text("sheet.costs.inputs"),
        text("meeting.column.value"),
        text("sheet.column.unit"),
        text("meeting.column.source"),
    )
    for col, title in enumerate(titles):
        put(book, sheet, TOP, col, title, "text", "number_header" if col == 1 else "header")
    for row, name in enumerate(INPUTS, TOP + 1):
        put(book, sheet, row, 0, text(f"meeting.input.{name}"), "text")
        put(book, sheet, row, 2, _unit(name, book), "text")
        place = f"='{sheet.get_name()}'!$B${row + 1}"
        book.workbook.define_name(name, place)
        if name == "machine_hour":
            _write_machine_hour(book, sheet, row, evidence)
            continue
        value = input_value(name, evidence)
        put(book, sheet, row, 1, value, _input_kind(name, value), "input")
        sheet.data_validation(row, 1, row, 1, _validation(name, book))
        source = "given" if name in entered else "assumed"
        words = "sheet.costs.open" if value is None else f"meeting.source.{source}"
        put(book, sheet, row, 3, text(words), "text")
    return TOP + 1 + len(INPUTS)


def input_value(name: str, evidence: Evidence) -> float | None:
    """Return one of the inputs as the study has it."""
    study = evidence.study
    if name == "staff_per_hour":
        return study.operation.staff(study.prices.currency)
    record: Any = study.prices if hasattr(study.prices, name) else study.operation
    value: float | None = getattr(record, name)
    return value


def _input_kind(name: str, value: float | None) -> Kind:
    whole = value is None or value == int(value)
    if INPUTS[name].startswith("money"):
        return "money" if whole else "fine_money"
    return "count" if whole else "number"


def _validation(name: str, book: Book) -> dict[str, Any]:
    above = name in DIVISORS
    return {
        "validate": "decimal",
        "criteria": ">" if above else ">=",
        "value": 0,
        "error_message": book.text(f"sheet.costs.bad_{'divisor' if above else 'number'}"),
    }


def _write_machine_hour(book: Book, sheet: Worksheet, row: int, evidence: Evidence) -> None:
    prices, text = evidence.study.prices, book.text
    style = book.style(money_kind(book.currency, prices.hourly), "total")
    sheet.write_formula(row, 1, MACHINE_HOUR, style, prices.hourly)
    owned, rented = text("sheet.costs.owned"), text("sheet.costs.rented")
    words = rented if prices.purchase is None else owned
    sheet.write_formula(row, 3, f'=IF({OWN},"{owned}","{rented}")', book.style(), words)


def _write_results(book: Book, sheet: Worksheet, arms: list[str], lines: list[Line]) -> None:
    """Write a row a line and a column a method."""
    title = book.text("sheet.costs.results", currency=book.currency)
    for col, words in enumerate([title, *arms] if arms else [], RESULTS):
        look = "header" if col == RESULTS else "number_header"
        put(book, sheet, TOP, col, words, "text", look)
    rows = {line.name: row for row, line in enumerate(lines, TOP + 1)}
    for line, row in zip(lines, rows.values(), strict=True):
        put(book, sheet, row, RESULTS, line.words, "text", line.look)
        kind = _kind(line, book)
        for col in range(RESULTS + 1, RESULTS + 1 + len(arms)):
            if line.look == "band":
                put(book, sheet, row, col, None, "text", line.look)
                continue
            value = line.values[col - RESULTS - 1]
            shown = UNKNOWN if value is None else value
            style = book.style(kind, line.look)
            if line.formula:
                cells = {name: xl_rowcol_to_cell(place, col) for name, place in rows.items()}
                sheet.write_formula(row, col, f"={line.formula.format_map(cells)}", style, shown)
            elif isinstance(shown, str):
                sheet.write_string(row, col, shown, style)
            else:
                sheet.write_number(row, col, shown, style)


def _kind(line: Line, book: Book) -> Kind:
    amounts = (value for value in line.values if isinstance(value, float))
    return money_kind(book.currency, *amounts) if line.kind == "money" else line.kind


def _notes(evidence: Evidence, text: Translator) -> Iterator[str]:
    prices = evidence.study.prices
    if not evidence.summaries:
        yield text("sheet.not_measured")
    elif right_metric(evidence.study) is None:
        yield text("sheet.costs.score_hint")
    elif not case_of(evidence, evidence.summaries[0].arm).priced:
        yield text("sheet.costs.benefit_hint")
    yield text("sheet.costs.note")
    dated = prices.dated or text("meeting.unknown")
    known = {"source": prices.source, "dated": dated}
    yield (
        text("meeting.machine_source", **known)
        if prices.source
        else text("meeting.machine_source_none")
    )


def _write_notes(book: Book, sheet: Worksheet, evidence: Evidence, row: int, span: int) -> int:
    """Write the notes below the inputs over as many rows as each needs; return the row below."""
    style = book.style("text", "small")
    for words in _notes(evidence, book.text):
        # Rows here are the results' too, so a note takes several instead of a higher one.
        last = row + max(1, -(-width(words) * 9 // (span * 10))) - 1
        sheet.merge_range(row, 0, last, 3, "", style)
        sheet.write_string(row, 0, clean(words), style)
        row = last + 1
    return row


def _place_chart(book: Book, sheet: Worksheet, lines: list[Line], count: int, row: int) -> None:
    rows = {line.name: place for place, line in enumerate(lines, TOP + 1)}
    colors = ((rows[f"three_years_{part}"], PART_COLORS[part]) for part in PARTS)
    arms = range(RESULTS + 1, RESULTS + 1 + count)
    title = book.text("meeting.chart.costs.title")
    axis = book.text("meeting.money_axis", currency=book.currency)
    drawing = stacked_chart(book, sheet.get_name(), title, axis, [(TOP, ""), *colors], arms)
    sheet.insert_chart(row + 1, 0, drawing, {"object_position": 2})


def costs_frame(evidence: Evidence, text: Translator) -> pd.DataFrame:
    """Return the results in finished words: a row an item, a column a method."""
    labels, currency = arm_labels(evidence.study, text), evidence.study.prices.currency
    names = [labels[summary.arm] for summary in evidence.summaries]
    rows = [
        (line.words, *(_words(value, line.kind, text, currency) for value in line.values))
        for line in (costs_lines(evidence, text) if names else [])
    ]
    header = [text("sheet.costs.results", currency=currency), *names]
    return pd.DataFrame([(*row, *[""] * (len(header) - len(row))) for row in rows], columns=header)


def _words(value: float | str | None, kind: Kind, text: Translator, currency: str) -> str:
    if value is None or isinstance(value, str):
        return value or UNKNOWN
    ways: dict[str, Callable[[float], str]] = {
        "money": lambda amount: text.money(amount, currency),
        "fraction": text.percent,
        "seconds": text.seconds,
        "months": lambda months: text.number(months, 1),
    }
    return ways.get(kind, text.number)(value)
