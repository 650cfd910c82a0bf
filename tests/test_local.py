"""Real processes: queued runs are worked off; whatever dies leaves a reason and no loose end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from kasa.runs import local
from kasa.runs.local import Dispatcher, ensure_dispatcher
from kasa.runs.process import alive, born
from kasa.runs.store import Store
from kasa.study import Arm, Protocol
from tests.small_studies import ONE_THREAD, small_study, start_small_study

ROOT = Path(__file__).resolve().parent.parent
# A machine that is busy with something else may take this long.
PATIENCE_SECONDS = 120.0
needs_signals = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no SIGKILL and SIGSTOP"
)


@pytest.fixture
def store(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Return a store whose dispatcher and workers end with the test."""
    for name, value in ONE_THREAD.items():
        monkeypatch.setenv(name, value)
    made = Store()
    yield made
    places = [dispatcher_of(made), *(made.process(run.id) for run in made.active_runs())]
    for place in places:
        if place is not None and place[0] != os.getpid() and alive(*place):
            psutil.Process(place[0]).kill()


@pytest.fixture
def dispatcher(store: Store) -> Iterator[Dispatcher]:
    """Return a dispatcher that the test itself drives, step by step."""
    made = Dispatcher(store)
    assert made.claim()
    yield made
    for child in made.children.values():
        child.kill()
        child.wait()


def dispatcher_of(store: Store) -> tuple[int, float] | None:
    with store.connect() as db:
        row = db.execute("SELECT pid, pid_created FROM dispatcher").fetchone()
    return None if row is None else (row["pid"], row["pid_created"])


def wait_until(condition: Callable[[], object], step: Callable[[], object] = lambda: None) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        step()
        time.sleep(0.05)


def status(store: Store, run_id: str) -> str:
    return store.run(run_id).status


def ended(store: Store, run_id: str) -> bool:
    return not store.run(run_id).active


def reason(store: Store, run_id: str) -> str:
    error = store.run(run_id).error
    assert error is not None
    assert error.message("ja") != error.message("en")
    return error.code


def worker_of(store: Store, run_id: str) -> int:
    process = store.process(run_id)
    assert process is not None
    assert alive(*process)
    return process[0]


def end_of(pid: int) -> None:
    """Kill a process that this test started and wait until it works no longer."""
    process = psutil.Process(pid)
    created = born(process)
    process.kill()
    wait_until(lambda: not alive(pid, created))


# -- who is alive -------------------------------------------------------------------------------


def test_a_process_is_its_pid_and_its_create_time() -> None:
    me = psutil.Process()
    assert alive(me.pid, born(me))
    assert not alive(me.pid, born(me) - 60)  # the pid of somebody who is gone, used again
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    created = born(psutil.Process(child.pid))
    assert alive(child.pid, created)
    assert child.stdin is not None
    child.stdin.close()
    wait_until(lambda: not alive(child.pid, created))  # a zombie until somebody waits for it
    child.wait()
    assert not alive(child.pid, created)


def test_a_pid_that_was_used_again_is_not_the_worker(
    store: Store, dispatcher: Dispatcher, tmp_path: Path
) -> None:
    (run_id,) = start_small_study(store, tmp_path)
    me = psutil.Process()
    store.mark_started(run_id, me.pid, born(me) - 60)
    dispatcher.step()
    assert (status(store, run_id), reason(store, run_id)) == ("lost", "worker_lost")
    store.retry(run_id)
    store.mark_started(run_id, me.pid, born(me))
    dispatcher.step()
    assert status(store, run_id) == "running"
    store.mark(run_id, "cancelled")


def test_only_permission_opens_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "0")
    offline, online = local._environment(hub=False), local._environment(hub=True)
    assert offline["HF_HUB_OFFLINE"] == offline["HF_DATASETS_OFFLINE"] == "1"
    assert not {"HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"} & online.keys()
    for environment in (offline, online):
        assert environment["HF_HUB_DISABLE_TELEMETRY"] == "1"
        assert environment["PATH"] == os.environ["PATH"]


# -- one dispatcher per workspace ---------------------------------------------------------------


def test_a_dispatcher_leaves_only_an_empty_queue(
    store: Store, dispatcher: Dispatcher, tmp_path: Path
) -> None:
    assert not Dispatcher(store).claim()
    (run_id,) = start_small_study(store, tmp_path)
    assert not dispatcher.leave_if_idle()
    assert dispatcher_of(store) is not None
    store.stop(run_id)
    assert dispatcher.leave_if_idle()
    assert dispatcher_of(store) is None
    assert Dispatcher(store).claim()


def test_the_place_of_a_dead_dispatcher_is_free(store: Store) -> None:
    with store.connect() as db:
        db.execute("INSERT INTO dispatcher VALUES (1, ?, ?)", (os.getpid(), 12345.0))
    assert Dispatcher(store).claim()
    assert dispatcher_of(store) == (os.getpid(), born(psutil.Process()))


def test_an_idle_dispatcher_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "IDLE_SECONDS", 0.0)
    local.main(str(store.home))
    assert dispatcher_of(store) is None


def test_without_work_no_dispatcher_is_started(store: Store) -> None:
    ensure_dispatcher(store)
    assert dispatcher_of(store) is None
    assert not (store.home / "dispatcher.log").exists()


def test_of_two_dispatchers_the_second_leaves(store: Store) -> None:
    command = [sys.executable, "-m", "kasa.runs.local", str(store.home)]
    children = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    wait_until(lambda: any(child.poll() is not None for child in children))
    left, stayed = sorted(children, key=lambda child: child.poll() is None)
    try:
        assert left.returncode == 0
        wait_until(lambda: dispatcher_of(store) is not None)
        place = dispatcher_of(store)
        assert place is not None
        assert place[0] == stayed.pid
        assert alive(*place)
        assert stayed.poll() is None
    finally:
        for child in children:
            child.kill()
            child.wait()


# -- the queue ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_queued_study_is_worked_off_in_the_background(store: Store, tmp_path: Path) -> None:
    (run_id,) = start_small_study(store, tmp_path)
    before = set(psutil.Process().children())
    for _ in range(3):  # a page asks every second, long before the first one has its place
        ensure_dispatcher(store)
    started = set(psutil.Process().children()) - before
    wait_until(lambda: ended(store, run_id))
    run = store.run(run_id)
    assert (run.status, run.error) == ("finished", None)
    assert len(started) == 1
    place = dispatcher_of(store)
    assert place is not None
    assert {process.pid for process in started} == {place[0]}
    assert os.getsid(place[0]) != os.getsid(0)  # a closed terminal does not reach it
    assert run.started_at is not None
    assert run.finished_at is not None
    assert run.created_at <= run.started_at < run.finished_at
    (result,) = store.finished_runs(str(run.study_id))
    assert result.metrics["accuracy"] == 1.0
    assert len(result.predictions) == 15
    assert store.events(run_id)[0]["phase"] == "prepare"


@pytest.mark.slow
def test_training_runs_one_at_a_time_and_short_jobs_beside(
    store: Store, dispatcher: Dispatcher, tmp_path: Path
) -> None:
    first, second = start_small_study(store, tmp_path, num_seeds=2)
    jobs = [store.add_job("not a kind", {}, key).id for key in ("a", "b")]
    assert dispatcher.step()
    states = [status(store, run_id) for run_id in (first, second, *jobs)]
    assert states == ["running", "queued", "running", "queued"]
    dispatcher.step()
    assert status(store, second) == "queued"
    store.stop(second)
    store.stop(jobs[1])
    wait_until(lambda: ended(store, first) and ended(store, jobs[0]), dispatcher.step)
    assert status(store, first) == "finished"
    assert (status(store, jobs[0]), reason(store, jobs[0])) == ("failed", "unknown_kind")
    assert not dispatcher.step()
    assert dispatcher.children == {} or all(
        child.wait() is not None for child in dispatcher.children.values()
    )


def started(store: Store, runs: list[str]) -> list[bool]:
    return [status(store, run_id) != "queued" for run_id in runs]


def test_as_many_runs_as_their_study_says_work_beside_one_another(
    store: Store, dispatcher: Dispatcher, tmp_path: Path
) -> None:
    protocol = Protocol("quick", seeds=(0, 1, 2), parallel_runs=2)
    study_id = store.create_study(small_study(tmp_path, protocol=protocol))
    runs = [run.id for run in store.start_study(study_id)]
    other = start_small_study(store, tmp_path, num_seeds=2)
    for _ in range(4):
        dispatcher.step()
        if ended(store, runs[0]) or ended(store, runs[1]):
            pytest.fail("a run of a real process ended within four steps")
    assert started(store, [*runs, *other]) == [True, True, False, False, False]
    pids = {worker_of(store, run_id) for run_id in runs[:2]}
    assert len(pids) == 2
    # With its third taken out, the other study waits until both have ended: it shares with nobody.
    store.stop(runs[2])
    end_of(worker_of(store, runs[0]))
    wait_until(lambda: ended(store, runs[0]), dispatcher.step)
    if not ended(store, runs[1]):
        dispatcher.step()
        assert started(store, other) == [False, False]
    wait_until(lambda: ended(store, runs[1]) and started(store, other)[0], dispatcher.step)
    assert status(store, runs[1]) == "finished"
    dispatcher.step()
    assert started(store, other) == [True, False]


def test_runs_that_share_the_machine_share_its_cores(
    store: Store, dispatcher: Dispatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    given: list[dict[str, str]] = []
    spawn = local._spawn

    def spied(arguments: list[str], log: Path, environment: dict[str, str]) -> object:
        given.append(environment)
        return spawn(arguments, log, environment)

    monkeypatch.setattr(local, "_spawn", spied)
    for places in (1, 5, 64):
        protocol = Protocol("quick", parallel_runs=places)
        study = small_study(tmp_path, protocol=protocol)
        store.start_study(store.create_study(study))
        wait_until(lambda: not store.due_runs(), dispatcher.step)
    assert [each.get("OMP_NUM_THREADS") for each in given] == [None, "2", "1"]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    store.enqueue("estimate", {"study": study.to_dict()}, "key")
    dispatcher.step()
    assert given[-1]["OMP_NUM_THREADS"] == "7"  # what a person set goes before


@pytest.mark.slow
@needs_signals
def test_a_killed_worker_leaves_a_reason_and_can_be_retried(
    store: Store, dispatcher: Dispatcher, tmp_path: Path
) -> None:
    (run_id,) = start_small_study(store, tmp_path)
    dispatcher.step()
    os.kill(worker_of(store, run_id), signal.SIGKILL)
    wait_until(lambda: ended(store, run_id), dispatcher.step)
    assert (status(store, run_id), reason(store, run_id)) == ("failed", "worker_killed")
    error = store.run(run_id).error
    assert error is not None
    assert error.values == {"signal": 9}
    store.retry(run_id)
    assert (status(store, run_id), store.run(run_id).error) == ("queued", None)
    wait_until(lambda: ended(store, run_id), dispatcher.step)
    assert (status(store, run_id), store.run(run_id).error) == ("finished", None)


@pytest.mark.slow
def test_a_worker_that_cannot_write_its_end_points_to_its_log(
    store: Store, dispatcher: Dispatcher, tmp_path: Path
) -> None:
    (run_id,) = start_small_study(store, tmp_path)
    folder = store.run_folder(run_id)
    (folder / "result.json" / "in the way").mkdir(parents=True)
    wait_until(lambda: ended(store, run_id), dispatcher.step)
    assert (status(store, run_id), reason(store, run_id)) == ("failed", "worker_crashed")
    error = store.run(run_id).error
    assert error is not None
    assert error.values == {"code": 1, "log": str(folder / "log.txt")}
    assert "result.json" in (folder / "log.txt").read_text("utf-8")


def test_a_run_without_its_config_does_not_hold_up_the_queue(
    store: Store, dispatcher: Dispatcher, tmp_path: Path
) -> None:
    first, second, third = start_small_study(store, tmp_path, num_seeds=3)
    (store.run_folder(first) / "config.json").write_text("{", "utf-8")
    for path in store.run_folder(second).iterdir():
        path.unlink()
    store.run_folder(second).rmdir()
    for _ in range(3):
        dispatcher.step()
    assert reason(store, first) == "file_damaged"
    assert reason(store, second) == "file_not_found"
    assert status(store, third) == "running"


def test_a_run_stopped_at_the_last_moment_is_not_started(
    store: Store, dispatcher: Dispatcher, tmp_path: Path
) -> None:
    (run_id,) = start_small_study(store, tmp_path)
    seen_as_waiting = store.run(run_id)
    store.stop(run_id)
    dispatcher._start(seen_as_waiting)
    assert status(store, run_id) == "cancelled"
    assert dispatcher.children == {}
    assert store.process(run_id) is None


# -- dispatchers that die -----------------------------------------------------------------------


@pytest.mark.slow
@needs_signals
def test_a_worker_outlives_its_dispatcher_and_the_next_one_goes_on(
    store: Store, tmp_path: Path
) -> None:
    first, second = start_small_study(store, tmp_path, num_seeds=2)
    ensure_dispatcher(store)
    wait_until(lambda: store.process(first) is not None)
    place = dispatcher_of(store)
    assert place is not None
    end_of(place[0])
    worker_of(store, first)  # still alive
    wait_until(lambda: ended(store, first))
    assert (status(store, first), status(store, second)) == ("finished", "queued")
    result = store.result(first)
    ensure_dispatcher(store)
    wait_until(lambda: ended(store, second))
    assert (status(store, first), status(store, second)) == ("finished", "finished")
    assert store.result(first) == result
    assert dispatcher_of(store) != place


class DispatcherKilledError(BaseException):
    """It dies in this very moment."""


@pytest.mark.slow
def test_a_worker_whose_dispatcher_died_before_it_was_recorded_goes_on(
    store: Store, dispatcher: Dispatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = start_small_study(store, tmp_path, num_seeds=2)

    def die(*_: object) -> None:
        raise DispatcherKilledError

    with monkeypatch.context() as patched:
        patched.setattr(store, "mark_started", die)
        with pytest.raises(DispatcherKilledError):
            dispatcher.step()
    assert (status(store, first), store.process(first)) == ("running", None)
    living = Dispatcher(store)
    living.step()
    assert (status(store, first), status(store, second)) == ("running", "queued")
    store.stop(second)
    wait_until(lambda: ended(store, first), living.step)
    assert (status(store, first), store.run(first).error) == ("finished", None)
    assert store.process(first) is not None  # the worker said so itself
    dispatcher.children[first].wait()


def test_a_run_that_never_got_a_worker_is_lost_after_a_while(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_id,) = start_small_study(store, tmp_path)
    store.claim_run(run_id)
    living = Dispatcher(store)
    living.step()
    assert status(store, run_id) == "running"
    monkeypatch.setattr(local, "START_GRACE_SECONDS", 0.0)
    living.step()
    assert (status(store, run_id), reason(store, run_id)) == ("lost", "worker_lost")


def test_a_worker_takes_only_a_run_that_waits_for_it(store: Store, tmp_path: Path) -> None:
    (run_id,) = start_small_study(store, tmp_path)
    assert not store.adopt_run(run_id, 11, 1.5, 10)  # nobody has claimed it
    store.claim_run(run_id)
    assert store.adopt_run(run_id, 11, 1.5, 10)
    assert store.process(run_id) == (11, 1.5)
    assert not store.adopt_run(run_id, 12, 2.5, 10)  # another one has it
    store.mark_started(run_id, 12, 2.5)
    assert store.adopt_run(run_id, 13, 3.5, 12)  # recorded was the one that started it
    store.mark(run_id, "lost")
    assert not store.adopt_run(run_id, 13, 3.5, 12)


@needs_signals
def test_a_worker_that_dies_unseen_is_lost(store: Store, tmp_path: Path) -> None:
    first, second = start_small_study(store, tmp_path, num_seeds=2)
    dead, living = Dispatcher(store), Dispatcher(store)
    dead.step()
    child = dead.children.pop(first)
    end_of(child.pid)
    assert status(store, first) == "running"  # nobody was there to see it
    living.step()
    assert (status(store, first), reason(store, first)) == ("lost", "worker_lost")
    child.wait()
    store.stop(second)


@needs_signals
def test_a_dispatcher_watches_the_workers_of_the_one_before(store: Store, tmp_path: Path) -> None:
    first, second = start_small_study(store, tmp_path, num_seeds=2)
    dead, living = Dispatcher(store), Dispatcher(store)
    dead.step()
    child = dead.children.pop(first)
    os.kill(child.pid, signal.SIGSTOP)  # it takes its time
    living.step()
    assert (status(store, first), status(store, second)) == ("running", "queued")
    store.stop(first)
    store.stop(second)
    end_of(child.pid)
    living.step()
    assert status(store, first) == "cancelled"
    child.wait()


# -- stopping -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_working_job_stops_when_asked(store: Store, dispatcher: Dispatcher) -> None:
    job = store.add_job("spectrum", {"model": "embedded"}, "spectrum")
    wait_until(lambda: len(store.events(job.id)) >= 2, dispatcher.step)
    store.stop(job.id)
    assert status(store, job.id) == "stopping"
    wait_until(lambda: ended(store, job.id), dispatcher.step)
    assert (status(store, job.id), store.run(job.id).error) == ("cancelled", None)
    assert store.events(job.id)[-1]["done"] < store.events(job.id)[-1]["total"]
    assert store.result(job.id) is None
    assert not (job.folder / "spectra.npz").exists()


@pytest.mark.slow
def test_a_worker_hears_a_stop_while_it_starts(
    store: Store, dispatcher: Dispatcher, tmp_path: Path
) -> None:
    """Importing the libraries alone takes seconds, in which no step of training asks."""
    study = small_study(tmp_path, (Arm("lora"),))
    (run,) = store.start_study(store.create_study(study))
    dispatcher.step()
    wait_until(lambda: store.events(run.id), dispatcher.step)
    child = dispatcher.children[run.id]
    store.stop(run.id)
    wait_until(lambda: ended(store, run.id), dispatcher.step)
    assert (status(store, run.id), store.run(run.id).error) == ("cancelled", None)
    assert [event["phase"] for event in store.events(run.id)] == ["prepare"]
    assert child.wait() == 1  # it was not killed


@needs_signals
def test_a_worker_that_does_not_hear_is_ended(
    store: Store, dispatcher: Dispatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "STOP_GRACE_SECONDS", 0.2)
    (run_id,) = start_small_study(store, tmp_path)
    dispatcher.step()
    pid = worker_of(store, run_id)
    os.kill(pid, signal.SIGSTOP)
    store.stop(run_id)
    dispatcher.step()
    assert status(store, run_id) == "stopping"  # it is given time first
    wait_until(lambda: ended(store, run_id), dispatcher.step)
    assert status(store, run_id) == "cancelled"
    with suppress(psutil.NoSuchProcess):
        assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    store.retry(run_id)  # stopped once more, it is given as much time again
    dispatcher.step()
    os.kill(worker_of(store, run_id), signal.SIGSTOP)
    store.stop(run_id)
    dispatcher.step()
    assert status(store, run_id) == "stopping"
    wait_until(lambda: ended(store, run_id), dispatcher.step)
