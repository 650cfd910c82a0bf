"""Where a grid's header is: titles above it, two rows joined to one, or no header at all.

Works on rows as a person numbers them, for CSV and workbooks alike. What the studio cannot be sure
of it leaves as it is: a row is skipped or taken for data only where the rest of the grid says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_high
from unicodedata import east_asian_width

from kasa.data.table import Note
from kasa.errors import DataError

Row = tuple[int, list[str]]  # the spreadsheet's row number, and the cells
Merge = tuple[int, int, int, int]  # first row, first column, last row, last column; rows from 1

SEARCHED_ROWS = 30
JUDGED_ROWS = 200
LONG_TEXT = 100
NUMBER = r"[-+−▲△]?[\d０-９][\d０-９.,．，]*\s*[%％]?"
DATE = r"\d{2,4}[-/.年]\s?\d{1,2}(?:[-/.月]\s?\d{1,2}日?)?(?:[ T].*)?"
TIME = r"\d{1,2}[:：時]\d{2}(?:[:：分]\d{2}秒?)?分?"
VALUE = re.compile(rf"\s*(?:{NUMBER}|{DATE}|{TIME})\s*")
YEAR = re.compile(r"(?:19|20)\d\d")


@dataclass(frozen=True)
class Layout:
    """Names ("" for an unnamed column), the last header line's row (0: none), the rows of data."""

    names: tuple[str, ...]
    header_row: int
    data: slice
    notes: tuple[Note, ...]


def find_layout(
    rows: Sequence[Row], merges: Sequence[Merge] = (), header_row: int | None = None
) -> Layout:
    """Return where header and data of the non-blank `rows` are.

    `header_row` is the row that the user names (0: there is none). Raises `DataError` where no such
    row exists.
    """
    if header_row == 0:
        return _without_header(rows, 0)
    if header_row is None:
        index = _first_table_row(rows[:SEARCHED_ROWS], merges)
        if _looks_like_data(rows, index):
            return _without_header(rows, index)
        pairs: tuple[int, ...] = (index, index - 1)
    else:
        found = [place for place, row in enumerate(rows) if row[0] == header_row]
        if not found:
            raise DataError("data_header_row", row=header_row)
        index = found[0]
        pairs = (index - 1,)
    for first in pairs:
        if names := _joined(rows, first, merges):
            lines = {"first": rows[first][0], "last": rows[first + 1][0]}
            notes = (*_rows_above(rows[first][0]), Note("header_joined", lines))
            return Layout(tuple(names), lines["last"], slice(first + 2, None), notes)
    number, cells = rows[index]
    return Layout(tuple(cells), number, slice(index + 1, None), _rows_above(number))


def _without_header(rows: Sequence[Row], index: int) -> Layout:
    notes = (*_rows_above(rows[index][0] if index else 1), Note("no_header"))
    return Layout((), 0, slice(index, None), notes)


def _rows_above(first: int) -> tuple[Note, ...]:
    return (Note("rows_above", {"count": first - 1}),) if first > 1 else ()


def _first_table_row(rows: Sequence[Row], merges: Sequence[Merge]) -> int:
    """Return the index of the first row that has the table's width, past titles and remarks."""
    fills = [count_filled(row) for row in rows]
    typical = median_high(fills[1:]) if len(fills) > 1 else fills[0]
    if typical < 2:
        return next((i for i, fill in enumerate(fills) if fill), 0)
    index = next(i for i, fill in enumerate(fills) if fill >= max(2, (typical + 1) // 2))
    for later in range(index + 1, len(rows)):
        # A block of keys and values above the table is narrower, and ends with a blank row, or
        # holds values where a header would hold names.
        wider = fills[later] >= typical and fills[later] > max(fills[index:later])
        ended = rows[later][0] > rows[later - 1][0] + 1
        if wider and (ended or _holds_values(rows[index])) and not _looks_like_data(rows, later):
            index = later
    if index == 1 and rows[0][0] + 1 == rows[1][0] and _looks_like_data(rows, 1):
        spans = any(row == rows[0][0] and last > column for row, column, _, last in merges)
        return 1 if spans else 0  # a short header over wider rows, rather than a title
    return index


def _looks_like_data(rows: Sequence[Row], index: int) -> bool:
    """Say whether a row is the first of the data rather than their header.

    For it speak a cell that recurs in its own column, a number or date where the column has them,
    and a long text over long texts; a word over a column of numbers speaks against it.
    """
    below = rows[index + 1 : index + 1 + JUDGED_ROWS]
    cells = [cell.strip() for cell in rows[index][1]]
    years = _are_years(cells)
    evidence = 0
    for place, cell in enumerate(cells):
        values = cells_of(below, place)
        if not cell or not values:
            continue
        many = share_of_values(values) >= 0.8
        if VALUE.fullmatch(cell):
            evidence += many and not (years and YEAR.fullmatch(cell))
        elif many:
            return False
        else:
            long = _width(cell) > LONG_TEXT and median_high(map(_width, values)) >= LONG_TEXT / 3
            evidence += cell in values or long
    return evidence > 0


def _joined(rows: Sequence[Row], index: int, merges: Sequence[Merge]) -> list[str] | None:
    """Return the names "parent / child" of two header rows, or None where these are not two.

    A parent spans columns because its cell is merged, or because the cells to its right are blank
    and have children below; the latter needs the columns' values to tell the children from data.
    """
    if not 0 <= index < len(rows) - 2 or rows[index][0] + 1 != rows[index + 1][0]:
        return None
    width = max(len(rows[index][1]), len(rows[index + 1][1]))
    parents, children = (
        [" ".join(cell.split()) for cell in [*row[1], *[""] * (width - len(row[1]))]]
        for row in rows[index : index + 2]
    )
    own = list(parents)
    below = rows[index + 2 : index + 2 + JUDGED_ROWS]
    if not _are_names(children, below):
        return None
    spans = [m for m in merges if m[0] == m[2] == rows[index][0] and m[1] < m[3] < 2 * width]
    if spans and count_filled(rows[index]) == 1 and (spans[0][1] == 0 or spans[0][3] >= width):
        return None  # a title over the table
    for _, first, _, last in spans:
        for place in range(first, min(last + 1, width)):
            parents[place] = own[first]
    if not spans and own[0] and count_filled(rows[index]) == 1:
        return None  # a title that would span every column
    if not spans:
        for place in range(1, width):
            if not parents[place] and children[place] and children[place - 1]:
                parents[place] = parents[place - 1]
        if not _are_told_apart(own, parents, children, below):
            return None
    pairs = zip(parents, children, strict=True)
    return [f"{p} / {c}" if p and c and p != c else p or c for p, c in pairs]


def _are_told_apart(
    own: Sequence[str], parents: Sequence[str], children: Sequence[str], below: Sequence[Row]
) -> bool:
    """Say whether blanks right of a parent make it span: each column has one name, or is spanned.

    Some child must stand over numbers or over values that repeat, while it does not.
    """
    spanned = [not o and bool(p) for o, p in zip(own, parents, strict=True)]
    grouped = [s or after for s, after in zip(spanned, [*spanned[1:], False], strict=True)]
    for place, in_group in enumerate(grouped):
        both = bool(own[place]) and bool(children[place])
        if (in_group and not children[place]) or (not in_group and both):
            return False
    columns = [cells_of(below, place) for place, in_group in enumerate(grouped) if in_group]
    return any(
        share_of_values(values) >= 0.6 or (len(values) >= 4 and 2 * len(set(values)) <= len(values))
        for values in columns
    )


def _are_names(cells: Sequence[str], below: Sequence[Row]) -> bool:
    filled = [(place, cell) for place, cell in enumerate(cells) if cell]
    return len(filled) >= 2 and not any(
        VALUE.fullmatch(cell) or _width(cell) > LONG_TEXT or cell in cells_of(below, place)
        for place, cell in filled
    )


def _are_years(cells: Sequence[str]) -> bool:
    years = [int(cell) for cell in cells if YEAR.fullmatch(cell)]
    return len(years) > 1 and len({b - a for a, b in pairwise(years)}) == 1


def _holds_values(row: Row) -> bool:
    cells = [cell.strip() for cell in row[1] if cell.strip()]
    return any(VALUE.fullmatch(cell) or cell.endswith((":", "：")) for cell in cells)


def cells_of(rows: Sequence[Row], place: int) -> list[str]:
    """Return a column's cells that hold anything."""
    cells = (row[1][place].strip() for row in rows if place < len(row[1]))
    return [cell for cell in cells if cell]


def share_of_values(cells: Sequence[str]) -> float:
    """Return which part of the cells are numbers, dates or times."""
    return sum(bool(VALUE.fullmatch(cell)) for cell in cells) / len(cells) if cells else 0.0


def count_filled(row: Row) -> int:
    """Return how many cells of a row hold anything."""
    return sum(bool(cell.strip()) for cell in row[1])


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
