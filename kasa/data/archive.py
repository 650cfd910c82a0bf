"""ZIP archives, opened only when harmless: a workbook, or exactly one file with a table in it."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from kasa.data.table import MAX_BYTES
from kasa.errors import DataError

MAX_UNPACKED_BYTES = 200_000_000
MAX_RATIO = 250
SMALL_BYTES = 20_000_000
MAX_DIRECTORY_BYTES = 5_000_000
END_RECORD = b"PK\x05\x06"
ZIP = b"PK\x03\x04"
ENCRYPTED, UTF8_NAME = 0x1, 0x800
# What operating systems add to an archive, and people never see.
SYSTEM_NAMES = ("__MACOSX/", "Thumbs.db", "desktop.ini")


def workbook_or_members(path: Path) -> list[zipfile.ZipInfo] | None:
    """Return None for an XLSX workbook, else the archive's files without what systems add.

    Raises `DataError` for an archive that is broken or unpacks to more than `MAX_UNPACKED_BYTES`.
    """
    try:
        with path.open("rb") as file:
            refuse_long_directory(file)
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        detail = type(error).__name__
        if path.suffix.lower() == ".xlsx" or _begins_like_workbook(path):
            raise DataError("data_xlsx_broken", detail=detail) from error
        raise DataError("data_zip_broken", detail=detail) from error
    _refuse_bomb(parts)
    names = {part.filename for part in parts}
    if "xl/workbook.xml" in names:
        return None
    if "[Content_Types].xml" in names or "mimetype" in names:
        raise DataError("data_zip")
    return [part for part in parts if not part.is_dir() and not _is_system_file(part.filename)]


def unpack(path: Path, members: list[zipfile.ZipInfo], folder: Path) -> tuple[Path, str]:
    """Write the archive's only file into `folder` and return it with its name in the archive.

    Raises `DataError` for no file or several, a password, an archive within, and broken content.
    """
    if not members:
        raise DataError("data_zip_empty")
    if len(members) > 1:
        names = ", ".join(_name(member) for member in members[:5])
        raise DataError("data_zip_files", count=len(members), names=names)
    member = members[0]
    if member.flag_bits & ENCRYPTED:
        raise DataError("data_password")
    if member.file_size > MAX_BYTES:
        raise too_large(member.file_size)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            # zipfile never unpacks more than the size a part declares.
            content = file.read()
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:
        raise DataError("data_zip_broken", detail=type(error).__name__) from error
    inner = folder / "table"
    inner.write_bytes(content)
    if content.startswith(ZIP) and workbook_or_members(inner) is not None:
        raise DataError("data_zip_nested", name=_name(member))
    return inner, PurePosixPath(_name(member)).name


def too_large(size: int) -> DataError:
    """Return the error for a file of `size` bytes."""
    return DataError(
        "data_too_large", megabytes=f"{size / 1e6:,.0f}", limit=f"{MAX_BYTES / 1e6:,.0f}"
    )


def _refuse_bomb(parts: list[zipfile.ZipInfo]) -> None:
    unpacked = sum(part.file_size for part in parts)
    packed = max(1, sum(part.compress_size for part in parts))
    if unpacked > MAX_UNPACKED_BYTES or (unpacked > SMALL_BYTES and unpacked > MAX_RATIO * packed):
        raise DataError(
            "data_zip_bomb",
            megabytes=f"{unpacked / 1e6:,.0f}",
            limit=f"{MAX_UNPACKED_BYTES / 1e6:,.0f}",
        )


def refuse_long_directory(file: IO[bytes]) -> None:
    """Raise BadZipFile for a list of contents that would itself fill the memory."""
    file.seek(max(0, file.seek(0, 2) - 65_557))
    tail = file.read()
    place = tail.rfind(END_RECORD)
    if place < 0 or len(tail) < place + 22:
        raise zipfile.BadZipFile("no end record")
    (length,) = struct.unpack_from("<I", tail, place + 12)
    if length > MAX_DIRECTORY_BYTES:
        raise zipfile.BadZipFile("too many files")


def _begins_like_workbook(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4096)
    return any(name in start for name in (b"[Content_Types].xml", b"xl/", b"docProps/"))


def _is_system_file(name: str) -> bool:
    last = PurePosixPath(name).name
    return name.startswith(SYSTEM_NAMES) or last.startswith(".") or last in SYSTEM_NAMES


def _name(member: zipfile.ZipInfo) -> str:
    """Return a file's name; Japanese Windows writes CP932, which zipfile reads as CP437."""
    if member.flag_bits & UTF8_NAME or member.filename.isascii():
        return member.filename
    try:
        return member.filename.encode("cp437").decode("cp932")
    except UnicodeError:
        return member.filename
