"""A grid of numbered rows becomes a `Table`: header, data and footer told apart, merges filled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from kasa.data.footer import footer_length
from kasa.data.header import Layout, Merge, Row, find_layout
from kasa.data.table import Note, Table, build_table, check_size
from kasa.errors import DataError

SHOWN_ROWS = 5


def grid_table(
    numbered: Iterable[Row],
    *,
    header_row: int | None = None,
    merges: Sequence[Merge] = (),
    refuse: Callable[[Layout, Sequence[Row]], None] | None = None,
    notes: Sequence[Note] = (),
    **facts: Any,
) -> Table:
    """Return the table in a grid of non-blank rows; `facts` are the table's format, encoding, ….

    `refuse` may raise for the data rows once header and footer are known. Raises `DataError` where
    there are no data rows, or more cells than the studio reads.
    """
    rows: list[Row] = []
    cells = 0
    for row in numbered:
        cells += len(row[1])
        check_size(len(row[1]), cells)
        rows.append(row)
    if not rows:
        raise DataError("data_no_rows", columns=0)
    layout = find_layout(rows, merges, header_row)
    data = rows[layout.data]
    more = list(layout.notes)
    if length := footer_length(data):
        numbers = ", ".join(str(number) for number, _ in data[-length:][:SHOWN_ROWS])
        more.append(Note("footer", {"count": length, "rows": numbers}))
        del data[-length:]
    if refuse:
        refuse(layout, data)
    if filled := _fill_down(data, merges):
        more.append(Note("merged_filled", {"count": filled}))
    table = build_table(layout.names, data, notes=(*notes, *more), **facts)
    if layout.header_row:
        return replace(table, header_row=layout.header_row)
    # That every column is unnamed has been said once.
    kept = tuple(note for note in table.notes if note.code != "blank_column")
    return replace(table, notes=kept)


def _fill_down(data: Sequence[Row], merges: Sequence[Merge]) -> int:
    """Write the value of a cell merged downwards into the rows it spans; return how many cells."""
    places = {number: place for place, (number, _) in enumerate(data)}
    filled = 0
    for first, column, last, _ in merges:
        top = places.get(first)
        if top is None or first == last or column >= len(data[top][1]):
            continue
        value = data[top][1][column]
        for number, cells in islice(data, top + 1, None):
            if number > last or not value:
                break
            cells.extend([""] * (column + 1 - len(cells)))
            if not cells[column]:
                cells[column] = value
                filled += 1
    return filled
