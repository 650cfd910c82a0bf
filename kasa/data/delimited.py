"""CSV and its kin: the delimiter is found, titles and footers are left out, ragged rows refused."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from kasa.data.grid import grid_table
from kasa.data.header import Layout, Row
from kasa.data.table import Note, Table, check_size
from kasa.dataspec import Reading
from kasa.errors import DataError

SAMPLE_ROWS = 200
LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
# Excel's own first line in exports for other languages; Excel does not show it as a row.
SEPARATOR_LINE = re.compile(r"sep=([,;\t|])[\t,;|]*(?:\r\n?|\n)", re.IGNORECASE)
PREFERENCE = ("\t", ",", ";", "|")


def read_delimited(text: str, encoding: str, reading: Reading, notes: Sequence[Note]) -> Table:
    """Return the table in delimited text.

    Raises `DataError` for a data row with more or fewer cells than the header, naming the row and
    the line, and for quotation marks that do not fit.
    """
    named = SEPARATOR_LINE.match(text)
    skipped = 0
    if named:
        text, skipped = text[named.end() :], 1
    delimiter = reading.delimiter or (named[1] if named else sniff_delimiter(text))

    def refuse(layout: Layout, data: Sequence[Row]) -> None:
        wanted = len(layout.names) or Counter(len(row[1]) for row in data).most_common(1)[0][0]
        least = len(_without_tail(list(layout.names), 0)) or wanted
        for number, cells in data:
            _without_tail(cells, wanted)
            if not least <= len(cells) <= wanted:
                line = _line_of(text, delimiter, number) + skipped
                got = len(cells)
                raise DataError("data_ragged", row=number, line=line, got=got, wanted=wanted)

    return grid_table(
        ((number, cells) for number, _, cells in _records(text, delimiter, skipped)),
        header_row=reading.header_row,
        refuse=refuse,
        notes=notes,
        file_format="csv",
        encoding=encoding,
        delimiter=delimiter,
    )


def sniff_delimiter(text: str) -> str:
    """Return the delimiter under which most of the first rows have one and the same width.

    A width of one is none; ties go to more columns, then to tab, comma, semicolon and bar.
    """
    scores: dict[str, tuple[float, int]] = {}
    for delimiter in PREFERENCE:
        widths: list[int] = []
        broken = False
        try:
            for row in csv.reader(_lines(text), delimiter=delimiter, strict=True):
                if any(cell.strip() for cell in row):
                    widths.append(len(row))
                if len(widths) > SAMPLE_ROWS:
                    break
        except csv.Error:
            broken = True
        wide = Counter(width for width in widths if width > 1).most_common(1)
        if wide:
            width, count = wide[0]
            # Quoting that breaks off speaks against a delimiter, unless every one breaks.
            scores[delimiter] = (0.01 if broken else count / len(widths), width)
    return max(scores, key=scores.__getitem__, default=",")


def _lines(text: str) -> Iterator[str]:
    return (found[0] for found in LINE.finditer(text))


def _records(text: str, delimiter: str, skipped: int = 0) -> Iterator[tuple[int, int, list[str]]]:
    """Yield (spreadsheet row, line, cells) of each record with any cell that is not empty."""
    reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    line = 0
    try:
        for number, row in enumerate(reader, start=1):
            start, line = line + 1, reader.line_num
            check_size(len(row), 0)
            if any(row):
                yield number, start, row
    except csv.Error as error:
        # Either a quote is not doubled or never closed; then the csv module reads on to the end.
        raise DataError("data_quotes", line=line + 1 + skipped) from error


def _line_of(text: str, delimiter: str, wanted: int) -> int:
    return next(line for number, line, _ in _records(text, delimiter) if number == wanted)


def _without_tail(cells: list[str], width: int) -> list[str]:
    """Take the empty cells beyond `width` off the end, as trailing delimiters leave behind."""
    while len(cells) > width and not cells[-1].strip():
        cells.pop()
    return cells
