"""Starts, watches and ends the process that reads workbooks and Parquet files.

Its memory and time are bounded from outside (on every platform), because the parsers' own limits
cannot be trusted with a hostile file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from kasa.errors import DataError

SCRIPT = Path(__file__).with_name("sandboxed.py")
MAX_MEMORY_BYTES = 2_000_000_000
MAX_SECONDS = 120.0
MAX_OUTPUT_BYTES = 400_000_000
MAX_LINE_BYTES = 50_000_000


class BrokenFileError(Exception):
    """The parser refused the file; `reason` is password, entities, sheet or broken."""

    def __init__(self, reason: str, detail: str, facts: dict[str, Any]) -> None:
        """Keep what the process said."""
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.facts = facts


def read_apart(kind: str, path: Path, sheet: str | None = None) -> Generator[Any, None, None]:
    """Yield the facts of a `workbook` or `parquet` file and then its `[number, cells]` rows.

    Raises `BrokenFileError` for a file the parser cannot read, and `DataError` for one that takes
    more than `MAX_MEMORY_BYTES`, `MAX_SECONDS` or `MAX_OUTPUT_BYTES`.
    """
    # Isolated (-I): neither the working folder nor the environment adds code to the process.
    arguments = [sys.executable, "-I", "-X", "utf8", str(SCRIPT), kind, str(path.resolve())]
    arguments += [] if sheet is None else [sheet]
    with subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    ) as process:
        watch = Watch(process)
        watch.start()
        try:
            yield from _messages(process, watch)
        finally:
            process.kill()
            watch.join()


def _messages(process: subprocess.Popen[bytes], watch: Watch) -> Iterator[Any]:
    received = 0
    while line := process.stdout.readline(MAX_LINE_BYTES):  # type: ignore[union-attr]
        received += len(line)
        complete = line.endswith(b"\n")
        if received > MAX_OUTPUT_BYTES or (not complete and len(line) == MAX_LINE_BYTES):
            raise DataError("data_too_heavy")
        if not complete:
            break
        message = json.loads(line)
        if isinstance(message, dict) and "error" in message:
            if message["error"] == "memory":
                raise DataError("data_too_heavy")
            raise BrokenFileError(message["error"], message["detail"], message)
        if message == {"end": True}:
            return
        yield message
    code = process.wait()
    # Python leaves with 1; any other code is a parser that found no more memory, or was ended.
    if watch.ended or code != 1:
        raise DataError("data_too_heavy")
    raise BrokenFileError("broken", f"exit {code}", {})


class Watch(threading.Thread):
    """Ends the process when it takes too much memory or time; `ended` says that it did."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Watch `process` until it is gone."""
        super().__init__(daemon=True)
        self.process = process
        self.ended = False

    def run(self) -> None:
        """Look every 20 ms."""
        deadline = time.monotonic() + MAX_SECONDS
        with suppress(psutil.Error):
            watched = psutil.Process(self.process.pid)
            while self.process.poll() is None:
                too_much = watched.memory_info().rss > MAX_MEMORY_BYTES
                if too_much or time.monotonic() > deadline:
                    self.ended = True
                    self.process.kill()
                    return
                time.sleep(0.02)
