"""The data room's door: a file becomes a `Table`, whatever its format, delimiter and encoding.

What a file is follows from its bytes, not from its name. Text is decoded strictly, so that no
replacement character slips in: a byte order mark settles it, then UTF-8 (which other encodings
hardly ever imitate), then CP932, the encoding of Japanese Excel.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

from kasa.data.columns import ColumnGuess, ColumnInfo, describe_columns, guess_columns
from kasa.data.excel import read_excel
from kasa.data.table import MAX_BYTES, Note, Table, build_table, check_size
from kasa.errors import DataError

__all__ = [
    "ColumnGuess",
    "ColumnInfo",
    "Note",
    "Table",
    "describe_columns",
    "guess_columns",
    "read_table",
]

DELIMITERS = ("\t", ",", ";")
SAMPLE_ROWS = 200
ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
UTF16 = (b"\xff\xfe", b"\xfe\xff")
BOM = b"\xef\xbb\xbf"
BINARY = (b"%PDF", b"\x1f\x8b", b"PAR1", b"\x89PNG", b"\xff\xd8\xff", b"7z\xbc\xaf", b"Rar!")


def read_table(path: Path) -> Table:
    """Return a CSV, TSV, JSON Lines or XLSX file as a `Table` of text.

    Raises `DataError` for a file that is empty, too large (over 100 MB), of another kind, broken,
    or in an encoding other than UTF-8 (with or without byte order mark) and CP932.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(
                "data_too_large", megabytes=f"{size / 1e6:,.0f}", limit=f"{MAX_BYTES / 1e6:,.0f}"
            )
        with path.open("rb") as file:
            if file.read(4) == ZIP:
                return read_excel(path)
        content = path.read_bytes()
    except OSError as error:
        raise DataError("file_not_found", path=str(path)) from error
    refuse_binary(content)
    text, encoding = decode(content)
    if not text.strip():
        raise DataError("data_empty")
    notes = [Note("cp932")] if encoding == "cp932" else []
    if looks_like_json(text):
        return _read_json_lines(text, encoding, notes)
    return _read_delimited(text, encoding, notes)


def refuse_binary(content: bytes) -> None:
    """Raise `DataError` for what is not text, naming the kinds that people bring most."""
    if content.startswith(OLE):
        raise DataError("data_old_excel")
    if content.startswith(UTF16):
        raise DataError("data_utf16")
    sample = content[:100_000]
    control = sum(sample.count(code) for code in range(32) if code not in b"\t\n\r\x0b\x0c\x1a\x1b")
    if content.startswith(BINARY) or control > 0.02 * len(sample):
        raise DataError("data_binary")
    place = content.find(b"\0")
    if place >= 0:
        raise DataError("data_nul", line=content.count(b"\n", 0, place) + 1)


def decode(content: bytes) -> tuple[str, str]:
    """Return (text, encoding) by strict decoding: utf-8-sig where there is a mark, utf-8, cp932."""
    marked = content.startswith(BOM)
    try:
        return content.decode("utf-8-sig"), "utf-8-sig" if marked else "utf-8"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        if marked:
            raise DataError("data_encoding", line=line) from error
    try:
        return content.decode("cp932"), "cp932"
    except UnicodeDecodeError as error:
        raise DataError("data_encoding", line=line) from error


def looks_like_json(text: str) -> bool:
    """Say whether the text begins like a JSON object or an array of objects or arrays."""
    return re.match(r"\s*(\{\s*[\"}]|\[\s*[\[{])", text) is not None


def _read_delimited(text: str, encoding: str, notes: list[Note]) -> Table:
    delimiter = sniff_delimiter(text)
    numbered = _records(text, delimiter)
    _, header = next(numbered)
    return build_table(
        header, numbered, file_format="csv", encoding=encoding, delimiter=delimiter, notes=notes
    )


def sniff_delimiter(text: str) -> str:
    """Return the delimiter under which most of the first rows have the header's number of cells.

    One that leaves the header in one piece is no candidate; ties go to more columns, then the tab.
    """
    scores: dict[str, tuple[float, int]] = {}
    for delimiter in DELIMITERS:
        widths: list[int] = []
        try:
            for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
                if row:
                    widths.append(len(row))
                if len(widths) > SAMPLE_ROWS:
                    break
        except csv.Error:
            # Quoting that breaks off speaks against this delimiter, unless every one breaks.
            widths = widths[:1] + [-1] * len(widths)
        if widths and widths[0] > 1:
            scores[delimiter] = (widths.count(widths[0]) / len(widths), widths[0])
    return max(scores, key=scores.__getitem__, default=",")


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (spreadsheet row, cells) of the header and each row; blank lines count as rows."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    width = line = 0
    try:
        for number, row in enumerate(reader, start=1):
            start, line = line + 1, reader.line_num
            if not row:
                continue
            width = width or len(row)
            check_size(width, 0)
            while len(row) > width and not row[-1]:
                row.pop()
            if len(row) != width:
                raise DataError("data_ragged", row=number, line=start, got=len(row), wanted=width)
            yield number, row
    except csv.Error as error:
        # Either a quote is not doubled or never closed; then the csv module reads on to the end.
        raise DataError("data_quotes", line=line + 1) from error


def _read_json_lines(text: str, encoding: str, notes: list[Note]) -> Table:
    if text.lstrip().startswith("["):
        raise DataError("data_json_array")
    header: dict[str, int] = {}
    rows: list[tuple[int, list[str]]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        record = _json_object(line, number)
        for key in record:
            header.setdefault(key, len(header))
        check_size(len(header), len(header) * len(rows))
        rows.append((number, [record.get(key, "") for key in header]))
    return build_table(list(header), rows, file_format="jsonl", encoding=encoding, notes=notes)


def _json_object(line: str, number: int) -> dict[str, str]:
    try:
        record = json.loads(line)
        if isinstance(record, dict):
            cells = {str(key): _json_text(value) for key, value in record.items()}
            # An escaped lone surrogate is valid JSON but no text that could be stored or shown.
            "".join([*cells, *cells.values()]).encode()
            return cells
    except (ValueError, RecursionError) as error:
        raise DataError("data_json_line", line=number) from error
    raise DataError("data_json_line", line=number)


def _json_text(value: object) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)
