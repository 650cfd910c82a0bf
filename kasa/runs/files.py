"""The workspace folder and atomic writes: a reader sees the old file or the new one, never half."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

import platformdirs

from kasa.errors import StoreError

# What Windows refuses, control and direction characters that hide a name, halves of characters.
UNSAFE = re.compile(
    r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]'
)
DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
NAME_BYTES_MAX = 240
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
PROTECTED = {errno.EACCES, errno.EPERM, errno.EROFS}


def workspace() -> Path:
    """Return KASA_HOME, or the platform's user data folder; it is made when absent."""
    chosen = os.environ.get("KASA_HOME")
    own = platformdirs.user_data_path("kasa-poc-studio", appauthor=False)
    home = Path(chosen) if chosen else own
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            return home.resolve()
    except OSError as error:
        if error.errno in FULL:
            raise storage_error(error, home) from error
        raise StoreError("workspace_not_writable", path=str(home), detail=str(error)) from error


def storage_error(error: OSError, path: Path) -> StoreError:
    """Return what a full or protected disk means for a person, from the system's own error."""
    detail = error.strerror or str(error)
    if error.errno in FULL:
        return StoreError("disk_full", path=str(path), detail=detail)
    return StoreError("cannot_write", path=str(path), detail=detail)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Explain what fails in the block because the disk is full or protected (`StoreError`)."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL | PROTECTED:
            raise storage_error(error, path) from error
        raise


def remove_folders(folders: Iterable[Path]) -> None:
    """Remove folders with all that is in them; `StoreError` where something of one is left."""
    folders = list(folders)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    for folder in folders:
        if folder.exists():
            raise StoreError("not_deleted", path=str(folder))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one step, by way of a temporary neighbour."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_in_one_step(path, content)


def _write_in_one_step(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document in one step."""
    write_bytes(path, json.dumps(value, ensure_ascii=False, indent=2).encode())


def read_json(path: Path) -> Any | None:
    """Return a JSON document, or None where there is no such file; a damaged one: `StoreError`."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StoreError("file_damaged", path=str(path), detail=str(error)) from error


def safe_name(name: str) -> str:
    """Return an upload's file name without folders, drive letters or characters a disk refuses."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = UNSAFE.sub("_", last).strip(". ")[-120:]
    # Disks count bytes, and a Japanese letter takes three.
    clean = clean.encode()[-NAME_BYTES_MAX:].decode(errors="ignore").strip(". ")
    return f"_{clean}" if DEVICE.fullmatch(clean) else clean or "upload"


def file_name(path: str) -> str:
    """Return a path's last part, on whichever system it was written."""
    return PurePath(path.replace("\\", "/")).name
