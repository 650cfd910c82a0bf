"""Taking singular components out of a weight by subtraction, without a full SVD.

W' = W − (W·V_D)·V_Dᵀ with the right singular vectors V_D of the removed set D (left ones for a wide
W). Subtracting rounds only what changes; rebuilding U·S·Vᵀ would round everything. The vectors come
from the Gram matrix of the smaller side; where few of the smallest are asked for, from a block
Krylov iteration with its inverse, which needs Cholesky factors instead of an eigendecomposition. A
certificate proves that none smaller was missed; without it the full decomposition is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from kasa.errors import ModelError
from kasa.spectral.gram import SLAB, mirrored, smaller_gram
from kasa.spectral.krylov import smallest_eigenvectors
from kasa.spectral.mixed import smallest_vectors

RESIDUAL_MAX = 1e-9


def remove_smallest(weight: torch.Tensor, count: int) -> torch.Tensor:
    """Return W without its `count` smallest singular triplets, in W's own dtype and shape.

    Law: ‖W − W'‖_F² = Σ of the removed σ². Raises `ModelError` for a matrix that is none, for NaN
    or infinity, and for a count that leaves nothing.
    """
    _check(weight, count)
    return subtract(weight, *smallest_part(weight, count)) if count else weight


def smallest_part(weight: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return factors (m, count) and (count, n), float64, whose product is what the smallest hold.

    Raises `ModelError` as `remove_smallest` does.
    """
    _check(weight, count)
    if count == 0:
        rows, columns = weight.shape
        empty = weight.new_zeros(rows, 0, dtype=torch.float64)
        return empty, weight.new_zeros(0, columns, dtype=torch.float64)
    is_wide = weight.shape[0] < weight.shape[1]
    found = smallest_vectors(weight.T if is_wide else weight, count)
    if found is not None:
        left, right = found.images, found.vectors.T
        return (right.T, left.T) if is_wide else (left, right)
    gram = smaller_gram(weight)
    vectors = smallest_eigenvectors(gram, count)
    return _part(weight, _eigenvectors(gram, range(count)) if vectors is None else vectors)


def remove_components(weight: torch.Tensor, components: Sequence[int]) -> torch.Tensor:
    """Return W without the singular triplets numbered in `components`; 0 is the largest.

    Raises `ModelError` as `remove_smallest` does, and for a number out of range.
    """
    wanted = sorted(set(components))
    _check(weight, len(wanted))
    if not wanted:
        return weight
    return subtract(weight, *components_part(weight, wanted))


def components_part(
    weight: torch.Tensor, components: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return factors (m, r) and (r, n), float64, whose product is what these components hold.

    Raises `ModelError` as `remove_components` does.
    """
    size = min(weight.shape) if weight.ndim == 2 else 0
    wanted = sorted(set(components))
    _check(weight, len(wanted))
    if wanted and not 0 <= wanted[0] <= wanted[-1] < size:
        raise ModelError("removal_too_large", count=wanted[-1] + 1, limit=size - 1)
    if not wanted or wanted[0] == size - len(wanted):
        return smallest_part(weight, len(wanted))
    places = [size - 1 - number for number in wanted]
    return _part(weight, _eigenvectors(smaller_gram(weight), places))


def _check(weight: torch.Tensor, count: int) -> None:
    if weight.ndim != 2 or weight.numel() == 0:
        raise ModelError("not_a_matrix", shape=str(tuple(weight.shape)))
    if not 0 <= count < min(weight.shape):
        raise ModelError("removal_too_large", count=count, limit=min(weight.shape) - 1)
    # NaN and infinity pass through to the ends, at the cost of one look at the values.
    if not all(math.isfinite(float(end)) for end in torch.aminmax(weight)):
        raise ModelError("model_not_finite", name="weight", model=str(tuple(weight.shape)))


def _eigenvectors(gram: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
    """Return the eigenvectors of the given places, ascending, from a full decomposition."""
    values, vectors = torch.linalg.eigh(gram)
    chosen = list(places)
    removed = vectors[:, chosen]
    residual = float(torch.linalg.norm(mirrored(gram) @ removed - removed * values[chosen]))
    scale = float(torch.linalg.norm(values))
    if not residual <= RESIDUAL_MAX * scale:
        raise ModelError("removal_failed", residual=f"{residual:.1e}", scale=f"{scale:.1e}")
    return removed


def _part(weight: torch.Tensor, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the factors of W·V·Vᵀ, or of V·Vᵀ·W for a wide W; V belongs to the smaller side."""
    if weight.shape[0] < weight.shape[1]:
        right, left = _part(weight.T, vectors)
        return left.T, right.T
    slabs = [weight[i : i + SLAB].to(torch.float64) @ vectors for i in range(0, len(weight), SLAB)]
    return torch.cat(slabs), vectors.T


def subtract(weight: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return W − left·right in W's dtype, computed in float32 (float64 where W is stored so).

    What is subtracted is small beside W, so its rounding to float32 is far below W's own.
    """
    dtype = torch.promote_types(weight.dtype, torch.float32)
    return torch.addmm(weight.to(dtype), left.to(dtype), right.to(dtype), alpha=-1).to(weight.dtype)
