"""Weighted metrics against scipy and scikit-learn on the drawn rows written out one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import f1_score

from kasa.errors import StudyError
from kasa.runs.records import FinishedRun
from kasa.verdict import resample
from kasa.verdict.compare import compare, metric_interval
from kasa.verdict.resample import Table, _weighted, observed, replicates, tables
from tests.study_runs import finished_run

Floats = NDArray[np.float64]
rows = st.integers(3, 12).flatmap(
    lambda size: st.tuples(
        st.lists(st.integers(-6, 6), min_size=size, max_size=size),
        st.lists(st.integers(-6, 6), min_size=size, max_size=size),
        st.lists(st.integers(0, 3), min_size=size, max_size=size).filter(lambda w: sum(w) > 1),
    )
)


def correlation(metric: str, a: Floats, b: Floats) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float({"pearson": pearsonr, "spearman": spearmanr}[metric](a, b).statistic)


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
@settings(max_examples=60, deadline=None)
@given(rows)
def test_a_weighted_correlation_is_scipys_on_the_rows_repeated(
    metric: str, given_rows: tuple[list[int], list[int], list[int]]
) -> None:
    """Few different numbers, so that ties within a draw are common."""
    labels, said = (np.array(values) / 4 for values in given_rows[:2])
    weights = np.array(given_rows[2])
    table = Table(metric, labels, np.stack([said, said[::-1]]))
    found = _weighted(table, np.stack([weights, np.ones_like(weights)]).astype(float))
    assert found.shape == (2, 2)
    for draw, times in enumerate([weights, np.ones_like(weights)]):
        for seed, each in enumerate([said, said[::-1]]):
            wanted = correlation(metric, np.repeat(labels, times), np.repeat(each, times))
            assert found[draw, seed] == pytest.approx(wanted, abs=1e-9)


def test_means_by_hand() -> None:
    """Scores 1, 0, ½ drawn 2, 0 and 1 times."""
    scores = np.array([[1, 0, 0.5]])
    table = Table("chrf", np.array(list("abc")), np.array([list("axy")]), scores=scores)
    assert _weighted(table, np.array([[2.0, 0.0, 1.0]]))[0, 0] == pytest.approx(2.5 / 3)


coded = st.integers(2, 12).flatmap(
    lambda size: st.tuples(
        st.lists(st.integers(0, 2), min_size=size, max_size=size),
        st.lists(st.integers(0, 2), min_size=size, max_size=size),
        st.lists(st.integers(0, 3), min_size=size, max_size=size).filter(any),
    )
)


@settings(max_examples=80, deadline=None)
@given(coded)
def test_a_weighted_macro_f1_is_scikit_learns_on_the_rows_repeated(
    given_rows: tuple[list[int], list[int], list[int]],
) -> None:
    labels, said, weights = (np.array(values) for values in given_rows)
    table = Table("macro_f1", labels, said[None], 3)
    y, z = np.repeat(labels, weights), np.repeat(said, weights)
    found = _weighted(table, weights[None].astype(float))[0, 0]
    assert found == pytest.approx(f1_score(y, z, average="macro", zero_division=0))


# -- whole arms ---------------------------------------------------------------------------------


def scored(name: str, seed: int, labels: Floats, said: Floats) -> FinishedRun:
    """Return a run of a regression."""
    run = finished_run(name, seed, ["a"] * len(labels), ["a"] * len(labels))
    table = pd.DataFrame({"row": range(len(labels)), "label": labels, "predicted": said})
    return replace(run, predictions=table)


def written(name: str, seed: int, near: Floats) -> FinishedRun:
    """Return a run of a generation whose rows have these chrF."""
    run = finished_run(name, seed, ["a"] * len(near), ["b"] * len(near))
    run.predictions["chrf"], run.predictions["exact_match"] = near, (near == 1).astype(float)
    return run


def noisy(seed: int, noise: float, size: int = 150) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    labels = np.random.default_rng(99).normal(size=size)
    return labels, labels + noise * random.normal(size=size)


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_observed_correlations_are_scipys(metric: str) -> None:
    runs = [scored("lora-r8", seed, *noisy(seed, 0.7)) for seed in (0, 1)]
    (table,) = tables(metric, runs)
    wanted = [correlation(metric, *noisy(seed, 0.7)) for seed in (0, 1)]
    assert list(observed(table)) == pytest.approx(wanted)


@pytest.mark.parametrize("metric", ["pearson", "spearman"])
def test_a_clearly_better_correlation_is_found_and_mirrors(metric: str) -> None:
    good = [scored("kasa-r8", seed, *noisy(seed, 0.3)) for seed in (0, 1, 2)]
    poor = [scored("lora-r8", seed, *noisy(seed, 2.0)) for seed in (0, 1, 2)]
    forward = compare(good, poor, metric, 0.01, num_draws=400)
    assert forward.verdict == "better"
    assert compare(poor, good, metric, 0.01, num_draws=400).verdict == "worse"
    same = compare(good, [scored("lora-r8", s, *noisy(s, 0.3)) for s in (0, 1, 2)], metric, 0.01)
    assert (same.difference, same.verdict) == (0, "equivalent")


def test_the_interval_of_a_correlation_is_close_to_fishers() -> None:
    labels, said = noisy(5, 1.0, 400)
    r = correlation("pearson", labels, said)
    low, high = metric_interval([scored("lora-r8", 0, labels, said)], "pearson")
    z, half = np.arctanh(r), 1.96 / np.sqrt(400 - 3)
    assert (low, high) == pytest.approx((np.tanh(z - half), np.tanh(z + half)), abs=0.02)


@pytest.mark.parametrize("metric", ["chrf", "exact_match"])
def test_written_answers_are_means_over_rows(metric: str) -> None:
    near = np.tile([1.0, 0.5, 1.0, 0.25], 50)
    run, worse = written("kasa-r8", 0, near), written("lora-r8", 0, 0.5 * near)
    (table,) = tables(metric, [run])
    assert observed(table)[0] == pytest.approx({"chrf": near.mean(), "exact_match": 0.5}[metric])
    verdict = compare([run], [worse], metric, 0.01)
    wanted = {"chrf": near.mean() / 2, "exact_match": 0.5}[metric]
    assert verdict.difference == pytest.approx(wanted)
    assert verdict.verdict == "better"


def test_draws_in_pieces_are_draws_of_the_same_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many draws do not fit into memory at once."""
    runs = {"a": [scored("lora-r8", 0, *noisy(1, 0.5, 60))]}
    whole = replicates(runs, "spearman", num_draws=500)["a"].draws[:, 0]
    monkeypatch.setattr(resample, "DRAWS_AT_ONCE", 60 * 7)
    pieces = replicates(runs, "spearman", num_draws=500)["a"].draws[:, 0]
    assert whole.shape == pieces.shape == (500,)
    assert pieces.mean() == pytest.approx(whole.mean(), abs=0.01)
    assert pieces.std() == pytest.approx(whole.std(), rel=0.2)


def test_arms_see_the_same_draws() -> None:
    labels, said = noisy(1, 0.5, 60)
    arms = {name: [scored("lora-r8", 0, labels, said)] for name in ("a", "b")}
    found = replicates(arms, "pearson", num_draws=50)
    assert np.array_equal(found["a"].draws, found["b"].draws)
    assert len(np.unique(found["a"].draws)) > 40


def test_scores_of_other_rows_are_not_paired() -> None:
    labels, said = noisy(0, 0.5, 20)
    one, other = scored("kasa-r8", 0, labels, said), scored("lora-r8", 0, labels + 1, said)
    with pytest.raises(StudyError) as caught:
        compare([one], [other], "pearson", 0.01)
    assert caught.value.code == "unpaired_rows"
