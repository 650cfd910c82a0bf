from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from kasa.runs.store import Store
from tests.result_files import draft, finish

MAIN = str(Path(__file__).resolve().parents[2] / "app" / "main.py")
PAGE = "../pages/results.py"


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
    page.switch_page(PAGE).run()
    assert not page.exception
    return page


def words(page: AppTest) -> str:
    parts = [*page.markdown, *page.caption, *page.subheader, *page.warning]
    return "\n".join(str(part.value) for part in parts).replace("\\", "")


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_finished_study(store: Store, tmp_path: Path, lang: str) -> None:
    study_id = draft(store, tmp_path)
    finish(store, study_id)
    page = open_page(study_id, lang)
    shown = words(page)
    assert "KaSA (r=8)" in shown
    one_seed = {"en": "One seed: indicative only", "ja": "シードが1つだけ"}[lang]
    assert one_seed in shown
    gates, arms, verdicts, _, never_right = (table.value for table in page.table)
    (examples,) = (table.value for table in page.dataframe)
    assert (len(gates), len(arms.columns), len(verdicts)) == (4, 5, 6)
    # The one row on which every arm of these results is wrong.
    assert (len(never_right), never_right.iloc[0, 1]) == (1, "note 0 about bearing noise")
    run = store.finished_runs(study_id)[0]
    assert f"{100 * run.metrics['accuracy']:.1f}%" in [
        cell.replace("\\", "") for cell in arms.iloc[:, 1]
    ]
    assert "-badge[" in gates.iloc[0, 1]
    assert not examples.empty
    assert len(page.get("plotly_chart")) == 8
    page.button(key="to_data").click().run()
    assert not page.exception
    assert page.title[0].value == {"en": "Data", "ja": "データ"}[lang]


def test_the_choices_change_the_charts(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    finish(store, study_id)
    page = open_page(study_id)
    page.selectbox(key="tradeoff_cost").select("peak_memory_bytes")
    page.selectbox(key="confusion_arm").select("tfidf")
    page.selectbox(key="metric").select("macro_f1")
    page.run()
    assert not page.exception
    shown = words(page)
    assert "against peak memory" in shown
    assert "TF-IDF + linear model: true against predicted" in shown
    assert "Macro-F1 per method" in shown


def test_a_failed_run_gives_its_reason(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    finish(store, study_id, failed=["kasa-r8"])
    page = open_page(study_id)
    shown = words(page)
    assert "Runs without a result" in shown
    assert "model.bin" in shown
    assert "Without a result: KaSA" in shown


def test_partial_results_while_runs_go(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    finish(store, study_id, left=["kasa-r8", "lora-r8"])
    page = open_page(study_id)
    shown = words(page)
    assert "2 of 4 runs" in shown
    assert "Runs under way" in shown


def test_nothing_finished_yet(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    store.start_study(study_id)
    page = open_page(study_id)
    assert "first run is under way" in page.info[0].value


def test_all_runs_failed(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    finish(store, study_id, failed=["kasa-r8", "lora-r8", "frozen_head", "tfidf"])
    page = open_page(study_id)
    assert "No run of this study has finished" in words(page)
    assert page.button(key="empty_next").label == "Go to the experiment"


@pytest.mark.parametrize(
    ("is_draft", "label"), [(False, "Go to the studies"), (True, "Go to the experiment")]
)
def test_empty_states_say_what_to_do(
    store: Store, tmp_path: Path, is_draft: bool, label: str
) -> None:
    page = open_page(draft(store, tmp_path) if is_draft else None)
    assert page.button(key="empty_next").label == label
