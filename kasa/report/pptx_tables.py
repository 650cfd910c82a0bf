"""Native tables that fit their place: columns by content, smaller letters, then fewer rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pptx.oxml.ns import qn
from pptx.util import Pt

from kasa.report.pptx_text import (
    PIECES,
    Box,
    Line,
    Pen,
    child,
    clean,
    count_lines,
    shortened,
    width,
)
from kasa.report.tree import Table

SIDE, ABOVE = 5.0, 3.0
MOST_LINES, MOST_NAME_LINES = 8, 3
SHORT = 5.0
PLAIN_STYLE = "{2D5ABB26-0587-4C30-8999-92F81FD0307C}"  # "No Style, No Grid"


@dataclass(frozen=True)
class Grid:
    """A table at one size of letters: the widths of its columns, the heights of its rows.

    `whole` says that no word is broken, and no name in the first column over more than 3 lines.
    """

    table: Table
    size: float
    widths: tuple[float, ...]
    heights: tuple[float, ...]
    whole: bool = True
    num_left_out: int = 0

    @property
    def height(self) -> float:
        return sum(self.heights)


def laid_out(table: Table, size: float, room: float, pen: Pen) -> Grid:
    """Return the table at a size of letters in a place `room` points wide."""
    lines = [table.header, *table.rows]
    widths, whole = _widths(lines, size, room)
    cut = [
        tuple(
            shortened(cell, size, wide - 2 * SIDE, MOST_LINES, bold=place == 0)
            for cell, wide in zip(row, widths, strict=True)
        )
        for place, row in enumerate(lines)
    ]
    heights = tuple(_height(r, size, widths, pen, head=i == 0) for i, r in enumerate(cut))
    room = widths[0] - 2 * SIDE
    whole = whole and all(count_lines(row[0], size, room) <= MOST_NAME_LINES for row in cut[1:])
    return Grid(replace(table, header=cut[0], rows=tuple(cut[1:])), size, widths, heights, whole)


def cut_to(grid: Grid, room: float) -> Grid:
    """Return the grid with as many rows as a height has room for, at least one."""
    kept, used = 0, grid.heights[0]
    for height in grid.heights[1:]:
        if kept and used + height > room:
            break
        kept, used = kept + 1, used + height
    left_out = len(grid.table.rows) - kept
    table = replace(grid.table, rows=grid.table.rows[:kept])
    return replace(grid, table=table, heights=grid.heights[: kept + 1], num_left_out=left_out)


def _height(
    row: Sequence[str], size: float, widths: Sequence[float], pen: Pen, *, head: bool
) -> float:
    lines = [
        count_lines(cell, size, wide - 2 * SIDE, bold=head)
        for cell, wide in zip(row, widths, strict=True)
    ]
    return max(lines) * size * pen.leading + 2 * ABOVE


def _widths(
    lines: Sequence[Sequence[str]], size: float, room: float
) -> tuple[tuple[float, ...], bool]:
    """Return widths by content, and whether every column has room for its longest word."""
    wanted, least = [], []
    for head, *cells in zip(*lines, strict=True):
        parts = [(part, False) for cell in cells for part in clean(cell).split("\n")]
        parts += [(part, True) for part in clean(head).split("\n")]
        words = [(word, bold) for part, bold in parts for word in _unbroken(part, size)]
        longest = max(width(part, size, bold) for part, bold in parts)
        wanted.append(min(0.45 * room, longest + 2 * SIDE + 3))
        word = max((width(word, size, bold) for word, bold in words), default=0.0)
        least.append(min(wanted[-1], 0.3 * room, word + 2 * SIDE + 3))
    if sum(wanted) <= room:
        return tuple(room * each / sum(wanted) for each in wanted), True
    spare = room - sum(least)
    if spare <= 0:
        return tuple(room * each / sum(least) for each in least), False
    growth = [most - low for most, low in zip(wanted, least, strict=True)]
    share = spare / sum(growth)
    return tuple(low + share * more for low, more in zip(least, growth, strict=True)), True


def _unbroken(part: str, size: float) -> list[str]:
    """Return what should stay on one line: words, and all of a short entry."""
    if width(part, size) <= SHORT * size:
        return [part]
    return [word.rstrip() for word in PIECES.findall(part)]


def draw_table(shapes: Any, grid: Grid, box: Box, pen: Pen, colors: Mapping[str, str]) -> None:
    """Draw the table; a cell that begins with a word of `colors` has it bold, in that colour."""
    rows = (grid.table.header, *grid.table.rows)
    frame = shapes.add_table(len(rows), len(grid.widths), *box.first(grid.height).emu)
    table = frame.table
    table.horz_banding = False
    frame._element.find(f".//{qn('a:tableStyleId')}").text = PLAIN_STYLE  # noqa: SLF001 - no API
    for column, wide in zip(table.columns, grid.widths, strict=True):
        column.width = int(Pt(wide))
    for place, (row, high) in enumerate(zip(rows, grid.heights, strict=True)):
        table.rows[place].height = int(Pt(high))
        for column, words in enumerate(row):
            align = "right" if column in grid.table.numeric else "left"
            lines = _cell_lines(words, align, colors, head=place == 0)
            _fill_cell(table.cell(place, column), lines, grid.size, pen, head=place == 0)


def _cell_lines(words: str, align: str, colors: Mapping[str, str], *, head: bool) -> list[Line]:
    parts = words.split("\n")
    color = "" if head else colors.get(parts[0], "")
    first = Line(parts[0], bold=head or parts[0] in colors, color=color, align=align)
    return [first, *(Line(part, bold=head, align=align) for part in parts[1:])]


def _fill_cell(cell: Any, lines: list[Line], size: float, pen: Pen, *, head: bool) -> None:
    cell.margin_left = cell.margin_right = Pt(SIDE)
    cell.margin_top = cell.margin_bottom = Pt(ABOVE)
    pen.write(cell.text_frame, lines, size)
    cell.text_frame.auto_size = None  # cells have none: their rows grow
    properties = cell._tc.get_or_add_tcPr()  # noqa: SLF001 - python-pptx knows no borders
    properties.set("anchor", "b" if head else "t")
    line = child(properties, "lnB", w="15875" if head else "6350")
    color = child(child(line, "solidFill"), "schemeClr", val="accent1" if head else "tx1")
    if not head:
        child(color, "alpha", val="25000")
