"""Row-level problems on a table whose rows are known by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kasa.data.check import KINDS, Problem, check_file, check_rows, left_out
from kasa.data.table import Table
from kasa.errors import DataError
from kasa.text import translator

ROWS = [
    ("pump leaks", "hydraulics"),  # 2
    ("  pump\u3000 leaks ", "hydraulics"),  # 3 duplicate of 2 after folding
    ("Pump leaks", "hydraulics"),  # 4 differs by case: another text
    (" ", "hydraulics"),  # 5 no text
    ("", ""),  # 6 no text (and no label: counted once)
    ("belt slips", " \t"),  # 7 no label
    ("motor hot", "electrical"),  # 8 conflict
    ("motor hot", "hydraulics"),  # 9 conflict
    ("motor hot", "hydraulics"),  # 10 conflict, not a duplicate
    ("oil on floor", "hydraulics"),  # 11
    ("hose burst", "hydraulics "),  # 12 the same label after folding
    ("fuse blown", "electrical"),  # 13 rare: electrical has 3 usable rows
    ("breaker trips", "electrical"),  # 14
    ("cable burnt", "electrical"),  # 15
    ("cable burnt", "electrical"),  # 16 duplicate of 15
]
EXPECTED = {
    "empty_text": (5, 6),
    "empty_label": (7,),
    "conflicting_labels": (8, 9, 10),
    "duplicate": (3, 16),
    "rare_label": (13, 14, 15),
}


def table_of(rows: list[tuple[str, str]], first: int = 2) -> Table:
    index = pd.RangeIndex(first, first + len(rows), name="row")
    frame = pd.DataFrame(rows, columns=["note", "team"], index=index, dtype="str")
    return Table(frame, "csv", "utf-8", ",")


def found(problems: list[Problem]) -> dict[str, tuple[int, ...]]:
    return {problem.kind: problem.rows for problem in problems}


def test_known_rows() -> None:
    problems = check_rows(table_of(ROWS), "note", "team")
    assert found(problems) == EXPECTED
    assert {problem.treatment for problem in problems} == {"left_out"}
    assert left_out(problems) == {3, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16}
    assert problems[0].count == 2


def test_rows_longer_than_the_model_reads_are_kept_and_left_out_rows_not_named() -> None:
    tokens = np.full(len(ROWS), 9)
    tokens[[0, 1, 9, 10]] = [129, 500, 128, 130]  # spreadsheet rows 2, 3 (a duplicate), 11, 12
    problems = check_rows(table_of(ROWS), "note", "team", tokens, max_tokens=128)
    assert found(problems) == EXPECTED | {"too_long": (2, 12)}
    assert problems[-1].treatment == "truncated"
    assert left_out(problems[-1:]) == set()


def test_a_copy_in_the_test_part_stays_and_the_one_in_training_goes() -> None:
    rows = [("a", "x"), ("a", "x"), ("a", "x"), *((f"t{i}", "x") for i in range(6))]
    parts = pd.Series(["train", "validation", "test"] + ["train"] * 6, index=range(2, 11))
    problems = check_rows(table_of(rows), "note", "team", parts=parts)
    assert found(problems) == {"duplicate": (2, 3)}


def test_a_label_without_training_rows_is_rare() -> None:
    rows = [(f"t{i}", "xy"[i % 2]) for i in range(12)]
    parts = pd.Series(["train", "test"] * 6, index=range(2, 14))
    problems = check_rows(table_of(rows), "note", "team", parts=parts)
    assert found(problems) == {"rare_label": (3, 5, 7, 9, 11, 13)}


def test_a_clean_table_and_one_where_nothing_is_left() -> None:
    assert check_rows(table_of([(f"t{i}", "x") for i in range(4)]), "note", "team") == []
    empty = check_rows(table_of([("", "x")] * 3), "note", "team", np.ones(3), 10)
    assert found(empty) == {"empty_text": (2, 3, 4)}


def test_a_missing_column_is_named_with_those_there_are() -> None:
    with pytest.raises(DataError, match="note, team"):
        check_rows(table_of(ROWS), "note", "crew")


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_every_kind_has_its_sentences(lang: str) -> None:
    for kind in KINDS:
        sentences = Problem(kind, (2,), "left_out").sentences(translator(lang))
        assert len(set(sentences)) == 3
        assert all(sentences)


class TestCheckFile:
    def write(self, folder: Path, text: str) -> Path:
        path = folder / "notes.csv"
        path.write_text(text, "utf-8")
        return path

    def test_contract(self, tmp_path: Path) -> None:
        lines = "".join(f"the pump number {i} leaks,{'ab'[i % 2]},{i}\n" for i in range(10))
        path = self.write(tmp_path, f"text,crew,no\n{lines},a,10\n")
        record = json.loads(json.dumps(check_file(path)))
        assert {key: record[key] for key in ("format", "encoding", "rows", "task")} == {
            "format": "csv", "encoding": "utf-8", "rows": 11, "task": "classification",
        }  # fmt: skip
        roles = [(column["name"], column["role"]) for column in record["columns"]]
        assert roles == [("text", "text"), ("crew", "label"), ("no", "other")]
        assert record["columns"][0]["num_empty"] == 1
        (problem,) = record["problems"]
        assert (problem["kind"], problem["count"], problem["rows"]) == ("empty_text", 1, [12])
        assert "left out" in problem["fix"]
        assert "使いません" in check_file(path, lang="ja")["problems"][0]["fix"]

    def test_columns_given_win_over_the_guess(self, tmp_path: Path) -> None:
        lines = "".join(f"pump {i} leaks,{'ab'[i % 2]},{'cd'[i // 5]}\n" for i in range(10))
        path = self.write(tmp_path, f"text,crew,shift\n{lines}")
        roles = {c["name"]: c["role"] for c in check_file(path, label="shift")["columns"]}
        assert roles == {"text": "text", "crew": "other", "shift": "label"}
        with pytest.raises(DataError, match="no column"):
            check_file(path, text="note")

    def test_without_a_label_there_is_no_task(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, "text\n" + "".join(f"pump {i} leaks\n" for i in range(5)))
        record = check_file(path)
        assert (record["task"], record["problems"]) == (None, [])

    @pytest.mark.parametrize("file", ["work_orders_en.csv", "inspection_notes_ja.csv"])
    def test_sample_files_are_classification(self, file: str) -> None:
        record = check_file(Path(__file__).parent.parent / "sample_data" / file)
        assert record["task"] == "classification"
        assert record["rows"] >= 480
