"""What one worker process leaves behind, whatever happens to it; here it works in the test."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from kasa.errors import TrainingError
from kasa.runs import local
from kasa.runs.job import Job
from kasa.runs.local import Dispatcher
from kasa.runs.store import Store
from kasa.study import Arm, Protocol
from kasa.worker import _explained, work
from tests.small_studies import NOTES, small_study
from tests.tiny_models import small_runs, write_tiny_bert

PROTOCOL = Protocol("quick", epochs=2, learning_rates=(1e-3, 2e-2), max_length=32)


class Killed(BaseException):
    """What kill -9 does: nobody can catch it."""


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with small_runs():
        yield


@pytest.fixture
def store(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return a store whose runs have no process that could still begin to work."""
    monkeypatch.setattr(local, "START_GRACE_SECONDS", -1)
    return Store()


def start_tiny_study(store: Store, folder: Path) -> str:
    """Queue one LoRA run on a tiny BERT and return its id."""
    texts = [
        f"{note} {row} in hall" for notes in NOTES.values() for note in notes for row in range(9)
    ]
    model = write_tiny_bert(folder / "model", texts)
    study = small_study(folder, (Arm("lora", rank=4),), PROTOCOL)
    study_id = store.create_study(type(study)(**(vars(study) | {"model": str(model.folder)})))
    (run,) = store.start_study(study_id)
    return run.id


def at_step(step: int, act: Callable[[], None]) -> Callable[..., None]:
    """Return a `Job.progress` that acts once at a training step."""
    report = Job.progress

    def progress(job: Job, done: float, total: float, **info: Any) -> None:
        report(job, done, total, **info)
        if "loss" in info and done == step:
            act()

    return progress


def kill() -> None:
    raise Killed


def work_until_killed(store: Store, run_id: str) -> None:
    with pytest.raises(Killed):
        work(store, run_id)


def test_a_killed_worker_goes_on_and_its_result_says_so(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = start_tiny_study(store, tmp_path)
    folder = store.run_folder(run_id)
    store.claim_run(run_id)
    with monkeypatch.context() as patched:
        patched.setattr(Job, "progress", at_step(5, kill))
        work_until_killed(store, run_id)
    assert (folder / "checkpoints").is_dir()
    Dispatcher(store).step()  # it finds no process
    assert store.run(run_id).status == "lost"
    store.retry(run_id)
    assert work(store, run_id)
    assert store.run(run_id).status == "finished"
    pieces = [event for event in store.events(run_id) if "phase" in event]
    again = [event["phase"] for event in pieces].index("prepare", 1) + 1
    assert pieces[again]["done"] == 4  # steps 1 to 3, the first epoch, were not made again
    (run,) = store.finished_runs(str(store.run(run_id).study_id))
    assert run.conditions["resumed"] == 1
    assert not {"earlier_seconds", "earlier_peak_memory_bytes"} & run.conditions.keys()
    assert run.train_seconds < run.total_seconds
    assert [trial["learning_rate"] for trial in run.trials] == [1e-3, 2e-2]
    assert not (folder / "checkpoints").exists()


def test_what_breaks_while_a_run_is_stopping_is_no_failure(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library may turn the interruption into a failure of its own."""
    run_id = start_tiny_study(store, tmp_path)

    def stop_and_break() -> None:
        store.stop(run_id)
        raise RuntimeError("could not import")

    store.claim_run(run_id)
    monkeypatch.setattr(Job, "progress", at_step(1, stop_and_break))
    assert not work(store, run_id)
    assert (store.run(run_id).status, store.run(run_id).error) == ("cancelled", None)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/some/file"), "disk_full"),
        (OSError(errno.EROFS, "Read-only file system"), "cannot_write"),
        (OSError(errno.ENOENT, "No such file"), "unexpected"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "disk_full"),
        (RuntimeError("DefaultCPUAllocator: not enough memory"), "out_of_memory"),
        (TrainingError("no_learning_rate"), "no_learning_rate"),
        (ValueError("what"), "unexpected"),
    ],
)
def test_what_broke_a_run_is_explained(tmp_path: Path, error: Exception, code: str) -> None:
    explained = _explained(error, Job("a", "run", {}, tmp_path))
    assert explained.code == code
    assert explained.message("ja") != explained.message("en")


@pytest.mark.parametrize(
    ("kind", "settings", "wanted"),
    [
        ("run", {}, ("out_of_memory_batch", {"batch": 16, "smaller": 8})),
        ("run", {"parallel_runs": 3}, ("out_of_memory_shared", {"places": 3, "fewer": 1})),
        ("estimate", {"parallel_runs": 3}, ("out_of_memory_batch", {"batch": 16, "smaller": 8})),
        ("run", {"batch_size": 1}, ("out_of_memory", {})),
    ],
)
def test_too_little_memory_is_answered_with_what_to_change(
    tmp_path: Path, kind: str, settings: dict[str, int], wanted: tuple[str, dict[str, int]]
) -> None:
    study = small_study(tmp_path, protocol=Protocol("quick", **settings))
    explained = _explained(MemoryError(), Job("a", kind, {"study": study.to_dict()}, tmp_path))
    assert (explained.code, explained.values) == wanted
    assert all(str(value) in explained.message("ja") for value in explained.values.values())


def test_a_worker_killed_after_its_result_has_finished(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = start_tiny_study(store, tmp_path)
    monkeypatch.setattr(shutil, "rmtree", lambda *_args, **_kwargs: None)
    store.claim_run(run_id)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "mark", lambda *_: kill())
        work_until_killed(store, run_id)
    assert store.run(run_id).status == "running"
    Dispatcher(store).step()
    assert store.run(run_id).status == "finished"
    store.retry(run_id)  # nothing to do: its result is there
    assert store.run(run_id).status == "finished"
