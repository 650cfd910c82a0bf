"""The workspace: studies and runs in SQLite (WAL), everything a run writes in its own folder.

KASA_HOME/
kasa.db                studies, runs, the dispatcher's place
settings.json          hub access and other choices of the person
ledger.jsonl           who did what with the data, when (see kasa.runs.ledger)
datasets/<sha256>/     an uploaded or imported file under its own name
spectra/<sha256>/      a model's spectra, one file a matrix
studies/<id>/          study.toml, rows.jsonl (the rows and the part each belongs to), card.json,
                       features/ (what the untouched base says to the rows); of a study that came
                       without its data rows_without_texts.jsonl in place of rows.jsonl
runs/<id>/             config.json, log.txt, events.jsonl, result.json, predictions.csv, adapter,
                       checkpoints while there is no result
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from kasa.data.card import DatasetCard, card_from_dict, prepare_study
from kasa.errors import KasaError, StoreError
from kasa.runs.files import read_json, remove_folders, safe_name, workspace, write_bytes, write_json
from kasa.runs.job import read_events
from kasa.runs.ledger import Entry, Ledger, Standing, concerning, data_facts, started_facts
from kasa.runs.records import ACTIVE, FinishedRun, RunRecord, StudyRecord
from kasa.study import Study, study_from_dict
from kasa.tuning.keys import keys_of_study
from kasa.tuning.room import settled

SCHEMA = """
CREATE TABLE IF NOT EXISTS studies (
    id TEXT PRIMARY KEY, status TEXT NOT NULL, created_at TEXT NOT NULL,
    config TEXT NOT NULL, fingerprint TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, status TEXT NOT NULL,
    study_id TEXT REFERENCES studies(id) ON DELETE CASCADE, arm TEXT, method TEXT, seed INTEGER,
    position INTEGER NOT NULL, pid INTEGER, pid_created REAL, error TEXT,
    created_at TEXT NOT NULL, started_at TEXT, finished_at TEXT);
CREATE UNIQUE INDEX IF NOT EXISTS one_active_per_key ON runs(key)
    WHERE status IN ('queued', 'running', 'stopping');
CREATE UNIQUE INDEX IF NOT EXISTS one_run_per_arm_and_seed ON runs(study_id, arm, seed)
    WHERE kind = 'run';
CREATE TABLE IF NOT EXISTS dispatcher (
    only INTEGER PRIMARY KEY CHECK (only = 1), pid INTEGER NOT NULL, pid_created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS paused_studies (
    study_id TEXT PRIMARY KEY REFERENCES studies(id) ON DELETE CASCADE);
CREATE TABLE IF NOT EXISTS paused_runs (
    run_id TEXT PRIMARY KEY REFERENCES runs(id) ON DELETE CASCADE);
CREATE TABLE IF NOT EXISTS ledger_end (
    only INTEGER PRIMARY KEY CHECK (only = 1), number INTEGER NOT NULL, hash TEXT NOT NULL,
    missed INTEGER NOT NULL DEFAULT 0);
"""
# What works, and what waits and is not held back by a pause of its study.
DUE = (
    "status IN ('running', 'stopping') OR status = 'queued' AND"
    " (study_id IS NULL OR study_id NOT IN (SELECT study_id FROM paused_studies))"
)
ID = re.compile(r"[0-9a-f]{1,32}")
SHA256 = re.compile(r"[0-9a-f]{64}")
ROWS, BARE_ROWS = "rows.jsonl", "rows_without_texts.jsonl"
RUN_COLUMNS = (
    "id, kind, status, study_id, arm, method, seed, error, created_at, started_at, finished_at"
)


class Store:
    """Studies, runs and their files; safe to open from several processes at once."""

    def __init__(self, home: Path | None = None) -> None:
        """Open the workspace, making it where it is absent."""
        self.home = home or workspace()
        self.ledger = Ledger(self.home, self.connect)
        with self.connect() as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(SCHEMA)

    @contextmanager
    def connect(self, *, exclusive: bool = False) -> Iterator[sqlite3.Connection]:
        """Open one short transaction; `exclusive` takes the write lock before the first read."""
        try:
            db = sqlite3.connect(self.home / "kasa.db", timeout=20, isolation_level=None)
        except sqlite3.Error as error:
            raise self._explained(error) from error
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA foreign_keys = ON")
        try:
            if exclusive:
                db.execute("BEGIN IMMEDIATE")
            yield db
            if db.in_transaction:
                db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError):
                raise
            raise self._explained(error) from error
        finally:
            db.close()

    def _explained(self, error: sqlite3.Error) -> StoreError:
        # The lowest byte is the kind, the others its reason.
        kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
        path, detail = str(self.home), str(error)
        if kind == sqlite3.SQLITE_FULL:
            return StoreError("disk_full", path=path, detail=detail)
        if kind == sqlite3.SQLITE_READONLY:
            return StoreError("workspace_not_writable", path=path, detail=detail)
        return StoreError("database", path=path, detail=detail)

    # -- settings ------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Return the person's own choices, such as hub access."""
        return read_json(self.home / "settings.json") or {}

    def save_settings(self, **choices: Any) -> None:
        """Keep the person's choices."""
        with self.connect(exclusive=True):  # another page may be saving another choice
            before = self.settings()
            write_json(self.home / "settings.json", before | choices)
        allowed = bool(choices.get("hub_access", before.get("hub_access", False)))
        if allowed != bool(before.get("hub_access", False)):
            self.ledger.note("hub_access", on=allowed)

    # -- datasets ------------------------------------------------------------------------------

    def add_dataset(self, name: str, content: bytes) -> Path:
        """Keep a file under its SHA-256 and its own cleaned name; returns where it lies."""
        digest = hashlib.sha256(content).hexdigest()
        path = self.home / "datasets" / digest / safe_name(name)
        if not path.is_file():
            write_bytes(path, content)
            self.ledger.note("dataset_added", name=path.name, sha256=digest, bytes=len(content))
        return path

    def has_dataset(self, content: bytes) -> bool:
        """Say whether a file with this content is kept already."""
        return (self.home / "datasets" / hashlib.sha256(content).hexdigest()).is_dir()

    def kept_dataset(self, sha256: str) -> Path | None:
        """Return a file with this content that is kept here, under whatever name, or None."""
        if not SHA256.fullmatch(sha256):
            return None
        found = sorted((self.home / "datasets" / sha256).glob("[!.]*"))
        return next((file for file in found if file.is_file()), None)

    def dataset_sha256(self, path: str) -> str:
        """Return the SHA-256 of a data file."""
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    # -- studies -------------------------------------------------------------------------------

    def create_study(self, study: Study) -> str:
        """Keep a new draft and return its id."""
        study_id = secrets.token_hex(5)
        with self.connect() as db:
            db.execute(
                "INSERT INTO studies VALUES (?, 'draft', ?, ?, ?)",
                (study_id, _now(), json.dumps(study.to_dict()), study.fingerprint()),
            )
        self.ledger.note("study_created", study=study_id, **data_facts(study.data))
        return study_id

    def update_study(self, study_id: str, study: Study) -> None:
        """Replace a draft; of a started study only gates, prices and the title may change."""
        record = self.study(study_id)
        if record.status != "draft" and record.study.fingerprint() != study.fingerprint():
            raise StoreError("study_started", study=study_id)
        with self.connect() as db:
            db.execute(
                "UPDATE studies SET config = ?, fingerprint = ? WHERE id = ?",
                (json.dumps(study.to_dict()), study.fingerprint(), study_id),
            )

    def study(self, study_id: str) -> StudyRecord:
        """Return one study; an unknown id raises `StoreError`."""
        with self.connect() as db:
            row = db.execute("SELECT * FROM studies WHERE id = ?", (study_id,)).fetchone()
        if row is None:
            raise StoreError("no_such_study", study=study_id)
        return _study(row)

    def studies(self) -> list[StudyRecord]:
        """Return every study, newest first."""
        with self.connect() as db:
            rows = db.execute("SELECT * FROM studies ORDER BY rowid DESC").fetchall()
        return [_study(row) for row in rows]

    def find_study(self, study: Study) -> str | None:
        """Return the id of a started study that asks for the very same runs, if there is one."""
        with self.connect() as db:
            row = db.execute(
                "SELECT id FROM studies WHERE fingerprint = ? AND status = 'started'"
                " ORDER BY rowid DESC LIMIT 1",
                (study.fingerprint(),),
            ).fetchone()
        return None if row is None else str(row["id"])

    def start_study(self, study_id: str) -> list[RunRecord]:
        """Queue one run per arm and seed; a second call finds them there and adds nothing."""
        record = self.study(study_id)
        if record.status == "draft":
            study = self.settled(record.study)
            study.check_task()
            prepared, card = prepare_study(study.data, study.protocol)
            folder = self.study_folder(study_id)
            rows = prepared.rows.to_json(orient="records", lines=True, force_ascii=False)
            write_bytes(folder / ROWS, rows.encode())
            write_json(folder / "card.json", card.to_dict())
            write_bytes(folder / "study.toml", study.to_toml().encode())
            self._queue_runs(study_id, study)
            self.ledger.note("study_started", study=study_id, **started_facts(card))
        return self.runs(study_id)

    def settled(self, study: Study) -> Study:
        """Return the study as it is carried out here.

        Its data file is kept in the workspace and named by content, and it says how many of its
        runs share this machine.
        """
        kept = self._kept_file(study.data.path)
        data = replace(study.data, path=str(kept), sha256=kept.parent.name)
        if data.test_path:
            tested = self._kept_file(data.test_path)
            data = replace(data, test_path=str(tested), test_sha256=tested.parent.name)
        return settled(replace(study, data=data))

    def _kept_file(self, path: str) -> Path:
        source = Path(path)
        if not source.is_file():
            # A study from another computer knows its file by content; its name may differ here.
            source = self.kept_dataset(source.parent.name) or source
        if not source.is_file():
            raise StoreError("dataset_gone", path=path)
        return self.add_dataset(source.name, source.read_bytes())

    def _queue_runs(self, study_id: str, study: Study) -> None:
        pairs = list(study.named_arms().items())
        jobs = [(name, arm, seed) for seed in study.protocol.seeds for name, arm in pairs]
        # The verdict need not wait for the points of curves.
        jobs.sort(key=lambda job: not job[1].judged)
        with self.connect(exclusive=True) as db:
            position = _next_position(db)
            for offset, (name, arm, seed) in enumerate(jobs):
                run_id = secrets.token_hex(6)
                config = {
                    "study_id": study_id,
                    "study": study.to_dict(),
                    "arm": name,
                    "arm_index": pairs.index((name, arm)),
                    "seed": seed,
                    "hub_access": self.hub_access(),
                }
                added = db.execute(
                    "INSERT OR IGNORE INTO runs (id, kind, key, status, study_id, arm, method,"
                    " seed, position, created_at) VALUES (?, 'run', ?, 'queued', ?, ?, ?, ?, ?, ?)",
                    (
                        run_id,
                        f"run:{study_id}/{name}/{seed}",
                        study_id,
                        name,
                        arm.method,
                        seed,
                        position + offset,
                        _now(),
                    ),
                ).rowcount
                if added:
                    write_json(self.run_folder(run_id) / "config.json", config)
            db.execute(
                "UPDATE studies SET status = 'started', config = ?, fingerprint = ? WHERE id = ?",
                (json.dumps(study.to_dict()), study.fingerprint(), study_id),
            )

    def delete_study(self, study_id: str) -> None:
        """Delete a study, its runs and their folders; active ones must be stopped first.

        What its methods were asked last, and what was made of its runs, goes too. Raises
        `StoreError` where another program holds a file, and, after the deletion, where the log
        could not take it.
        """
        data = data_facts(self.study(study_id).study.data)
        num_runs = self.remove_study(study_id)
        self.ledger.deleted("study_deleted", study=study_id, runs=num_runs, **data)

    def remove_study(self, study_id: str) -> int:
        """Do what `delete_study` does, for a caller who logs it; return the number of its runs."""
        folder = self.study_folder(study_id)
        runs = self.runs(study_id)
        keys = keys_of_study(study_id, [run.id for run in runs])
        jobs = [job for key in keys for job in self._select("key = ?", key)]
        if any(run.active for run in (*runs, *jobs)):
            raise StoreError("study_active", study=study_id)
        self.ledger.note("study_deletion", study=study_id)
        # Files first: where another program holds one, the study is still there to be deleted.
        remove_folders([folder, *(run.folder for run in (*runs, *jobs))])
        with self.connect() as db:
            db.execute("DELETE FROM studies WHERE id = ?", (study_id,))
            db.executemany("DELETE FROM runs WHERE id = ?", [(job.id,) for job in jobs])
        return len(runs)

    def study_folder(self, study_id: str) -> Path:
        """Return a study's own folder; what is no id (such as `..`) raises `StoreError`."""
        if not ID.fullmatch(study_id):
            raise StoreError("no_such_study", study=study_id)
        return self.home / "studies" / study_id

    def rows(self, study_id: str, *, need_texts: bool = True) -> pd.DataFrame:
        """Return a started study's usable rows: row, text, label, part (and group, date, file).

        Of a study that came here without its data there are the test rows, their texts empty, and
        only for a caller who does not `need_texts`; others get a `StoreError`.
        """
        path, bare = (self.study_folder(study_id) / name for name in (ROWS, BARE_ROWS))
        if bare.is_file():
            if need_texts:
                raise StoreError("texts_elsewhere", study=study_id)
            path = bare
        if not path.is_file():
            raise StoreError("no_rows", study=study_id)
        lines = path.read_text("utf-8").split("\n")
        return pd.DataFrame([json.loads(line) for line in lines if line])

    def rows_stamp(self, study_id: str) -> str:
        """Return what is another whenever a study's rows were written anew; empty for a draft."""
        files = (self.study_folder(study_id) / name for name in (ROWS, BARE_ROWS))
        return " ".join(f"{file.name} {file.stat().st_mtime_ns}" for file in files if file.exists())

    def card(self, study_id: str) -> DatasetCard:
        """Return the dataset card of a started study."""
        record = read_json(self.study_folder(study_id) / "card.json")
        if record is None:
            raise StoreError("no_rows", study=study_id)
        return card_from_dict(record)

    def ledger_entries(self, study_id: str) -> list[Entry]:
        """Return the log's entries about a study and the files it reads, oldest first."""
        contents = set(data_facts(self.study(study_id).study.data).values())
        return concerning(self.ledger.entries(), study_id, contents)

    def ledger_standing(self) -> Standing:
        """Return how the log as a whole stands: its last hash, and whether its chain holds."""
        return self.ledger.standing()

    # -- runs ----------------------------------------------------------------------------------

    def hub_access(self) -> bool:
        """Whether the person switched access to the model hub on."""
        return bool(self.settings().get("hub_access", False))

    def spectra_folder(self, model_sha256: str) -> Path:
        """Return where the spectra of one model's content are kept, matrix by matrix."""
        return self.home / "spectra" / model_sha256

    def run_folder(self, run_id: str) -> Path:
        """Return a run's own folder; what is no id (such as `..`) raises `StoreError`."""
        if not ID.fullmatch(run_id):
            raise StoreError("no_such_run", run=run_id)
        return self.home / "runs" / run_id

    def runs(self, study_id: str) -> list[RunRecord]:
        """Return a study's runs in the order in which they are carried out."""
        return self._select("study_id = ? AND kind = 'run' ORDER BY position", study_id)

    def run(self, run_id: str) -> RunRecord:
        """Return one run; an unknown id raises `StoreError`."""
        found = self._select("id = ?", run_id)
        if not found:
            raise StoreError("no_such_run", run=run_id)
        return found[0]

    def active_runs(self) -> list[RunRecord]:
        """Return every job that waits or works, in order."""
        return self._select("status IN ('queued', 'running', 'stopping') ORDER BY position")

    def due_runs(self) -> list[RunRecord]:
        """Return the active jobs in order, without those that wait in a paused study."""
        return self._select(f"{DUE} ORDER BY position")

    def latest(self, key: str) -> RunRecord | None:
        """Return the newest job with this key."""
        found = self._select("key = ? ORDER BY rowid DESC LIMIT 1", key)
        return found[0] if found else None

    def _select(self, condition: str, *values: Any) -> list[RunRecord]:
        with self.connect() as db:
            # Every condition is a literal of this file; what callers give goes in as values.
            query = f"SELECT {RUN_COLUMNS} FROM runs WHERE {condition}"  # noqa: S608
            rows = db.execute(query, values).fetchall()
        return [self._run(row) for row in rows]

    def add_job(self, kind: str, config: dict[str, Any], key: str) -> RunRecord:
        """Queue a job unless one with this key is active; returns the active one."""
        run_id = secrets.token_hex(6)
        with self.connect(exclusive=True) as db:
            active = db.execute(
                "SELECT id FROM runs WHERE key = ? AND status IN ('queued', 'running', 'stopping')",
                (key,),
            ).fetchone()
            if active is None:
                document = {"hub_access": self.hub_access()} | config
                write_json(self.run_folder(run_id) / "config.json", document)
                db.execute(
                    "INSERT INTO runs (id, kind, key, status, position, created_at)"
                    " VALUES (?, ?, ?, 'queued', ?, ?)",
                    (run_id, kind, key, _next_position(db), _now()),
                )
        return self.run(run_id if active is None else active["id"])

    def enqueue(self, kind: str, config: dict[str, Any], key: str) -> RunRecord:
        """Queue a job as `add_job` does and see that a dispatcher is at work."""
        from kasa.runs.local import ensure_dispatcher  # the dispatcher needs the store to start

        record = self.add_job(kind, config, key)
        ensure_dispatcher(self)
        return record

    def delete_job(self, run_id: str) -> None:
        """Delete an ended job and its folder."""
        remove_folders([self.run_folder(run_id)])
        with self.connect() as db:
            db.execute(
                "DELETE FROM runs WHERE id = ? AND status NOT IN ('queued', 'running', 'stopping')",
                (run_id,),
            )

    def scrub(self) -> None:
        """Rewrite the database so that nothing deleted is left in its file."""
        with self.connect() as db:
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def mark(self, run_id: str, status: str, *, error: KasaError | None = None) -> None:
        """Record how a run stands; an ended run keeps its end."""
        ended = None if status in ACTIVE else _now()
        text = json.dumps(error.to_dict()) if error else None
        with self.connect() as db:
            db.execute(
                "UPDATE runs SET status = ?, error = ?, finished_at = ?"
                " WHERE id = ? AND status IN ('queued', 'running', 'stopping')",
                (status, text, ended, run_id),
            )

    def claim_run(self, run_id: str) -> bool:
        """Take a waiting run out of the queue to start it; False if stopped or paused meanwhile."""
        with self.connect() as db:
            query = f"UPDATE runs SET status = 'running', started_at = ? WHERE id = ? AND ({DUE})"  # noqa: S608
            claimed = db.execute(f"{query} AND status = 'queued'", (_now(), run_id)).rowcount
        return claimed == 1

    def mark_started(self, run_id: str, pid: int, pid_created: float) -> None:
        """Record the worker process of a run (pid and when it began, since pids are used again)."""
        with self.connect() as db:
            db.execute(
                "UPDATE runs SET status = CASE status WHEN 'queued' THEN 'running' ELSE status END,"
                " pid = ?, pid_created = ?, started_at = ? WHERE id = ?",
                (pid, pid_created, _now(), run_id),
            )

    def adopt_run(self, run_id: str, pid: int, pid_created: float, parent: int) -> bool:
        """Let a worker take the run that it was started for; False where nobody wants it now.

        A dispatcher that died too early did not record it, and the one after may have given it up.
        """
        with self.connect() as db:
            adopted = db.execute(
                "UPDATE runs SET pid = ?, pid_created = ? WHERE id = ?"
                " AND status IN ('running', 'stopping') AND (pid IS NULL OR pid IN (?, ?))",
                # On Windows the recorded process is the one that starts the environment's Python.
                (pid, pid_created, run_id, pid, parent),
            ).rowcount
        return adopted == 1

    def process(self, run_id: str) -> tuple[int, float] | None:
        """Return the worker's pid and the moment it began (`born`), once it has one."""
        with self.connect() as db:
            row = db.execute("SELECT pid, pid_created FROM runs WHERE id = ?", (run_id,)).fetchone()
        return None if row is None or row["pid"] is None else (row["pid"], row["pid_created"])

    def stop(self, run_id: str) -> None:
        """Ask a working run to stop, or take a waiting one out of the queue."""
        with self.connect(exclusive=True) as db:
            db.execute("DELETE FROM paused_runs WHERE run_id = ?", (run_id,))
            db.execute(
                "UPDATE runs SET status = 'cancelled', finished_at = ?"
                " WHERE id = ? AND status = 'queued'",
                (_now(), run_id),
            )
            db.execute(
                "UPDATE runs SET status = 'stopping' WHERE id = ? AND status = 'running'", (run_id,)
            )

    def stop_study(self, study_id: str) -> None:
        """Stop every run of a study, paused or not; what is finished stays."""
        with self.connect() as db:
            db.execute("DELETE FROM paused_studies WHERE study_id = ?", (study_id,))
        for run in self.runs(study_id):
            self.stop(run.id)

    def retry(self, run_id: str) -> None:
        """Queue an ended run without a result again; log, events and checkpoints stay."""
        lost_result = self.run(run_id).status == "finished" and not self.has_result(run_id)
        with self.connect(exclusive=True) as db:
            position = _next_position(db)
            changed = db.execute(
                # OR IGNORE: another job with the same key may be active by now.
                "UPDATE OR IGNORE runs SET status = 'queued', error = NULL, pid = NULL,"
                " pid_created = NULL, started_at = NULL, finished_at = NULL, position = ?"
                " WHERE id = ? AND (status IN ('failed', 'cancelled', 'lost')"
                " OR (status = 'finished' AND ?))",
                (position, run_id, lost_result),
            ).rowcount
            if changed:
                with suppress(OSError):  # none, or what stands in its place is no result either
                    (self.run_folder(run_id) / "result.json").unlink()

    def has_result(self, run_id: str) -> bool:
        """Say whether a run's result and predictions are there and whole."""
        try:
            whole = self.result(run_id) is not None
        except (StoreError, OSError):
            return False
        return whole and (self.run_folder(run_id) / "predictions.csv").is_file()

    def result(self, run_id: str) -> dict[str, Any] | None:
        """Return result.json: asked, measured, conditions; None until the run is finished."""
        result = read_json(self.run_folder(run_id) / "result.json")
        return result if isinstance(result, dict) else None

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """Return what a run has reported so far."""
        return read_events(self.run_folder(run_id))

    def finished_runs(self, study_id: str) -> list[FinishedRun]:
        """Return the measurements of a study's finished runs, read from their result files."""
        runs = [run for run in self.runs(study_id) if run.status == "finished"]
        return [self._finished(run) for run in runs]

    def _finished(self, run: RunRecord) -> FinishedRun:
        table = run.folder / "predictions.csv"
        result = self.result(run.id) if table.is_file() else None
        if result is None or run.arm is None or run.method is None or run.seed is None:
            raise StoreError("result_missing", run=run.id)
        measured = dict(result["measured"])
        measured["labels"] = tuple(measured["labels"])
        measured.pop("guard", None)
        predictions = pd.read_csv(
            table, dtype={"label": str, "predicted": str}, keep_default_na=False
        )
        return FinishedRun(
            id=run.id,
            arm=run.arm,
            method=run.method,
            seed=run.seed,
            conditions=result["conditions"],
            predictions=predictions,
            **measured,
        )

    def _run(self, row: sqlite3.Row) -> RunRecord:
        values: dict[str, Any] = dict(row)
        error = values.pop("error")
        for name in ("created_at", "started_at", "finished_at"):
            values[name] = _moment(values[name])
        return RunRecord(
            error=KasaError.from_dict(json.loads(error)) if error else None,
            folder=self.run_folder(row["id"]),
            **values,
        )


def _study(row: sqlite3.Row) -> StudyRecord:
    study = study_from_dict(json.loads(row["config"]))
    return StudyRecord(row["id"], study, row["status"], datetime.fromisoformat(row["created_at"]))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _next_position(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT COALESCE(MAX(position), 0) + 1 FROM runs").fetchone()[0])


def _now() -> str:
    return datetime.now(UTC).isoformat()
