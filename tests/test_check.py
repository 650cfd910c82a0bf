"""Row-level problems on a table whose rows are known by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kasa.data.check import Examined, TokenFacts, check_file, examine
from kasa.data.problems import KINDS, LOCKED, RECOMMENDED, Problem
from kasa.data.table import Table
from kasa.dataspec import DataSpec
from kasa.errors import DataError, StudyError
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


def table_of(rows: list[tuple[str, ...]], first: int = 2, names: str = "note team") -> Table:
    index = pd.RangeIndex(first, first + len(rows), name="row")
    frame = pd.DataFrame(rows, columns=names.split(), index=index, dtype="str")
    return Table(frame, "csv", "utf-8", ",")


def examined(rows: list[tuple[str, ...]], names: str = "note team", **settings: Any) -> Examined:
    spec = DataSpec("x.csv", **({"text": "note", "label": "team"} | settings))
    return examine(table_of(rows, names=names), spec)


def found(result: Examined) -> dict[str, tuple[int, ...]]:
    return {problem.kind: problem.rows for problem in result.problems}


def test_known_rows() -> None:
    result = examined(ROWS, fixes=("conflicting_labels", "duplicate"))
    assert {kind: found(result)[kind] for kind in EXPECTED} == EXPECTED
    out = {row for p in result.problems if p.treatment == "left_out" for row in p.rows}
    assert out == {3, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16}
    assert result.rows["row"].tolist() == [2, 4, 11, 12]


def test_rows_longer_than_the_model_reads_are_kept_and_left_out_rows_not_named() -> None:
    lengths = np.full(len(ROWS), 9)
    lengths[[0, 1, 9, 10]] = [129, 500, 128, 130]  # spreadsheet rows 2, 3 (a duplicate), 11, 12
    unknown = np.zeros(len(ROWS), dtype=int)
    unknown[[2, 9]] = [5, 64]  # of 9 and of 128 tokens
    facts = TokenFacts(lengths, unknown, 128)
    result = examine(table_of(ROWS), DataSpec("x.csv", "note", "team"), tokens=facts)
    assert (found(result)["too_long"], found(result)["unknown_tokens"]) == ((2, 12), (4,))
    treatments = {problem.kind: problem.treatment for problem in result.problems}
    assert (treatments["too_long"], treatments["unknown_tokens"]) == ("truncated", "kept")


PARTED = [("pump a broke", "x", "train"), *[(f"{word} {word}", "x", "train") for word in "bcdefg"]]


@pytest.mark.parametrize(
    ("rows", "kinds"),
    [
        # Of copies in several parts the one in the test part stays.
        (
            [("a", "x", "train"), ("a", "x", "validation"), ("a", "x", "test"), *PARTED],
            {"duplicate": (2, 3)},
        ),
        # A near copy leaks as well as an exact one.
        (
            [*PARTED, ("The oil pump of line four leaks badly", "x", "test"),
             ("The oil pump of line four leaks badly.", "x", "train")],
            {"leak": (10,)},
        ),
        # A label without training rows cannot be learned.
        (
            [(f"{word} {word} {word}", "xy"[k % 2], ("train", "test")[k % 2])
             for k, word in enumerate("abcdefghijkl")],
            {"rare_label": (3, 5, 7, 9, 11, 13)},
        ),
    ],
)  # fmt: skip
def test_own_parts(rows: list[tuple[str, ...]], kinds: dict[str, tuple[int, ...]]) -> None:
    result = examined(rows, names="note team part", split="part")
    assert found(result) == kinds


def test_many_exact_copies_leak_as_well() -> None:
    rows = [("the very same words", "x", part) for part in ["train", "test"] * 4]
    result = examined([*rows, *PARTED], "note team part", split="part", fixes=("leak",))
    assert found(result)["leak"] == (2, 4, 6, 8)


def test_a_pair_is_its_two_texts_and_lacks_none() -> None:
    rows = [("a b", "c", "x"), ("a", "b c", "y"), ("d", "", "x")]
    spec = DataSpec("x", "one", "team", second_text="two")
    result = examine(table_of(rows, names="one two team"), spec)
    assert found(result)["empty_text"] == (4,)
    assert "conflicting_labels" not in found(result)


def test_a_group_in_the_test_part_is_named_and_left_out_on_demand() -> None:
    rows = [(f"{w} {w} {w}", "x", ("train", "test")[k == 0], "m1" if k < 3 else "m2")
            for k, w in enumerate("abcdefgh")]  # fmt: skip
    settings = {"names": "note team part machine", "split": "part", "group": "machine"}
    kept = examined(rows, **settings)
    assert found(kept) == {"group_leak": (3, 4)}
    assert len(kept.rows) == 8
    left = examined(rows, **settings, fixes=("group_leak",))
    assert left.rows["row"].tolist() == [2, 5, 6, 7, 8, 9]


def test_rows_of_the_own_test_file_have_numbers_of_their_own() -> None:
    rows = [(f"{word} {word} {word}", "x") for word in "abcdefgh"]
    spec = DataSpec("x.csv", "note", "team", test_path="y.csv")
    tested = table_of([("a a a", "x"), ("", "x"), ("zz zz", "x")])
    result = examine(table_of(rows), spec, test=tested)
    facts = {p.kind: (p.rows, p.test_rows, p.count) for p in result.problems}
    assert facts == {"duplicate": ((2,), (), 1), "empty_text": ((), (3,), 1)}
    assert result.rows.loc[result.rows["in_test_file"], "part"].tolist() == ["test", "test"]


CHANGES = [
    ("control", "pump\u200b leaks\x07", "pump leaks"),
    ("whitespace", "pump\u3000 leaks\n", "pump leaks"),
    ("width", "ポンプ１号機 ﾓｰﾀｰ ＮＧ", "ポンプ1号機 モーター NG"),
    ("mojibake", "RÃ©fÃ©rence de la piÃ¨ce", "Référence de la pièce"),
    ("personal_data", "call taro.yamada@example.co.jp today", "call [e-mail] today"),
]


@pytest.mark.parametrize(("kind", "before", "after"), CHANGES, ids=[c[0] for c in CHANGES])
def test_a_change_is_shown_first_and_made_only_when_it_is_wanted(
    kind: str, before: str, after: str
) -> None:
    rows = [(before, "x"), *((f"{word} runs {word}", "x") for word in "abcdef")]
    kept, changed = examined(rows, fixes=()), examined(rows, fixes=(kind,))
    (problem,) = [p for p in kept.problems if p.kind == kind]
    assert problem.rows == (2,)
    assert problem.treatment == "kept"
    assert problem.examples == ((2, before, after),)
    assert kept.rows["text"].iloc[0] == before
    assert changed.rows["text"].iloc[0] == after
    (done,) = [p for p in changed.problems if p.kind == kind]
    assert done.treatment == "changed"


def test_labels_in_several_spellings_become_one() -> None:
    rows = [(f"{word} {word} {word}", label)
            for word, label in zip("abcdefgh", ["NG", "NG", "ＮＧ", "ng ", "OK", "OK", "OK", "ok"],
                                   strict=True)]  # fmt: skip
    result = examined(rows)
    assert found(result) == {"label_variants": (4, 5, 9)}
    assert sorted(set(result.rows["label"])) == ["NG", "OK"]


def test_near_copies_share_a_cluster_unless_that_is_switched_off() -> None:
    near = [("The oil pump of line four leaks badly", "x"),
            ("The oil pump of line four leaks badly!", "x")]  # fmt: skip
    rows = [*near, *((f"{word} {word} {word}", "x") for word in "abcd")]
    together, apart = examined(rows), examined(rows, fixes=())
    assert found(together)["near_duplicate"] == (2, 3)
    assert together.rows["cluster"].nunique() == 5
    assert apart.rows["cluster"].nunique() == 6


def test_a_pattern_of_many_rows_is_named_and_not_kept_together() -> None:
    pattern = [(f"The oil pump of line number {k} leaks very badly today", "x") for k in range(30)]
    result = examined([*pattern, *((f"{word} {word}", "x") for word in "abcd")])
    assert found(result) == {"pattern": tuple(range(2, 32))}
    assert result.rows["cluster"].is_unique


def test_other_tasks_have_their_own_checks() -> None:
    scored = [(f"{w} {w}", value) for w, value in zip("abcd", ["1", "２.５", "3,5", "n/a"],
                                                     strict=True)]  # fmt: skip
    result = examined(scored, label="", score="team")
    assert (result.task, found(result)) == ("regression", {"not_a_number": (5,)})
    asked = [("which?", "red|blue", "B"), ("what?", '["one", "two"]', "3"), ("who?", "a|b", "a")]
    spec = DataSpec("x", prompt="q", choices=("c",), answer="a")
    result = examine(table_of(asked, names="q c a"), spec)
    assert (result.task, found(result)) == ("multiple_choice", {"answer_not_offered": (3,)})
    assert result.rows["answer"].tolist() == ["blue", "a"]


def test_a_clean_table_and_one_where_nothing_is_left() -> None:
    clean = examined([(f"{word} {word} {word}", "x") for word in "abcd"])
    assert clean.problems == []
    empty = examined([("", "x")] * 3)
    assert found(empty) == {"empty_text": (2, 3, 4)}
    assert empty.rows.empty


def test_a_missing_column_is_named_with_those_there_are() -> None:
    with pytest.raises(DataError, match="note, team"):
        examined(ROWS, label="crew")
    with pytest.raises(DataError, match="do not make a task"):
        examined(ROWS, label="")
    with pytest.raises(StudyError, match="near_duplicate"):
        examined(ROWS, fixes=("typos",))


def test_what_must_be_mended_is_not_offered_as_a_choice() -> None:
    assert not set(LOCKED) & {name for name, kind in KINDS.items() if kind.fix == "none"}
    assert not set(LOCKED) & set(RECOMMENDED)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_every_kind_has_its_sentences(lang: str) -> None:
    for kind in KINDS:
        sentences = Problem(kind, (2,), applied=True).sentences(translator(lang))
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
        assert roles == [("text", "text"), ("crew", "label"), ("no", "ignore")]
        assert record["columns"][0]["num_empty"] == 1
        (problem,) = record["problems"]
        assert (problem["kind"], problem["count"], problem["rows"]) == ("empty_text", 1, [12])
        assert "left out" in problem["fix"]
        assert "使いません" in check_file(path, lang="ja")["problems"][0]["fix"]

    def test_columns_given_win_over_the_guess(self, tmp_path: Path) -> None:
        lines = "".join(f"pump {i} leaks,{'ab'[i % 2]},{'cd'[i // 5]}\n" for i in range(10))
        path = self.write(tmp_path, f"text,crew,shift\n{lines}")
        roles = {c["name"]: c["role"] for c in check_file(path, label="shift")["columns"]}
        assert roles == {"text": "text", "crew": "ignore", "shift": "label"}
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
