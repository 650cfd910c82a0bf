"""The zip file of a bundle: written with a manifest, opened with nothing believed.

manifest.json names every file with its size and SHA-256. What it does not name, or names but is not
there, or has another name than the few that a bundle can have, makes the whole bundle refused; no
name from the archive ever becomes a path. Nothing that could hold code (pickle) has such a name.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from kasa import __version__
from kasa.data.archive import ENCRYPTED, refuse_long_directory
from kasa.errors import StoreError
from kasa.runs.bundle_parts import (
    CARD,
    DATA,
    PREDICTIONS,
    RESULT,
    STUDY,
    TEST_DATA,
    WEIGHTS,
    Part,
)
from kasa.runs.files import safe_name
from kasa.runs.records import RunRecord
from kasa.runs.store import BARE_ROWS, ID, ROWS, SHA256

KIND, FORMAT = "kasa-study-bundle", 1
MANIFEST = "manifest.json"
MOST_FILES, MOST_BYTES, MOST_FILE_BYTES, MOST_MANIFEST_BYTES = 10_000, 10**9, 3 * 10**8, 4_000_000
# Dates that every calendar and every system can show in local time.
FIRST_YEAR, LAST_YEAR = 2000, 2100
RUN_FILE = re.compile(rf"runs/({ID.pattern})/(.+)")
DATA_FILE = re.compile(rf"(?:{DATA}|{TEST_DATA})/([^/]+)")
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# A regular file, or a system that says nothing.
PLAIN = (0, stat.S_IFREG)
# What wrong or hostile content does to the code that reads it.
WRONG = (ValueError, LookupError, TypeError, AttributeError, RecursionError, ArithmeticError)


@dataclass(frozen=True)
class BundledRun:
    """A finished run of a bundle; times are ISO 8601 with their offset."""

    id: str
    arm: str
    seed: int
    created_at: str
    started_at: str | None
    finished_at: str | None


@dataclass(frozen=True)
class LeftOut:
    """A run that is not in the bundle because it has no result."""

    arm: str
    seed: int
    status: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself: the study, its runs, those left out, and whether data is in it.

    `title` and `about` are for people who open the archive by hand.
    """

    study: str
    title: str
    created_at: str
    with_data: bool
    runs: tuple[BundledRun, ...]
    left_out: tuple[LeftOut, ...]
    about: dict[str, str]


@dataclass(frozen=True)
class Listed:
    """A file as the manifest lists it."""

    name: str
    sha256: str
    size: int

    @staticmethod
    def of(name: str, content: bytes) -> Listed:
        """Return a file as the manifest lists it."""
        return Listed(name, hashlib.sha256(content).hexdigest(), len(content))


@dataclass(frozen=True)
class Archive:
    """An open bundle whose names and sizes are right; contents are checked when they are read."""

    manifest: Manifest
    files: dict[str, Listed]
    opened: zipfile.ZipFile

    def read(self, name: str) -> bytes:
        """Return a file's content; `StoreError` where it is not there or not what was written."""
        listed = self.files.get(name)
        if listed is None:
            raise StoreError("bundle_incomplete", name=name)
        with _readable():
            content = self.opened.read(name)
        if Listed.of(name, content) != listed:
            raise StoreError("bundle_incomplete", name=name)
        return content


def bundled_run(run: RunRecord) -> BundledRun:
    """Return a run as a bundle names it."""
    created, started, finished = (
        "" if moment is None else moment.isoformat()
        for moment in (run.created_at, run.started_at, run.finished_at)
    )
    return BundledRun(
        run.id, str(run.arm), int(run.seed or 0), created, started or None, finished or None
    )


def pack(manifest: Manifest, parts: Iterable[Part]) -> bytes:
    """Return the zip file; equal for equal input. `StoreError` where it would be too large."""
    buffer, total = io.BytesIO(), 0
    listed: list[Listed] = []
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, allowZip64=False) as archive:
        for name, content in parts:
            total += len(content)
            if total > MOST_BYTES or len(content) > MOST_FILE_BYTES or len(listed) >= MOST_FILES:
                raise _too_large(total)
            listed.append(Listed.of(name, content))
            archive.writestr(_entry(name), content)
        head = {"kind": KIND, "format": FORMAT, "program": __version__}
        document = head | asdict(manifest) | {"files": [asdict(each) for each in listed]}
        words = json.dumps(document, ensure_ascii=False, indent=1)
        archive.writestr(_entry(MANIFEST), words.encode())
    return buffer.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


@contextmanager
def opened(content: bytes | Path) -> Iterator[Archive]:
    """Open a bundle; `StoreError` for what is none, is newer, too large, or holds what it may not.

    `content` is the file's own or its path.
    """
    try:
        file: IO[bytes] = io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
    except OSError as error:
        raise StoreError("file_not_found", path=str(content)) from error
    with file:
        with _readable():
            refuse_long_directory(file)
            archive = zipfile.ZipFile(file)
        with archive:
            yield _checked(archive)


@contextmanager
def understood(name: str) -> Iterator[None]:
    """Explain what fails in the block because a file does not say what it should (`StoreError`)."""
    try:
        yield
    except WRONG as error:
        raise StoreError("bundle_unreadable", detail=f"{name}, {type(error).__name__}") from error


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError) as error:
        raise StoreError("bundle_unreadable", detail=type(error).__name__) from error


def _checked(archive: zipfile.ZipFile) -> Archive:
    """Return the archive once its names, kinds and sizes are what its manifest says."""
    entries = {entry.filename: entry for entry in archive.infolist()}
    if len(entries) > MOST_FILES + 1:
        raise StoreError("bundle_unreadable", detail=f"{len(entries):,} > {MOST_FILES:,}")
    _refuse_strange(archive.infolist())
    if MANIFEST not in entries or entries[MANIFEST].file_size > MOST_MANIFEST_BYTES:
        raise StoreError("bundle_unreadable", detail=MANIFEST)
    with _readable():
        words = archive.read(MANIFEST)
    with understood(MANIFEST):
        manifest, listed = _manifest(json.loads(words))
    files = {each.name: each for each in listed}
    for name in entries:
        if name != MANIFEST and not (name in files and _belongs(name, manifest)):
            raise StoreError("bundle_foreign", name=_shown(name))
    for name, each in files.items():
        if name not in entries or entries[name].file_size != each.size:
            raise StoreError("bundle_incomplete", name=_shown(name))
    return Archive(manifest, files, archive)


def _refuse_strange(entries: list[zipfile.ZipInfo]) -> None:
    """Refuse doubles, links, folders, passwords, odd packing, and more bytes than there may be."""
    seen: set[str] = set()
    total = 0
    for entry in entries:
        mode = entry.external_attr >> 16
        odd = entry.compress_type not in COMPRESSIONS or entry.flag_bits & ENCRYPTED
        if odd or entry.is_dir() or entry.filename in seen or stat.S_IFMT(mode) not in PLAIN:
            raise StoreError("bundle_foreign", name=_shown(entry.filename))
        seen.add(entry.filename)
        total += entry.file_size
        if entry.file_size > MOST_FILE_BYTES or total > MOST_BYTES:
            raise _too_large(max(total, entry.file_size))


def _belongs(name: str, manifest: Manifest) -> bool:
    """Say whether this bundle can have a file of this name: nothing else is ever read."""
    whole = manifest.with_data
    if match := RUN_FILE.fullmatch(name):
        known = match[1] in {run.id for run in manifest.runs}
        return known and match[2] in (RESULT, PREDICTIONS, *(WEIGHTS if whole else ()))
    if match := DATA_FILE.fullmatch(name):
        return whole and safe_name(match[1]) == match[1]
    return name in (STUDY, CARD, ROWS if whole else BARE_ROWS)


def _manifest(record: dict[str, Any]) -> tuple[Manifest, list[Listed]]:
    """Return what manifest.json says; raises one of `WRONG` or `StoreError` where that is wrong."""
    if record["kind"] != KIND:
        raise ValueError(KIND)
    if record["format"] != FORMAT:
        raise StoreError("bundle_newer", got=str(record["format"])[:20], known=FORMAT)
    runs = tuple(_run(each) for each in record["runs"])
    left_out = tuple(
        LeftOut(str(each["arm"]), int(each["seed"]), str(each["status"]))
        for each in record["left_out"]
    )
    manifest = Manifest(
        study=_id(record["study"]),
        title=str(record["title"]),
        created_at=_moment(record["created_at"]),
        with_data=record["with_data"] is True,
        runs=runs,
        left_out=left_out,
        about={},
    )
    if len({run.id for run in runs}) < len(runs):
        raise ValueError(runs)
    files = [Listed(str(f["name"]), _sha256(f["sha256"]), int(f["size"])) for f in record["files"]]
    if len({each.name for each in files}) < len(files):
        raise ValueError(files)
    return manifest, files


def _run(record: dict[str, Any]) -> BundledRun:
    times = [record[name] and _moment(record[name]) for name in ("started_at", "finished_at")]
    created = _moment(record["created_at"])
    return BundledRun(_id(record["id"]), str(record["arm"]), int(record["seed"]), created, *times)


def _moment(text: str) -> str:
    """Return a moment as the store writes it; one without an offset, or of another age, is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or not FIRST_YEAR <= moment.year < LAST_YEAR:
        raise ValueError(text)
    return moment.astimezone(UTC).isoformat()


def _id(text: str) -> str:
    if not ID.fullmatch(text):
        raise ValueError(text)
    return text


def _sha256(text: str) -> str:
    if not SHA256.fullmatch(text):
        raise ValueError(text)
    return text


def _shown(name: str) -> str:
    """Return a name from the archive as a sentence may hold it."""
    return ascii(name[:80])


def _too_large(size: int) -> StoreError:
    return StoreError(
        "bundle_too_large", megabytes=f"{size / 1e6:,.0f}", limit=f"{MOST_BYTES / 1e6:,.0f}"
    )
