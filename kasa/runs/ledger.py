"""The log of what was done with the data, by whom and when: entries chained by their hashes.

`ledger.jsonl` in the workspace is only ever added to. A line is one JSON object: number, at (UTC),
by (the system's user and the program), event, facts, previous, and hash = SHA-256 over the
canonical JSON of the rest. Facts are ids, numbers, file names and SHA-256; never a row's text.

What the chain proves: a line that was damaged, edited, put in, taken out or moved is found, and,
since the database keeps number and hash of the last entry, so are lines missing at the end. What it
does not prove: whoever may write file and database can make both anew; only a hash that was written
down elsewhere, such as in a report that was handed out, shows that. It tells what the studio did,
not what other programs did with the files.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psutil

from kasa.errors import StoreError
from kasa.runs.files import explained

if TYPE_CHECKING:
    from kasa.data.card import DatasetCard
    from kasa.dataspec import DataSpec

GENESIS = "0" * 64
# A line of which only a part was written: the next entry is this one, with the part's SHA-256.
TORN = "line_torn"
# They concern whatever is done afterwards.
FOR_ALL = ("hub_access", TORN)
ENDING_BYTES = 65_536
LOG = logging.getLogger(__name__)
Connect = Callable[..., AbstractContextManager[sqlite3.Connection]]


@dataclass(frozen=True)
class Entry:
    """One thing that was done; `program` is studio (web server), worker, command_line or other."""

    number: int
    at: datetime
    user: str
    program: str
    event: str
    facts: dict[str, Any]
    previous: str
    hash: str


@dataclass(frozen=True)
class Broken:
    """Where the chain first fails to hold: the number of the entry that was expected there.

    `kind` is changed (a line that is no entry or has another hash), moved (an entry that does not
    follow the one before), torn (half a line at the end) or cut (entries missing at the end).
    """

    kind: str
    number: int


@dataclass(frozen=True)
class Standing:
    """The log as a whole: its last entry's number and hash, and what is wrong with it.

    `missed` are events that could not be written when they happened.
    """

    number: int = 0
    hash: str = GENESIS
    broken: Broken | None = None
    missed: int = 0


class Ledger:
    """The log of one workspace; the database's write lock is its lock, on every system."""

    def __init__(self, home: Path, connect: Connect) -> None:
        """Know the file and how the store opens its database; nothing is read yet."""
        self.path = home / "ledger.jsonl"
        self._connect = connect

    def append(self, event: str, **facts: Any) -> Entry:
        """Add an entry and return it once it is on the disk; raises `StoreError` where it cannot.

        Events are named in `kasa/locale/handling`; what writes a report or an export calls, for
        example, `append("report_written", study=study_id, format="pptx")`.
        """
        with self._connect(exclusive=True) as db, explained(self.path):
            entry = self._add(_kept_end(db), event, facts)
            db.execute(
                "INSERT INTO ledger_end (only, number, hash) VALUES (1, ?, ?)"
                " ON CONFLICT (only) DO UPDATE SET number = excluded.number, hash = excluded.hash",
                (entry.number, entry.hash),
            )
        return entry

    def note(self, event: str, **facts: Any) -> bool:
        """Add an entry if that is possible: what cannot be logged must not cost anybody's work.

        A failure goes to the program's own log, and where the database still answers it is counted.
        """
        try:
            self.append(event, **facts)
        except (StoreError, OSError) as error:
            LOG.warning("the log of data handling misses %s: %s", event, error)
            if not (isinstance(error, StoreError) and error.code == "database"):
                with suppress(StoreError), self._connect() as db:
                    db.execute(
                        "INSERT INTO ledger_end (only, number, hash, missed) VALUES (1, 0, ?, 1)"
                        " ON CONFLICT (only) DO UPDATE SET missed = missed + 1",
                        (GENESIS,),
                    )
            return False
        return True

    def deleted(self, event: str, **facts: Any) -> None:
        """Add the entry of a deletion that is done; `StoreError` where nobody would know of it.

        Not before the deletion: on a full disk nothing could be deleted to make room.
        """
        try:
            self.append(event, **facts)
        except (StoreError, OSError) as error:
            detail = error.values.get("detail") if isinstance(error, StoreError) else None
            raise StoreError(
                "deletion_not_logged", path=str(self.path), detail=str(detail or error)
            ) from error

    @contextmanager
    def reading(self, facts: Mapping[str, Any]) -> Iterator[None]:
        """Note that a job begins to read rows and that it has ended; without facts, nothing.

        A killed process leaves a beginning without an end.
        """
        if not facts:
            yield
            return
        self.note("rows_read_began", **facts)
        try:
            yield
        except Exception:
            self.note("rows_read_ended", **facts, whole=False)
            raise
        self.note("rows_read_ended", **facts, whole=True)

    def entries(self) -> list[Entry]:
        """Return every entry that can be read, oldest first, whether the chain holds or not."""
        found = (_readable(line) for line in self._lines())
        return [entry for entry in found if entry is not None]

    def standing(self) -> Standing:
        """Return the last entry's number and hash, what is wrong, and how many events are missed.

        Taken under the lock, so that no other process is in the middle of a line.
        """
        with self._connect(exclusive=True) as db:
            kept, missed, lines = _kept_end(db), _missed(db), self._lines()
        last, broken = _walk(lines, kept)
        return Standing(*last, broken, missed)

    def content(self) -> bytes:
        """Return the file as it is."""
        try:
            with explained(self.path):
                return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    def _lines(self) -> list[bytes]:
        return self.content().split(b"\n")

    def _add(self, kept: tuple[int, str], event: str, facts: Mapping[str, Any]) -> Entry:
        # Unbuffered: what could not be written must not be tried again when the file is closed.
        with self.path.open("a+b", buffering=0) as file:
            size = file.seek(0, 2)
            last, part = _ending(file, size)
            # The file is ahead of the database where a process was killed between the two.
            end = last if last[0] > kept[0] else kept
            lines = b""
            if part:
                torn = {"bytes": len(part), "sha256": _sha256(part)}
                line, torn_entry = _line(*end, TORN, torn)
                lines, end = b"\n" + line, (torn_entry.number, torn_entry.hash)
            line, entry = _line(*end, event, facts)
            try:
                if file.write(lines + line) < len(lines + line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301
                os.fsync(file.fileno())
            except BaseException:
                with suppress(OSError):  # what is left is a torn line, which the next entry tells
                    file.truncate(size)
                raise
        return entry


def program() -> str:
    """Return which program this is: studio (web server), worker, command_line or other."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    name = str(getattr(spec, "name", ""))
    if name.startswith("kasa."):
        return "command_line" if name == "kasa.__main__" else "worker"
    return "studio" if "streamlit" in sys.modules else "other"


def job_facts(
    run_id: str, kind: str, config: Mapping[str, Any], study_of: Callable[[str], str | None]
) -> dict[str, Any]:
    """Return what the log says of a job that reads rows: the job, and the study or its data."""
    facts = {"run": run_id, "kind": kind, "hub_access": bool(config.get("hub_access"))}
    facts |= {name: config[name] for name in ("arm", "seed") if name in config}
    study_id = config.get("study_id")
    if study_id is None and isinstance(config.get("run"), str):
        with suppress(StoreError):  # the job will say that there is no such run
            study_id = study_of(config["run"])
    study = config.get("study")
    data = study.get("data") if isinstance(study, dict) else None
    if study_id is not None:
        facts["study"] = str(study_id)
    elif isinstance(data, dict):
        facts["data_sha256"] = data.get("sha256")
    return facts


def started_facts(card: DatasetCard) -> dict[str, Any]:
    """Return what the log says of the rows that a study is started with: counts and hashes."""
    replaced = [
        problem.count
        for problem in card.problems
        if problem.kind == "personal_data" and problem.treatment == "changed"
    ]
    return {
        "data_sha256": card.sha256,
        **({"test_sha256": card.test_sha256} if card.test_sha256 else {}),
        "rows": card.num_used,
        "rows_left_out": card.num_left_out,
        "masked": card.masked,
        "personal_fix": bool(replaced),
        "personal_rows_replaced": sum(replaced),
        "personal_places_left": sum(card.personal.values()),
    }


def data_facts(data: DataSpec) -> dict[str, str]:
    """Return the SHA-256 of the files that a study reads, as far as they are known."""
    known = {"data_sha256": data.sha256, "test_sha256": data.test_sha256}
    return {name: value for name, value in known.items() if value}


def concerning(entries: list[Entry], study_id: str, contents: set[str]) -> list[Entry]:
    """Return the entries about a study or the files it reads, and what held for all meanwhile."""
    own = [entry for entry in entries if _concerns(entry, study_id, contents)]
    if not own:
        return []
    numbers = {entry.number for entry in own}
    first = min(numbers)
    return [
        entry
        for entry in entries
        if entry.number in numbers or (entry.event in FOR_ALL and entry.number > first)
    ]


def _concerns(entry: Entry, study_id: str, contents: set[str]) -> bool:
    if entry.facts.get("study") == study_id:
        return True
    names = ("sha256", "data_sha256", "test_sha256")
    return entry.event not in FOR_ALL and any(str(entry.facts.get(n)) in contents for n in names)


def _user() -> str:
    try:
        return psutil.Process().username()
    except (psutil.Error, OSError, KeyError):
        return "?"


def _line(number: int, previous: str, event: str, facts: Mapping[str, Any]) -> tuple[bytes, Entry]:
    """Return the next line after the entry with this number and hash, and what it says."""
    record: dict[str, Any] = {
        "number": number + 1,
        "at": datetime.now(UTC).isoformat(),
        "by": {"user": _user(), "program": program()},
        "event": event,
        "facts": dict(facts),
        "previous": previous,
    }
    record["hash"] = _sha256(_canonical(record))
    line = _canonical(record)
    return line + b"\n", _entry(json.loads(line))


def _canonical(record: Mapping[str, Any]) -> bytes:
    words = json.dumps(
        record, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return words.encode()


def _entry(record: Mapping[str, Any]) -> Entry:
    return Entry(
        number=int(record["number"]),
        at=datetime.fromisoformat(record["at"]),
        user=str(record["by"]["user"]),
        program=str(record["by"]["program"]),
        event=str(record["event"]),
        facts=dict(record["facts"]),
        previous=str(record["previous"]),
        hash=str(record["hash"]),
    )


def _readable(line: bytes) -> Entry | None:
    try:
        return _entry(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _whole(line: bytes) -> Entry | None:
    """Return a line's entry if the line is to the byte what was written; None for any other."""
    entry = _readable(line)
    if entry is None:
        return None
    record = json.loads(line)
    found = record.pop("hash")
    try:
        whole = _sha256(_canonical(record)) == found
        return entry if whole and _canonical(record | {"hash": found}) == line else None
    except ValueError:  # a number or a letter that JSON has no form for
        return None


def _walk(lines: list[bytes], kept: tuple[int, str]) -> tuple[tuple[int, str], Broken | None]:
    """Return the last entry that fits, as number and hash, and what is wrong after it."""
    last, part = (0, GENESIS), None
    *whole_lines, rest = lines
    for line in whole_lines:
        entry, expected = _whole(line), last[0] + 1
        if entry is None:
            if part is not None:
                return last, Broken("changed", expected)
            part = line
            continue
        told = entry.facts.get("sha256") if entry.event == TORN else None
        if told != (None if part is None else _sha256(part)):
            return last, Broken("changed", expected)
        if (entry.number, entry.previous) != (expected, last[1]):
            return last, Broken("moved", expected)
        if entry.number == kept[0] and entry.hash != kept[1]:
            return last, Broken("changed", expected)
        last, part = (entry.number, entry.hash), None
    if part is not None:
        return last, Broken("changed", last[0] + 1)
    if last[0] < kept[0]:
        return last, Broken("cut", last[0] + 1)
    return last, Broken("torn", last[0] + 1) if rest else None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _ending(file: IO[bytes], size: int) -> tuple[tuple[int, str], bytes]:
    """Return number and hash of the last whole line, and what stands after it."""
    for length in (ENDING_BYTES, size):
        file.seek(max(0, size - length))
        *lines, part = file.read().split(b"\n")
        # The first of several lines may have begun before what was read.
        entry = _whole(lines[-1]) if len(lines) > 1 or (lines and length >= size) else None
        if entry is not None:
            return (entry.number, entry.hash), part
    return (0, GENESIS), part


def _kept_end(db: sqlite3.Connection) -> tuple[int, str]:
    row = db.execute("SELECT number, hash FROM ledger_end").fetchone()
    return (0, GENESIS) if row is None else (int(row["number"]), str(row["hash"]))


def _missed(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT missed FROM ledger_end").fetchone()
    return 0 if row is None else int(row["missed"])
