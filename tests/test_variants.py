from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasa.data.variants import folded, label_variants

ONE_WORD = [
    ("NG", "ＮＧ", "ng", " Ng ", "NG\u200b"),
    ("oil leak", "Oil  Leak", "OIL\u3000LEAK", "oil\u00a0leak"),
    ("モーター", "ﾓｰﾀｰ", "モーター ", "モ－タ－", "モ―タ―", "モ‐タ‐", "モ-タ-", "モーター"),
    ("寸法不良", "寸法 不良", "寸法　不良"),
    ("検査 NG", "検査NG", "検査　ＮＧ"),
    ("A-1", "Ａ－１", "a‐1", "A−1", "A–1"),
    ("キズ・打痕", "ｷｽﾞ･打痕", "キズ ・ 打痕"),
]
WORDS_APART = [
    ("NG", "N G"),
    ("モーター", "モータ"),
    ("A-1", "A1"),
    ("はは", "ぱぱ"),
    ("ハ", "バ"),
    ("re-work", "re work"),
    ("良", "不良"),
]


def labels(*values: str) -> pd.Series:
    return pd.Series(list(values), dtype="str")


@pytest.mark.parametrize("spellings", ONE_WORD, ids=lambda spellings: spellings[0])
def test_spellings_of_one_word(spellings: tuple[str, ...]) -> None:
    assert len({folded(spelling) for spelling in spellings}) == 1
    main, *others = spellings
    rarer = dict.fromkeys((other for other in others if other != main), main)
    assert label_variants(labels(*others, main, main)) == rarer


@pytest.mark.parametrize("words", WORDS_APART, ids=lambda words: words[1])
def test_different_words_stay_apart(words: tuple[str, str]) -> None:
    assert label_variants(labels(*words)) == {}


def test_the_most_frequent_spelling_stands_and_of_equals_the_first() -> None:
    assert label_variants(labels("ng", "NG", "NG", "ok", "OK")) == {"ng": "NG", "OK": "ok"}
    assert label_variants(labels("ＮＧ", "ng", "NG", "NG")) == {"ＮＧ": "NG", "ng": "NG"}


def test_nothing_to_merge() -> None:
    assert label_variants(labels()) == {}
    assert label_variants(labels("", " ", "\u3000", "")) == {}
    assert label_variants(labels("a", "b", "a")) == {}


@given(st.lists(st.text(alphabet="aAＡ ー-ア亜\u3000", max_size=4)))
def test_the_mapping_ends_where_it_points(values: list[str]) -> None:
    column = labels(*values)
    mapping = label_variants(column)
    assert not set(mapping) & set(mapping.values())
    assert label_variants(column.replace(mapping)) == {}
    counts = column.value_counts()
    for rare, main in mapping.items():
        assert folded(rare) == folded(main)
        assert counts[rare] <= counts[main]


@given(st.text() | st.text(alphabet="アあ a－‐-ーﾞ\u3000\u200b\u0390İ"))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)
