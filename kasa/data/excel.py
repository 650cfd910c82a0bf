"""XLSX and XLS: one visible sheet as text, read in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from kasa.data.grid import grid_table
from kasa.data.header import Merge, Row
from kasa.data.sandbox import BrokenFileError, read_apart
from kasa.data.table import Note, Table
from kasa.dataspec import Reading
from kasa.errors import DataError

MAX_MERGES = 100_000


def read_excel(path: Path, reading: Reading, file_format: str) -> Table:
    """Return the sheet that `reading` names, or the first visible one that holds anything.

    Numbers read as Excel shows them (5, not 5.0), dates in ISO form; formulas give the value Excel
    stored. Raises `DataError` for a workbook that is broken, protected, or has no such sheet.
    """
    messages = read_apart("workbook", path, reading.sheet)
    try:
        facts = next(messages)
        table = grid_table(
            _rows(messages),
            header_row=reading.header_row,
            merges=_merges(facts),
            notes=_notes(facts, reading),
            file_format=file_format,
            encoding="utf-8",
        )
    except BrokenFileError as error:
        raise _failure(error, reading) from error
    finally:
        messages.close()
    return replace(table, sheet=facts["sheet"], sheets=tuple(facts["sheets"]))


def _rows(messages: Iterator[Any]) -> Iterator[Row]:
    return ((number, cells) for number, cells in messages)


def _merges(facts: dict[str, Any]) -> list[Merge]:
    merges = facts["merges"][:MAX_MERGES]
    return [(first, left, last, right) for first, left, last, right in merges]


def _notes(facts: dict[str, Any], reading: Reading) -> list[Note]:
    notes = []
    if len(facts["sheets"]) > 1 and reading.sheet is None:
        values = {"sheet": facts["sheet"], "count": len(facts["sheets"])}
        notes.append(Note("first_sheet", values))
    if facts["no_value"]:
        notes.append(Note("no_value", {"count": facts["no_value"]}))
    return notes


def _failure(error: BrokenFileError, reading: Reading) -> DataError:
    if error.reason == "password":
        return DataError("data_password")
    if error.reason == "entities":
        return DataError("data_xlsx_entities")
    if error.reason == "sheet":
        known = ", ".join(error.facts["sheets"][:20])
        return DataError("data_sheet_missing", name=str(reading.sheet), known=known)
    return DataError("data_xlsx_broken", detail=error.detail)
