from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasa.data.similar import _neighbours, near_duplicates
from kasa.data.variants import folded

LONG = "oil drips from the hydraulic hose beside pump 3, reported twice last week"
WORDS = [
    "oil", "pump", "leak", "hose", "motor", "bearing", "seal", "noise", "valve", "filter", "belt",
    "sensor", "press", "line", "stops", "drips", "hot", "loose", "worn", "cracked", "replaced",
    "checked", "again", "shift", "night", "cylinder", "gauge", "ポンプ", "油漏れ", "異音", "交換",
]  # fmt: skip


def column(*texts: str) -> pd.Series:
    return pd.Series(list(texts), dtype="str")


def groups(*texts: str, threshold: float = 0.85) -> list[int]:
    return near_duplicates(column(*texts), threshold).tolist()


def similarity(a: str, b: str) -> float:
    """The module's measure, written plainly: min(Jaccard of character pairs, 2·LCS/(|a|+|b|))."""
    a, b = (folded(x).rstrip(".。! ") or folded(x) for x in (a, b))
    pairs_a, pairs_b = ({*zip("\n" + x, x + "\n", strict=True)} for x in (a, b))
    jaccard = len(pairs_a & pairs_b) / len(pairs_a | pairs_b)
    if jaccard < 0.5:
        return jaccard  # below every threshold here; the rest takes long
    row = [0] * (len(b) + 1)
    for char in a:
        last = row
        row = [0]
        for at, other in enumerate(b):
            row.append(last[at] + 1 if char == other else max(row[-1], last[at + 1]))
    return min(jaccard, 2 * row[-1] / (len(a) + len(b)))


def rows_of(number: int, seed: int) -> list[str]:
    """Sentences, a third of them with a small change of an earlier one."""
    generator = random.Random(seed)
    texts: list[str] = []
    for _ in range(number):
        if texts and generator.random() < 1 / 3:
            text = generator.choice(texts)
            at = generator.randrange(len(text))
            texts.append(text[:at] + generator.choice("xyz ") + text[at + generator.randrange(2) :])
        else:
            texts.append(" ".join(generator.choices(WORDS, k=generator.randrange(3, 14))))
    return texts


@pytest.mark.parametrize(
    ("a", "b", "near"),
    [
        (LONG, LONG, True),
        (LONG, LONG.upper() + "! ", True),
        (LONG, LONG.replace("3", "4"), True),
        (LONG, LONG.replace("hose", "hoses"), True),
        (LONG, LONG[:40], False),
        (LONG, " ".join(reversed(LONG.split())), False),
        ("Pump 3 leaking", "Pump 4 leaking", False),
        ("Pump 3 leaking", "pump 3  leaking.", True),
        ("will not start", "will not restart", False),
        ("ポンプから油が漏れている", "ポンプから油が漏れている。", True),
        ("ﾎﾟﾝﾌﾟから 油漏れ", "ポンプから油漏れ", True),
        ("信号が赤に変わったので渡る。", "信号が青に変わったので渡る。", False),
        ("a", "b", False),
        ("a", "A", True),
        ("ab", "ba", False),
        ("NG", "ＮＧ", True),
        ("...", "!", False),
    ],
)
def test_pairs_with_a_known_answer(a: str, b: str, near: bool) -> None:
    assert groups(a, b) == ([0, 0] if near else [-1, -1])
    assert (similarity(a, b) >= 0.85) == near


def test_groups_are_numbered_as_they_appear_and_keep_the_index() -> None:
    rows = pd.Series(["x", LONG, "abc", LONG + "!", "ABC", "", ""], index=[9, 8, 7, 6, 5, 4, 3])
    assert near_duplicates(rows).to_dict() == {9: -1, 8: 0, 7: 1, 6: 0, 5: 1, 4: -1, 3: -1}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", [0.7, 0.85, 0.95])
def test_against_all_pairs(seed: int, threshold: float) -> None:
    texts = rows_of(150, seed)
    near = [
        (i, j) for i in range(150) for j in range(i) if similarity(texts[i], texts[j]) >= threshold
    ]
    assert len(near) > 5
    found = groups(*texts, threshold=threshold)
    linked = [found[i] == found[j] >= 0 for i, j in near]
    assert sum(linked) >= 0.99 * len(linked)
    paired = {row for pair in near for row in pair}
    assert {row for row, group in enumerate(found) if group >= 0} <= paired


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(alphabet="abAＡ ー亜", max_size=12), max_size=8), st.randoms())
def test_the_order_of_rows_makes_no_difference(texts: list[str], shuffler: random.Random) -> None:
    rows = column(*texts)
    order = list(rows.index)
    shuffler.shuffle(order)

    def partition(found: pd.Series) -> set[frozenset[int]]:
        return {frozenset(g.index) for number, g in found.groupby(found) if number >= 0}

    straight = near_duplicates(rows)
    assert partition(near_duplicates(rows.loc[order])) == partition(straight)
    for i, text in enumerate(texts):
        copies = [j for j, other in enumerate(texts) if j != i and folded(other) == folded(text)]
        assert all(straight[i] == straight[j] for j in copies)
        assert all(straight[i] >= 0 for _ in copies) or not folded(text)


def test_large_buckets_are_not_compared_pair_by_pair() -> None:
    rows = column(*(f"Pump {i} drips oil at the lower flange near the motor" for i in range(3000)))
    assert set(near_duplicates(rows)) == {0}
    assert set(near_duplicates(column(*["same"] * 3000))) == {0}


def test_all_rows_of_a_small_bucket_are_compared() -> None:
    left, right = _neighbours(np.array([5, 5, 5, 7], np.uint64), range(1, 5))
    assert sorted(zip(left, right, strict=True)) == [(0, 1), (0, 2), (1, 2)]


def test_of_long_texts_the_beginning_decides() -> None:
    generator = random.Random(0)
    text = " ".join(generator.choices(WORDS, k=3000))
    other = " ".join(generator.choices(WORDS, k=3000))
    assert groups(text, text + other, other) == [0, 0, -1]


@pytest.mark.parametrize("texts", [(), ("",), ("", " ", "\u3000"), ("a",)])
def test_degenerate_columns(texts: tuple[str, ...]) -> None:
    rows = column(*texts)
    found = near_duplicates(rows)
    assert found.tolist() == [-1] * len(texts)
    assert found.dtype == "int64"


@pytest.mark.parametrize("threshold", [0, -1, 1.1])
def test_a_threshold_is_a_share(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        groups("a", "b", threshold=threshold)
    assert groups("a", "a", threshold=1.0) == [0, 0]
