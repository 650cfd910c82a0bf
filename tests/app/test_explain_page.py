"""The Explain page: asks for a run, starts the job, and takes the run apart in both languages."""

from __future__ import annotations

from pathlib import Path

import pytest

from kasa.arms import Arm
from kasa.dataspec import DataSpec
from kasa.report.explain import sentences
from kasa.report.explain_plots import classes_chart
from kasa.runs.store import Store
from kasa.study import Protocol, Study
from kasa.text import LANGUAGES, translator
from kasa.worker import work
from tests.app.visit import checked, keys, open_page, still_store, words
from tests.tiny_models import small_parts, small_runs, task_texts, write_tiny_bert


@pytest.fixture
def store(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return an empty store whose queue stands still."""
    return still_store(monkeypatch)


def finished_study(store: Store, folder: Path) -> str:
    """Return a study with a KaSA run carried out on a tiny base, and a LoRA run that waits."""
    texts = task_texts(small_parts("classification"))
    model = write_tiny_bert(folder / "model", texts).name
    lines = [f"<b>{texts[row % len(texts)]}</b> 090-1234-5678,{'ab'[row % 2]}" for row in range(60)]
    file = folder / "rows.csv"
    file.write_text("\n".join(["text,label", *lines]), "utf-8")
    data = DataSpec(str(file), "text", "label", fixes=())
    protocol = Protocol("quick", epochs=1, learning_rates=(3e-2,), max_length=32)
    study = Study("A", model, data, arms=(Arm("kasa", 2), Arm("lora", 2)), protocol=protocol)
    study_id = store.create_study(study)
    first, _ = store.start_study(study_id)
    with small_runs():
        assert work(store, first.id), store.run(first.id).error
    return study_id


def test_without_a_finished_run_the_page_leads_to_the_experiment(store: Store) -> None:
    assert "empty_next" in keys(open_page("explain", None))


def test_a_run_is_taken_apart(store: Store, tmp_path: Path) -> None:
    study_id = finished_study(store, tmp_path)
    page = open_page("explain", study_id)
    chosen = page.selectbox(key="explain_run")
    assert len(chosen.options) == 1, "the LoRA run has not finished"
    checked(page.button(key="explain_start").click().run())
    assert "explain_stop" in keys(page)
    job = store.latest(f"explain:{chosen.value}")
    assert job is not None
    with small_runs():
        assert work(store, job.id), store.run(job.id).error
    result = store.result(job.id)
    assert result is not None
    kept = (job.folder / "result.json").read_text("utf-8")
    assert "1234-5678" not in kept, "no text of a row is kept"
    for lang in LANGUAGES:
        page = open_page("explain", study_id, lang)
        for sentence in sentences(result["measured"], translator(lang), masked=True):
            assert sentence in words(page)
        # Layers, values, directions, classes without one component; classes where one is clear.
        by_class = classes_chart(result["measured"], translator(lang), masked=True)
        assert len(page.get("plotly_chart")) == 4 + (by_class is not None)
        shown = "".join(each.proto.body for each in page.get("html"))
        assert "&lt;" in shown
        assert "<b>" not in shown
        assert "[phone]" in shown
        assert "090-1234" not in shown
    weight = next(box for box in page.selectbox if str(box.key).startswith("explain_weight"))
    assert len(weight.options) == 4
    checked(weight.select_index(3).run())


def test_what_failed_is_said_and_can_be_tried_again(store: Store, tmp_path: Path) -> None:
    study_id = finished_study(store, tmp_path)
    page = open_page("explain", study_id)
    checked(page.button(key="explain_start").click().run())
    run_id = page.session_state["explain_run"]
    job = store.latest(f"explain:{run_id}")
    assert job is not None
    for file in (store.run(run_id).folder / "adapter").iterdir():
        file.unlink()
    (store.run(run_id).folder / "adapter").rmdir()
    with small_runs():
        assert not work(store, job.id)
    checked(page.run())
    assert "explain_start" in keys(page)
    assert page.error
