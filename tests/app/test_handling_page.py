"""The page on data handling through AppTest: the data files, deleting one, and the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from kasa.runs.store import Store
from tests.app.visit import open_page
from tests.result_files import draft, finish


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_dataset_is_deleted_only_when_it_is_asked_twice(
    workspace: Path, tmp_path: Path, lang: str
) -> None:
    store = Store()
    study_id = draft(store, tmp_path)
    finish(store, study_id)
    sha256 = str(store.study(study_id).study.data.sha256)
    page = open_page("handling", None, lang)
    assert page.button(key=f"dataset_delete_{sha256[:12]}").disabled
    page.checkbox(key=f"dataset_sure_{sha256[:12]}").check().run()
    page.button(key=f"dataset_delete_{sha256[:12]}").click().run()
    assert not page.exception
    account = page.success[0].value.replace("\\", "")
    assert "notes.csv" in account
    assert "Which *defect*?" in account
    assert store.studies() == []
    assert not list(workspace.glob("datasets/*"))


@pytest.mark.parametrize(
    ("lang", "title", "event", "intact"),
    [
        ("en", "Data handling", "was added", "is intact"),
        ("ja", "データの取り扱い", "を取り込み", "正しくつながって"),
    ],
)
def test_the_log_of_data_is_shown_and_can_be_taken_away(
    workspace: Path, tmp_path: Path, lang: str, title: str, event: str, intact: str
) -> None:
    store = Store()
    page = open_page("handling", None, lang)
    assert page.title[0].value == title
    assert not page.table
    study_id = draft(store, tmp_path)
    finish(store, study_id)
    page = open_page("handling", None, lang)
    assert intact in page.success[0].value
    rows = page.table[0].value.values.tolist()
    assert len(rows) == 3
    assert event in rows[1][2]
    assert "notes" in rows[1][2]
    assert "Which" in rows[0][2]
    assert store.ledger.entries()[-1].hash in page.caption[-1].value
    assert len(page.get("download_button")) == 1


def test_a_long_log_shows_its_newest_until_all_are_wanted(workspace: Path) -> None:
    ledger = Store().ledger
    for number in range(15):
        ledger.append("export_written", run=f"0{number}", format="lora")
    page = open_page("handling", None)
    assert len(page.table[0].value) == 10
    assert "run 014" in page.table[0].value.values.tolist()[0][2]
    page.toggle(key="ledger_all").set_value(True).run()
    assert len(page.table[0].value) == 15


def test_an_edited_log_is_said(workspace: Path) -> None:
    ledger = Store().ledger
    for number in range(3):
        ledger.append("hub_access", on=bool(number % 2))
    ledger.path.write_bytes(ledger.content().replace(b'"on":true', b'"on":false'))
    page = open_page("handling", None)
    assert "entry 2 is damaged" in page.error[0].value
    assert len(page.table[0].value) == 3


def test_a_dataset_in_use_is_not_deleted(workspace: Path, tmp_path: Path) -> None:
    store = Store()
    study_id = draft(store, tmp_path)
    store.start_study(study_id)
    key = str(store.study(study_id).study.data.sha256)[:12]
    page = open_page("handling", None)
    page.checkbox(key=f"dataset_sure_{key}").check().run()
    page.button(key=f"dataset_delete_{key}").click().run()
    assert "cannot be deleted now" in page.error[0].value
    assert [record.id for record in store.studies()] == [study_id]


@pytest.mark.parametrize(
    ("lang", "masked"),
    [("en", "No likely personal data was found"), ("ja", "個人情報の可能性がある記載は")],
)
def test_an_open_study_says_what_was_done_with_its_data(
    workspace: Path, tmp_path: Path, lang: str, masked: str
) -> None:
    store = Store()
    study_id = draft(store, tmp_path)
    assert "handling_0" not in open_page("handling", study_id, lang).session_state
    finish(store, study_id)
    page = open_page("handling", study_id, lang)
    said = "\n".join(part.value for part in page.markdown)
    assert masked in said
    newest = store.ledger.entries()[-1].hash
    assert any(newest in part.value for part in page.caption)
