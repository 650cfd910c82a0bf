"""The Report page through AppTest: choices, a preview of every format, and what is downloaded."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app.evidence import evidence_key, pack_file, pack_key
from kasa.errors import StoreError
from kasa.report.options import PackOptions
from kasa.report.pack import FORMATS
from kasa.runs.bundle import bundle_bytes, read_bundle
from kasa.runs.store import Store
from kasa.study import Gates
from tests.app.visit import checked, open_page, still_store, words
from tests.result_files import draft, finish

LOGO = io.BytesIO()
Image.new("RGB", (40, 20), "navy").save(LOGO, "PNG")
FIRST_WORDS = {"en": "on this data", "ja": "このデータでは"}


@pytest.fixture
def store(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return an empty store whose queue stands still, so that a waiting run keeps waiting."""
    assert workspace.is_dir()
    return still_store(monkeypatch)


@pytest.fixture
def study_id(store: Store, tmp_path: Path) -> str:
    """Return a finished study."""
    made = draft(store, tmp_path)
    finish(store, made)
    return made


def choose(page: AppTest, name: str) -> AppTest:
    checked(page.button_group(key="report_format").set_value(name).run())
    assert not page.error
    return page


def test_the_preview_follows_the_reports_language(study_id: str) -> None:
    page = open_page("report", study_id)
    labels = [button.label for button in page.get("download_button")]
    assert labels == ["Download: Slides", "All formats (zip)"]
    assert FIRST_WORDS["en"] in words(page)
    page.radio(key="report_lang").set_value("ja").run()
    assert not page.exception
    assert FIRST_WORDS["ja"] in words(page)
    assert page.title[0].value == "Report"


def test_every_format_has_a_preview(study_id: str) -> None:
    page = open_page("report", study_id)
    assert "Slide 1 of" in words(page)
    assert "Speaker notes" in [part.label for part in page.expander]
    page = choose(page, "pdf")
    assert 2 <= len(page.get("image")) <= 6
    frame = choose(page, "html").get("iframe")[0]
    assert frame.proto.srcdoc.startswith("<!doctype html>")
    page = choose(page, "xlsx")
    assert page.tabs[0].label == "Summary"
    assert len(page.dataframe) + len(page.table) == len(page.tabs)
    choose(page, "csv")
    assert [tab.label.replace("\\", "") for tab in page.tabs] == [
        *("runs.csv", "arms.csv", "verdicts.csv", "predictions.csv")
    ]
    facts = json.loads(choose(page, "json").json[0].value)
    assert facts["study"] == study_id
    page = choose(page, "ipynb")
    assert any("kasa" in cell.value for cell in page.code)
    page = choose(page, "bundle")
    assert "study.toml" in page.dataframe[0].value.iloc[:, 0].tolist()
    assert [button.label[:8] for button in page.get("download_button")] == ["Download"]


def test_what_is_chosen_reaches_the_file(store: Store, study_id: str) -> None:
    page = open_page("report", study_id)
    page.text_input(key="report_company").set_value("Kotobuki <b>Works</b>").run()
    page.radio(key="report_audience").set_value("management").run()
    shown = page.multiselect[0]
    assert "runs" not in shown.value
    shown.set_value(["verdict", "costs"]).run()
    page.file_uploader(key="report_logo").set_value(("l.png", LOGO.getvalue(), "image/png")).run()
    assert not page.exception
    assert not page.error
    options = PackOptions(
        sections=("verdict", "costs"),
        audience="management",
        company="Kotobuki <b>Works</b>",
        logo=LOGO.getvalue(),
    )
    made = pack_file(str(store.home), study_id, pack_key(study_id), "html", options).decode()
    assert "Kotobuki &lt;b&gt;Works" in made
    assert "data:image/png" in made
    assert 'id="runs"' not in made
    # The company's name is kept for the next report, whichever study it is on.
    assert store.settings()["company"] == "Kotobuki <b>Works</b>"
    assert open_page("report", study_id).text_input(key="report_company").value.startswith("Koto")


@pytest.mark.parametrize(
    ("key", "said"), [("report_logo", "logo"), ("report_template", "template")]
)
def test_what_is_no_logo_or_template_is_refused_in_words(
    study_id: str, key: str, said: str
) -> None:
    page = open_page("report", study_id)
    name = "x.png" if key == "report_logo" else "x.pptx"
    page.file_uploader(key=key).set_value((name, b"no such thing", "image/png")).run()
    assert not page.exception
    assert said in page.error[0].value
    assert not page.get("download_button")


def test_the_files_are_those_of_the_study(store: Store, study_id: str) -> None:
    place = (str(store.home), study_id, pack_key(study_id))
    page = pack_file(*place, "html", PackOptions("ja")).decode()
    assert '<html lang="ja">' in page
    assert all(run.id in page for run in store.runs(study_id))
    starts = {"pptx": b"PK", "xlsx": b"PK", "csv": b"PK", "pdf": b"%PDF", "json": b"{"}
    for name, start in starts.items():
        assert pack_file(*place, name, PackOptions()).startswith(start)
    assert set(starts) | {"html", "ipynb"} == set(FORMATS)


def test_the_key_follows_the_log_and_not_what_was_taken_away(store: Store, study_id: str) -> None:
    before = pack_key(study_id)
    store.ledger.note("report_written", study=study_id, format="pdf")
    assert pack_key(study_id) == before
    store.ledger.note("export_written", study=study_id, run="0a", format="lora")
    assert pack_key(study_id) != before


def test_a_bundle_is_brought_in_on_the_home_page(
    store: Store, study_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bundle_bytes(store, study_id, with_data=False)
    monkeypatch.setenv("KASA_HOME", str(tmp_path / "elsewhere"))
    other = still_store(monkeypatch)
    page = open_page("home", None)
    page.file_uploader(key="bundle_file").set_value(("s.zip", b"PK", "application/zip")).run()
    page.button(key="bundle_import").click().run()
    assert "cannot be read as a study bundle" in page.error[0].value
    page.file_uploader(key="bundle_file").set_value(("s.zip", content, "application/zip")).run()
    page.button(key="bundle_import").click().run()
    assert not page.exception
    assert [record.id for record in other.studies()] == [study_id]
    assert "was brought in" in page.success[0].value
    assert any("without its data" in note.value for note in page.info)


def test_the_key_follows_runs_and_gates(store: Store, tmp_path: Path) -> None:
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
    page = open_page("report", study_id)
    assert any("still under way" in warning.value for warning in page.warning)


@pytest.mark.parametrize("state", ["none", "draft", "failed"])
def test_empty_states_say_what_to_do(store: Store, tmp_path: Path, state: str) -> None:
    study_id = None if state == "none" else draft(store, tmp_path)
    if study_id and state == "failed":
        finish(store, study_id, failed=["kasa-r8", "lora-r8", "frozen_head", "tfidf"])
    page = open_page("report", study_id)
    wanted = {
        "none": "Go to the studies",
        "draft": "Go to the experiment",
        "failed": "See how the runs stand",
    }
    assert page.button(key="empty_next").label == wanted[state]
    assert not page.get("download_button")


def test_a_study_that_comes_back_without_its_texts_is_another(store: Store, study_id: str) -> None:
    content = bundle_bytes(store, study_id, with_data=False)
    page = choose(open_page("report", study_id), "html")
    before, place = evidence_key(study_id), (str(store.home), study_id, pack_key(study_id))
    said = pack_file(*place, "html", PackOptions("en", "technical"))
    assert re.search(rb"note \d+ about", said)
    page.switch_page("../pages/home.py").run()
    page.button(key=f"delete_sure_{study_id}").click().run()
    with pytest.raises(StoreError):  # as the button of a page that is still open would
        pack_file(*place, "html", PackOptions("en", "technical"))
    read_bundle(store, content)
    assert evidence_key(study_id) != before
    again = pack_file(*place[:2], pack_key(study_id), "html", PackOptions("en", "technical"))
    assert not re.search(rb"note \d+ about", again)


def test_sections_that_come_with_more_results_are_in_the_pack(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    finish(store, study_id, left=["kasa-r8", "frozen_head", "tfidf"])
    page = open_page("report", study_id)
    page.radio(key="report_audience").set_value("technical").run()
    early = page.multiselect[0]
    assert len(early.value) == len(early.options)
    finish(store, study_id)
    checked(page.run())
    late = page.multiselect[0]
    assert len(late.value) == len(late.options) > len(early.options)


def test_a_company_is_kept_only_by_who_changes_it(store: Store, study_id: str) -> None:
    first, second = open_page("report", study_id), open_page("report", study_id)
    first.text_input(key="report_company").set_value("Kotobuki").run()
    checked(second.run())
    assert store.settings()["company"] == "Kotobuki"
