"""Roles guessed from names, forms and repetition: tables of small files with their reading."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kasa.data.columns import columns_with, guess_columns, guessed_task
from kasa.data.read import read_table
from kasa.text import translator

ROWS = 24
NOTES = [f"pump number {k} leaks oil at the {'inlet' if k % 2 else 'outlet'}" for k in range(ROWS)]
NOTES_JA = [f"ポンプ{k}号機の{'吸込' if k % 2 else '吐出'}側から油漏れ" for k in range(ROWS)]
LABELS = ["leak", "noise", "heat"] * 8
NUMBERS = [str(k) for k in range(ROWS)]
DATES = [f"2024-01-{k + 1:02}" for k in range(ROWS)]
MACHINES = [f"M{k % 4}" for k in range(ROWS)]
SCORES = [f"{k % 5}.{k % 10}" for k in range(ROWS)]
PARTS = ["train"] * 16 + ["dev"] * 4 + ["test"] * 4

CASES: dict[str, tuple[dict[str, list[str]], dict[str, str], str | None]] = {
    "text and label": (
        {"no": NUMBERS, "note": NOTES, "crew": LABELS},
        {"no": "ignore", "note": "text", "crew": "label"},
        "classification",
    ),
    "a quality system's sheet": (
        {"発生日": DATES, "設備名": MACHINES, "所見": NOTES_JA, "不良区分": LABELS},
        {"発生日": "date", "設備名": "group", "所見": "text", "不良区分": "label"},
        "classification",
    ),
    "label before text": (
        {"Category": LABELS, "Machine": MACHINES, "Remarks": NOTES},
        {"Category": "label", "Machine": "group", "Remarks": "text"},
        "classification",
    ),
    "own parts": (
        {"text": NOTES, "label": LABELS, "split": PARTS},
        {"text": "text", "label": "label", "split": "part"},
        "classification",
    ),
    "no parts where some are blank": (
        {"text": NOTES, "label": LABELS, "set": ["train", "test", ""] * 8},
        {"text": "text", "label": "label", "set": "ignore"},
        "classification",
    ),
    "a pair with a score": (
        {"sentence1": NOTES, "sentence2": NOTES[::-1], "label": SCORES},
        {"sentence1": "text", "sentence2": "second_text", "label": "score"},
        "regression",
    ),
    "a pair with a label": (
        {"premise": NOTES, "hypothesis": NOTES[::-1], "label": LABELS},
        {"premise": "text", "hypothesis": "second_text", "label": "label"},
        "pair_classification",
    ),
    "a text with a score": (
        {"comment": NOTES, "rating": SCORES},
        {"comment": "text", "rating": "score"},
        "regression",
    ),
    "instructions": (
        {"instruction": NOTES, "input": [""] * ROWS, "output": NOTES[::-1], "answer": LABELS},
        {"instruction": "prompt", "input": "ignore", "output": "answer", "answer": "ignore"},
        "generation",
    ),
    "questions with choices": (
        {"question": NOTES, "choices": ['["a", "b"]'] * ROWS, "answer": ["a", "b"] * 12},
        {"question": "prompt", "choices": "choices", "answer": "answer"},
        "multiple_choice",
    ),
    "nothing to read": (
        {"id": NUMBERS, "none": [""] * ROWS},
        {"id": "ignore", "none": "ignore"},
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_roles_and_task(name: str) -> None:
    columns, roles, task = CASES[name]
    infos = guess_columns(pd.DataFrame(columns, dtype="str"))
    assert {info.name: info.role for info in infos} == roles
    assert guessed_task(infos) == task


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_every_column_says_why(lang: str) -> None:
    reasons = set()
    for columns, _, _ in CASES.values():
        for info in guess_columns(pd.DataFrame(columns, dtype="str")):
            sentence = info.reason.sentence(translator(lang))
            assert sentence
            reasons.add(info.reason.code)
    assert len(reasons) >= 12
    frame = pd.DataFrame({"crew": LABELS, "note": NOTES}, dtype="str")
    label, _ = guess_columns(frame)
    assert "3" in label.reason.sentence(translator(lang))
    assert "24" in label.reason.sentence(translator(lang))


def test_counts_and_examples() -> None:
    frame = pd.DataFrame(
        {"note": ["pump leaks", "belt slips", "pump leaks", " "], "id": list("1234")}, dtype="str"
    )
    note, number = guess_columns(frame)
    assert (note.role, note.num_values, note.num_empty) == ("text", 2, 1)
    assert note.examples == ("pump leaks", "belt slips")
    assert (number.role, number.num_values) == ("ignore", 4)
    assert columns_with([note, number], "text") == ("note",)


SHARED = [
    ("banking77/train.csv", {"text": "text", "category": "label"}, "classification"),
    ("jcm/train.csv", {"sent": "text", "label": "label"}, "classification"),
    (
        "jsts/valid-v1.3.json",
        {"sentence1": "text", "sentence2": "second_text", "label": "score"},
        "regression",
    ),
    ("arc_easy/train.json", {"instruction": "prompt", "output": "answer"}, "generation"),
    ("fmc_mwo2kg/train.txt", {"column 1": "text", "column 2": "label"}, "classification"),
]


@pytest.mark.parametrize(("file", "roles", "task"), SHARED, ids=[case[0] for case in SHARED])
def test_real_files_need_no_click(
    shared_data: Path, file: str, roles: dict[str, str], task: str
) -> None:
    infos = guess_columns(read_table(shared_data / file).frame)
    assert {info.name: info.role for info in infos if info.role != "ignore"} == roles
    assert guessed_task(infos) == task


@pytest.mark.parametrize(
    ("file", "text", "label"),
    [("work_orders_en.csv", "text", "crew"), ("inspection_notes_ja.csv", "所見", "不良区分")],
)
def test_sample_files(file: str, text: str, label: str) -> None:
    table = read_table(Path(__file__).parent.parent / "sample_data" / file)
    infos = guess_columns(table.frame)
    assert (columns_with(infos, "text"), columns_with(infos, "label")) == ((text,), (label,))
    assert table.notes == ()
