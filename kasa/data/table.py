"""Table: what a file holds, as text, with the row numbers a person sees in their spreadsheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from kasa.errors import DataError
from kasa.text import Translator

MAX_BYTES = 100_000_000
MAX_COLUMNS = 2000
MAX_CELLS = 10_000_000


@dataclass(frozen=True)
class Note:
    """Something the reader did that the user should know: the sentence `data.notes.<code>`."""

    code: str
    values: dict[str, Any] = field(default_factory=dict)

    def sentence(self, text: Translator) -> str:
        """Return the note in the translator's language."""
        return text(f"data.notes.{self.code}", **self.values)


@dataclass(frozen=True)
class Table:
    """A file's rows: `frame` is all strings, with "" for a missing cell.

    The frame's index holds the row numbers that a person sees: spreadsheet rows (header 1, first
    data row 2; a record of several lines counts once, as in Excel), line numbers in JSON Lines, or
    the count of the object or row in other files. `header_row` is the spreadsheet row of the last
    header line, 0 where there is none; `sheet` is the one that was read of the visible `sheets`;
    `member` is the file's name inside a ZIP archive.
    """

    frame: pd.DataFrame
    format: str
    encoding: str
    delimiter: str | None = None
    notes: tuple[Note, ...] = ()
    sheet: str | None = None
    sheets: tuple[str, ...] = ()
    header_row: int = 0
    member: str | None = None

    @property
    def first_row(self) -> int:
        """The row number of the first data row."""
        return int(self.frame.index[0])


def build_table(
    header: Sequence[str],
    rows: Iterable[tuple[int, Sequence[str]]],
    *,
    file_format: str,
    encoding: str,
    delimiter: str | None = None,
    notes: Sequence[Note] = (),
) -> Table:
    """Return the table of numbered rows, short rows filled up with "" and every column named.

    Raises `DataError` where there are no rows, too many columns or too many cells.
    """
    numbers: list[int] = []
    cells: list[Sequence[str]] = []
    width, count = len(header), 0
    for number, row in rows:
        width = max(width, len(row))
        count += len(row)
        check_size(width, count)
        numbers.append(number)
        cells.append(row)
    if not cells or not width:
        raise DataError("data_no_rows", columns=len(header))
    check_size(width, width * len(cells))
    names, name_notes = name_columns([*header, *[""] * (width - len(header))])
    # Column by column: a second grid of all cells would double the memory.
    columns = {
        place: pd.array([row[place] if place < len(row) else "" for row in cells], dtype="str")
        for place in range(width)
    }
    frame = pd.DataFrame(columns, index=pd.Index(numbers, name="row", dtype="int64"))
    frame.columns = pd.Index(names, dtype="str")
    frame = frame.loc[:, [not _unused(frame, name, header, k) for k, name in enumerate(names)]]
    if frame.columns.empty:
        raise DataError("data_no_rows", columns=0)
    kept = [note for note in name_notes if note.values["name"] in frame.columns]
    return Table(frame, file_format, encoding, delimiter, (*notes, *kept))


def check_size(width: int, cells: int) -> None:
    """Raise `DataError` for more columns or cells than the studio reads."""
    if width > MAX_COLUMNS:
        raise DataError("data_columns", got=f"{width:,}", limit=f"{MAX_COLUMNS:,}")
    if cells > MAX_CELLS:
        raise DataError("data_cells", limit=f"{MAX_CELLS:,}")


def name_columns(raw: Sequence[str]) -> tuple[list[str], list[Note]]:
    """Return a unique, non-blank name per column, and a note for every name that was made up."""
    taken = {" ".join(name.split()) for name in raw}
    names: list[str] = []
    notes: list[Note] = []
    for number, name in enumerate(raw, start=1):
        wanted = " ".join(name.split())
        final = wanted
        suffix = 2
        if not wanted:
            final = base = f"column {number}"
            while final in taken or final in names:
                final, suffix = f"{base} ({suffix})", suffix + 1
            notes.append(Note("blank_column", {"number": number, "name": final}))
        elif wanted in names:
            while final in taken or final in names:
                final, suffix = f"{wanted} ({suffix})", suffix + 1
            notes.append(Note("double_column", {"old": wanted, "name": final}))
        names.append(final)
    return names, notes


def _unused(frame: pd.DataFrame, name: str, header: Sequence[str], position: int) -> bool:
    """Say whether a column has neither a name nor a value, as trailing delimiters leave behind."""
    named = position < len(header) and bool(header[position].strip())
    return not named and bool((frame[name] == "").all())
