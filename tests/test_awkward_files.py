"""Every awkward file is read as its table says, also with what was found as a `Reading`."""

from __future__ import annotations

from pathlib import Path

import pytest

from kasa.data.read import Reading, Table, previews, read_table
from kasa.text import translator
from tests.awkward_files import CASES, Awkward


def check(table: Table, case: Awkward) -> None:
    assert list(table.frame.columns) == list(case.header)
    read = dict(zip(table.frame.index, map(tuple, table.frame.to_numpy().tolist()), strict=True))
    assert read == {number: tuple(cells) for number, cells in case.rows.items()}
    facts = ("format", "encoding", "delimiter", "header_row", "sheet", "sheets", "member")
    assert {f: getattr(table, f) for f in facts} == {f: getattr(case, f) for f in facts}


@pytest.mark.parametrize("name", CASES)
def test_it_is_read_as_expected(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    path = tmp_path / "table.csv"
    path.write_bytes(case.content)
    table = read_table(path, case.reading)
    check(table, case)
    assert tuple(note.code for note in table.notes) == case.notes
    for lang in ("en", "ja"):
        for note in table.notes:
            assert "{" not in note.sentence(translator(lang))


@pytest.mark.parametrize("name", CASES)
def test_a_reading_of_what_was_found_reads_the_same(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    path = tmp_path / "table.csv"
    path.write_bytes(case.content)
    found = read_table(path, case.reading)
    text = found.format in ("csv", "json", "jsonl")
    header = found.header_row if found.format in ("csv", "xlsx", "xls") else None
    encoding = found.encoding if text else None
    reading = Reading(encoding, found.delimiter, found.sheet, header)
    again = read_table(path, reading)
    check(again, case)
    guessed = {"encoding", "first_sheet"}
    assert not guessed & {note.code for note in again.notes}


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if case.format in ("csv", "jsonl", "json")]
)
def test_the_encoding_found_is_among_the_previews(name: str) -> None:
    case = CASES[name]
    if case.member:
        return
    shown = previews(case.content)
    assert case.encoding in shown or case.encoding == "iso-8859-1"
    assert all(0 < len(lines) <= 3 for lines in shown.values())


def test_there_are_many_and_all_kinds() -> None:
    assert len(CASES) >= 60
    assert {case.format for case in CASES.values()} == {
        "csv",
        "jsonl",
        "json",
        "xlsx",
        "xls",
        "parquet",
    }
    assert {case.delimiter for case in CASES.values()} == {",", "\t", ";", "|", None}
