"""The order of the work: pauses, places in the queue, and what was asked to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kasa.data.card import prepare_study
from kasa.errors import StoreError
from kasa.runs import interrupt, schedule
from kasa.runs.interrupt import hearing_stop
from kasa.runs.job import Job, JobCancelled
from kasa.runs.local import Dispatcher
from kasa.runs.store import Store
from tests.small_studies import start_small_study


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Prepare the rows once: every study here has the same."""
    rows: list[Any] = []

    def prepare_once(*asked: Any) -> Any:
        rows.extend([] if rows else [prepare_study(*asked)])
        return rows[0]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("kasa.runs.store.prepare_study", prepare_once)
        yield


@pytest.fixture
def store(workspace: Path) -> Store:
    return Store()


def study_of(store: Store, run_id: str) -> str:
    return str(store.run(run_id).study_id)


def states(store: Store, study_id: str) -> list[str]:
    return [run.status for run in store.runs(study_id)]


def due(store: Store) -> list[str]:
    return [run.id for run in store.due_runs()]


# -- pause and go on ----------------------------------------------------------------------------


def test_a_paused_study_waits_and_the_others_do_not(store: Store, tmp_path: Path) -> None:
    first, second, third = start_small_study(store, tmp_path, num_seeds=3)
    (other,) = start_small_study(store, tmp_path)
    job = store.add_job("spectrum", {}, "key").id
    study_id = study_of(store, first)
    store.claim_run(first)
    schedule.pause(store, study_id)
    assert states(store, study_id) == ["stopping", "queued", "queued"]
    assert schedule.is_paused(store, study_id)
    assert due(store) == [first, other, job]
    assert not store.claim_run(second)  # whoever read the queue before the pause comes too late
    schedule.end_stopped(store, first)
    assert states(store, study_id) == ["queued"] * 3
    assert (store.run(first).started_at, store.process(first)) == (None, None)
    assert due(store) == [other, job]
    schedule.go_on(store, study_id)
    assert not schedule.is_paused(store, study_id)
    assert due(store) == [first, second, third, other, job]


def test_a_run_that_is_still_stopping_waits_again_although_the_study_goes_on(
    store: Store, tmp_path: Path
) -> None:
    first, _ = start_small_study(store, tmp_path, num_seeds=2)
    store.claim_run(first)
    schedule.pause(store, study_of(store, first))
    schedule.go_on(store, study_of(store, first))
    schedule.end_stopped(store, first)
    assert states(store, study_of(store, first)) == ["queued", "queued"]


@pytest.mark.parametrize("seen", ["running", "stopping"])
def test_a_dispatcher_that_looked_too_early_does_not_end_a_paused_run(
    store: Store, tmp_path: Path, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_id,) = start_small_study(store, tmp_path)
    store.claim_run(run_id)
    store.mark_started(run_id, 1, 0.0)  # that process is somebody else
    before = store.run(run_id)
    schedule.pause(store, study_of(store, run_id))
    looked = before if seen == "running" else store.run(run_id)
    schedule.end_stopped(store, run_id)
    monkeypatch.setattr(store, "process", lambda _: (1, 0.0))
    Dispatcher(store)._watch(looked)
    schedule.end_stopped(store, run_id)
    assert store.run(run_id).status == "queued"


def test_stop_ends_a_paused_study(store: Store, tmp_path: Path) -> None:
    first, _ = start_small_study(store, tmp_path, num_seeds=2)
    study_id = study_of(store, first)
    store.claim_run(first)
    schedule.pause(store, study_id)
    store.stop_study(study_id)
    schedule.end_stopped(store, first)
    assert states(store, study_id) == ["cancelled", "cancelled"]
    assert not schedule.is_paused(store, study_id)


def test_a_run_that_finished_while_it_was_paused_stays_finished(
    store: Store, tmp_path: Path
) -> None:
    first, _ = start_small_study(store, tmp_path, num_seeds=2)
    store.claim_run(first)
    schedule.pause(store, study_of(store, first))
    store.mark(first, "finished")
    schedule.end_stopped(store, first)
    assert states(store, study_of(store, first)) == ["finished", "queued"]


def test_a_dispatcher_leaves_when_all_that_waits_is_paused(store: Store, tmp_path: Path) -> None:
    (run_id,) = start_small_study(store, tmp_path)
    dispatcher = Dispatcher(store)
    assert dispatcher.claim()
    assert not dispatcher.leave_if_idle()
    schedule.pause(store, study_of(store, run_id))
    assert not dispatcher.step()
    assert dispatcher.leave_if_idle()


def test_a_study_that_is_deleted_takes_its_pause_along(store: Store, tmp_path: Path) -> None:
    (run_id,) = start_small_study(store, tmp_path)
    study_id = study_of(store, run_id)
    schedule.pause(store, study_id)
    with pytest.raises(StoreError):
        store.delete_study(study_id)
    store.stop_study(study_id)
    schedule.pause(store, study_id)
    store.delete_study(study_id)
    assert not schedule.is_paused(store, study_id)


def test_after_this_run_nothing_of_the_study_is_left(store: Store, tmp_path: Path) -> None:
    first, _ = start_small_study(store, tmp_path, num_seeds=2)
    store.claim_run(first)
    schedule.stop_waiting(store, study_of(store, first))
    assert states(store, study_of(store, first)) == ["running", "cancelled"]


# -- places in the queue ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moved", "places", "wanted"),
    [
        (2, -9, [2, 0, 1]),
        (2, -1, [0, 2, 1]),
        (0, -1, [0, 1, 2]),
        (0, 1, [1, 0, 2]),
        (2, 1, [0, 1, 2]),
    ],
)
def test_a_study_moves_with_all_that_waits_of_it(
    store: Store, tmp_path: Path, moved: int, places: int, wanted: list[int]
) -> None:
    runs = [start_small_study(store, tmp_path, num_seeds=2) for _ in range(3)]
    job = store.add_job("spectrum", {}, "key").id
    studies = [study_of(store, run[0]) for run in runs]
    assert schedule.waiting_studies(store) == studies
    schedule.move(store, studies[moved], places)
    assert schedule.waiting_studies(store) == [studies[place] for place in wanted]
    assert due(store) == [run for place in wanted for run in runs[place]] + [job]


def test_what_works_or_has_ended_is_not_moved(store: Store, tmp_path: Path) -> None:
    first, second = start_small_study(store, tmp_path, num_seeds=2)
    (other,) = start_small_study(store, tmp_path)
    store.claim_run(first)
    store.stop(second)
    before = store.runs(study_of(store, first))
    schedule.move(store, study_of(store, first), 1)
    assert store.runs(study_of(store, first)) == before
    assert schedule.waiting_studies(store) == [study_of(store, other)]


# -- hearing "stop" -----------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(interrupt, "OWN_SECONDS", 0.1)


def busy(job: Job, work: Callable[[], None]) -> float:
    """Work inside the block; return the seconds until it was interrupted."""
    began = time.monotonic()
    with pytest.raises(JobCancelled), hearing_stop(job):
        work()
    return time.monotonic() - began


def work_on() -> None:
    while True:
        time.sleep(0.01)


def swallow_two() -> None:
    for _ in range(2):
        with suppress(JobCancelled):  # as a library may
            work_on()
    work_on()


@pytest.mark.parametrize("work", [work_on, swallow_two])
def test_a_job_that_does_not_ask_is_interrupted(
    tmp_path: Path, impatient: None, work: Callable[[], None]
) -> None:
    asked = threading.Event()
    threading.Timer(0.2, asked.set).start()
    seconds = busy(Job("a", "run", {}, tmp_path, asked.is_set), work)
    assert 0.25 < seconds < 5


def test_a_job_that_ends_by_itself_is_left_alone(tmp_path: Path, impatient: None) -> None:
    before = signal.getsignal(signal.SIGINT)
    job = Job("a", "run", {}, tmp_path, lambda: True)
    with hearing_stop(job):
        time.sleep(0.05)
    time.sleep(0.2)  # nothing comes late
    assert signal.getsignal(signal.SIGINT) is before
