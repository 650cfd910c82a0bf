"""From columns to rows: templates, choices in every form, and dates and numbers as people write."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from kasa.data.check import numbers
from kasa.data.dates import parsed_dates
from kasa.data.rows import raw_rows
from kasa.data.table import Table
from kasa.dataspec import DataSpec
from kasa.errors import DataError


def table_of(columns: dict[str, list[str]]) -> Table:
    size = len(next(iter(columns.values())))
    index = pd.RangeIndex(2, 2 + size, name="row")
    return Table(pd.DataFrame(columns, index=index, dtype="str"), "csv", "utf-8", ",")


def test_a_template_joins_cells_and_empty_ones_make_no_text() -> None:
    table = table_of(
        {"設備": ["1号機", " ", ""], "所見": ["油漏れ", "異音", ""], "区分": list("aba")}
    )
    spec = DataSpec("x", "所見", "区分", template="{設備}：{所見}")
    assert raw_rows(table, spec)["text"].tolist() == ["1号機：油漏れ", "：異音", ""]
    with pytest.raises(DataError, match="no column"):
        raw_rows(table, DataSpec("x", "所見", "区分", template="{機械} {所見}"))


@pytest.mark.parametrize(
    "cell",
    ['["red", "blue"]', "red|blue", "red\nblue", "red | blue ", '{"text": ["red", "blue"]}'],
)
@pytest.mark.parametrize(
    ("answer", "chosen"),
    [("blue", "blue"), ("B", "blue"), ("a", "red"), ("2", "blue"), ("3", "? 3"), ("", "")],
)
def test_choices_and_answers_in_every_form(cell: str, answer: str, chosen: str) -> None:
    table = table_of({"q": ["which?"], "c": [cell], "a": [answer]})
    rows = raw_rows(table, DataSpec("x", prompt="q", choices=("c",), answer="a"))
    assert json.loads(rows["choices"][0]) == ["red", "blue"]
    assert rows["answer"][0] == chosen


def test_choices_of_several_columns() -> None:
    table = table_of({"q": ["which?"], "A": ["red"], "B": ["blue"], "C": [" "], "a": ["B"]})
    rows = raw_rows(table, DataSpec("x", prompt="q", choices=("A", "B", "C"), answer="a"))
    assert json.loads(rows["choices"][0]) == ["red", "blue"]
    assert rows["answer"][0] == "blue"


@pytest.mark.parametrize(
    ("cells", "days"),
    [
        (
            ["2024-01-05", "2024/1/5", "2024.1.5", "2024年1月5日", "２０２４/１/５"],
            ["2024-01-05"] * 5,
        ),
        (["2024-01-05 08:30", "2024/1/5 8:30:00", "2024-01-05T08:30:00+09:00"], ["2024-01-05"] * 3),
        (["05.01.2024", "31.01.2024"], ["2024-01-05", "2024-01-31"]),
        (["01/05/2024", "01/31/2024"], ["2024-01-05", "2024-01-31"]),
        (["13/05/2024", "01/05/2024"], ["2024-05-13", "2024-05-01"]),
        (["23/12/31", "24/1/5", "24-02-10"], ["2023-12-31", "2024-01-05", "2024-02-10"]),
        (["2024年1月5日(金)", "2024/01/05（金）"], ["2024-01-05"] * 2),
        (["soon", "", "2024-13-45", "10:30", "may", "5"], [None] * 6),
    ],
)
def test_dates(cells: list[str], days: list[str | None]) -> None:
    found = parsed_dates(pd.Series(cells, dtype="str"))
    assert [None if pd.isna(day) else day.date().isoformat() for day in found] == days


def test_numbers() -> None:
    cells = ["1", " 2.5 ", "３．５", "4,5", "-1e3", "1,234.5", "nan", "inf", "n/a", ""]
    found = [None if pd.isna(n) else n for n in numbers(pd.Series(cells, dtype="str"))]
    assert found == [1.0, 2.5, 3.5, 4.5, -1000.0, 1234.5, None, None, None, None]
