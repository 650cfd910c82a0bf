"""Deleting a dataset really deletes: files, studies, runs and probes, and an account of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kasa.errors import StoreError
from kasa.runs.datasets import datasets, delete_dataset
from kasa.runs.store import Store
from tests.result_files import draft, finish
from tests.small_studies import small_study

pytestmark = pytest.mark.usefixtures("workspace")


def everything(store: Store) -> str:
    """Return all names and contents below the workspace as one text, but for the log."""
    files = sorted(file for file in store.home.rglob("*") if file.is_file())
    files.remove(store.ledger.path)
    return "\n".join(f"{file} {file.read_bytes()!r}" for file in files)


def test_a_dataset_goes_with_everything_that_came_from_it(tmp_path: Path) -> None:
    store = Store()
    study_id = draft(store, tmp_path)
    finish(store, study_id)
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    other = store.create_study(small_study(elsewhere))
    store.start_study(other)
    sha256 = store.study(study_id).study.data.sha256
    probe = store.add_job("estimate", {"study": store.study(study_id).study.to_dict()}, "probe")
    store.mark(probe.id, "finished")
    (dataset,) = [each for each in datasets(store) if each.sha256 == sha256]
    assert (dataset.name, [record.id for record in dataset.studies]) == ("notes.csv", [study_id])
    runs = store.runs(study_id)
    before = everything(store)
    assert "note 7 about" in before

    done = delete_dataset(store, str(sha256))

    assert done.files == ("notes.csv",)
    assert done.studies == ("Which *defect*?",)
    assert done.num_runs == len(runs) + 1
    assert done.num_bytes > 10_000
    after = everything(store)
    for trace in ("note 7 about", "notes.csv", str(sha256), study_id, probe.id, runs[0].id):
        # SQLite's pages are looked at too: what is deleted must not be left in the file.
        assert trace not in after
    # The log keeps what the file was called and its hash, and nothing of what stood in it.
    log = store.ledger.content().decode()
    assert "notes.csv" in log
    assert str(sha256) in log
    assert not [trace for trace in ("note 7", "bearing", "*defect*") if trace in log]
    assert [record.id for record in store.studies()] == [other]


def test_a_dataset_in_use_stays_whole(tmp_path: Path) -> None:
    store = Store()
    study_id = draft(store, tmp_path)
    store.start_study(study_id)
    sha256 = str(store.study(study_id).study.data.sha256)
    before = sorted(file for file in store.home.rglob("*") if file.is_file())
    with pytest.raises(StoreError) as caught:
        delete_dataset(store, sha256)
    assert (caught.value.code, caught.value.values) == ("dataset_active", {"name": "notes.csv"})
    assert {file for file in before if file.suffix != ".db-wal"} <= {
        file for file in store.home.rglob("*") if file.is_file()
    }


def test_an_unknown_dataset_is_said(workspace: Path) -> None:
    assert datasets(Store()) == []
    for name in ("0" * 64, "../runs"):
        with pytest.raises(StoreError) as caught:
            delete_dataset(Store(), name)
        assert caught.value.code == "no_such_dataset"


def test_a_file_that_another_program_holds_is_said_and_can_be_deleted_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    study_id = draft(store, tmp_path)
    finish(store, study_id)
    sha256 = str(store.study(study_id).study.data.sha256)
    held = store.study_folder(study_id)
    remove = shutil.rmtree

    def windows(folder: Path, **options: object) -> None:
        if folder != held:
            remove(folder, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", windows)
        for delete in (lambda: delete_dataset(store, sha256), lambda: store.delete_study(study_id)):
            with pytest.raises(StoreError) as caught:
                delete()
            assert (caught.value.code, caught.value.values) == ("not_deleted", {"path": str(held)})
    events = [entry.event for entry in store.ledger.entries()]
    assert not {"study_deleted", "dataset_deleted"} & set(events)
    assert [record.id for record in store.studies()] == [study_id]
    delete_dataset(store, sha256)
    assert store.studies() == []
    assert not held.exists()
    assert store.ledger.entries()[-1].event == "dataset_deleted"
