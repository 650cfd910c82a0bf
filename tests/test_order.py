"""The order of training rows: every row once, batches of one length, the same again on request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kasa.tuning.order import ByLength

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=300)


def batches(order: ByLength) -> list[list[int]]:
    rows, size = list(order), order.batch_size
    return [rows[start : start + size] for start in range(0, len(rows), size)]


@given(lengths, st.integers(1, 20), st.integers(0, 3), st.integers(0, 5))
def test_every_row_comes_once_and_the_longest_at_first(
    given_lengths: list[int], size: int, seed: int, epoch: int
) -> None:
    order, again = (ByLength(given_lengths, size, seed) for _ in range(2))
    order.set_epoch(epoch)
    again.set_epoch(epoch)
    rows = list(order)
    assert rows == list(again)
    assert sorted(rows) == list(range(len(given_lengths)))
    assert len(order) == len(rows)
    first = [given_lengths[row] for row in rows[:size]]
    assert max(first) == max(given_lengths)


@given(st.integers(2, 16), st.integers(0, 99))
def test_a_batch_spans_few_lengths(size: int, seed: int) -> None:
    """Of rows with 1, 2, 3, … tokens, a batch holds neighbours, with at most the rest between."""
    spread = [max(batch) - min(batch) for batch in batches(ByLength(range(1, 101), size, seed))]
    assert max(spread) < 2 * size


def test_every_epoch_mixes_rows_and_batches_anew() -> None:
    order = ByLength([5] * 40 + [9] * 40, 8, 0)
    seen = []
    for epoch in range(4):
        order.set_epoch(epoch)
        seen.append(batches(order))
    assert len({tuple(map(tuple, epoch)) for epoch in seen}) == 4
    companions = {frozenset(batch) for epoch in seen for batch in epoch}
    assert len(companions) > 30  # 40 batches, hardly any twice
    firsts = {tuple(len({order.lengths[row] for row in b}) for b in epoch) for epoch in seen}
    assert firsts == {(1,) * 10}


def test_one_batch_of_the_longest_leads_and_the_others_are_spread() -> None:
    order = ByLength([3] * 40 + [8] * 40, 8, 1)
    longs = [order.lengths[batch[0]] for batch in batches(order)]
    assert longs[0] == 8
    assert sorted(longs[1:]) != longs[1:][::-1]


def test_any_batch_may_be_the_short_one() -> None:
    """With 4·10 + 3 rows the last batch has three, of any length but the longest's."""
    last = set()
    for seed in range(40):
        short = batches(ByLength(range(1, 44), 10, seed))[-1]
        assert len(short) == 3
        last.add(min(short))
    assert last == {0, 10, 20, 30}


def test_large_sets_are_sorted_in_pools() -> None:
    """Beyond fifty batches, rows meet more than their nearest neighbours."""
    order = ByLength(range(1, 2001), 4, 0)
    spread = [max(batch) - min(batch) for batch in batches(order)]
    assert max(spread) > 8
    assert sum(spread) / len(spread) < 80
