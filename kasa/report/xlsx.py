"""The meeting's numbers as an Excel workbook: the verdict first, the costs as live formulas."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

from kasa.report.options import PackOptions
from kasa.report.sections import report_sections
from kasa.report.xlsx_cells import (
    FONTS,
    LINE,
    PIXELS_A_POINT,
    Book,
    clean,
    paragraph,
    printed,
)
from kasa.report.xlsx_charts import DataSheet, drawn_charts
from kasa.report.xlsx_costs import costs_frame, write_costs
from kasa.report.xlsx_grid import Grid, write_grid
from kasa.report.xlsx_summary import summary_frame, write_summary
from kasa.report.xlsx_tables import (
    MOST_PREDICTIONS,
    classes_grid,
    comparison_grid,
    conditions_grid,
    count_predictions,
    predictions_grid,
    runs_grid,
)
from kasa.text import Translator, translator
from kasa.verdict.evidence import Evidence

NOTE_WIDTH = 110


@dataclass(frozen=True)
class Tab:
    """A sheet that is one table; it stands where one of its sections is wanted, or always."""

    key: str
    grid: Callable[[Evidence, Translator], Grid]
    sections: tuple[str, ...] = ()


TABS = (
    Tab("comparison", comparison_grid, ("differences",)),
    Tab("runs", runs_grid, ("runs",)),
    Tab("classes", classes_grid, ("confusion", "classes")),
    Tab("predictions", predictions_grid, ("examples",)),
    # A number never travels without the conditions that it was measured under.
    Tab("conditions", conditions_grid),
)


def render_xlsx(evidence: Evidence, options: PackOptions) -> bytes:
    """Return the workbook, equal bytes for equal evidence and options.

    Raises `StudyError` for a logo that is no picture.
    """
    text, buffer = translator(options.lang), io.BytesIO()
    with Workbook(buffer, _settings(text)) as workbook:
        workbook.set_properties(_properties(evidence, options, text))
        book = Book(workbook, text, evidence.study.prices.currency)
        sections = report_sections(evidence, text, options)
        tables = _tables(evidence, options, text)
        names = ["summary", *(["costs"] if options.shows("costs") else []), *tables]
        sheets = {name: workbook.add_worksheet(text(f"sheet.name.{name}")) for name in names}
        data = DataSheet(book, evidence.study.title)
        write_summary(book, sheets["summary"], data, evidence, sections, options)
        if "costs" in sheets:
            write_costs(book, sheets["costs"], evidence)
        for name, grid in tables.items():
            below, wide = _write_table(book, sheets[name], name, grid, evidence)
            if name == "comparison":
                data.place(drawn_charts(sections, "differences"), sheets[name], below, wide)
    return buffer.getvalue()


def sheet_tables(evidence: Evidence, options: PackOptions) -> dict[str, pd.DataFrame]:
    """Return what every sheet shows, by its name: words of the summary and costs, else numbers."""
    text = translator(options.lang)
    frames = {"summary": summary_frame(report_sections(evidence, text, options), text)}
    if options.shows("costs"):
        frames["costs"] = costs_frame(evidence, text)
    frames |= {name: grid.frame() for name, grid in _tables(evidence, options, text).items()}
    return {text(f"sheet.name.{name}"): frame for name, frame in frames.items()}


def _tables(evidence: Evidence, options: PackOptions, text: Translator) -> dict[str, Grid]:
    """Return the table of every wanted sheet that has rows."""
    wanted = (tab for tab in TABS if not tab.sections or any(map(options.shows, tab.sections)))
    grids = {tab.key: tab.grid(evidence, text) for tab in wanted}
    return {key: grid for key, grid in grids.items() if grid.rows}


def _settings(text: Translator) -> dict[str, Any]:
    return {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_numbers": False,
        "strings_to_urls": False,
        "default_format_properties": {"font_name": FONTS[text.lang], "font_size": 11},
        "default_row_height": round(LINE[text.lang] * PIXELS_A_POINT),
    }


def _properties(evidence: Evidence, options: PackOptions, text: Translator) -> dict[str, Any]:
    return {
        "title": clean(text("report.title", title=evidence.study.title)),
        "company": clean(options.company),
        "comments": text("report.made_with").partition(".")[0],
        "created": evidence.record.created_at,
    }


def _write_table(
    book: Book, sheet: Worksheet, name: str, grid: Grid, evidence: Evidence
) -> tuple[int, int]:
    """Write a sheet's table and its notes; return the first free row and the width in all."""
    widths, below = write_grid(book, sheet, grid), len(grid.rows) + 1
    if name != "conditions":
        sheet.autofilter(0, 0, len(grid.rows), len(grid.columns) - 1)
    reach = [sum(widths[:place]) for place in range(len(widths))]
    own = widths[: sum(start < NOTE_WIDTH for start in reach)]
    for note in _notes(name, evidence, book.text):
        below += 1
        paragraph(book, sheet, below, note, "small", own)
    printed(sheet, evidence.study.title, top=0)
    return below + 2, sum(widths)


def _notes(name: str, evidence: Evidence, text: Translator) -> Iterator[str]:
    if name == "comparison":
        margin = text.number(100 * evidence.study.protocol.equivalence_margin, 1)
        yield text("sheet.comparison_note", margin=margin)
    elif name == "predictions":
        count = count_predictions(evidence)
        if count > MOST_PREDICTIONS:
            shown = text.number(MOST_PREDICTIONS)
            yield text("sheet.predictions_cap", shown=shown, count=text.number(count))
    elif text.has(f"sheet.{name}_note"):
        yield text(f"sheet.{name}_note")
