"""The workspace folder and atomic writes: a reader sees the old file or the new one, never half."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import platformdirs

from kasa.errors import StoreError

UNSAFE = re.compile(r'[\x00-\x1f<>:"/\\|?*]')


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
        raise StoreError("workspace_not_writable", path=str(home), detail=str(error)) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one step, by way of a temporary neighbour."""
    path.parent.mkdir(parents=True, exist_ok=True)
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
    """Return a JSON document, or None where there is no such file."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None


def safe_name(name: str) -> str:
    """Return an upload's file name without folders, drive letters or characters a disk refuses."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = UNSAFE.sub("_", last).strip(". ")
    return clean[-120:] or "upload"
