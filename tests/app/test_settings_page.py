"""The Settings page through AppTest: hub access, the workspace, this computer."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from kasa.runs.store import Store
from tests.result_files import draft, finish

MAIN = str(Path(__file__).resolve().parents[2] / "app" / "main.py")


def open_page(lang: str = "en") -> AppTest:
    page = AppTest.from_file(MAIN, default_timeout=60)
    page.query_params["lang"] = lang
    page.run()
    page.switch_page("../pages/settings.py").run()
    assert not page.exception
    return page


def test_hub_access_is_off_until_it_is_switched_on(workspace: Path) -> None:
    assert not Store().hub_access()
    page = open_page()
    assert page.toggle(key="hub_access").value is False
    page.toggle(key="hub_access").set_value(True).run()
    assert not page.exception
    assert Store().hub_access()
    assert open_page("ja").toggle(key="hub_access").value is True
    page.toggle(key="hub_access").set_value(False).run()
    assert not Store().hub_access()


@pytest.mark.parametrize(("lang", "cores"), [("en", " cores, "), ("ja", " コア、")])
def test_workspace_and_computer_are_named(workspace: Path, lang: str, cores: str) -> None:
    page = open_page(lang)
    assert page.code[0].value == str(workspace)
    facts = page.markdown[-1].value
    assert cores in facts
    assert " GB" in facts


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_dataset_is_deleted_only_when_it_is_asked_twice(
    workspace: Path, tmp_path: Path, lang: str
) -> None:
    store = Store()
    study_id = draft(store, tmp_path)
    finish(store, study_id)
    sha256 = str(store.study(study_id).study.data.sha256)
    page = open_page(lang)
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
        ("en", "Handling of data", "was added", "is intact"),
        ("ja", "データの取り扱い", "を取り込み", "正しくつながって"),
    ],
)
def test_the_log_of_data_is_shown_and_can_be_taken_away(
    workspace: Path, tmp_path: Path, lang: str, title: str, event: str, intact: str
) -> None:
    store = Store()
    page = open_page(lang)
    assert title in [heading.value for heading in page.subheader]
    assert not page.table
    study_id = draft(store, tmp_path)
    finish(store, study_id)
    page = open_page(lang)
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
    page = open_page()
    assert len(page.table[0].value) == 10
    assert "run 014" in page.table[0].value.values.tolist()[0][2]
    page.toggle(key="ledger_all").set_value(True).run()
    assert len(page.table[0].value) == 15


def test_an_edited_log_is_said(workspace: Path) -> None:
    ledger = Store().ledger
    for number in range(3):
        ledger.append("hub_access", on=bool(number % 2))
    ledger.path.write_bytes(ledger.content().replace(b'"on":true', b'"on":false'))
    page = open_page()
    assert "entry 2 is damaged" in page.error[0].value
    assert len(page.table[0].value) == 3


def test_a_dataset_in_use_is_not_deleted(workspace: Path, tmp_path: Path) -> None:
    store = Store()
    study_id = draft(store, tmp_path)
    store.start_study(study_id)
    key = str(store.study(study_id).study.data.sha256)[:12]
    page = open_page()
    page.checkbox(key=f"dataset_sure_{key}").check().run()
    page.button(key=f"dataset_delete_{key}").click().run()
    assert "cannot be deleted now" in page.error[0].value
    assert [record.id for record in store.studies()] == [study_id]
