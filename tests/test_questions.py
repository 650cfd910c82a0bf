"""Questions of one's own: typed or from a file, answered by every method, shown and in a sheet."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from kasa.arms import Arm
from kasa.data.questions import (
    MOST_QUESTIONS,
    file_questions,
    missing_inputs,
    pieces_of,
    typed_questions,
    with_columns,
)
from kasa.data.read import read_table
from kasa.dataspec import DataSpec
from kasa.errors import DataError, StoreError
from kasa.jobs import answers as answers_job
from kasa.model.source import resolve_model
from kasa.report.answers import (
    answers_sentence,
    answers_sheet,
    answers_table,
    asked_of,
    spoke_table,
)
from kasa.runs.records import RunRecord
from kasa.runs.store import Store
from kasa.study import Protocol, Study
from kasa.text import LANGUAGES, translator
from kasa.tuning.baselines import fit_tfidf, run_tfidf
from kasa.tuning.keys import answers_key
from kasa.tuning.outcome import Part, asked_part, split_parts
from kasa.tuning.predict import predict_base, predict_tuned
from kasa.worker import work
from tests.small_studies import NOTES, small_study
from tests.tiny_models import small_parts, small_runs, write_tiny_bert

EN = translator("en")
TEXTS = ["oil leaks at the pump", "fuse  blown\u200b in panel", "hose bursts in hall 3"]
HOSTILE = [
    '=HYPERLINK("http://a.invalid","x")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "#N/A",
    "<b>bold</b> | [x](y) $1$",
    "\u202eright to left 🙂",
    "bell\x07 rings",
    "long " * 60,
]


# -- what is asked ------------------------------------------------------------------------------


def test_lines_are_questions_and_empty_ones_are_not() -> None:
    asked = typed_questions("  a ||| b\n\n\r\n c ", ("text",))
    assert (asked.pieces, asked.rows) == ((("a ||| b",), ("c",)), ())
    pairs = typed_questions("a ||| b", ("text", "second_text"))
    assert pairs.pieces == (("a", "b"),)
    assert pieces_of("q|||x|||y|||z", ("prompt", "choices")) == ("q", "x", "y", "z")
    for inputs in (("text", "second_text"), ("prompt", "choices")):
        with pytest.raises(StoreError) as short:
            typed_questions("alone", inputs)
        assert (short.value.code, short.value.values) == ("pieces_missing", {"text": "alone"})
    with pytest.raises(DataError) as nothing:
        typed_questions(" \n ", ("text",))
    assert nothing.value.code == "nothing_asked"


def test_more_than_the_most_are_counted_and_left_out() -> None:
    asked = typed_questions("\n".join(map(str, range(MOST_QUESTIONS + 3))), ("text",))
    assert (len(asked.pieces), asked.num_over) == (MOST_QUESTIONS, 3)


def write(folder: Path, lines: list[str]) -> Path:
    path = folder / "asked.csv"
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_rows_of_a_file(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, ["order,where,more", "a,x,1", ",y,2", "b,,3"]))
    spec = DataSpec("x", "order", "crew")
    assert missing_inputs(table, spec) == ()
    asked = file_questions(table, spec)
    assert (asked.pieces, asked.rows, asked.num_empty) == ((("a",), ("b",)), (2, 4), 1)
    joined = DataSpec("x", "order", "crew", template="{where}: {order}")
    assert file_questions(table, joined).pieces[0] == ("x: a",)
    other = DataSpec("x", "note", "crew", template="{machine}: {note}")
    assert missing_inputs(table, other) == ("text",)
    assert file_questions(table, with_columns(other, {"text": ["where"]})).rows == (2, 3)
    pair = DataSpec("x", "order", "same", second_text="other")
    assert missing_inputs(table, pair) == ("second_text",)
    found = file_questions(table, with_columns(pair, {"second_text": ["where"]}))
    assert (found.pieces, found.num_empty) == ((("a", "x"),), 2)
    choices = DataSpec("x", prompt="order", answer="right", choices=("one", "two"))
    assert missing_inputs(table, choices) == ("choices",)
    found = file_questions(table, with_columns(choices, {"choices": ["where", "more"]}))
    assert found.pieces == (("a", "x", "1"), ("b", "3"))


def test_a_file_without_a_text_is_explained(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, ["order,more", ",1", ",2"]))
    with pytest.raises(DataError) as nothing:
        file_questions(table, DataSpec("x", "order", "crew"))
    assert nothing.value.code == "nothing_asked"


@pytest.mark.parametrize(
    ("task", "question", "inputs"),
    [
        ("classification", ("a",), ("text",)),
        ("pair_classification", ("a", "b"), ("text", "second_text")),
        ("regression", ("a",), ("text",)),
        ("multiple_choice", ("a", "b", "c"), ("prompt", "choices")),
        ("generation", ("a",), ("prompt",)),
    ],
)
def test_a_question_becomes_a_row_of_its_task(
    task: str, question: tuple[str, ...], inputs: tuple[str, ...]
) -> None:
    parts = small_parts(task)
    assert parts.inputs == inputs
    part = asked_part(DataSpec("x"), parts, [question])
    read = (*part.texts, *part.seconds, *(text for row in part.choices for text in row))
    assert (read, len(part.rows), len(part.labels)) == (question, 1, 1)


# -- what every method answers ------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a workspace that the tests of this module share."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch, small_runs():
        patch.setenv("KASA_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def finished(home: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a study with a finished run of KaSA, LoRA and TF-IDF on a tiny base."""
    store, folder = Store(home), tmp_path_factory.mktemp("study")
    texts = [*(note for notes in NOTES.values() for note in notes), "in hall 0 1 2 3 4 5 6"]
    model = write_tiny_bert(folder / "model", texts).name
    protocol = Protocol("quick", epochs=1, learning_rates=(3e-2,), parallel_runs=1)
    arms = (Arm("kasa", 2), Arm("lora", 2), Arm("tfidf"))
    study = small_study(folder, arms, protocol)
    study_id = store.create_study(Study(**(vars(study) | {"model": model})))
    for run in store.start_study(study_id):
        assert work(store, run.id), store.run(run.id).error
    return study_id


def ask(store: Store, study_id: str, texts: list[str], arms: tuple[str, ...]) -> RunRecord:
    runs = [run.id for run in store.runs(study_id) if run.arm in arms]
    config = {
        "study": store.study(study_id).study.to_dict(),
        "study_id": study_id,
        "runs": runs,
        "questions": [[text] for text in texts],
        "rows": [],
    }
    job = store.add_job("answers", config, answers_key(study_id))
    assert store.claim_run(job.id)
    work(store, job.id)
    return store.run(job.id)


def test_every_method_answers_as_it_does_alone(home: Path, finished: str) -> None:
    store = Store(home)
    job = ask(store, finished, TEXTS, ("kasa-r2", "lora-r2"))
    result = store.result(job.id)
    assert result is not None, job.error
    methods = result["measured"]["methods"]
    assert [each["method"] for each in methods] == ["frozen_head", "tfidf", "kasa", "lora"]
    study = store.study(finished).study
    parts = split_parts(store.rows(finished), study.task)
    source = resolve_model(study.model)
    clean = [" ".join(text.replace("\u200b", "").split()) for text in TEXTS]
    assert methods[0]["answers"] == predict_base(source, study, parts, clean)
    for place, run in enumerate(store.runs(finished)[:2]):
        wanted = predict_tuned(source, study, parts, place, run.folder, clean)
        assert methods[2 + place]["answers"] == wanted
        assert (methods[2 + place]["run"], methods[2 + place]["seed"]) == (run.id, 0)
        for heard, asked in zip(methods[2 + place]["spoke"], clean, strict=True):
            shares = [each["share"] for each in heard]
            assert shares == sorted(shares, reverse=True)
            assert 0 < sum(shares) <= 1 + 1e-9
            assert all(each["word"] is None or each["word"] in asked for each in heard)
            assert {each["layer"] for each in heard} <= {0, 1}
    phases = [event["phase"] for event in store.events(job.id)]
    assert phases == ["prepare", "base", "tfidf", "run", "run"]


def test_tfidf_answers_the_test_rows_as_its_run_did(home: Path, finished: str) -> None:
    store = Store(home)
    parts = split_parts(store.rows(finished), "classification")
    job = ask(store, finished, list(parts.test.texts), ())
    result = store.result(job.id)
    assert result is not None, job.error
    base, tfidf = result["measured"]["methods"]
    assert base["method"] == "frozen_head"
    table = run_tfidf(parts).answers.table
    assert [each["label"] for each in tfidf["answers"]] == list(table["predicted"])
    assert [each["confidence"] for each in tfidf["answers"]] == list(table["confidence"])


@pytest.mark.parametrize("task", ["generation", "regression"])
def test_tfidf_answers_one_question_of_every_kind(task: str) -> None:
    parts = small_parts(task)
    question = asked_part(DataSpec("x"), parts, [[parts.train.texts[0]]])
    (found,) = fit_tfidf(parts).answers(question).records()
    assert set(found) == {"label"}
    assert isinstance(found["label"], str if task == "generation" else float)


def test_a_run_without_its_model_is_named(home: Path, finished: str) -> None:
    store = Store(home)
    job = ask(store, finished, ["oil"], ("tfidf",))
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.code == "no_tuned_model"


def test_a_stop_is_heard_between_two_methods(
    home: Path, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(home)
    monkeypatch.setattr("kasa.runs.job.Job.should_stop", lambda _: True)
    job = ask(store, finished, ["oil"], ("kasa-r2",))
    assert job.status == "cancelled"
    assert store.result(job.id) is None


def test_a_deleted_study_takes_its_questions_along(home: Path, tmp_path: Path) -> None:
    store = Store(home)
    study_id = store.create_study(small_study(tmp_path))
    job = store.add_job("answers", {"questions": [["mine"]]}, answers_key(study_id))
    with pytest.raises(StoreError) as busy:
        store.delete_study(study_id)
    assert busy.value.code == "study_active"
    store.stop(job.id)
    store.delete_study(study_id)
    assert not job.folder.exists()
    assert store.latest(answers_key(study_id)) is None


# -- how it is shown ----------------------------------------------------------------------------


def result_of(
    questions: list[str], labels: list[list[Any]], task: str = "classification", **asked: Any
) -> dict[str, Any]:
    """Return what the job leaves: the base, KaSA and LoRA with these labels."""
    facts: list[dict[str, Any]] = [
        {"method": "frozen_head"},
        {"method": "kasa", "run": "a", "arm": "kasa-r2", "seed": 0},
        {"method": "lora", "run": "b", "arm": "lora-r2", "seed": 1},
    ]
    sure = {} if task in {"regression", "generation"} else {"confidence": 0.934}
    methods = [
        fact | {"answers": [{"label": label, **sure} for label in own]}
        for fact, own in zip(facts, labels, strict=True)
    ]
    return {
        "asked": {"questions": [[each] for each in questions], **asked},
        "measured": {"task": task, "methods": methods},
    }


STUDY = Study("A", "embedded", DataSpec("x", "t", "l"), arms=(Arm("kasa", 2), Arm("lora", 2)))


def test_the_loudest_components_are_told_with_their_word() -> None:
    text = translator("en")
    result = result_of(["pump"], [["hyd"]] * 3)
    spoke = {"module": "h.3.attn.value", "layer": 3, "number": 0, "share": 0.42, "word": "<b>"}
    result["measured"]["methods"][1]["spoke"] = [[spoke, spoke | {"number": 4, "word": None}]]
    asked = asked_of(result, STUDY, text)
    table = spoke_table(asked, 0, text)
    assert table is not None
    assert table.rows == (
        (asked.names[1], "Layer 3 · value", "1", "42%", "<b>"),
        ("", "Layer 3 · value", "5", "42%", "–"),
    )
    assert spoke_table(asked_of(result_of(["a"], [["b"]] * 3), STUDY, text), 0, text) is None


def test_a_word_of_personal_data_is_not_told() -> None:
    part = Part((0,), ("call 090-1234-5678 now",), (0,))
    assert answers_job._word(part, 0, (0, 0, 4), masked=True) == "call"
    assert answers_job._word(part, 0, (0, 9, 13), masked=True) is None
    assert answers_job._word(part, 0, (0, 9, 13), masked=False) == "1234"
    assert answers_job._word(part, 0, None, masked=False) is None


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_table_has_every_method_side_by_side(lang: str) -> None:
    text = translator(lang)
    result = result_of(["pump", "fuse"], [["hyd", "el"], ["hyd", "hyd"], ["hyd", "el"]])
    asked = asked_of(result, STUDY, text)
    table = answers_table(asked, text)
    assert table.header[1:] == (
        text("arms.name.frozen_head"),
        text("answers.of_run", arm="KaSA (r=2)", seed=0),
        text("answers.of_run", arm="LoRA (r=2)", seed=1),
    )
    sure = text("answers.sure", label="hyd", confidence="93%")
    assert table.rows[0] == ("pump", sure, sure, sure)
    assert table.rows[1][0] == f"{text('answers.differs')}\nfuse"
    assert asked.different == [1]
    assert answers_table(asked, text, asked.different).rows == table.rows[1:]
    words = text("answers.some_differ", count="2", different="1")
    assert answers_sentence(asked, text) == words
    same = asked_of(result_of(["pump"], [["hyd"]] * 3), STUDY, text)
    assert answers_sentence(same, text) == text("answers.all_agree", count="1")


@pytest.mark.parametrize(
    ("confidence", "shown"), [(0.994, "99%"), (0.9996, ">99%"), (1.0, "100%"), (0.5, "50%")]
)
def test_nearly_certain_is_not_shown_as_certain(confidence: float, shown: str) -> None:
    result = result_of(["pump"], [["a"]] * 3)
    for method in result["measured"]["methods"]:
        method["answers"][0]["confidence"] = confidence
    table = answers_table(asked_of(result, STUDY, EN), EN)
    assert table.rows[0][1] == f"a ({shown})"


def test_scores_have_no_confidence_and_do_not_differ() -> None:
    result = result_of(["pump"], [[1.25], [2.5], [3.123456]], "regression", rows=[7])
    asked = asked_of(result, STUDY, EN)
    assert answers_table(asked, EN).rows == (("7", "pump", "1.25", "2.50", "3.12"),)
    assert answers_sentence(asked, EN) == "Texts tried: 1."
    sheet = load_workbook(io.BytesIO(answers_sheet(asked, EN))).active
    assert [cell.value for cell in sheet[2]] == [7, "pump", 1.25, 2.5, 3.123456]


def test_the_sheet_holds_numbers_as_numbers_and_texts_as_texts() -> None:
    result = result_of(HOSTILE, [HOSTILE, ["a"] * 9, ["b"] * 9], rows=list(range(2, 11)))
    sheet = load_workbook(io.BytesIO(answers_sheet(asked_of(result, STUDY, EN), EN))).active
    assert sheet.freeze_panes == "A2"
    header, *rows = sheet.iter_rows()
    assert [cell.value for cell in header[:3]] == ["Row", "Text", "Frozen base + linear head"]
    assert header[3].value == "Frozen base + linear head: confidence"
    shown = [text.replace("\x07", "") for text in HOSTILE]
    assert [row[1].value for row in rows] == [row[2].value for row in rows] == shown
    for row in rows:
        assert {(cell.data_type, cell.quotePrefix) for cell in row[1:3]} == {("s", True)}
        assert (row[3].value, row[3].data_type, row[3].number_format) == (0.934, "n", "0.0%")
    assert [row[0].value for row in rows] == list(range(2, 11))


def test_personal_data_is_hidden_where_the_study_hides_it() -> None:
    mail = "ask taro@example.com"
    result = result_of([mail], [["a"], ["b"], [mail]])
    asked = asked_of(result, STUDY, EN)
    assert (asked.questions, asked.hidden) == (("ask [e-mail]",), True)
    assert "example.com" not in json.dumps(answers_table(asked, EN).rows)
    open_data = DataSpec("x", "t", "l", mask=False)
    shown = asked_of(result, Study("A", "embedded", open_data, arms=STUDY.arms), EN)
    assert (shown.questions, shown.hidden) == ((mail,), False)


def test_a_very_long_text_is_cut_in_the_table_alone() -> None:
    asked = asked_of(result_of(["x" * 600], [["a"]] * 3), STUDY, EN)
    assert len(answers_table(asked, EN).rows[0][0]) == 500
    sheet = load_workbook(io.BytesIO(answers_sheet(asked, EN))).active
    assert len(sheet["A2"].value) == 600
