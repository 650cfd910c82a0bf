"""What would settle a verdict: monotone, honest about one seed, and true when it is tried."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from kasa.verdict.compare import Verdict, compare, decide
from kasa.verdict.settle import MOST_SEEDS, chance_to_settle, settlement
from tests.study_runs import example_runs, finished_run

RNG_ROWS = 200


def verdict(gain: float, luck: float, seeds: int = 3, rows: int = RNG_ROWS) -> Verdict:
    """Return the verdict on two arms of which the first is better by `gain` on the latent scale."""
    rng = np.random.default_rng(7)
    ease = rng.normal(1.5, 2.0, rows)
    arms = []
    for name, more in (("kasa-r8", gain), ("lora-r8", 0.0)):
        runs = []
        for seed in range(seeds):
            right = ease + more + rng.normal(0, luck) + rng.normal(0, 0.5, rows) > 0
            said = ["yes" if good else "no" for good in right]
            runs.append(finished_run(name, seed, ["yes"] * rows, said))
        arms.append(runs)
    return compare(*arms, "accuracy", 0.01)


def test_a_settled_verdict_needs_nothing() -> None:
    found = verdict(gain=1.5, luck=0.0)
    assert found.verdict == "better"
    assert settlement(found) is None


@pytest.mark.parametrize("way", ["rows", "seeds"])
def test_more_settles_more(way: str) -> None:
    found = verdict(gain=0.25, luck=0.0 if way == "rows" else 0.2)
    steps = [(3, rows) for rows in (200, 400, 1600)] if way == "rows" else []
    steps = steps or [(seeds, 200) for seeds in (3, 6, 20)]
    chances = [chance_to_settle(found, *step) for step in steps]
    assert chances[0] + 0.1 < chances[-1]
    assert all(more > less - 0.03 for less, more in pairwise(chances))


def test_what_it_names_is_the_least_that_settles() -> None:
    found = verdict(gain=0.08, luck=0.0)
    assert found.verdict == "cannot_tell"
    needed = settlement(found)
    assert needed is not None
    assert not needed.at_least
    assert needed.num_rows is not None
    assert chance_to_settle(found, found.num_seeds, needed.num_rows) >= 0.8
    assert chance_to_settle(found, found.num_seeds, round(needed.num_rows / 2)) < 0.8


def test_so_many_rows_settle_it_when_they_come() -> None:
    """A study of the named size, drawn from what was measured, is settled about as often."""
    found = verdict(gain=0.25, luck=0.0, seeds=1)
    needed = settlement(found)
    assert needed is not None
    assert needed.num_rows is not None
    rng = np.random.default_rng(3)
    share = found.num_rows / needed.num_rows
    error = np.sqrt(found.estimate.row_variance * share)
    seen = rng.normal(found.difference, error, 4000)
    words = [decide((m - 1.96 * error, m + 1.96 * error), found.margin) for m in seen]
    settled = np.mean([word != "cannot_tell" for word in words])
    assert settled == pytest.approx(
        chance_to_settle(found, found.num_seeds, needed.num_rows), abs=0.05
    )


def test_one_seed_knows_rows_alone() -> None:
    found = verdict(gain=0.25, luck=0.0, seeds=1)
    needed = settlement(found)
    assert needed is not None
    assert needed.at_least
    assert needed.num_seeds is None


def test_seeds_that_differ_wildly_need_seeds() -> None:
    found = verdict(gain=0.5, luck=0.5, rows=3000)
    assert found.verdict == "cannot_tell"
    needed = settlement(found)
    assert needed is not None
    assert needed.num_seeds is not None
    assert 3 < needed.num_seeds <= MOST_SEEDS


@pytest.mark.parametrize("rows", [1, 2])
def test_one_or_two_test_rows_are_no_reason_to_fail(rows: int) -> None:
    found = verdict(gain=0.0, luck=0.0, seeds=2, rows=rows)
    assert found.verdict == "cannot_tell"
    needed = settlement(found)
    assert needed is not None
    assert needed.num_rows is None or needed.num_rows > rows


def test_two_arms_at_the_margins_edge_are_not_settled_by_anything() -> None:
    """The interval shrinks onto the margin itself: neither better nor within."""
    a, b = example_runs(["kasa-r8"]), example_runs(["lora-r8"])
    found = compare(a, b, "accuracy", 0.01)
    edge = replace(found, estimate=replace(found.estimate, value=0.0), margin=0.0)
    needed = settlement(replace(edge, verdict="cannot_tell"))
    assert needed is not None
    assert (needed.num_seeds, needed.num_rows) == (None, None)
