"""The Task knowledge page: asks for data, starts the job, shows what it found, adds the method."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kasa.arms import Arm
from kasa.dataspec import DataSpec
from kasa.report.knowledge import plan_sentences
from kasa.runs.store import Store
from kasa.study import Protocol, Study
from kasa.text import LANGUAGES, catalogue, translator
from kasa.tuning.keys import knowledge_key
from kasa.worker import work
from tests.app.visit import MAIN, checked, keys, open_page, still_store, words
from tests.tiny_models import small_parts, small_runs, task_texts, write_tiny_bert


@pytest.fixture
def store(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return an empty store whose queue stands still."""
    return still_store(monkeypatch)


def make_draft(store: Store, folder: Path) -> str:
    """Return a draft on a tiny base that knows its words, over 80 rows of two kinds."""
    texts = task_texts(small_parts("classification"))
    model = write_tiny_bert(folder / "model", texts).name
    lines = [f"{texts[row % len(texts)]} {row},{'ab'[row % 2]}" for row in range(80)]
    file = folder / "rows.csv"
    file.write_text("\n".join(["text,label", *lines]), "utf-8")
    data = DataSpec(str(file), "text", "label")
    study = Study(
        "A", model, data, arms=(Arm("kasa", 2), Arm("lora", 2)), protocol=Protocol("quick")
    )
    return store.create_study(study)


def test_without_data_the_page_leads_to_the_data(store: Store) -> None:
    assert "empty_next" in keys(open_page("knowledge", None))


def test_from_the_start_to_a_method_of_the_study(store: Store, tmp_path: Path) -> None:
    study_id = make_draft(store, tmp_path)
    page = open_page("knowledge", study_id)
    assert "knowledge_start" in keys(page)
    # So few rows cannot show that a cut keeps within a few per cent.
    checked(page.segmented_control(key="tolerance").set_value(0.1).run())
    checked(page.button(key="knowledge_start").click().run())
    assert "knowledge_stop" in keys(page)
    job = store.latest(knowledge_key(store.study(study_id).study, 0.1))
    assert job is not None
    with small_runs():
        assert work(store, job.id), store.run(job.id).error
    checked(page.run())
    result = store.result(job.id)
    assert result is not None
    measured = result["measured"]
    for sentence in plan_sentences(measured, translator("en")):
        assert sentence in words(page)
    assert len(page.get("plotly_chart")) == 2
    assert {module["module"].rsplit(".", 1)[-1] for module in measured["modules"]} == {
        "query",
        "value",
    }
    assert (measured["num_scored_rows"], measured["num_measured_rows"]) == (44, 16)
    scopes = [(curve["scope"], curve["criterion"]) for curve in measured["curves"]]
    assert scopes[:4] == [
        ("all", name) for name in ("magnitude", "first_order", "fisher", "activation")
    ]
    assert scopes[4:] == [("layer", "first_order")] * 2
    # Another tolerance is another question.
    checked(page.segmented_control(key="tolerance").set_value(0.01).run())
    assert "knowledge_start" in keys(page)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_cut_becomes_a_method(store: Store, tmp_path: Path, lang: str) -> None:
    study_id = make_draft(store, tmp_path)
    page = open_page("knowledge", study_id, lang)
    checked(page.button(key="knowledge_start").click().run())
    job = store.latest(knowledge_key(store.study(study_id).study, 0.02))
    assert job is not None
    step = {"share": 0.25, "num_removed": 4, "loss": 0.5, "change": 0.001, "accuracy": 0.9}
    step["interval"] = [-0.002, 0.004]
    untouched = step | {"share": 0.0, "num_removed": 0, "change": 0.0, "interval": [0.0, 0.0]}
    curves = [
        {"scope": scope, "name": name, "criterion": criterion, "num_components": 32}
        | {"steps": [untouched, step], "stable": 0.25}
        for scope, name, criterion in (
            *(("all", "all", c) for c in ("magnitude", "first_order", "fisher", "activation")),
            *(("layer", str(n), "first_order") for n in range(2)),
        )
    ]
    chosen = {"criterion": "fisher", "share": 0.25, "part": "all", "num_removed": 4, "step": step}
    plan = {
        "chosen": chosen,
        "removed": {"encoder.layer.0.attention.self.query": [1, 5]},
        "tolerance": 0.02,
        "base_loss": 0.499,
        "base_accuracy": 0.91,
        "num_rows": 16,
        "tried": [chosen],
    }
    stability = dict.fromkeys(("magnitude", "first_order", "fisher", "activation"), 0.8)
    measured = {
        "modules": [{"module": "m", "shape": [16, 16], "stability": stability}],
        "num_scored_rows": 44,
        "num_measured_rows": 16,
        "curves": curves,
        "plan": plan,
    }
    (job.folder / "result.json").write_text(
        json.dumps({"asked": {}, "measured": measured, "conditions": {}}), "utf-8"
    )
    store.mark(job.id, "running")
    store.mark(job.id, "finished")
    checked(page.run())
    assert "0.2%" in words(page)
    checked(page.button(key="knowledge_add").click().run())
    arms = store.study(study_id).study.arms
    assert [arm.slug for arm in arms] == ["kasa-r2", "kasa-r2-plan", "lora-r2"]
    assert arms[1].plan == {"encoder.layer.0.attention.self.query": [1, 5]}
    name = translator(lang)
    assert arms[1].plan_name is not None
    assert name.percent(0.02, 1) in arms[1].plan_name
    assert replace(arms[1], plan=None, plan_name=None) == arms[0]
    # The method is there now; what it brings is said once its runs have finished.
    checked(page.run())
    assert "knowledge_add" not in keys(page)
    heading = catalogue(lang, MAIN.parent / "locale")["knowledge_page.happened"]
    assert "KaSA" in words(page).split(heading)[1]
