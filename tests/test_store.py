"""The store: what is kept comes back, whatever happens at once, and nothing outside is touched."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from kasa.arms import Arm
from kasa.dataspec import DataSpec
from kasa.errors import DataError, KasaError, StoreError, TrainingError
from kasa.runs.files import read_json, write_json
from kasa.runs.job import Job
from kasa.runs.records import FinishedRun, RunRecord
from kasa.runs.store import Store
from kasa.study import Gates, Prices, Protocol, Study, load_study
from tests.result_files import draft, finish, write_result
from tests.study_runs import finished_run

ROOT = Path(__file__).resolve().parent.parent
# Each would reach no further than the test's own folder if it were followed.
HOSTILE_IDS = ["", ".", "..", "../..", "a/../..", "..\\..", "' OR 1=1 --", "\x00", "é", "A1"]
START = """
import sys, time
from pathlib import Path
from kasa.runs.store import Store
store = Store(Path(sys.argv[1]))
time.sleep(max(0, float(sys.argv[3]) - time.time()))
print(",".join(run.id for run in store.start_study(sys.argv[2])))
"""


@pytest.fixture
def store(workspace: Path) -> Store:
    return Store()


@pytest.fixture
def started(store: Store, tmp_path: Path) -> str:
    study_id = draft(store, tmp_path)
    store.start_study(study_id)
    return study_id


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(KasaError) as caught:
        action()
    assert caught.value.message("ja") != caught.value.message("en")
    return caught.value.code


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and path.suffix[:3] != ".db"}


# -- studies ------------------------------------------------------------------------------------


def test_a_draft_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    assert store.studies() == []
    study = Study("題", "embedded", DataSpec("", "", ""), arms=(Arm("lora", 4, alpha=3.5),))
    first, second = store.create_study(study), draft(store, tmp_path)
    assert Store(store.home).study(first).study == study
    assert store.study(first).status == "draft"
    assert store.study(first).created_at.tzinfo is not None
    assert [record.id for record in store.studies()] == [second, first]
    assert store.runs(first) == []


def test_a_draft_may_change_in_every_way(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    other = Study("Other", "elsewhere", DataSpec("x", "y", "z"), protocol=Protocol("thorough"))
    store.update_study(study_id, other)
    assert store.study(study_id).study == other
    assert store.study(study_id).status == "draft"


def test_of_a_started_study_title_gates_and_prices_may_change(store: Store, started: str) -> None:
    study = store.study(started).study
    changed = replace(study, title="New", gates=Gates(metric_min=0.9), prices=Prices("USD", 2))
    store.update_study(started, changed)
    assert store.study(started).study == changed
    for other in (
        replace(study, arms=study.arms[:1]),
        replace(study, model="other"),
        replace(study, protocol=Protocol("thorough")),
        replace(study, data=replace(study.data, label="text")),
    ):
        assert code_of(lambda other=other: store.update_study(started, other)) == "study_started"
    assert store.study(started).study == changed
    assert store.study(started).status == "started"


def test_what_does_not_exist_is_named(store: Store, tmp_path: Path) -> None:
    study = Study("x", "embedded", DataSpec("a", "b", "c"))
    assert code_of(lambda: store.study("00ff")) == "no_such_study"
    assert code_of(lambda: store.update_study("00ff", study)) == "no_such_study"
    assert code_of(lambda: store.start_study("00ff")) == "no_such_study"
    assert code_of(lambda: store.run("00ff")) == "no_such_run"
    assert code_of(lambda: store.rows(draft(store, tmp_path))) == "no_rows"
    assert store.find_study(study) is None
    assert store.latest("no such key") is None
    assert store.process("00ff") is None


# -- starting -----------------------------------------------------------------------------------


def test_starting_queues_one_run_per_arm_and_seed(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path, profile="standard")
    runs = store.start_study(study_id)
    arms = ("kasa-r8", "lora-r8", "frozen_head", "tfidf")
    assert [(run.arm, run.seed) for run in runs] == [(a, s) for s in (0, 1, 2) for a in arms]
    assert {(run.kind, run.status, run.study_id) for run in runs} == {("run", "queued", study_id)}
    assert [run.method for run in runs[:4]] == ["kasa", "lora", "frozen_head", "tfidf"]
    assert store.active_runs() == runs
    again = store.start_study(study_id)
    assert again == runs
    assert {path.name for path in (store.home / "runs").iterdir()} == {run.id for run in runs}


def test_a_started_study_no_longer_needs_its_file(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    source = tmp_path / "notes.csv"
    content = source.read_bytes()
    run = store.start_study(study_id)[1]
    source.unlink()
    record = store.study(study_id)
    assert record.status == "started"
    assert record.study.data.sha256 == hashlib.sha256(content).hexdigest()
    assert Path(record.study.data.path).read_bytes() == content
    assert load_study(store.study_folder(study_id) / "study.toml") == record.study
    config = read_json(run.folder / "config.json")
    assert config == {
        "study_id": study_id,
        "study": record.study.to_dict(),
        "arm": "lora-r8",
        "arm_index": 1,
        "seed": 0,
        "hub_access": False,
    }
    rows = store.rows(study_id)
    assert list(rows.columns) == ["row", "text", "label", "part"]
    assert rows["part"].value_counts().to_dict() == {"train": 132, "test": 60, "validation": 48}
    assert store.start_study(study_id)[1] == run


def test_rows_keep_every_letter(store: Store, tmp_path: Path) -> None:
    texts = [f'{row} "異音"\u2028\n{{[\\, 𝄞 NA' for row in range(40)]
    labels = ["NA", "001"] * 20
    pd.DataFrame({"t": texts, "l": labels}).to_csv(tmp_path / "a.csv", index=False)
    data = DataSpec(str(tmp_path / "a.csv"), "t", "l", fixes=())
    study_id = store.create_study(Study("x", "embedded", data, protocol=Protocol("quick")))
    store.start_study(study_id)
    rows = store.rows(study_id).sort_values("row")
    assert rows["text"].to_list() == texts
    assert rows["label"].to_list() == labels


def test_a_study_that_cannot_start_stays_a_draft(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    (tmp_path / "notes.csv").write_text("text,label\none,a\ntwo,b\n", "utf-8")
    with pytest.raises(DataError):
        store.start_study(study_id)
    (tmp_path / "notes.csv").unlink()
    assert code_of(lambda: store.start_study(study_id)) == "dataset_gone"
    assert store.study(study_id).status == "draft"
    assert store.runs(study_id) == store.active_runs() == []


def test_a_started_study_is_found_by_what_it_asks_for(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    asked = store.settled(store.study(study_id).study)
    assert store.find_study(asked) is None  # a draft has no results to offer
    store.start_study(study_id)
    assert store.find_study(replace(asked, title="Other title")) == study_id
    assert store.find_study(replace(asked, protocol=Protocol("thorough"))) is None
    (tmp_path / "notes.csv").write_text("text,label\nother,content\n", "utf-8")
    changed = replace(asked, data=DataSpec(str(tmp_path / "notes.csv"), "text", "label"))
    assert store.find_study(store.settled(changed)) is None


def test_threads_that_start_a_study_at_once_start_it_once(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    ready = threading.Barrier(4)

    def start() -> list[RunRecord]:
        ready.wait()
        return store.start_study(study_id)

    with ThreadPoolExecutor(4) as pool:
        answers = [future.result() for future in [pool.submit(start) for _ in range(4)]]
    assert all(answer == answers[0] for answer in answers)
    assert len(store.active_runs()) == 4
    assert len(list((store.home / "runs").iterdir())) == 4


def test_processes_that_start_a_study_at_once_start_it_once(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    command = [sys.executable, "-c", START, str(store.home), study_id, str(time.time() + 3)]
    children = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    answers = [child.communicate()[0].strip() for child in children]
    assert [child.returncode for child in children] == [0, 0]
    ids = ",".join(run.id for run in store.runs(study_id))
    assert answers == [ids, ids]
    assert len(store.active_runs()) == 4


# -- jobs ---------------------------------------------------------------------------------------


def test_a_job_is_queued_once_per_key(store: Store) -> None:
    store.save_settings(hub_access=True)
    first = store.add_job("spectrum", {"model": "embedded"}, "a")
    assert store.add_job("spectrum", {"model": "embedded"}, "a") == first
    other = store.add_job("spectrum", {"model": "other"}, "b")
    assert [run.id for run in store.active_runs()] == [first.id, other.id]
    assert read_json(first.folder / "config.json") == {"hub_access": True, "model": "embedded"}
    assert len(list((store.home / "runs").iterdir())) == 2
    store.mark(first.id, "finished")
    again = store.add_job("spectrum", {"model": "embedded"}, "a")
    assert again.id != first.id
    assert store.latest("a") == again
    assert (again.study_id, again.arm, again.seed) == (None, None, None)


def test_threads_that_ask_for_a_job_at_once_share_it(store: Store) -> None:
    ready = threading.Barrier(4)

    def ask() -> str:
        ready.wait()
        return store.add_job("spectrum", {}, "same").id

    with ThreadPoolExecutor(4) as pool:
        ids = {future.result() for future in [pool.submit(ask) for _ in range(4)]}
    assert len(ids) == len(store.active_runs()) == 1


def test_the_active_job_is_returned_even_if_it_is_the_older_one(store: Store) -> None:
    older = store.add_job("spectrum", {}, "a")
    store.mark(older.id, "failed", error=TrainingError("worker_lost"))
    newer = store.add_job("spectrum", {}, "a")
    store.mark(newer.id, "finished")
    store.retry(older.id)
    assert store.add_job("spectrum", {}, "a").id == older.id


def test_two_jobs_with_one_key_are_never_active(store: Store) -> None:
    older = store.add_job("spectrum", {}, "a")
    store.mark(older.id, "failed", error=TrainingError("worker_lost"))
    newer = store.add_job("spectrum", {}, "a")
    store.retry(older.id)
    assert [run.id for run in store.active_runs()] == [newer.id]
    assert store.run(older.id).status == "failed"
    assert store.run(older.id).error is not None


# -- a run's life -------------------------------------------------------------------------------


def states(store: Store, study_id: str) -> list[str]:
    return [run.status for run in store.runs(study_id)]


def test_a_waiting_run_is_taken_out_and_a_working_one_asked(store: Store, started: str) -> None:
    working, waiting, *_ = store.runs(started)
    assert store.claim_run(working.id)
    store.mark_started(working.id, 1234, 5.5)
    store.stop(working.id)
    store.stop(waiting.id)
    assert states(store, started) == ["stopping", "cancelled", "queued", "queued"]
    assert store.run(working.id).finished_at is None
    assert store.run(waiting.id).finished_at is not None
    assert not store.claim_run(waiting.id)  # it was stopped before it could be started
    assert [run.active for run in store.runs(started)] == [True, False, True, True]
    store.stop_study(started)
    assert states(store, started) == ["stopping", "cancelled", "cancelled", "cancelled"]


def test_a_started_run_knows_its_process(store: Store, started: str) -> None:
    run = store.runs(started)[0]
    assert store.process(run.id) is None
    assert store.claim_run(run.id)
    assert not store.claim_run(run.id)
    store.stop(run.id)
    store.mark_started(run.id, 1234, 5.5)
    assert store.process(run.id) == (1234, 5.5)
    assert store.run(run.id).status == "stopping"
    assert store.run(run.id).started_at is not None


@pytest.mark.parametrize("end", ["finished", "failed", "cancelled", "lost"])
def test_an_ended_run_keeps_its_end(store: Store, started: str, end: str) -> None:
    run_id = store.runs(started)[0].id
    store.mark(run_id, end)
    ended = store.run(run_id)
    assert (ended.status, ended.active) == (end, False)
    assert ended.finished_at is not None
    store.mark(run_id, "running")
    store.mark(run_id, "failed", error=TrainingError("worker_lost"))
    store.stop(run_id)
    assert store.run(run_id) == ended


def test_a_failure_is_kept_with_its_reason(store: Store, started: str) -> None:
    run_id = store.runs(started)[0].id
    reason = TrainingError("worker_crashed", code=3, log="ログ.txt")
    store.mark(run_id, "failed", error=reason)
    kept = Store(store.home).run(run_id).error
    assert isinstance(kept, TrainingError)
    assert (kept.code, kept.values) == (reason.code, reason.values)
    assert kept.message("ja") == reason.message("ja")


@pytest.mark.parametrize("end", ["failed", "cancelled", "lost"])
def test_a_retried_run_waits_again_behind_the_others(store: Store, started: str, end: str) -> None:
    first = store.runs(started)[0]
    store.mark_started(first.id, 1234, 5.5)
    Job(first.id, "run", {}, first.folder).progress(1, 2)
    (first.folder / "log.txt").write_text("what happened", "utf-8")
    (first.folder / "checkpoints").mkdir()
    store.mark(first.id, end, error=TrainingError("worker_lost"))
    store.retry(first.id)
    again = store.runs(started)[-1]
    assert again == replace(first, status="queued")
    assert store.process(first.id) is None
    assert len(store.events(first.id)) == 1
    assert (first.folder / "checkpoints").is_dir()
    assert (first.folder / "log.txt").read_text("utf-8") == "what happened"


@pytest.mark.parametrize("status", ["queued", "running", "stopping"])
def test_only_what_ended_without_a_result_is_retried(
    store: Store, started: str, status: str
) -> None:
    first = store.runs(started)[0]
    Job(first.id, "run", {}, first.folder).progress(1, 2, loss=0.5)
    store.mark(first.id, status)
    before = store.runs(started)
    store.retry(first.id)
    assert store.runs(started) == before
    assert store.events(first.id)[0]["loss"] == 0.5


def test_events_are_read_while_they_are_written(store: Store, started: str) -> None:
    run = store.runs(started)[0]
    job = Job(run.id, "run", {}, run.folder)
    assert store.events(run.id) == []
    job.progress(1, 4, phase="学習")
    job.progress(2, 4)
    with (run.folder / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"time": 1, "done": 3')  # the line is still being written
    events = store.events(run.id)
    assert [event["done"] for event in events] == [1, 2]
    assert events[0]["phase"] == "学習"
    with (run.folder / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n")  # the disk was full for the rest of the line
    job.progress(4, 4)
    assert [event["done"] for event in store.events(run.id)] == [1, 2, 4]


def test_steps_made_again_stand_in_place_of_the_first(store: Store, started: str) -> None:
    job = Job("a", "run", {}, store.runs(started)[0].folder)
    for piece, steps in enumerate([(1, 2, 3, 4, 5), (3, 4), (1, 2, 3)]):
        job.progress(0, 1, phase="prepare")
        for step in steps:
            job.progress(step, 9, loss=float(piece))
            if step == 2:
                job.progress(step, 9, validation={"loss": piece})
        found = [e for e in store.events(job.folder.name) if "loss" in e]
        assert [event["done"] for event in found] == list(range(1, steps[-1] + 1))
        assert {e["loss"] for e in found[steps[0] - 1 :]} == {piece}
        checks = [e for e in store.events(job.folder.name) if "validation" in e]
        assert [e["validation"]["loss"] for e in checks] == [0 if piece < 2 else 2]


# -- deleting, and ids from outside -------------------------------------------------------------


def test_deleting_a_study_takes_its_folders_and_nothing_else(store: Store, tmp_path: Path) -> None:
    gone, kept = draft(store, tmp_path), draft(store, tmp_path)
    finish(store, gone)
    finish(store, kept)
    folders = [run.folder for run in store.runs(gone)]
    others = [run.folder for run in store.runs(kept)]
    store.delete_study(gone)
    assert not any(folder.exists() for folder in folders)
    assert not store.study_folder(gone).exists()
    assert all((folder / "result.json").is_file() for folder in others)
    assert [record.id for record in store.studies()] == [kept]
    assert store.runs(gone) == []
    assert code_of(lambda: store.run(folders[0].name)) == "no_such_run"
    assert len(store.rows(kept)) == 240


@pytest.mark.parametrize("status", ["queued", "running", "stopping"])
def test_an_active_study_is_not_deleted(store: Store, started: str, status: str) -> None:
    first, *others = store.runs(started)
    for run in others:
        store.stop(run.id)
    store.mark(first.id, status)
    before = files_below(store.home)
    assert code_of(lambda: store.delete_study(started)) == "study_active"
    assert files_below(store.home) == before
    assert len(store.runs(started)) == 4


def test_a_hostile_id_reaches_nothing(store: Store, started: str, tmp_path: Path) -> None:
    for folder in (store.home, store.home / "studies", tmp_path):
        (folder / "rows.jsonl").write_text('{"secret": 1}\n', "utf-8")
        (folder / "result.json").write_text('{"secret": 1}', "utf-8")
        (folder / "events.jsonl").write_text('{"secret": 1}\n', "utf-8")
    for run in store.runs(started):
        store.mark(run.id, "finished")
    before = files_below(tmp_path)
    for hostile in [*HOSTILE_IDS, str(tmp_path)]:
        for action in (store.study, store.rows, store.delete_study, store.start_study):
            assert code_of(lambda do=action, name=hostile: do(name)) == "no_such_study"
        for action in (store.run, store.result, store.events, store.run_folder, store.retry):
            assert code_of(lambda do=action, name=hostile: do(name)) == "no_such_run"
        assert store.runs(hostile) == store.finished_runs(hostile) == []
        store.stop(hostile)
        store.mark(hostile, "failed")
        assert files_below(tmp_path) == before
    assert states(store, started) == ["finished"] * 4


# -- results ------------------------------------------------------------------------------------


def test_finished_runs_are_read_from_their_files(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    finish(store, study_id, failed=["lora-r8"], left=["tfidf"])
    finished = store.finished_runs(study_id)
    assert [run.arm for run in finished] == ["kasa-r8", "frozen_head"]
    for run in finished:
        result = store.result(run.id)
        assert result is not None
        assert run.metrics == result["measured"]["metrics"]
        assert run.peak_memory_bytes == result["measured"]["peak_memory_bytes"]
        assert run.conditions == result["conditions"]
        assert len(run.predictions) == 60
        right = (run.predictions["label"] == run.predictions["predicted"]).mean()
        assert run.metrics["accuracy"] == pytest.approx(right)


def one_finished(store: Store, study_id: str) -> tuple[RunRecord, FinishedRun]:
    run = store.runs(study_id)[0]
    labels = ["NA", "001", "null", "1e5", 'a,"b"\n']
    written = finished_run("kasa-r8", 0, labels, labels[::-1])
    write_result(run.folder, written)
    store.mark(run.id, "finished")
    return run, written


def test_labels_that_look_like_numbers_or_nothing_stay_text(store: Store, started: str) -> None:
    _, written = one_finished(store, started)
    (read,) = store.finished_runs(started)
    assert read.labels == written.labels
    for column in ("label", "predicted"):
        assert read.predictions[column].to_list() == written.predictions[column].to_list()


def test_a_guard_of_the_run_does_not_hinder_reading(store: Store, started: str) -> None:
    run, _ = one_finished(store, started)
    result = store.result(run.id)
    assert result is not None
    result["measured"]["guard"] = {"num_matrices": 12}
    write_json(run.folder / "result.json", result)
    assert store.finished_runs(started)[0].arm == "kasa-r8"


@pytest.mark.parametrize("name", ["result.json", "predictions.csv"])
def test_a_result_that_is_gone_is_explained(store: Store, started: str, name: str) -> None:
    run, _ = one_finished(store, started)
    (run.folder / name).unlink()
    assert code_of(lambda: store.finished_runs(started)) == "result_missing"


def test_a_damaged_result_is_explained(store: Store, started: str) -> None:
    run, _ = one_finished(store, started)
    (run.folder / "result.json").write_text('{"asked": {', "utf-8")
    assert code_of(lambda: store.finished_runs(started)) == "file_damaged"


@pytest.mark.parametrize("name", ["result.json", "predictions.csv", None])
def test_a_finished_run_starts_again_only_where_its_result_is_gone(
    store: Store, started: str, name: str | None
) -> None:
    run, _ = one_finished(store, started)
    if name:
        (run.folder / name).unlink()
    store.retry(run.id)
    assert store.run(run.id).status == ("queued" if name else "finished")


# -- settings, datasets, and the file below -----------------------------------------------------


def test_settings_are_kept_beside_each_other(store: Store) -> None:
    assert store.settings() == {}
    assert store.hub_access() is False
    store.save_settings(language="ja")
    store.save_settings(hub_access=True)
    store.save_settings(language="en")
    assert Store(store.home).settings() == {"language": "en", "hub_access": True}
    assert store.hub_access() is True
    (store.home / "settings.json").write_text("{", "utf-8")
    assert code_of(store.settings) == "file_damaged"


def test_a_dataset_lies_under_its_content(store: Store) -> None:
    first = store.add_dataset("../../notes.csv", b"text,label\n")
    assert first.is_relative_to(store.home / "datasets")
    assert first.parent.name == hashlib.sha256(b"text,label\n").hexdigest()
    assert store.dataset_sha256(str(first)) == first.parent.name
    assert store.add_dataset("notes.csv", b"text,label\n") == first
    second = store.add_dataset("記録.csv", b"text,label\n")
    assert (second.parent, second.name) == (first.parent, "記録.csv")
    assert first.read_bytes() == second.read_bytes() == b"text,label\n"


@pytest.fixture
def damaged(workspace: Path) -> Iterator[Path]:
    (workspace / "kasa.db").write_bytes(b"This is not a database. " * 400)
    yield workspace
    assert (workspace / "kasa.db").read_bytes().startswith(b"This is not")


def test_a_file_that_is_no_database_is_explained(damaged: Path) -> None:
    with pytest.raises(StoreError) as caught:
        Store()
    assert caught.value.code == "database"
    assert str(damaged) in caught.value.message("ja")
    assert "not a database" in str(caught.value)


def test_a_database_damaged_in_use_is_explained(store: Store, started: str) -> None:
    with store.connect() as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = (store.home / "kasa.db").read_bytes()
    (store.home / "kasa.db").write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    assert code_of(store.studies) == "database"
    assert code_of(lambda: store.runs(started)) == "database"
    assert code_of(lambda: store.mark("00ff", "failed")) == "database"


def test_a_workspace_that_is_gone_is_explained(tmp_path: Path) -> None:
    assert code_of(lambda: Store(tmp_path / "gone")) == "database"


def test_a_failed_transaction_leaves_nothing(store: Store, started: str) -> None:
    def fail() -> None:
        with store.connect(exclusive=True) as db:
            db.execute("DELETE FROM runs")
            db.execute("SELECT * FROM no_such_table")

    assert code_of(fail) == "database"
    assert len(store.runs(started)) == 4


def test_a_store_opened_again_holds_the_same(store: Store, started: str) -> None:
    reopened = Store(store.home)
    assert reopened.runs(started) == store.runs(started)
    assert reopened.studies() == store.studies()
    with reopened.connect() as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
