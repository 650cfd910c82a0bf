"""Parquet: columns as text, read in a process of its own."""

from __future__ import annotations

from pathlib import Path

from kasa.data.sandbox import BrokenFileError, read_apart
from kasa.data.table import Table, build_table, check_size
from kasa.errors import DataError


def read_parquet(path: Path) -> Table:
    """Return a Parquet file, its rows counted from 1; nested values read as JSON.

    Raises `DataError` for a file that is broken, encrypted or larger than the studio reads.
    """
    messages = read_apart("parquet", path)
    try:
        facts = next(messages)
        check_size(len(facts["names"]), len(facts["names"]) * facts["rows"])
        rows = ((number, cells) for number, cells in messages)
        return build_table(facts["names"], rows, file_format="parquet", encoding="utf-8")
    except BrokenFileError as error:
        raise DataError("data_parquet_broken", detail=error.detail) from error
    finally:
        messages.close()
