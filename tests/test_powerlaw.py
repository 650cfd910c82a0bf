"""The power-law tail: exponents built in, degenerate spectra, and the error's meaning."""

from __future__ import annotations

import numpy as np
import pytest

from kasa.spectral.powerlaw import fit_power_law


def pareto(alpha: float, size: int, seed: int = 0) -> np.ndarray:
    """Return σ whose squares follow p(λ) ∝ λ^(−α) from 1 on."""
    uniform = np.random.default_rng(seed).random(size)
    return np.sort(np.sqrt((1 - uniform) ** (-1 / (alpha - 1))))[::-1]


@pytest.mark.parametrize("alpha", [2.0, 3.0, 4.5])
def test_a_pure_power_law_is_found(alpha: float) -> None:
    fit = fit_power_law(pareto(alpha, 4000))
    assert fit is not None
    assert fit.alpha == pytest.approx(alpha, rel=0.1)
    assert abs(fit.alpha - alpha) < 5 * fit.alpha_error
    assert fit.distance < 0.05
    assert fit.alpha_error == pytest.approx((fit.alpha - 1) / fit.num_tail**0.5)


def test_the_tail_starts_where_the_law_starts() -> None:
    body = np.sqrt(np.random.default_rng(1).random(1500))  # uniform below 1, no power law
    fit = fit_power_law(np.sort(np.concatenate([pareto(3.0, 1500), body]))[::-1])
    assert fit is not None
    assert fit.smallest == pytest.approx(1.0, abs=0.3)
    assert fit.alpha == pytest.approx(3.0, rel=0.15)


def test_the_error_is_the_spread_over_repetitions() -> None:
    fits = [fit_power_law(pareto(3.0, 400, seed)) for seed in range(40)]
    alphas = [fit.alpha for fit in fits if fit is not None]
    errors = [fit.alpha_error for fit in fits if fit is not None]
    # The start is searched as well, so the spread is somewhat wider than one fit's own error.
    assert 0.8 < np.std(alphas) / np.mean(errors) < 2.5


@pytest.mark.parametrize("values", [[1.0] * 50, [3.0, 2.0, 1.0], [0.0] * 20, [2.0] + [0.0] * 30])
def test_spectra_without_a_tail_have_no_fit(values: list[float]) -> None:
    assert fit_power_law(values) is None


def test_the_scale_does_not_matter() -> None:
    small, large = (fit_power_law(pareto(2.5, 500) * factor) for factor in (1e-6, 1e6))
    assert small is not None
    assert large is not None
    assert small.alpha == pytest.approx(large.alpha)
    assert small.num_tail == large.num_tail
