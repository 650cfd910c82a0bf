"""JSON as people export it: one object a line, a list of objects, or an object of columns."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kasa.data.table import MAX_CELLS, Note, Table, build_table, check_size
from kasa.errors import DataError

Records = list[tuple[int, dict[str, str]]]


def looks_like_json(text: str) -> bool:
    """Say whether the text begins like a JSON object or array."""
    return re.match(r"\s*(\{\s*[\"}]|\[\s*[\[{\"\]])", text) is not None


def read_json(text: str, encoding: str, notes: Sequence[Note]) -> Table:
    """Return JSON Lines (rows numbered by line), or a JSON document (rows counted from 1).

    A document is a list of objects, a list of plain values (one column), an object that holds one
    list of objects, or an object of columns (lists, or objects by row as pandas writes them).
    Raises `DataError` for broken JSON, naming the line, and for JSON that is no table.
    """
    start = text.lstrip()
    if start.startswith("{") and _first_line_is_whole(text):
        records = _lines(text)
        alone = _columns_or_list(text) if len(records) == 1 else None
        if alone is None:
            return _table(records, "jsonl", encoding, notes)
        document = alone
    else:
        document = _document(text)
    rows, more = _rows(document)
    records = [(number, _record(row, number)) for number, row in enumerate(rows, start=1)]
    return _table(records, "json", encoding, [*notes, *more])


def _first_line_is_whole(text: str) -> bool:
    """Say whether the first line is JSON by itself, or one of several that each should be."""
    lines = [line for line in text.lstrip().split("\n", 2)[:2] if line.strip()]
    try:
        value = json.loads(lines[0])
        if isinstance(value, dict):
            check_size(len(value), 0)
        return True
    except (ValueError, RecursionError):
        return len(lines) > 1 and lines[1].lstrip().startswith("{") and lines[0].rstrip()[-1] != "["


def _lines(text: str) -> Records:
    records: Records = []
    cells = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError("data_json_line", line=number) from error
        if not isinstance(value, dict):
            raise DataError("data_json_line", line=number)
        cells += len(value)
        check_size(len(value), cells)
        records.append((number, _record(value, number)))
    return records


def _columns_or_list(text: str) -> dict[str, Any] | None:
    """Return a document in one line that is more than one row of JSON Lines."""
    value = json.loads(text)
    is_table = _list_key(value) is not None or _is_columns(value)
    return value if is_table else None


def _document(text: str) -> Any:
    # Every value follows one of these, so that their number bounds what the parser builds.
    check_size(0, sum(text.count(mark) for mark in ",[{"))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError("data_json", line=error.lineno, column=error.colno) from error
    except (ValueError, RecursionError) as error:
        raise DataError("data_json", line=1, column=1) from error


def _rows(document: Any) -> tuple[Iterable[dict[str, Any]], list[Note]]:
    if isinstance(document, dict):
        key = _list_key(document)
        if key is not None:
            return document[key], [Note("json_key", {"key": key})]
        if _is_columns(document):
            return _turned(document), []
    elif isinstance(document, list):
        if all(isinstance(item, dict) for item in document):
            return document, []
        if not any(isinstance(item, (dict, list)) for item in document):
            return ({"value": item} for item in document), [Note("json_values")]
    raise DataError("data_json_shape")


def _list_key(document: dict[str, Any]) -> str | None:
    """Return the key of the only list of objects, None where there is none or more than one."""
    keys = [
        key
        for key, value in document.items()
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    ]
    return keys[0] if len(keys) == 1 else None


def _is_columns(document: dict[str, Any]) -> bool:
    """Say whether all values are lists of one length, or all objects keyed by row."""
    columns = list(document.values())
    if not columns:
        return False
    if all(isinstance(column, list) for column in columns):
        return len({len(column) for column in columns}) == 1
    return all(isinstance(column, dict) for column in columns) and bool(columns[0])


def _turned(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    by_row: dict[Any, dict[str, Any]] = {}
    for name, column in document.items():
        pairs = column.items() if isinstance(column, dict) else enumerate(column)
        for row, value in pairs:
            by_row.setdefault(row, {})[name] = value
    return list(by_row.values())


def _record(value: Mapping[str, Any], number: int) -> dict[str, str]:
    cells = {str(key): _cell(item) for key, item in value.items()}
    try:
        # An escaped lone surrogate is valid JSON but no text that could be stored or shown.
        "".join([*cells, *cells.values()]).encode()
    except UnicodeEncodeError as error:
        raise DataError("data_json_line", line=number) from error
    return cells


def _table(records: Records, file_format: str, encoding: str, notes: Sequence[Note]) -> Table:
    header: dict[str, int] = {}
    for _, record in records:
        for key in record:
            header.setdefault(key, len(header))
        check_size(len(header), 0)
    check_size(len(header), min(MAX_CELLS + 1, len(header) * len(records)))
    rows = ((number, [record.get(key, "") for key in header]) for number, record in records)
    return build_table(list(header), rows, file_format=file_format, encoding=encoding, notes=notes)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)
