"""What a worker holds while it works: config, folder, and how it reports and hears "stop"."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kasa.runs.files import explained

CHECKPOINTS = "checkpoints"
LOG_BYTES = 16_384


class JobCancelled(Exception):  # noqa: N818 - it is an answer to "stop", not a failure
    """Raised inside a job when somebody asked it to stop."""


@dataclass
class Job:
    """One unit of work of one process; `folder` is its own and keeps everything it writes."""

    id: str
    kind: str
    config: dict[str, Any]
    folder: Path
    asked_to_stop: Callable[[], bool] = field(default=lambda: False, repr=False)

    @property
    def checkpoints(self) -> Path:
        """The folder for what lets a killed run go on; it goes when the result is there."""
        return self.folder / CHECKPOINTS

    def progress(self, done: float, total: float, **info: Any) -> None:
        """Append one event (seconds since the epoch, done, total, info) to events.jsonl."""
        event = {"time": time.time(), "done": done, "total": total, **info}
        path = self.folder / "events.jsonl"
        with explained(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event, ensure_ascii=False) + "\n")

    def should_stop(self) -> bool:
        """Say whether the run was asked to stop."""
        return self.asked_to_stop()

    def stop_if_asked(self) -> None:
        """Raise `JobCancelled` when the run was asked to stop."""
        if self.should_stop():
            raise JobCancelled


def log_tail(folder: Path, num_lines: int = 40) -> str:
    """Return the last lines of log.txt, "" where there is none yet."""
    try:
        with (folder / "log.txt").open("rb") as file:
            file.seek(max(0, (folder / "log.txt").stat().st_size - LOG_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    # A progress bar writes over its own line: only what stood there last counts.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.rstrip().split("\n")]
    return "\n".join(lines[-num_lines:])


def read_events(folder: Path) -> list[dict[str, Any]]:
    """Return the events written so far; a line still being written is left for the next look.

    Training steps that were made again after an interruption stand in place of the first ones.
    """
    try:
        text = (folder / "events.jsonl").read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    events: list[dict[str, Any]] = []
    reached = 0.0
    for line in text.split("\n")[:-1]:
        with suppress(ValueError):  # the disk was full, or the process killed, amid a line
            event = json.loads(line)
            if "loss" in event:
                if event["done"] <= reached:
                    events = [each for each in events if each["done"] < event["done"]]
                reached = event["done"]
            events.append(event)
    return events
