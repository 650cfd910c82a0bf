"""How heavy the tail of a weight's σ² is: a power law fitted to the largest of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from kasa.spectral.spectrum import Values, checked

MIN_TAIL = 10
MAX_CANDIDATES = 512


@dataclass(frozen=True)
class PowerLaw:
    """A tail p(λ) ∝ λ^(−α) for λ = σ² ≥ `smallest`.

    `alpha_error` is the standard error (α − 1)/√n of the fit for the n values of the tail; it does
    not know whether a power law fits at all: `distance` (Kolmogorov–Smirnov) says how badly.
    """

    alpha: float
    alpha_error: float
    smallest: float
    num_tail: int
    distance: float


def fit_power_law(singular_values: ArrayLike) -> PowerLaw | None:
    """Return the maximum-likelihood fit whose start minimises the Kolmogorov–Smirnov distance.

    α = 1 + n / Σ ln(λᵢ/λ_min): Clauset, Shalizi and Newman 2009, the estimator that WeightWatcher
    reports as alpha. None where fewer than 10 values are above zero or all of them are equal.
    """
    values = checked(singular_values)
    x = np.sort(values[values > 0] ** 2)
    if x.size < MIN_TAIL or x[0] == x[-1]:
        return None
    starts = np.unique(np.linspace(0, x.size - MIN_TAIL, MAX_CANDIDATES).round().astype(int))
    fits = [fit for fit in (_fit(x, int(start)) for start in starts) if fit is not None]
    return min(fits, key=lambda fit: fit.distance, default=None)


def _fit(x: Values, start: int) -> PowerLaw | None:
    tail = x[start:]
    logs = np.log(tail / tail[0])
    total = float(logs.sum())
    if total <= 0:
        return None
    size = tail.size
    alpha = 1 + size / total
    model = -np.expm1((1 - alpha) * logs)
    steps = np.arange(size + 1) / size
    distance = float(max((steps[1:] - model).max(), (model - steps[:-1]).max()))
    return PowerLaw(alpha, (alpha - 1) / size**0.5, float(tail[0]), size, distance)
