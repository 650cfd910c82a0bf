from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasa.data.language import mixed_rows, row_scripts
from kasa.model.fit import script_of

JAPANESE, ENGLISH = "ポンプから油漏れ", "oil leaks from the pump"


def column(*texts: str) -> pd.Series:
    return pd.Series(list(texts), index=range(2, len(texts) + 2), dtype="str")


@pytest.mark.parametrize(
    ("text", "script"),
    [
        (JAPANESE, "japanese"),
        ("ﾎﾟﾝﾌﾟ", "japanese"),
        ("油 leak at E-101", "japanese"),
        (ENGLISH, "latin"),
        ("Größe überschritten", "latin"),
        ("насос течёт", "other"),
        ("펌프 누유", "other"),
        ("", "none"),
        ("12.5 / 0-3 ℃ ±", "none"),
        ("－−〒", "none"),
    ],
)
def test_the_script_of_a_row(text: str, script: str) -> None:
    assert row_scripts(column(text)).tolist() == [script]


@given(st.text())
def test_rows_with_letters_are_what_the_model_check_calls_them(text: str) -> None:
    (script,) = row_scripts(column(text))
    assert script == (script_of([text]) if any(map(str.isalpha, text)) else "none")


def test_rows_in_another_script_than_the_main_one() -> None:
    rows = column(*[JAPANESE] * 20, ENGLISH, "12.5", "NG", "ALM E-101 OK", "насос")
    assert mixed_rows(rows).loc[lambda mixed: mixed].index.tolist() == [22, 26]
    english = column(*[ENGLISH] * 8, JAPANESE, "漏れ", "0.3")
    assert mixed_rows(english).loc[lambda mixed: mixed].index.tolist() == [10, 11]


def test_without_a_main_script_nothing_is_mixed() -> None:
    assert not mixed_rows(column(*[JAPANESE] * 79, *[ENGLISH] * 21)).any()
    assert mixed_rows(column(*[JAPANESE] * 80, *[ENGLISH] * 20)).sum() == 20


@pytest.mark.parametrize("texts", [(), ("", "", ""), ("1", "2")])
def test_columns_without_letters(texts: tuple[str, ...]) -> None:
    rows = column(*texts)
    assert row_scripts(rows).tolist() == ["none"] * len(texts)
    mixed = mixed_rows(rows)
    assert mixed.dtype == bool
    assert mixed.index.equals(rows.index)
    assert not mixed.any()
