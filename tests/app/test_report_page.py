from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.evidence import evidence_key, report_csv, report_html
from kasa.runs.store import Store
from kasa.study import Gates
from tests.result_files import draft, finish

MAIN = str(Path(__file__).resolve().parents[2] / "app" / "main.py")


@pytest.fixture
def store(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return an empty store whose queue stands still, so that a waiting run keeps waiting."""
    monkeypatch.setattr("app.shell.ensure_dispatcher", lambda _: None)
    return Store()


def open_page(study_id: str | None = None, lang: str = "en") -> AppTest:
    page = AppTest.from_file(MAIN, default_timeout=60)
    page.query_params["lang"] = lang
    if study_id:
        page.query_params["study"] = study_id
    page.run()
    page.switch_page("../pages/report.py").run()
    assert not page.exception
    return page


def test_the_preview_follows_the_reports_language(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    finish(store, study_id)
    page = open_page(study_id, "en")
    labels = [button.label for button in page.get("download_button")]
    assert labels == ["Report (HTML, English)", "Tables (CSV, zip)"]
    assert any("on this data" in part.value for part in page.markdown)
    page.radio(key="report_lang").set_value("ja").run()
    assert not page.exception
    assert any("このデータでは" in part.value for part in page.markdown)
    assert page.title[0].value == "Report"


def test_the_files_are_those_of_the_study(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    finish(store, study_id)
    home, key = str(store.home), evidence_key(study_id)
    page = report_html(home, study_id, key, "ja").decode()
    assert '<html lang="ja">' in page
    assert all(run.id in page for run in store.runs(study_id))
    assert report_csv(home, study_id, key).startswith(b"PK")


def test_the_key_follows_runs_and_gates(store: Store, tmp_path: Path) -> None:
    from dataclasses import replace

    study_id = draft(store, tmp_path)
    store.start_study(study_id)
    waiting = evidence_key(study_id)
    finish(store, study_id)
    done = evidence_key(study_id)
    record = store.study(study_id)
    store.update_study(study_id, replace(record.study, gates=Gates(metric_min=0.9)))
    assert len({waiting, done, evidence_key(study_id)}) == 3


def test_a_report_made_early_says_so(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    finish(store, study_id, left=["kasa-r8"])
    page = open_page(study_id)
    assert any("still under way" in warning.value for warning in page.warning)


@pytest.mark.parametrize("state", ["none", "draft", "failed"])
def test_empty_states_say_what_to_do(store: Store, tmp_path: Path, state: str) -> None:
    study_id = None if state == "none" else draft(store, tmp_path)
    if study_id and state == "failed":
        finish(store, study_id, failed=["kasa-r8", "lora-r8", "frozen_head", "tfidf"])
    page = open_page(study_id)
    wanted = {
        "none": "Go to the studies",
        "draft": "Go to the experiment",
        "failed": "See how the runs stand",
    }
    assert page.button(key="empty_next").label == wanted[state]
    assert not page.get("download_button")
