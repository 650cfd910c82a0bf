"""The data room's door: a file becomes a `Table`, whatever its format, delimiter and encoding.

What a file is follows from its bytes, not from its name.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kasa.data.archive import ZIP, too_large, unpack, workbook_or_members
from kasa.data.delimited import read_delimited
from kasa.data.encoding import LABELS, decode, is_wide, previews
from kasa.data.excel import read_excel
from kasa.data.json_files import looks_like_json, read_json
from kasa.data.parquet import read_parquet
from kasa.data.table import MAX_BYTES, Note, Table
from kasa.dataspec import Reading
from kasa.errors import DataError

__all__ = ["Note", "Reading", "Table", "previews", "read_table"]

OLE, PARQUET = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"PAR1"
BINARY = (
    *(b"%PDF", b"\x1f\x8b", b"\x89PNG", b"\xff\xd8\xff"),
    *(b"7z\xbc\xaf", b"Rar!", b"PARE", b"GIF8"),
)
# Controls that texts of some encoding hold: tab, line ends, the end mark of DOS, escape.
TEXT_CONTROLS = b"\t\n\r\x0b\x0c\x1a\x1b"
DOS_END = "\x1a"


def read_table(path: Path, reading: Reading | None = None) -> Table:
    """Return a file as a `Table` of text: CSV and its kin, JSON, Excel, Parquet, or one in a ZIP.

    `reading` says what is not to be guessed. Raises `DataError` for a file that is empty, too large
    (over 100 MB), of another kind, broken, protected, or not what `reading` says.
    """
    reading = reading or Reading()
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise too_large(size)
        with path.open("rb") as file:
            start = file.read(8)
        if not start.startswith(ZIP):
            return _read_plain(path, start, reading)
    except OSError as error:
        raise DataError("file_not_found", path=str(path)) from error
    members = workbook_or_members(path)
    if members is None:
        return read_excel(path, reading, "xlsx")
    with tempfile.TemporaryDirectory(prefix="kasa-") as folder:
        inner, name = unpack(path, members, Path(folder))
        with inner.open("rb") as file:
            start = file.read(8)
        if start.startswith(ZIP):
            table = read_excel(inner, reading, "xlsx")
        else:
            table = _read_plain(inner, start, reading)
    notes = (Note("zip_member", {"name": name}), *table.notes)
    return replace(table, member=name, notes=notes)


def _read_plain(path: Path, start: bytes, reading: Reading) -> Table:
    if start.startswith(PARQUET):
        return read_parquet(path)
    content = path.read_bytes()
    if start.startswith(OLE):
        return _read_old_excel(path, content, reading)
    wide = reading.encoding is not None and reading.encoding.startswith(("utf-16", "utf-32"))
    if not wide and not is_wide(content):
        refuse_binary(content)
    text, encoding = decode(content, reading.encoding)
    _refuse_nul(text)
    text = text.rstrip(DOS_END)
    if not text.strip():
        raise DataError("data_empty")
    guessed = reading.encoding is None and not encoding.startswith("utf-8")
    notes = [Note("encoding", {"encoding": LABELS[encoding]})] if guessed else []
    if looks_like_json(text):
        return read_json(text, encoding, notes)
    return read_delimited(text, encoding, reading, notes)


def _read_old_excel(path: Path, content: bytes, reading: Reading) -> Table:
    """Read .xls; Office keeps other documents, and protected workbooks, in the same container."""
    holds: Callable[[str], bool] = lambda name: name.encode("utf-16-le") in content  # noqa: E731
    if holds("EncryptedPackage"):
        raise DataError("data_password")
    if not holds("Workbook") and not holds("Book"):
        raise DataError("data_binary")
    return read_excel(path, reading, "xls")


def refuse_binary(content: bytes) -> None:
    """Raise `DataError` for what is not text, by its first bytes or its control characters."""
    if content.startswith(BINARY):
        raise DataError("data_binary")
    sample = content[:100_000]
    # Zero bytes are judged after decoding: in UTF-16 they are half of every ASCII character.
    control = sum(sample.count(code) for code in range(1, 32) if code not in TEXT_CONTROLS)
    if control > 0.02 * len(sample):
        raise DataError("data_binary")


def _refuse_nul(text: str) -> None:
    place = text.find("\0")
    if place < 0:
        return
    if text.count("\0", 0, 100_000) > 0.02 * len(text[:100_000]):
        raise DataError("data_binary")
    raise DataError("data_nul", line=text.count("\n", 0, place) + 1)
