"""Real processes killed in mid training; benchmarks/survival.py kills fifty, and the server too."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from kasa.runs.local import ensure_dispatcher
from kasa.runs.process import alive
from kasa.runs.records import FinishedRun
from kasa.runs.store import Store
from kasa.study import Arm, Protocol
from kasa.worker import work
from tests.small_studies import NOTES, ONE_THREAD, small_study
from tests.tiny_models import run_folder, small_runs, write_tiny_bert

PATIENCE_SECONDS = 120.0
# Long enough to be killed twice, with dropout, so that a lost random state would show.
PROTOCOL = Protocol("quick", epochs=40, learning_rates=(2e-2,), max_length=32)


def dispatcher_of(store: Store) -> tuple[int, float]:
    with store.connect() as db:
        row = db.execute("SELECT pid, pid_created FROM dispatcher").fetchone()
    return (row["pid"], row["pid_created"])


@pytest.fixture
def store(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Return a store that trains in fp32, whose dispatcher and workers end with the test."""
    for name, value in ONE_THREAD.items():
        monkeypatch.setenv(name, value)
    run_folder(workspace, "none")
    made = Store()
    yield made
    for place in (dispatcher_of(made), *(made.process(run.id) for run in made.active_runs())):
        if place is not None and alive(*place):
            psutil.Process(place[0]).kill()


def wait_until(condition: Callable[[], object], step: Callable[[], object] = lambda: None) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        step()
        time.sleep(0.02)


def kill(*places: tuple[int, float] | None) -> None:
    for place in places:
        assert place is not None
        os.kill(place[0], signal.SIGKILL)
        wait_until(lambda place=place: not alive(*place))


def result_of(store: Store, run_id: str) -> FinishedRun:
    (run,) = store.finished_runs(str(store.run(run_id).study_id))
    return run


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_run_killed_with_and_without_its_dispatcher_ends_as_if_undisturbed(
    store: Store, tmp_path: Path
) -> None:
    texts = [
        f"{note} {row} in hall" for kind in NOTES.values() for note in kind for row in range(30)
    ]
    model = write_tiny_bert(tmp_path / "model", texts, hidden_dropout_prob=0.1)
    study = small_study(tmp_path, (Arm("kasa", rank=4),), PROTOCOL)
    study = replace(study, model=str(model.folder))
    with small_runs():
        (wanted_run,) = store.start_study(store.create_study(study))
        assert work(store, wanted_run.id)
    (run,) = store.start_study(store.create_study(study))

    def trains(pieces: int) -> bool:
        events = store.events(run.id)
        starts = [at for at, event in enumerate(events) if event.get("phase") == "prepare"]
        kept = (run.folder / "checkpoints" / "trial.safetensors").is_file()
        return kept and len(starts) == pieces and "loss" in events[-1]

    ensure_dispatcher(store)
    wait_until(lambda: trains(1))
    kill(store.process(run.id))
    wait_until(lambda: store.run(run.id).status == "failed")
    store.retry(run.id)
    wait_until(lambda: trains(2))
    kill(dispatcher_of(store), store.process(run.id))
    assert store.run(run.id).status == "running"
    # A page asks every second; the first time the dispatcher may not yet be known to be dead.
    wait_until(lambda: store.run(run.id).status == "lost", lambda: ensure_dispatcher(store))
    store.retry(run.id)
    wait_until(lambda: not store.run(run.id).active)

    done, wanted = result_of(store, run.id), result_of(store, wanted_run.id)
    assert done.metrics == pytest.approx(wanted.metrics, abs=1e-6)
    assert done.validation == pytest.approx(wanted.validation, abs=1e-6)
    assert list(done.predictions["predicted"]) == list(wanted.predictions["predicted"])
    assert list(done.predictions["confidence"]) == pytest.approx(
        list(wanted.predictions["confidence"]), abs=1e-6
    )
    # The second process may have been killed before it kept anything; then it does not count.
    assert done.conditions["resumed"] in {1, 2}
    assert wanted.conditions["resumed"] == 0
    assert [point["step"] for point in done.trials[0]["curve"]] == [
        point["step"] for point in wanted.trials[0]["curve"]
    ]
    assert not (run.folder / "checkpoints").exists()
