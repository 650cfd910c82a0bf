"""Sketched energy curves against exact ones, over spectra of every shape a weight may have."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kasa.spectral.sketch import sketch
from tests.known_answers import matrix_with_spectrum

K = 512
RANDOM = np.random.default_rng(0)


def gaussian(shape: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(RANDOM.standard_normal(shape)).float()


def built(values: list[float], shape: tuple[int, int] = (K, K)) -> torch.Tensor:
    return matrix_with_spectrum(values, shape).float()


SPIKES = 5 * K**0.5 * built([4.0, 3.0, 2.0, 1.0])
CASES = {
    "gaussian, square": gaussian((K, K)),
    "gaussian, tall": gaussian((3 * K, K)),
    "gaussian, wide": gaussian((K, 2 * K)),
    "slow power law": built(list(np.arange(1, K + 1) ** -0.5)),
    "power law": built(list(np.arange(1, K + 1) ** -1.0), (2 * K, K)),
    "exponential": built(list(np.exp(-np.arange(K) / 50))),
    "eight orders": built(list(np.geomspace(1, 1e-8, K))),
    "all equal": built([1.0] * K),
    "two levels": built([3.0] * (K // 4) + [1.0] * (3 * K // 4)),
    "low rank": built(list(np.linspace(5, 1, 40))),
    "spikes over noise": gaussian((K, K)) + SPIKES,
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_truth_lies_in_the_band(name: str, seed: int) -> None:
    weight = CASES[name]
    exact = torch.linalg.svdvals(weight.double()).numpy() ** 2
    truth = np.cumsum(exact) / exact.sum()
    found = sketch(weight, seed=seed)
    assert (found.energy_low <= truth + 1e-9).all()
    assert (truth <= found.energy_high + 1e-9).all()
    # And the band says something: it is narrow, and its middle is close.
    assert float((found.energy_high - found.energy_low).max()) < 0.2
    middle = np.cumsum(found.singular_values**2) / (found.singular_values**2).sum()
    assert float(np.abs(middle - truth).max()) < 0.05


def test_leading_values_are_known_one_by_one() -> None:
    exact = torch.linalg.svdvals(CASES["spikes over noise"].double()).numpy()
    found = sketch(CASES["spikes over noise"])
    assert found.num_found >= 4
    np.testing.assert_allclose(found.singular_values[:4], exact[:4], rtol=1e-4)


def test_more_products_give_a_narrower_band() -> None:
    weight = CASES["gaussian, tall"]
    few, many = sketch(weight, probes=4), sketch(weight, probes=24, steps=16)
    widths = [float((s.energy_high - s.energy_low).mean()) for s in (few, many)]
    assert widths[1] < widths[0]


def test_a_zero_weight_has_no_energy_to_share() -> None:
    found = sketch(torch.zeros(K, K))
    assert not found.singular_values.any()
    assert (found.energy_low == 1).all()


def test_a_small_weight_is_not_sketched() -> None:
    with pytest.raises(ValueError, match="min"):
        sketch(torch.ones(20, 20))


def test_the_same_seed_gives_the_same_sketch() -> None:
    one, other = (sketch(CASES["gaussian, square"], seed=7) for _ in range(2))
    np.testing.assert_array_equal(one.singular_values, other.singular_values)
