"""A table of typed values, and how it lies on a sheet: widths, wrapped cells, header."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
from xlsxwriter.worksheet import Worksheet

from kasa.report.xlsx_cells import WIDEST, Book, Cell, Kind, put, width

NARROWEST, ROOMY = 9, 12
# What stands around a text: the indent, and the arrow of a filter in a header.
INDENT, ARROW = 3, 4
# Excel allows no higher row, in points.
HIGHEST = 409.0


@dataclass(frozen=True)
class Column:
    """A column's heading and what its cells are; on the summary it may span several columns."""

    title: str
    kind: Kind = "text"
    span: int = 1

    @property
    def look(self) -> str:
        """The look of the heading."""
        return "header" if self.kind == "text" else "number_header"


@dataclass(frozen=True)
class Grid:
    """A table of values; None is an empty cell."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]

    def filled(self) -> Grid:
        """Return the table without columns that hold nothing."""
        kept = [
            place
            for place in range(len(self.columns))
            if any(row[place] is not None for row in self.rows)
        ]
        rows = tuple(tuple(row[place] for place in kept) for row in self.rows)
        return Grid(tuple(self.columns[place] for place in kept), rows)

    def frame(self) -> pd.DataFrame:
        """Return the values under their headings, those of a column of one type."""
        columns = {}
        for place, column in enumerate(self.columns):
            cells = [row[place] for row in self.rows]
            mixed = any(isinstance(cell, Cell) and cell.shown for cell in cells)
            columns[column.title] = [_plain(cell, shown=mixed) for cell in cells]
        return pd.DataFrame(columns)


def _plain(cell: Any, *, shown: bool) -> Any:
    if isinstance(cell, Cell):
        return cell.shown if shown else cell.value
    return cell


def write_grid(book: Book, sheet: Worksheet, grid: Grid) -> list[int]:
    """Write a grid from the sheet's first row, its columns as wide as needed; return the widths."""
    widths = [_width(grid, place) for place in range(len(grid.columns))]
    lines = 1
    for col, (column, wide) in enumerate(zip(grid.columns, widths, strict=True)):
        sheet.set_column(col, col, wide)
        put(book, sheet, 0, col, column.title, "text", column.look)
        lines = max(lines, math.ceil(width(column.title) / (wide - ARROW)))
    sheet.set_row(0, book.line * lines + 6)
    for row, values in enumerate(grid.rows, 1):
        lines = 1
        for col, (column, value) in enumerate(zip(grid.columns, values, strict=True)):
            put(book, sheet, row, col, value, column.kind)
            if isinstance(value, str):
                lines = max(lines, _lines(value))
        if lines > 1:
            sheet.set_row(row, min(HIGHEST, book.line * lines))
    return widths


def _lines(words: str) -> int:
    if len(words) <= WIDEST // 2 and "\n" not in words:
        return 1
    room = WIDEST - INDENT
    return sum(max(1, math.ceil(1.05 * width(part) / room)) for part in words.split("\n"))


def _width(grid: Grid, place: int) -> int:
    column = grid.columns[place]
    need = max((_shown(row[place], column.kind) for row in grid.rows), default=0)
    # A heading breaks between words, and Japanese anywhere.
    word = max(width(part) for part in column.title.split()) if column.title.isascii() else 0
    name = min(width(column.title), max(ROOMY, word))
    return min(WIDEST, max(NARROWEST, need + INDENT, name + ARROW))


def _shown(value: Any, kind: Kind) -> int:
    if isinstance(value, Cell):
        value, kind = value.value, value.kind
    if value is None:
        return 0
    if isinstance(value, str):
        return width(value) if len(value) < WIDEST else WIDEST
    if isinstance(value, date):
        return 16
    return len(f"{value:,.0f}") + (1 if kind in {"count", "integer"} else 4)
