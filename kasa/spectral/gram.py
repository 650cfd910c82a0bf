"""The Gram matrix of a weight's smaller side, in float64, block by block.

Its eigenvalues are the squares of the weight's singular values. Forming it squares the condition
number, which float64 has room for: |σ − σ_ref| ≤ √(c·eps)·σ_max, about 1e-7·σ_max for the smallest
and near eps·σ_max for the largest (eps = 2.2e-16).
"""

from __future__ import annotations

import torch

# One slab in float64 is small beside the weight; column blocks are as small as a matrix product
# still runs at full speed.
SLAB = 2048
BLOCK = 512


def smaller_gram(
    weight: torch.Tensor, scale: float = 1.0, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    """Return WᵀW/s² or WWᵀ/s², whichever is smaller, in `dtype`, its *lower* triangle filled.

    Shapes: (m, n) → (k, k), k = min(m, n); `scale` is s. Symmetry halves the work: only blocks on
    and below the diagonal are computed, so what lies above the diagonal blocks is zero; LAPACK's
    symmetric routines read the lower triangle only. Memory beside the result: one slab of 2048·k.
    """
    tall = weight if weight.shape[0] >= weight.shape[1] else weight.T
    rows, size = tall.shape
    if weight.is_cuda:
        exact = tall.to(dtype) / scale
        return exact.T @ exact
    gram = torch.zeros(size, size, dtype=dtype)
    for start in range(0, rows, SLAB):
        slab = tall[start : start + SLAB].to(dtype)
        if scale != 1.0:
            slab = slab / scale
        for left in range(0, size, BLOCK):
            right = min(left + BLOCK, size)
            gram[left:, left:right].addmm_(slab[:, left:].T, slab[:, left:right])
    return gram


def mirrored(gram: torch.Tensor) -> torch.Tensor:
    """Return the whole symmetric matrix of which `gram` holds the lower triangle."""
    lower = torch.tril(gram)
    return lower + torch.tril(gram, -1).T
