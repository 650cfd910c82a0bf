"""Processes on this machine: one dispatcher per workspace starts one worker process per run.

The dispatcher belongs to nobody's terminal or server, so a closed browser, a restarted server or a
killed server leaves the queue at work. Training runs go one at a time, or as many as their study
says, all of that study and each with its share of the cores, so that their times are fair; short
jobs (spectra, estimates, predictions) have a lane of their own.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from kasa.errors import KasaError, StoreError, TrainingError
from kasa.runs.files import explained, read_json
from kasa.runs.job import CHECKPOINTS
from kasa.runs.process import alive, born
from kasa.runs.records import RunRecord
from kasa.runs.schedule import end_stopped
from kasa.runs.store import DUE, Store

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.2
IDLE_SECONDS = 20.0
STOP_GRACE_SECONDS = 20.0
START_GRACE_SECONDS = 60.0
TROUBLE_SECONDS = 600.0
# With less than this on its disk, a worker that could not write its own end ran out of space.
LEAST_FREE_BYTES = 1_000_000
# Idle threads sleep instead of spinning: beside other work, spinning made training several times
# slower, for itself and for everybody else.
POLITE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

_starting = threading.Lock()
_dispatchers: dict[Path, subprocess.Popen[bytes]] = {}


def ensure_dispatcher(store: Store) -> None:
    """Start a dispatcher when there is work and none is alive; a second one would leave at once."""
    with _starting:
        mine = _dispatchers.get(store.home)
        # One that was just started needs a second or two before the workspace knows it.
        starting = mine is not None and mine.poll() is None
        if starting or _dispatcher_alive(store) or not store.due_runs():
            return
        log = store.home / "dispatcher.log"
        child = _spawn(["-m", "kasa.runs.local", str(store.home)], log, _environment(hub=False))
        _dispatchers[store.home] = child
    # Somebody must collect its exit code, or a long-lived server would keep it as a zombie.
    threading.Thread(target=child.wait, daemon=True).start()


def _dispatcher_alive(store: Store) -> bool:
    with store.connect() as db:
        row = db.execute("SELECT pid, pid_created FROM dispatcher").fetchone()
    return row is not None and alive(row["pid"], row["pid_created"])


def _environment(*, hub: bool) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if key not in OFFLINE}
    extra = {"PYTHONUTF8": "1", "TOKENIZERS_PARALLELISM": "false"}
    extra |= {"HF_HUB_DISABLE_TELEMETRY": "1"} if hub else OFFLINE
    return POLITE | inherited | extra


def threads(places: int) -> dict[str, str]:
    """Return what gives each of so many processes its share of the cores; one takes what it likes.

    What the person set in the environment goes before it.
    """
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // places))} if places > 1 else {}


def _spawn(arguments: list[str], log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS
        apart = {"creationflags": flags}
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            **apart,
        )


class Dispatcher:
    """Starts queued runs, notices how they end, and stops those that were asked to stop."""

    def __init__(self, store: Store) -> None:
        """Begin with no children; runs of an earlier dispatcher are watched by their pid."""
        self.store = store
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.stopping_since: dict[str, float] = {}
        self.nameless_since: dict[str, float] = {}

    def claim(self) -> bool:
        """Take the workspace's one place; False when a living dispatcher has it."""
        me = psutil.Process()
        with self.store.connect(exclusive=True) as db:
            row = db.execute("SELECT pid, pid_created FROM dispatcher").fetchone()
            if row is not None and alive(row["pid"], row["pid_created"]):
                return False
            db.execute("INSERT OR REPLACE INTO dispatcher VALUES (1, ?, ?)", (me.pid, born(me)))
        return True

    def leave_if_idle(self) -> bool:
        """Give the place up in the transaction that sees an empty queue, so no run is missed."""
        with self.store.connect(exclusive=True) as db:
            busy = db.execute(f"SELECT 1 FROM runs WHERE {DUE} LIMIT 1").fetchone()  # noqa: S608
            if busy is None:
                db.execute("DELETE FROM dispatcher")
        return busy is None

    def step(self) -> bool:
        """Look once at every active run; True when there was any."""
        active = self.store.due_runs()
        for run in active:
            if run.status != "queued":
                self._watch(run)
        for training in (True, False):
            lane = [run for run in active if (run.kind == "run") is training]
            waiting = [run for run in lane if run.status == "queued"]
            working = [run for run in lane if run.status != "queued"]
            if waiting and self._has_place(waiting[0], working):
                self._start(waiting[0])
        self._reap({run.id for run in active})
        return bool(active)

    def _has_place(self, run: RunRecord, working: list[RunRecord]) -> bool:
        """Say whether a run may start beside these: alone, or beside runs of its own study."""
        if run.kind != "run" or any(other.study_id != run.study_id for other in working):
            return not working
        try:
            return len(working) < _places(_config(run.folder))
        except StoreError:
            return not working  # starting it says what is wrong

    def _reap(self, active: set[str]) -> None:
        """Collect the exit codes of workers who wrote their own end: nobody watches them again."""
        for run_id in self.children.keys() - active:
            if self.children[run_id].poll() is not None:
                del self.children[run_id]

    def _start(self, run: RunRecord) -> None:
        # Claimed first, so that a run which was stopped in this very moment is not started.
        if not self.store.claim_run(run.id):
            return
        self.stopping_since.pop(run.id, None)  # it may have been stopped and started before
        try:
            config = _config(run.folder)
            environment = (
                threads(_places(config))
                | _environment(hub=bool(config.get("hub_access")))
                | {"KASA_HOME": str(self.store.home)}
            )
            log = run.folder / "log.txt"
            with explained(log):
                child = _spawn(["-m", "kasa.worker", run.id], log, environment)
        except StoreError as error:
            self.store.mark(run.id, "failed", error=error)
            return
        self.children[run.id] = child
        try:
            began = born(psutil.Process(child.pid))
        except psutil.NoSuchProcess:
            began = 0.0  # it has ended already
        self.store.mark_started(run.id, child.pid, began)

    def _watch(self, run: RunRecord) -> None:
        child = self.children.get(run.id)
        process = self.store.process(run.id)
        code = child.poll() if child else None
        gone = code is not None if child else self._gone(run.id, process)
        if gone:
            self.children.pop(run.id, None)
            # Read again: the worker may have written its own end since, and waits after a pause.
            self._close(self.store.run(run.id), code)
        elif run.status == "stopping" and process is not None:
            since = self.stopping_since.setdefault(run.id, time.monotonic())
            if time.monotonic() - since > STOP_GRACE_SECONDS:
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(process[0]).kill()

    def _gone(self, run_id: str, process: tuple[int, float] | None) -> bool:
        if process is not None:
            return not alive(*process)
        # Its dispatcher died before it could record a worker, who may be starting this moment.
        since = self.nameless_since.setdefault(run_id, time.monotonic())
        return time.monotonic() - since > START_GRACE_SECONDS

    def _close(self, run: RunRecord, code: int | None) -> None:
        # A worker writes its own end; only one that could not is closed here.
        if run.status not in {"running", "stopping"}:
            return
        if run.kind == "run" and self.store.has_result(run.id):
            self.store.mark(run.id, "finished")
            shutil.rmtree(run.folder / CHECKPOINTS, ignore_errors=True)
        elif run.status == "stopping":
            end_stopped(self.store, run.id)
        elif code is None:
            self.store.mark(run.id, "lost", error=TrainingError("worker_lost"))
        else:
            self.store.mark(run.id, "failed", error=_end_of(code, run.folder))


def _config(folder: Path) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise StoreError("file_not_found", path=str(folder / "config.json"))
    return config


def _places(config: dict[str, Any]) -> int:
    """Return how many runs of a job's study work at a time; 1 for what belongs to none."""
    # Read as it stands: a study that cannot be read is its worker's to explain.
    with suppress(KeyError, TypeError, ValueError):
        return max(1, int(config["study"]["protocol"]["parallel_runs"]))
    return 1


def _end_of(code: int, folder: Path) -> KasaError:
    if code == 1 and _is_full(folder):
        return StoreError("disk_full", path=str(folder), detail=os.strerror(errno.ENOSPC))
    if code < 0 or code == 137:
        return TrainingError("worker_killed", signal=abs(code) if code < 0 else 9)
    return TrainingError("worker_crashed", code=code, log=str(folder / "log.txt"))


def _is_full(folder: Path) -> bool:
    with suppress(OSError):
        return shutil.disk_usage(folder).free < LEAST_FREE_BYTES
    return False


def main(home: str) -> None:
    """Work the queue of one workspace until it has been empty for a while."""
    dispatcher = Dispatcher(Store(Path(home)))
    if not dispatcher.claim():
        return
    idle_since = well_since = time.monotonic()
    while True:
        now = time.monotonic()
        try:
            if dispatcher.step():
                idle_since = now
            elif now - idle_since > IDLE_SECONDS and dispatcher.leave_if_idle():
                return
            well_since = now
        except StoreError as error:
            # The disk may be full: what works goes on, and is looked after once there is space.
            if now - well_since > TROUBLE_SECONDS:
                raise
            with suppress(OSError):
                print(error, flush=True)
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1])
