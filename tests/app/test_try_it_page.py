"""The Try it page: nothing to try yet, a question on its way, answers in both languages, files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.i18n import FOLDERS
from kasa.data.questions import MOST_QUESTIONS
from kasa.dataspec import DataSpec
from kasa.runs.records import RunRecord
from kasa.runs.store import Store
from kasa.study import Study
from kasa.text import LANGUAGES, Translator
from kasa.tuning.keys import answers_key, export_key
from tests.app.visit import checked, keys, open_page, still_store, words
from tests.result_files import draft, finish

HOSTILE = "=1+1 <img src=x> **bold** :red[x] \u202eabc 🙂"


@pytest.fixture
def store(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return an empty store whose queue stands still."""
    return still_store(monkeypatch)


@pytest.fixture
def study_id(store: Store, tmp_path: Path) -> str:
    """Return a study whose runs are finished."""
    found = draft(store, tmp_path)
    finish(store, found)
    return found


def asked(store: Store, study_id: str) -> RunRecord:
    job = store.latest(answers_key(study_id))
    assert job is not None
    return job


def config_of(job: RunRecord) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((job.folder / "config.json").read_text("utf-8"))
    return config


def answer(store: Store, job: RunRecord, labels: dict[str, list[str]]) -> None:
    """End the job as the worker does, with these labels per method."""
    arms = {run.id: run for run in store.runs(config_of(job)["study_id"])}
    runs = [arms[run_id] for run_id in config_of(job)["runs"]]
    facts: list[dict[str, Any]] = [{"method": "frozen_head"}]
    facts += [{"method": run.method, "arm": run.arm, "seed": run.seed} for run in runs]
    methods = [
        fact
        | {"answers": [{"label": each, "confidence": 0.87} for each in labels[str(fact["method"])]]}
        for fact in (*facts, {"method": "tfidf"})
    ]
    measured = {"task": "classification", "methods": methods}
    result = {"asked": config_of(job), "measured": measured, "conditions": {}}
    (job.folder / "result.json").write_text(json.dumps(result), "utf-8")
    store.mark(job.id, "finished")


def test_without_a_tuned_run_the_page_leads_to_the_experiment(store: Store, tmp_path: Path) -> None:
    for study_id in (None, draft(store, tmp_path)):
        page = open_page("try_it", study_id)
        assert "empty_next" in keys(page)
        assert "try_ask" not in keys(page)
    study_id = draft(store, tmp_path)
    finish(store, study_id, left=("kasa-r8", "lora-r8"))  # baselines alone are nothing to try
    assert "empty_next" in keys(open_page("try_it", study_id))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_question_and_its_answers(store: Store, study_id: str, lang: str) -> None:
    text = Translator(lang, FOLDERS)
    page = open_page("try_it", study_id, lang)
    assert page.text_area[0].placeholder == text("try_it_page.example.classification")
    page.text_area(key="try_texts").set_value(f"oil leak\n\n{HOSTILE}\n")
    checked(page.button(key="try_ask").click().run())
    assert "try_stop" in keys(page)
    job = asked(store, study_id)
    config = config_of(job)
    tuned = [run.id for run in store.runs(study_id) if run.arm in {"kasa-r8", "lora-r8"}]
    assert config["questions"] == [["oil leak"], [HOSTILE]]
    assert (config["runs"], config["study_id"], config["rows"]) == (tuned, study_id, [])
    assert config["study"] == store.study(study_id).study.to_dict()
    same, other = ["oil leak", "oil leak"], ["oil leak", "sensor fault"]
    labels = dict.fromkeys(("frozen_head", "kasa", "lora"), same) | {"tfidf": other}
    answer(store, job, labels)
    checked(page.run())
    (table,) = (each.value for each in page.table)
    assert len(table) == 2
    header = [name.replace("\\", "") for name in table.columns]
    assert header[0] == text("answers.text")
    assert text("answers.of_run", arm="LoRA (r=8)", seed=0) in header
    sure = text("answers.sure", label="oil leak", confidence="87%")
    assert table.iloc[0, 1].replace("\\", "") == sure
    # A text shows as it was written, below the mark of those on which the methods differ.
    mark, shown = table.iloc[1, 0].split("  \n")
    assert mark == f":orange-badge[{text('answers.differs')}]"
    assert shown.replace("\\", "") == HOSTILE
    assert "\\<img" in shown
    assert "\\*\\*bold" in shown
    assert text("answers.some_differ", count="2", different="1") in words(page)
    assert text("try_it_page.confidence") in words(page)
    checked(page.toggle(key="try_different").set_value(True).run())
    assert len(page.table[0].value) == 1
    assert page.text_area(key="try_texts").value.startswith("oil leak")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_which_components_spoke_is_told_text_by_text(
    store: Store, study_id: str, lang: str
) -> None:
    page = open_page("try_it", study_id, lang)
    page.text_area(key="try_texts").set_value("oil leak\nfuse")
    checked(page.button(key="try_ask").click().run())
    job = asked(store, study_id)
    answer(store, job, {key: ["a", "a"] for key in ("frozen_head", "kasa", "lora", "tfidf")})
    result = json.loads((job.folder / "result.json").read_text("utf-8"))
    spoke = {"module": "h.2.value", "layer": 2, "number": 1, "share": 0.5, "word": "<b>oil</b>"}
    result["measured"]["methods"][1]["spoke"] = [[spoke], [spoke | {"word": "fuse"}]]
    (job.folder / "result.json").write_text(json.dumps(result), "utf-8")
    checked(page.run())
    shown = page.table[1].value.iloc[0].tolist()
    assert shown[-1] == "\\<b\\>oil\\</b\\>"
    checked(page.selectbox(key="try_place").select_index(1).run())
    assert page.table[1].value.iloc[0].tolist()[-1] == "fuse"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_run_is_taken_away(store: Store, study_id: str, lang: str) -> None:
    page = open_page("try_it", study_id, lang)
    run_id, kind = page.selectbox(key="export_run").value, page.selectbox(key="export_kind").value
    assert kind == "lora", "what most people can use comes first"
    checked(page.button(key="export_start").click().run())
    assert "export_stop" in keys(page)
    job = store.latest(export_key(run_id, kind))
    assert job is not None
    assert {**config_of(job), "hub_access": False} == {
        "run": run_id,
        "kind": kind,
        "lang": lang,
        "hub_access": False,
    }
    (job.folder / "model.zip").write_bytes(b"zip")
    measured = {"archive": "model.zip", "num_bytes": 3, "num_texts": 8, "deviation": 3e-7}
    result = {"asked": config_of(job), "measured": measured, "conditions": {}}
    (job.folder / "result.json").write_text(json.dumps(result), "utf-8")
    store.mark(job.id, "finished")
    checked(page.run())
    assert len(page.get("download_button")) == 1
    assert "3e-07" in words(page)
    measured["num_bytes"] = 400_000_000
    (job.folder / "result.json").write_text(json.dumps(result), "utf-8")
    checked(page.run())
    assert "model.zip" in words(page)
    assert not page.get("download_button")


def test_another_question_or_a_wish_deletes_the_last(store: Store, study_id: str) -> None:
    page = open_page("try_it", study_id)
    first = None
    for question in ("mine", "another"):
        page.text_area(key="try_texts").set_value(question)
        checked(page.button(key="try_ask").click().run())
        job = asked(store, study_id)
        assert config_of(job)["questions"] == [[question]]
        assert first is None or not first.folder.exists()
        labels = {name: ["oil leak"] for name in ("frozen_head", "kasa", "lora", "tfidf")}
        answer(store, job, labels)
        checked(page.run())
        first = job
    checked(page.button(key="try_forget").click().run())
    assert not page.table
    assert store.latest(answers_key(study_id)) is None
    assert first is not None
    assert not first.folder.exists()


def test_which_runs_answer_and_a_stop(store: Store, study_id: str) -> None:
    page = open_page("try_it", study_id)
    (field,) = page.multiselect
    assert field.options == ["KaSA (r=8) · seed 0", "LoRA (r=8) · seed 0"]
    field.set_value([field.value[1]])
    page.text_area(key="try_texts").set_value("oil")
    checked(page.button(key="try_ask").click().run())
    job = asked(store, study_id)
    lora = next(run for run in store.runs(study_id) if run.arm == "lora-r8")
    assert config_of(job)["runs"] == [lora.id]
    checked(page.button(key="try_stop").click().run())
    assert store.run(job.id).status == "cancelled"
    assert "Stopped" in words(page)
    assert "try_ask" in keys(page)


def test_nothing_written_is_explained(store: Store, study_id: str) -> None:
    page = open_page("try_it", study_id)
    checked(page.button(key="try_ask").click().run())
    assert "There is nothing to ask." in words(page)
    assert store.latest(answers_key(study_id)) is None


def test_pairs_want_two_pieces(store: Store, tmp_path: Path) -> None:
    lines = [f"note {row},other {row},{'ab'[row % 2]}" for row in range(80)]
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(["text,more,label", *lines]), "utf-8")
    data = DataSpec(str(path), "text", "label", second_text="more")
    study_id = store.create_study(Study("Pairs", "embedded", data))
    for run in store.start_study(study_id):
        store.mark(run.id, "finished")
    page = open_page("try_it", study_id)
    assert "|||" in page.text_area[0].placeholder
    page.text_area(key="try_texts").set_value("alone")
    checked(page.button(key="try_ask").click().run())
    assert "does not have the parts" in words(page)
    page.text_area(key="try_texts").set_value("one ||| other")
    checked(page.button(key="try_ask").click().run())
    assert config_of(asked(store, study_id))["questions"] == [["one", "other"]]


def test_a_file_is_asked_row_by_row(store: Store, study_id: str) -> None:
    page = open_page("try_it", study_id)
    checked(page.radio(key="try_way").set_value("file").run())
    assert page.button(key="try_ask").disabled
    upload(page, "bad.xlsx", b"PK\x03\x04 cut off")
    assert "What to do:" in words(page)
    assert page.button(key="try_ask").disabled
    upload(page, "mine.csv", b"text,label\noil leak,x\n,y\nnoise,z")
    assert "Texts read: 2. Rows left out for an empty cell: 1." in words(page)
    checked(page.button(key="try_ask").click().run())
    config = config_of(asked(store, study_id))
    assert (config["questions"], config["rows"]) == ([["oil leak"], ["noise"]], [2, 4])
    assert not list(store.home.rglob("mine.csv"))


def test_a_file_with_other_columns_and_too_many_rows(store: Store, study_id: str) -> None:
    page = open_page("try_it", study_id)
    checked(page.radio(key="try_way").set_value("file").run())
    rows = [f"note {row},{row}" for row in range(MOST_QUESTIONS + 5)]
    upload(page, "other.csv", "\n".join(["所見,番号", *rows]).encode())
    assert page.button(key="try_ask").disabled
    checked(page.selectbox(key="try_column_text").set_value("所見").run())
    assert "The last 5 are left out" in words(page)
    checked(page.button(key="try_ask").click().run())
    config = config_of(asked(store, study_id))
    assert (len(config["questions"]), config["num_over"]) == (MOST_QUESTIONS, 5)


def upload(page: AppTest, name: str, content: bytes) -> None:
    checked(page.file_uploader(key="try_file").upload(name, content).run())
