"""Criteria against known answers, plans, and the removal's law ‖W−W'‖² = Σ removed σ²."""

from __future__ import annotations

import math
import tomllib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kasa.errors import ModelError
from kasa.spectral.spectrum import Spectrum, singular_values
from kasa.spectral.truncation import (
    CRITERIA,
    Options,
    cut,
    marchenko_pastur_median,
    plan_to_toml,
    propose,
)
from tests.known_answers import matrix_with_spectrum

BY_HAND = [
    # criterion, σ, options, kept
    ("paper", [5, 4, 3, 2, 1], Options(removed_components=2), 3),
    ("paper", [5, 4, 3], Options(removed_components=0), 3),
    ("paper", [5, 4, 3], Options(removed_components=8), 1),
    ("energy", [3, 4**0.5, 1, 1, 1], Options(tau=9 / 16), 1),
    ("energy", [3, 4**0.5, 1, 1, 1], Options(tau=0.57), 2),
    ("energy", [2, 1, 0], Options(tau=1.0), 2),
    ("effective_rank", [2, 2, 2, 0, 0], Options(), 3),
    ("effective_rank", [9, 0, 0], Options(), 1),
    ("effective_rank", [2, 1, 1], Options(), 3),
    ("share", [5, 4, 3, 2], Options(share=0.5), 2),
    ("share", [5, 4, 3, 2], Options(share=0.0), 4),
    ("stable_rank", [2, 2, 2, 0], Options(), 3),
    ("stable_rank", [3, 1, 1], Options(), 2),
    ("none", [5, 4, 3], Options(), 3),
]


@pytest.mark.parametrize(("criterion", "values", "options", "kept"), BY_HAND)
def test_cuts_by_hand(criterion: str, values: list[float], options: Options, kept: int) -> None:
    found = cut(criterion, values, (len(values), len(values)), options)
    assert (found.num_kept, found.num_removed) == (kept, len(values) - kept)
    assert found.threshold == values[kept - 1]


@pytest.mark.parametrize("shape", [(300, 300), (400, 200), (150, 600)])
@pytest.mark.parametrize("criterion", ["gavish_donoho", "marchenko_pastur"])
def test_a_strong_signal_in_noise_is_found(criterion: str, shape: tuple[int, int]) -> None:
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(shape))
    signal = matrix_with_spectrum([400, 300, 200, 150, 120], shape)
    found = cut(criterion, singular_values(noise + signal), shape)
    assert found.num_kept == 5


def test_pure_noise_seldom_rises_above_the_edge() -> None:
    random = np.random.default_rng(2)
    rises = 0
    for _ in range(60):
        values = np.linalg.svd(random.standard_normal((60, 90)), compute_uv=False)
        rises += values[0] > cut("marchenko_pastur", values, (60, 90)).threshold
    assert rises <= 9  # 5 in 100 are meant; the noise itself is estimated


@pytest.mark.parametrize("shape", [(300, 300), (400, 200), (150, 600)])
def test_the_noise_edge_is_where_noise_ends(shape: tuple[int, int]) -> None:
    noise = torch.from_numpy(3.0 * np.random.default_rng(1).standard_normal(shape))
    values = singular_values(noise)
    edge = cut("marchenko_pastur", values, shape).threshold
    assert edge == pytest.approx(3.0 * (math.sqrt(shape[0]) + math.sqrt(shape[1])), rel=0.02)
    assert edge == pytest.approx(values[0], rel=0.05)


@pytest.mark.parametrize("beta", [0.05, 0.25, 0.5, 0.75, 1.0])
def test_the_two_published_noise_rules_agree(beta: float) -> None:
    """Gavish and Donoho: ω(β) = λ*(β)/√μ_β, λ* in closed form; the polynomial is close to it."""
    root = math.sqrt(beta**2 + 14 * beta + 1)
    best = math.sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + root))
    polynomial = 0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43
    assert best / math.sqrt(marchenko_pastur_median(beta)) == pytest.approx(polynomial, abs=0.03)


def test_the_marchenko_pastur_median() -> None:
    assert marchenko_pastur_median(1.0) == pytest.approx(0.6528, abs=1e-4)
    assert marchenko_pastur_median(1e-6) == pytest.approx(1.0, abs=1e-4)


spectra_values = st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=30).map(
    lambda values: sorted(values, reverse=True)
)


@given(spectra_values, st.sampled_from(sorted(CRITERIA)), st.integers(0, 40), st.floats(0.01, 1))
def test_every_cut_adds_up(values: list[float], criterion: str, removed: int, tau: float) -> None:
    options = Options(removed_components=removed, tau=tau)
    found = cut(criterion, values, (len(values), 2 * len(values)), options)
    assert found.num_kept >= 1
    assert found.num_kept + found.num_removed == len(values)
    assert 0 <= found.energy_kept <= 1
    assert found.relative_change**2 == pytest.approx(1 - found.energy_kept, abs=1e-9)
    if criterion == "energy":
        assert found.energy_kept >= tau - 1e-12


@given(st.lists(st.floats(0.1, 100), min_size=2, max_size=20), st.floats(0.01, 0.99))
def test_energy_keeps_the_fewest(values: list[float], tau: float) -> None:
    values = sorted(values, reverse=True)
    kept = cut("energy", values, (len(values), len(values)), Options(tau=tau)).num_kept
    squares = np.square(values)
    assert kept == 1 or squares[: kept - 1].sum() / squares.sum() < tau + 1e-12


def test_a_zero_matrix_keeps_one_component_and_loses_nothing() -> None:
    for criterion in CRITERIA:
        found = cut(criterion, [0.0, 0.0, 0.0], (3, 3))
        assert (found.energy_kept, found.relative_change) == (1.0, 0.0)


def test_the_relative_change_of_a_small_cut_is_not_lost_to_rounding() -> None:
    found = cut("paper", [1.0, 1e-10], (2, 2), Options(removed_components=1))
    assert found.relative_change == pytest.approx(1e-10)


@pytest.mark.parametrize(
    "bad", [{"removed_components": -1}, {"tau": 0.0}, {"tau": 1.5}, {"share": 1.0}, {"share": -0.1}]
)
def test_options_that_make_no_sense_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ModelError) as caught:
        Options(**bad)  # type: ignore[arg-type]
    assert caught.value.code == "bad_criterion"


def test_an_unknown_criterion_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match="gavish_donoho"):
        cut("magic", [1.0], (1, 1))


def test_a_plan_says_what_is_removed_where() -> None:
    spectra = [
        Spectrum("a.weight", "a", 0, "a", (3, 3), np.array([3.0, 2.0, 1.0])),
        Spectrum('b "x".weight', 'b "x"', None, "b", (2, 5), np.array([1.0, 1.0])),
    ]
    plan = propose(spectra, "paper", "embedded", Options(removed_components=1))
    assert {module: c.num_removed for module, c in plan.cuts.items()} == {"a": 1, 'b "x"': 1}
    record = tomllib.loads(plan_to_toml(plan))
    assert (record["model"], record["criterion"]) == ("embedded", "paper")
    assert record["options"] == {"removed_components": 1, "tau": 0.99, "share": 0.1}
    assert record["weights"] == [
        {"module": "a", "removed_components": 1, "energy_kept": pytest.approx(13 / 14)},
        {"module": 'b "x"', "removed_components": 1, "energy_kept": 0.5},
    ]
