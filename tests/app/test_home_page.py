"""The Home page through AppTest: samples, a study of one's own, the list, opening and deleting."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from kasa.dataspec import DataSpec
from kasa.runs.store import Store
from kasa.study import Study
from tests.result_files import draft, finish

MAIN = str(Path(__file__).resolve().parents[2] / "app" / "main.py")


@pytest.fixture
def store(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return an empty store whose queue stands still, so that a waiting run keeps waiting."""
    monkeypatch.setattr("app.shell.ensure_dispatcher", lambda _: None)
    return Store()


def open_home(lang: str = "en") -> AppTest:
    page = AppTest.from_file(MAIN, default_timeout=60)
    page.query_params["lang"] = lang
    return checked(page.run())


def checked(page: AppTest) -> AppTest:
    assert [each.value for each in page.exception] == []
    return page


def words(page: AppTest) -> str:
    parts = [*page.markdown, *page.caption, *page.error]
    return "\n".join(str(part.value) for part in parts).replace("\\", "")


@pytest.mark.parametrize(
    ("page_lang", "sample", "label"),
    [("en", "en", "crew"), ("ja", "ja", "不良区分"), ("en", "ja", "不良区分")],
)
def test_a_sample_is_one_click_from_a_study_that_can_start(
    store: Store, page_lang: str, sample: str, label: str
) -> None:
    page = open_home(page_lang)
    checked(page.button(key=f"try_sample_{sample}").click().run())
    assert page.title[0].value == {"en": "Base model", "ja": "ベースモデル"}[page_lang]
    (record,) = store.studies()
    assert page.query_params["study"] == record.id
    assert (record.study.data.label, record.status) == (label, "draft")
    assert Path(record.study.data.path).is_relative_to(store.home)
    assert len(store.start_study(record.id)) == 4


def test_a_study_of_ones_own_begins_at_the_model(store: Store) -> None:
    page = open_home()
    checked(page.button(key="new_study").click().run())
    assert page.title[0].value == "Base model"
    (record,) = store.studies()
    assert (record.study.title, record.study.data.chosen) == ("Untitled study", False)


@pytest.mark.parametrize(
    ("stage", "badge", "target"),
    [
        ("draft", "gray-badge[Draft]", "Base model"),
        ("running", "blue-badge[Running]", "Experiment"),
        ("failed", "red-badge[Failed]", "Results"),
        ("finished", "green-badge[Finished]", "Results"),
    ],
)
def test_the_list_says_how_a_study_stands_and_opens_it_there(
    store: Store, tmp_path: Path, stage: str, badge: str, target: str
) -> None:
    study_id = draft(store, tmp_path)
    if stage != "draft":
        finish(
            store,
            study_id,
            failed=["kasa-r8"] if stage == "failed" else [],
            left=["kasa-r8"] if stage == "running" else [],
        )
    page = open_home()
    shown = words(page)
    assert badge in shown
    assert "Which *defect*?" in shown  # as it was typed, not as markup
    if stage in {"running", "failed"}:
        assert "3 of 4 runs finished" in shown
    checked(page.button(key=f"open_{study_id}").click().run())
    assert page.title[0].value == target
    assert page.query_params["study"] == study_id


def test_deleting_takes_the_study_and_its_runs_along(store: Store, tmp_path: Path) -> None:
    study_id, other = draft(store, tmp_path), draft(store, tmp_path)
    finish(store, study_id)
    folders = [run.folder for run in store.runs(study_id)]
    page = open_home()
    checked(page.button(key=f"open_{study_id}").click().run())  # it is the current one
    checked(page.switch_page("../pages/home.py").run())
    checked(page.button(key=f"delete_sure_{study_id}").click().run())
    assert [record.id for record in store.studies()] == [other]
    assert not any(folder.exists() for folder in folders)
    # A page that still names the deleted study goes on without one.
    checked(page.switch_page("../pages/results.py").run())
    assert page.button(key="empty_next").label == "Go to the studies"
    assert "study" not in page.query_params


def test_a_study_at_work_is_not_deleted_and_the_page_says_why(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    store.start_study(study_id)
    page = open_home()
    checked(page.button(key=f"delete_sure_{study_id}").click().run())
    assert len(page.error) == 1
    assert [record.id for record in store.studies()] == [study_id]


def test_a_long_history_shows_the_newest_first(store: Store) -> None:
    ids = [
        store.create_study(Study(f"Study {number}", "embedded", DataSpec("", "", "")))
        for number in range(12)
    ]
    page = open_home()
    assert f"open_{ids[11]}" in {button.key for button in page.button}
    assert f"open_{ids[0]}" not in {button.key for button in page.button}
    checked(page.toggle(key="all_studies").set_value(True).run())
    assert f"open_{ids[0]}" in {button.key for button in page.button}


def test_an_address_with_another_persons_study_is_harmless(store: Store) -> None:
    page = AppTest.from_file(MAIN, default_timeout=60)
    page.query_params["study"] = "../../etc"
    checked(page.run())
    checked(page.switch_page("../pages/experiment.py").run())
    assert page.button(key="empty_next").label == "Choose the data"
