"""The summary sheet: the report's verdict in words, requirements and methods in numbers."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import pandas as pd
from xlsxwriter.image import Image
from xlsxwriter.worksheet import Worksheet

from kasa.report.options import PackOptions
from kasa.report.tree import Block, Bullets, Paragraph, Section, Table
from kasa.report.xlsx_cells import (
    LINE,
    Book,
    local,
    paragraph,
    printed,
    put,
    width,
)
from kasa.report.xlsx_charts import DataSheet, drawn_charts
from kasa.report.xlsx_grid import Grid
from kasa.report.xlsx_tables import arms_grid, gates_grid
from kasa.text import Translator
from kasa.verdict.evidence import Evidence

# The table of requirements is the long one: last, it may break over pages without hurting a chart.
SECTIONS = ("verdict", "decision", "arms", "gates")
FIRST_WIDTH, OTHER_WIDTH, LEAST_COLUMNS = 30, 13, 10
LOGO_WIDTH, LOGO_HEIGHT = 170, 44


def write_summary(
    book: Book,
    sheet: Worksheet,
    data: DataSheet,
    evidence: Evidence,
    sections: Sequence[Section],
    options: PackOptions,
) -> None:
    """Write title, logo and the sections of the summary, with the chart of the methods below."""
    text = book.text
    grids = {"gates": gates_grid(evidence, text), "arms": arms_grid(evidence, text)}
    columns = max(LEAST_COLUMNS, *(_columns(grid) for grid in grids.values()))
    widths = [FIRST_WIDTH, *[OTHER_WIDTH] * (columns - 1)]
    for col, wide in enumerate(widths):
        sheet.set_column(col, col, wide)
    sheet.hide_gridlines(2)
    row = _write_title(book, sheet, evidence, options, widths)
    for section in _chosen(sections):
        row = _write_section(book, sheet, section, grids.get(section.key), row, widths)
        if section.key == "arms":
            row = data.place(drawn_charts(sections, "arms"), sheet, row, sum(widths)) + 1
    printed(sheet, evidence.study.title, top=None)
    sheet.freeze_panes(1, 0)


def _chosen(sections: Sequence[Section]) -> list[Section]:
    found = {section.key: section for section in sections}
    return [found[key] for key in SECTIONS if key in found]


def _columns(grid: Grid) -> int:
    return sum(column.span for column in grid.columns)


def _write_title(
    book: Book, sheet: Worksheet, evidence: Evidence, options: PackOptions, widths: list[int]
) -> int:
    """Write the title with company, date and logo; return the first free row."""
    text = book.text
    sheet.set_row(0, 40)
    put(book, sheet, 0, 0, text("report.title", title=evidence.study.title), "text", "title")
    if options.logo:
        _write_logo(sheet, options.logo, len(widths) - 2)
    made = text("sheet.made", date=f"{local(evidence.record.created_at):%Y-%m-%d}")
    words = f"{options.company}\n{made}" if options.company else made
    paragraph(book, sheet, 1, words, "small", widths)
    return 3


def _write_logo(sheet: Worksheet, content: bytes, col: int) -> None:
    from kasa.report.logo import logo_size

    wide, high = logo_size(content)
    image = Image(io.BytesIO(content))
    scale = min(LOGO_WIDTH / wide, LOGO_HEIGHT / high)
    # Excel draws a picture at the size that its own dots per inch ask for.
    turned = {"x_scale": scale * image._x_dpi / 96, "y_scale": scale * image._y_dpi / 96}  # noqa: SLF001
    place = {"image_data": io.BytesIO(content), "x_offset": 6, "y_offset": 4}
    sheet.insert_image(0, col, "logo", place | turned | {"object_position": 3})


def _write_section(
    book: Book, sheet: Worksheet, section: Section, grid: Grid | None, row: int, widths: list[int]
) -> int:
    """Write a section's heading and blocks, its own grid for its first table; return a free row."""
    sheet.set_row(row, 1.7 * book.line)
    put(book, sheet, row, 0, section.title, "text", "heading")
    row += 1
    first = section.key in {"verdict", "decision"}
    for block in section.blocks:
        if isinstance(block, Table) and grid is not None:
            row = _write_wide(book, sheet, grid, row)
            grid = None
        elif isinstance(block, Table):
            row = _write_words(book, sheet, block, row)
        for words, small in _sentences(block, section, book.text):
            look = "lead" if first else "small" if small else "body"
            paragraph(book, sheet, row, words, look, widths)
            first = False
            row += 1
    return row + 1


def _sentences(block: Block, section: Section, text: Translator) -> Iterator[tuple[str, bool]]:
    """Return a block's sentences, and whether each is a note.

    Notes on brackets, which the report's tables have and the sheet's have not, are put otherwise.
    """
    if isinstance(block, Bullets):
        yield from ((text("sheet.bullet", words=item), False) for item in block.items)
    elif isinstance(block, Paragraph):
        other = f"sheet.{section.key}_note"
        same = text.has(other) and block.text == text(f"report.{section.key}_note")
        yield (text(other) if same else block.text), block.small


def _write_wide(book: Book, sheet: Worksheet, grid: Grid, top: int) -> int:
    """Write a grid whose columns may span several of the sheet's; return the row below it."""
    places, col, lines = [], 0, 1
    for column in grid.columns:
        places.append(col)
        room = column.span * OTHER_WIDTH if col else FIRST_WIDTH
        lines = max(lines, -(-width(column.title) // (room - 2)))
        _put_over(book, sheet, top, col, column.span, column.title, column.look)
        col += column.span
    sheet.set_row(top, LINE[book.text.lang] * lines + 6)
    for row, values in enumerate(grid.rows, top + 1):
        for col, column, value in zip(places, grid.columns, values, strict=True):
            if column.span > 1:
                _put_over(book, sheet, row, col, column.span, value, "cell")
            else:
                put(book, sheet, row, col, value, column.kind)
    return top + 1 + len(grid.rows)


def _put_over(
    book: Book, sheet: Worksheet, row: int, col: int, span: int, words: str, look: str
) -> None:
    if span > 1:
        sheet.merge_range(row, col, row, col + span - 1, "", book.style("text", look))
    put(book, sheet, row, col, words, "text", look)


def _write_words(book: Book, sheet: Worksheet, table: Table, top: int) -> int:
    """Write a report's table as it is, in words; return the row below it."""
    for col, title in enumerate(table.header):
        put(book, sheet, top, col, title, "text", "header")
    for row, cells in enumerate(table.rows, top + 1):
        for col, cell in enumerate(cells):
            put(book, sheet, row, col, cell, "text", "wrapped")
    return top + 1 + len(table.rows)


def summary_frame(sections: Sequence[Section], text: Translator) -> pd.DataFrame:
    """Return the summary's words: a row a sentence, and one a row of its tables."""
    rows = []
    for section in _chosen(sections):
        for block in section.blocks:
            if isinstance(block, Table):
                lines = [" | ".join(cells).replace("\n", " ") for cells in block.rows]
            else:
                lines = [words for words, _ in _sentences(block, section, text)]
            rows += [(section.title, line) for line in lines]
    columns = [text("sheet.column.section"), text("sheet.column.words")]
    return pd.DataFrame(rows, columns=columns)
