"""A full disk, a protected folder, a clock set back, two studies at once: said clearly, no harm."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from app.progress import run_progress, seconds_left
from kasa.errors import KasaError, StoreError, TrainingError
from kasa.runs import local
from kasa.runs.files import write_json
from kasa.runs.local import Dispatcher
from kasa.runs.process import alive, born
from kasa.runs.store import Store
from kasa.worker import work
from tests.result_files import draft, finish
from tests.small_studies import ONE_THREAD, small_study, start_small_study

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts from its own start")


@pytest.fixture
def store(workspace: Path) -> Store:
    return Store()


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(KasaError) as caught:
        action()
    assert caught.value.message("ja") != caught.value.message("en")
    return caught.value.code


def failing(number: int, after: int = 0) -> Callable[[int], None]:
    """Return an `os.fsync` that fails with this number once it has worked so often."""
    calls = iter(range(after))

    def fsync(_handle: int) -> None:
        if next(calls, None) is None:
            raise OSError(number, os.strerror(number))

    return fsync


# -- a full disk --------------------------------------------------------------------------------


@pytest.mark.parametrize("writes", range(5))
def test_a_study_that_finds_the_disk_full_stays_a_draft(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    study_id = store.create_study(store.settled(small_study(tmp_path)))
    if writes < 4:  # rows, card, study and one config
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", failing(errno.ENOSPC, writes))
            assert code_of(lambda: store.start_study(study_id)) == "disk_full"
        assert store.study(study_id).status == "draft"
        assert store.active_runs() == []
    (run,) = store.start_study(study_id)
    assert work(store, run.id)
    assert store.run(run.id).status == "finished"


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "disk_full"), (errno.EROFS, "cannot_write")]
)
@pytest.mark.parametrize("writes", [0, 1, 3])
def test_a_run_that_cannot_keep_its_result_says_why_and_can_be_started_again(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: str,
    writes: int,
) -> None:
    (run_id,) = start_small_study(store, tmp_path)
    store.claim_run(run_id)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing(number, writes))
        # The log's entry, predictions, the log's again, the result.
        assert not work(store, run_id)
    error = store.run(run_id).error
    assert error is not None
    assert (store.run(run_id).status, error.code) == ("failed", code)
    store.retry(run_id)
    assert work(store, run_id)
    assert store.run(run_id).status == "finished"


def test_the_database_says_what_is_wrong_with_its_disk(store: Store, tmp_path: Path) -> None:
    small = sqlite3.connect(tmp_path / "small.db")
    small.execute("PRAGMA max_page_count = 2")
    small.execute("CREATE TABLE a (b)")
    with pytest.raises(sqlite3.OperationalError) as caught:
        small.execute("CREATE TABLE c (d)")
    small.close()
    assert store._explained(caught.value).code == "disk_full"
    protected = sqlite3.connect(f"file:{store.home / 'kasa.db'}?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as caught:
        protected.execute("DELETE FROM runs")
    protected.close()
    assert store._explained(caught.value).code == "workspace_not_writable"


def test_a_dispatcher_goes_on_once_there_is_space_again(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (run_id,) = start_small_study(store, tmp_path)
    looks: list[int] = []

    def step(_: Dispatcher) -> bool:
        looks.append(1)
        if len(looks) < 4:
            raise StoreError("disk_full", path="kasa.db", detail="full")
        store.stop(run_id)
        return False

    monkeypatch.setattr(Dispatcher, "step", step)
    monkeypatch.setattr(local, "IDLE_SECONDS", 0.0)
    local.main(str(store.home))
    assert len(looks) >= 4
    assert "no space left" in capsys.readouterr().out
    looks.clear()
    start_small_study(store, tmp_path)
    monkeypatch.setattr(local, "TROUBLE_SECONDS", -1.0)
    assert code_of(lambda: local.main(str(store.home))) == "disk_full"  # not for ever


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a workspace on a disk of 4 MB, where the system lets the test make one."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this system does not let the test mount a small disk")
    monkeypatch.setenv("KASA_HOME", str(place))
    for name, value in ONE_THREAD.items():
        monkeypatch.setenv(name, value)
    yield place
    subprocess.run(["umount", "-l", place], check=False)


def fill(ballast: Path) -> None:
    """Write until the disk takes no more."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


@pytest.mark.slow
def test_a_disk_that_is_really_full_costs_a_run_and_nothing_else(
    small_disk: Path, tmp_path: Path
) -> None:
    store = Store()
    first, second = start_small_study(store, tmp_path, num_seeds=2)
    dispatcher = Dispatcher(store)

    def until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            with suppress(StoreError):
                dispatcher.step()
                if condition():
                    return
            time.sleep(0.1)
        pytest.fail("it did not happen in time")

    until(lambda: store.events(first) != [])
    fill(small_disk / "ballast")
    dispatcher.children[first].wait()
    (small_disk / "ballast").unlink()
    until(lambda: not store.run(first).active)
    assert store.run(first).status == "failed"
    error = store.run(first).error
    assert error is not None
    assert error.code in {"disk_full", "worker_crashed", "database"}
    store.retry(first)
    until(lambda: store.active_runs() == [] and dispatcher.children == {})
    assert [store.run(run_id).status for run_id in (first, second)] == ["finished", "finished"]
    assert len(store.finished_runs(str(store.run(first).study_id))) == 2


@pytest.mark.slow
def test_a_protected_disk_is_named(small_disk: Path, tmp_path: Path) -> None:
    store = Store()
    start_small_study(store, tmp_path)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert code_of(Store) == "workspace_not_writable"
    assert code_of(lambda: store.stop("00ff")) in {"workspace_not_writable", "database"}
    assert code_of(lambda: write_json(small_disk / "settings.json", {})) == "cannot_write"
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert [run.status for run in Store().active_runs()] == ["queued"]


# -- a clock set back ---------------------------------------------------------------------------


@linux
def test_a_process_stays_the_same_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    before = born(psutil.Process(child.pid))
    booted = psutil.boot_time()
    # Linux works the time of its start out of the clock, so that it moves with it.
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted - 3600)
    assert alive(child.pid, before)
    child.communicate(b"\n")
    assert not alive(child.pid, before)


def later(store: Store, table: str, row: str) -> None:
    """Let a row be made in the future, as it looks after the clock was set back."""
    moment = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    with store.connect() as db:
        db.execute(f"UPDATE {table} SET created_at = ? WHERE id = ?", (moment, row))  # noqa: S608


def test_the_newest_is_what_was_made_last_whatever_the_clock_says(
    store: Store, tmp_path: Path
) -> None:
    old = store.add_job("spectrum", {}, "key")
    later(store, "runs", old.id)
    store.mark(old.id, "failed", error=TrainingError("worker_lost"))
    new = store.add_job("spectrum", {}, "key")
    assert store.latest("key") == new
    first, second = draft(store, tmp_path), draft(store, tmp_path)
    later(store, "studies", first)
    assert [record.id for record in store.studies()] == [second, first]
    finish(store, first)
    finish(store, second)
    assert store.find_study(store.study(first).study) == second


def test_no_time_is_negative(store: Store, tmp_path: Path) -> None:
    began = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
    (run_id,) = start_small_study(store, tmp_path)
    run = store.run(run_id)
    back = replace(run, status="finished", started_at=began, finished_at=began - timedelta(1))
    assert back.seconds == 0.0
    assert replace(back, finished_at=began + timedelta(seconds=3)).seconds == 3.0
    assert run.seconds is None
    steps = [
        {"time": moment, "done": done, "total": 9, "loss": 1.0, "memory_bytes": 1}
        for moment, done in ((5000.0, 1), (1000.0, 2))
    ]
    assert run_progress(steps).seconds_left == 0.0
    ahead = replace(run, status="running", started_at=datetime.now(UTC) + timedelta(hours=1))
    assert seconds_left([ahead], {run.id: run_progress([])}, {str(run.arm): 30.0}, 1) == 30.0


# -- two studies at once ------------------------------------------------------------------------


def test_studies_started_at_once_queue_one_behind_the_other(store: Store, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abcd"]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(4) as pool:
        started = list(
            pool.map(lambda folder: start_small_study(Store(), folder, num_seeds=3), folders)
        )
    due = [run.id for run in store.due_runs()]
    assert sorted(due) == sorted(run_id for runs in started for run_id in runs)
    assert all(due[due.index(runs[0]) :][:3] == runs for runs in started)
    with store.connect() as db:
        positions = [row["position"] for row in db.execute("SELECT position FROM runs")]
    assert len(set(positions)) == 12
