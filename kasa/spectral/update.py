"""What a low-rank update of a weight is made of, and how it lies on the weight's own directions.

ΔW = up·down has at most r components. With up = Q₁R₁ and downᵀ = Q₂R₂ its singular values are those
of the r×r matrix R₁R₂ᵀ, so the full ΔW is never formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kasa.spectral.importance import Factors

BINS = 12


@dataclass(frozen=True, eq=False)
class Overlap:
    """How an update's energy ‖ΔW‖_F² lies on the base's directions, in groups of equal size.

    `shares[i, j]` belongs to the i-th group of left and the j-th group of right singular vectors,
    the strongest first; `outside` to directions that a rectangular weight does not have. Together
    they are 1. `random[i, j]` is what an update without any direction would have there.
    """

    shares: NDArray[np.float64]
    random: NDArray[np.float64]
    outside: float


def components_of(up: Tensor, down: Tensor) -> Factors:
    """Return the singular value decomposition of up·down, (out, r) times (r, in), in float64."""
    left, left_r = torch.linalg.qr(up.double())
    right, right_r = torch.linalg.qr(down.double().T)
    inner_left, values, inner_right = torch.linalg.svd(left_r @ right_r.T)
    size = len(values)
    return Factors(left @ inner_left[:, :size], values, right @ inner_right.T[:, :size])


def overlap(update: Factors, base: Factors, bins: int = BINS) -> Overlap:
    """Return how an update lies on the directions of the weight that it changes.

    With W = UΣVᵀ the update is the matrix UᵀΔW V on the weight's own directions; an update of zero
    has no direction, and all its shares are 0.
    """
    left = base.left.double().T @ (update.left * update.singular_values)
    on_base = (left @ (base.right.double().T @ update.right).T).square().cpu().numpy()
    total = float(update.singular_values.square().sum())
    size = len(base.singular_values)
    edges = np.linspace(0, size, min(bins, size) + 1).round().astype(int)
    summed = np.add.reduceat(np.add.reduceat(on_base, edges[:-1], axis=0), edges[:-1], axis=1)
    shares = summed / total if total else summed
    counts = np.diff(edges).astype(np.float64)
    random = np.outer(counts, counts) / (len(update.left) * len(update.right))
    return Overlap(shares, random, max(0.0, 1.0 - float(shares.sum())) if total else 0.0)
