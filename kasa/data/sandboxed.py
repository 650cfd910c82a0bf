"""A script for a process of its own: reads a workbook or Parquet file and prints it, row by row.

    python sandboxed.py workbook|parquet PATH [SHEET]

The parsers are Rust and C++. A hostile file can make them ask for more memory than there is, and
then they end the process they run in: calamine 0.9 aborts at one filled cell in the last row and
column. Hence this script, which `kasa.data.sandbox` starts, watches and ends. It knows nothing of
kasa, so that it starts quickly. Every line it prints is one JSON document: first the facts, then
`[row number, [cells]]`, then `{"end": true}`; or `{"error": reason, "detail": …}`.
"""

from __future__ import annotations

import json
import math
import re
import sys
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree as ET

LAST_ROW = 1_048_576
PROLOGUE = 65_536
CELL = re.compile(rb"<(?:\w+:)?c\b([^>]*?)(?:/>|>(.*?)</(?:\w+:)?c>)", re.DOTALL)
REFERENCE = re.compile(rb"""\br=["']([A-Z]{1,3})(\d{1,7})["']""")
VALUE = re.compile(rb"<(?:\w+:)?v>([^<]+)<")
Row = tuple[int, list[str]]


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
        # Excel stores moments as fractions of days, which come out a little short of the second.
        if value.microsecond and value.year < 9999:
            value += timedelta(microseconds=500)
            value = value.replace(microsecond=value.microsecond // 1000 * 1000)
        midnight = value.time() == time() and value.tzinfo is None
        return value.date().isoformat() if midnight else value.isoformat(" ")
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, default=cell_text)
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return str(value)


def workbook(path: str, wanted: str | None) -> Iterator[Any]:
    """Yield the facts of the wanted sheet, or of the first visible one with rows, and its rows."""
    import python_calamine as calamine

    is_zip = zipfile.is_zipfile(path)
    if is_zip:
        refuse_entities(path)
    with calamine.load_workbook(path) as book:
        visible = [
            meta.name
            for meta in book.sheets_metadata
            if meta.visible == calamine.SheetVisibleEnum.Visible
            and meta.typ == calamine.SheetTypeEnum.WorkSheet
        ]
        if wanted is not None and wanted not in visible:
            yield {"error": "sheet", "detail": "", "sheets": visible}
            return
        name, rows, sheet = wanted, [], None
        for name in visible if wanted is None else [wanted]:
            sheet = book.get_sheet_by_name(name)
            rows = list(sheet_rows(sheet))
            if rows:
                break
        if not rows or sheet is None or name is None:
            yield {"sheets": visible, "sheet": name or "", "merges": [], "no_value": 0}
            return
        errors, no_value = odd_cells(path, name) if is_zip else ({}, 0)
        merges = [
            (first + 1, left, last + 1, right)
            for (first, left), (last, right) in sheet.merged_cell_ranges or []
        ]
        yield {"sheets": visible, "sheet": name, "merges": merges, "no_value": no_value}
        yield from with_errors(rows, errors)


def sheet_rows(sheet: Any) -> Iterator[Row]:
    """Yield the numbered rows that hold anything, without their empty tail."""
    if sheet.total_height > LAST_ROW:
        raise ValueError(f"row > {LAST_ROW}")
    if sheet.start is None:
        return
    # The rows begin at the sheet's top, but their cells only at the first column that is filled.
    margin = [""] * sheet.start[1]
    for number, values in enumerate(sheet.iter_rows(), start=1):
        cells = [*margin, *(cell_text(value) for value in values)]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield number, cells


def with_errors(rows: list[Row], errors: dict[int, dict[int, str]]) -> Iterator[Row]:
    """Yield the rows with Excel's error values (#N/A) put in, which calamine leaves empty."""
    missing = {number: list[str]() for number in errors}
    missing.update(rows)
    for number in sorted(missing) if errors else []:
        cells = missing[number]
        for column, value in errors.get(number, {}).items():
            cells += [""] * (column + 1 - len(cells))
            cells[column] = value
        yield number, cells
    if not errors:
        yield from rows


def refuse_entities(path: str) -> None:
    """Raise ValueError for a document type, which Excel never writes and attacks need."""
    with zipfile.ZipFile(path) as archive:
        for part in archive.namelist():
            if part.endswith((".xml", ".rels")):
                with archive.open(part) as file:
                    if b"<!DOCTYPE" in file.read(PROLOGUE):
                        raise ValueError("entities")


def odd_cells(path: str, sheet: str) -> tuple[dict[int, dict[int, str]], int]:
    """Return the error values by row and column, and the count of formulas without a value."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(sheet_part(archive, sheet))
    except (KeyError, StopIteration, ET.ParseError):
        return {}, 0  # a workbook of unusual build: its ordinary cells have been read all the same
    errors: dict[int, dict[int, str]] = {}
    no_value = 0
    is_error = re.compile(rb"""\bt=["']e["']""")
    if not is_error.search(content) and b"f>" not in content and b"<f" not in content:
        return errors, 0
    for found in CELL.finditer(content):
        inner = found[2] or b""
        value = VALUE.search(inner)
        no_value += value is None and re.search(rb"<(?:\w+:)?f[\s>/]", inner) is not None
        place = REFERENCE.search(found[1])
        if place and value and is_error.search(found[1]):
            column = 0
            for letter in place[1]:
                column = 26 * column + letter - 64
            errors.setdefault(int(place[2]), {})[column - 1] = value[1].decode()
    return errors, no_value


def sheet_part(archive: zipfile.ZipFile, sheet: str) -> str:
    """Return the archive's name for a sheet; KeyError or StopIteration where it is not found."""
    book = ET.fromstring(archive.read("xl/workbook.xml"))  # noqa: S314 entities are refused
    relations = ET.fromstring(archive.read("xl/_rels/workbook.xml.rels"))  # noqa: S314
    entry = next(e for e in book.iter() if e.tag.endswith("}sheet") and e.get("name") == sheet)
    identity = next(value for key, value in entry.attrib.items() if key.endswith("}id"))
    target = next(r.attrib["Target"] for r in relations if r.get("Id") == identity)
    return str(PurePosixPath("xl") / target).removeprefix("/")


def parquet(path: str, _wanted: str | None) -> Iterator[Any]:
    """Yield the columns' names and the number of rows, then the rows."""
    import pyarrow as pa
    from pyarrow import parquet as reader

    file = reader.ParquetFile(path)
    names = file.schema_arrow.names
    shown = [place for place, name in enumerate(names) if not name.startswith("__index_level_")]
    yield {"names": [names[place] for place in shown], "rows": file.metadata.num_rows}
    number = 0
    for batch in file.iter_batches(batch_size=500):
        columns = [batch.columns[place] for place in shown]
        for place, column in enumerate(columns):
            if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
                # A nanosecond has no place in Python's own dates.
                coarse = pa.timestamp("us", column.type.tz)
                columns[place] = column.cast(coarse, safe=False)
        texts = [[cell_text(value) for value in column.to_pylist()] for column in columns]
        for cells in zip(*texts, strict=True):
            number += 1
            yield number, cells


def main() -> None:
    """Print what the arguments name; every failure is a line that says so."""
    kind, path, *sheet = sys.argv[1:]
    out = sys.stdout
    try:
        for message in {"workbook": workbook, "parquet": parquet}[kind](
            path, sheet[0] if sheet else None
        ):
            out.write(json.dumps(message, ensure_ascii=True) + "\n")
        out.write('{"end": true}\n')
    except Exception as error:  # noqa: BLE001 a broken file surfaces as nearly any exception
        name = type(error).__name__
        reasons = {
            "PasswordError": "password",
            "MemoryError": "memory",
            "ArrowMemoryError": "memory",
        }
        reason = "entities" if str(error) == "entities" else reasons.get(name, "broken")
        out.write(json.dumps({"error": reason, "detail": name}) + "\n")


if __name__ == "__main__":
    main()
