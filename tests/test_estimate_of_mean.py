"""The mean over seeds and rows against the analysis of variance, known answers and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from kasa.verdict.estimate import Estimate, estimate, seed_share
from kasa.verdict.resample import Replicates

Floats = NDArray[np.float64]


def drawn(answers: Floats, num_draws: int = 4000) -> Replicates:
    """Return an arm whose rows score `answers` (S, N), and its means on drawn rows."""
    rows = answers.shape[1]
    weights = np.random.default_rng(1).multinomial(rows, np.full(rows, 1 / rows), num_draws) / rows
    seeds = tuple(range(len(answers)))
    return Replicates("accuracy", seeds, rows, answers.mean(axis=1), weights @ answers.T)


def estimated(answers: Floats, unseen: float = 0.0) -> Estimate:
    arm = drawn(answers)
    return estimate(arm.observed, arm.draws, arm.num_rows, unseen)


def test_one_seed_is_students_t_of_the_rows() -> None:
    answers = np.random.default_rng(2).normal(0.3, 1.0, (1, 80))
    found = estimated(answers)
    wanted = ttest_1samp(answers[0], 0).confidence_interval(0.95)
    assert found.interval(0.95) == pytest.approx((wanted.low, wanted.high), abs=0.02)
    assert (found.df, found.seed_variance, found.rest_variance) == (79, 0, 0)


def test_seeds_that_answer_alike_are_one_seed() -> None:
    one = np.random.default_rng(3).normal(0.0, 1.0, (1, 60))
    found, wanted = estimated(np.repeat(one, 4, axis=0)), estimated(one)
    assert found.seed_variance == pytest.approx(0)
    assert found.interval(0.95) == pytest.approx(wanted.interval(0.95))


def test_seeds_that_shift_all_rows_alike_are_students_t_of_the_seeds() -> None:
    shifts = np.array([0.1, 0.4, 0.7])
    found = estimated(np.repeat(shifts[:, None], 50, axis=1))
    wanted = ttest_1samp(shifts, 0).confidence_interval(0.95)
    assert found.df == pytest.approx(2)
    assert found.interval(0.95) == pytest.approx((wanted.low, wanted.high))


def test_components_are_those_of_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(5)
    seeds, rows = 5, 400
    answers = (
        rng.normal(0, 1.0, rows)
        + rng.normal(0, 0.3, (seeds, 1))
        + rng.normal(0, 0.8, (seeds, rows))
    )
    mean, by_row, by_seed = answers.mean(), answers.mean(axis=0), answers.mean(axis=1)
    rest = ((answers - by_row - by_seed[:, None] + mean) ** 2).sum() / ((seeds - 1) * (rows - 1))
    found = estimated(answers)
    assert found.value == pytest.approx(mean)
    assert found.row_variance == pytest.approx(by_row.var(ddof=1) / rows, rel=0.1)
    assert found.rest_variance == pytest.approx(rest / (rows * seeds), rel=0.1)
    wanted = (by_seed.var(ddof=1) - rest / rows) / seeds
    assert found.seed_variance == pytest.approx(wanted, rel=0.05)
    low, high = found.interval(0.99)
    half = student.ppf(0.995, found.df) * found.standard_error
    assert (low, high) == pytest.approx((mean - half, mean + half))


def test_unseen_rows_keep_an_interval_from_being_a_point() -> None:
    found = estimated(np.ones((3, 20)), unseen=1.0)
    assert found.standard_error == pytest.approx(1 / 22)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 10), st.integers(1, 9), st.integers(1, 999))
def test_degrees_of_freedom_lie_between_their_parts(
    rows: float, between: float, rest: float, num_seeds: int, num_rows: int
) -> None:
    seeds, df = seed_share(rows, between, rest, num_seeds, num_rows)
    assert seeds == max(0.0, between - rest)
    assert np.isfinite(df)
    assert df >= 0
    if rest == 0 and between == 0:
        assert df == pytest.approx(max(1, num_rows - 1))
