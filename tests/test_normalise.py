from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasa.data.normalise import STEPS, normalised, normalised_column

some_steps = st.lists(st.sampled_from(STEPS), unique=True)


@pytest.mark.parametrize(
    ("steps", "text", "wanted"),
    [
        ("control", "oil\x00 le\x1bak\x7f", "oil leak"),
        ("control", "a\tb\nc", "a\tb\nc"),
        ("control", "a\r\nb\rc\x0bd\x85e\u2028f", "a\nb\nc\nd\ne\nf"),
        ("control", "\ufeffポン\u200bプ\u2060\u00ad", "ポンプ"),
        ("control", "\u202eabc\u202c\u200f\u2066x\u2069", "abcx"),
        ("control", "ＮＧ　ｱ", "ＮＧ　ｱ"),
        ("whitespace", "\u3000 oil\u00a0\t leak\n\nhere ", "oil leak here"),
        ("whitespace", "ＮＧ　ｱ", "ＮＧ ｱ"),
        ("whitespace", "\u200b", "\u200b"),
        ("width", "ＮＧ　ﾎﾟﾝﾌﾟ①㎜", "NG ポンプ1mm"),
        ("width", " a  b ", " a  b "),
        ("control whitespace width", "\ufeff ＮＧ\u3000\u200b ﾎﾟﾝﾌﾟ\r\n", "NG ポンプ"),
        ("width whitespace control", "¨x", "\u0308x"),
        ("", "\ufeff a\u3000", "\ufeff a\u3000"),
    ],
)
def test_each_step_does_its_own_work(steps: str, text: str, wanted: str) -> None:
    assert normalised(text, steps.split()) == wanted


@given(st.text(), some_steps)
def test_twice_is_once_and_the_order_of_steps_is_free(text: str, steps: list[str]) -> None:
    once = normalised(text, steps)
    assert normalised(once, steps) == once
    assert normalised(text, reversed(steps)) == once


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_ascii_loses_nothing_but_blanks(text: str) -> None:
    assert normalised(text).split() == text.split()


def test_an_unknown_step_is_named() -> None:
    with pytest.raises(ValueError, match="'case'"):
        normalised("a", ["case"])


def test_a_column_keeps_its_index_and_name() -> None:
    column = pd.Series(["ＮＧ", " a "], index=[7, 2], name="note", dtype="str")
    wanted = pd.Series(["NG", "a"], index=[7, 2], name="note", dtype="str")
    pd.testing.assert_series_equal(normalised_column(column), wanted)
    pd.testing.assert_series_equal(normalised_column(column, iter(["width", "whitespace"])), wanted)
    assert normalised_column(column[:0]).empty
