"""XLSX: the first visible sheet as text, opened only after the archive is known to be harmless."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import IO, Any

import openpyxl
from openpyxl.utils.escape import unescape

from kasa.data.table import Note, Table, build_table, check_size
from kasa.errors import DataError

MAX_UNPACKED_BYTES = 200_000_000
MAX_RATIO = 250
SMALL_BYTES = 20_000_000
LAST_ROW = 1_048_576


def read_excel(path: Path) -> Table:
    """Return the first visible sheet; numbers as Excel shows them (5, not 5.0), dates in ISO form.

    Formulas give the value Excel stored. Raises `DataError` for an archive that is broken, is no
    workbook, or unpacks to more than `MAX_UNPACKED_BYTES`.
    """
    check_archive(path)
    try:
        with warnings.catch_warnings():
            # openpyxl warns about styles and validations it leaves out; only the values are read.
            warnings.simplefilter("ignore")
            # A path would be judged by its ending; the content has been checked instead.
            with path.open("rb") as file:
                return _read(file)
    except DataError:
        raise
    except Exception as error:
        # A broken part surfaces as nearly any exception; all mean that the workbook is unreadable.
        raise DataError("data_xlsx_broken", detail=type(error).__name__) from error


def check_archive(path: Path) -> None:
    """Raise `DataError` unless the file is a whole XLSX archive of reasonable unpacked size."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError("data_xlsx_broken", detail=type(error).__name__) from error
    # zipfile never unpacks more than the size a part declares, so these sizes bound the work.
    unpacked = sum(part.file_size for part in parts)
    packed = max(1, sum(part.compress_size for part in parts))
    if unpacked > MAX_UNPACKED_BYTES or (unpacked > SMALL_BYTES and unpacked > MAX_RATIO * packed):
        raise DataError(
            "data_xlsx_bomb",
            megabytes=f"{unpacked / 1e6:,.0f}",
            limit=f"{MAX_UNPACKED_BYTES / 1e6:,.0f}",
        )
    if not any(part.filename == "xl/workbook.xml" for part in parts):
        raise DataError("data_zip")


def _read(file: IO[bytes]) -> Table:
    # openpyxl uses defusedxml where it is installed (it is pinned): entities are refused.
    book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
    try:
        sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        if not sheets:
            raise DataError("data_no_rows", columns=0)
        numbered = _rows(sheets[0])
        first = next(numbered, None)
        if first is None:
            raise DataError("data_no_rows", columns=0)
        notes = []
        if len(sheets) > 1:
            notes.append(Note("first_sheet", {"sheet": sheets[0].title, "count": len(sheets)}))
        return build_table(first[1], numbered, file_format="xlsx", encoding="utf-8", notes=notes)
    finally:
        book.close()


def _rows(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the numbered rows that hold anything, without their empty tail."""
    # The declared dimension is often wrong (whole formatted columns); the cells themselves decide.
    sheet.reset_dimensions()
    for number, values in enumerate(sheet.iter_rows(min_row=1, values_only=True), start=1):
        if number > LAST_ROW:
            raise DataError("data_xlsx_broken", detail=f"row > {LAST_ROW}")
        cells = [cell_text(value) for value in values]
        while cells and not cells[-1]:
            cells.pop()
        check_size(len(cells), 0)
        if cells:
            yield number, cells


def cell_text(value: object) -> str:
    """Return a cell as Excel shows it, with dates and times in ISO form and "" for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        if not math.isfinite(value):
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    return unescape(value) if isinstance(value, str) else str(value)
