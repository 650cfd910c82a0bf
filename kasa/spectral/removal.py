"""Taking singular components out of a weight by subtraction, without a full SVD.

W' = W − (W·V_D)·V_Dᵀ with the right singular vectors V_D of the removed set D (left ones for a wide
W). Subtracting rounds only what changes; rebuilding U·S·Vᵀ would round everything. The vectors come
from the Gram matrix of the smaller side; where few of the smallest are asked for, from a block
Krylov iteration with its inverse, which needs Cholesky factors instead of an eigendecomposition. A
certificate proves that none smaller was missed; without it the full decomposition is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from kasa.errors import ModelError
from kasa.spectral.gram import SLAB, mirrored, smaller_gram

# Below this side a full eigendecomposition is as fast; above this share of it too.
KRYLOV_MIN_SIDE = 768
KRYLOV_MAX_SHARE = 0.05
ROUNDS, STEPS = 4, 6
# A thin first run finds out where the smallest eigenvalue lies, in shares of the mean one.
PILOT_WIDTH, PILOT_STEPS, PILOT_FAR = 4, 8, 1e-3
# Estimated error of W' relative to ‖W‖_F; float32 rounds the result itself by about 2.5e-8.
CONVERGED = 1e-8
# Two values closer than this share of themselves may change places: both answers are right.
TIE = 1e-3
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
    gram = smaller_gram(weight)
    vectors = smallest_eigenvectors(gram, count)
    if vectors is None:
        vectors = _eigenvectors(gram, range(count))
    return _part(weight, vectors)


def remove_components(weight: torch.Tensor, components: Sequence[int]) -> torch.Tensor:
    """Return W without the singular triplets numbered in `components`; 0 is the largest.

    Raises `ModelError` as `remove_smallest` does, and for a number out of range.
    """
    size = min(weight.shape) if weight.ndim == 2 else 0
    wanted = sorted(set(components))
    _check(weight, len(wanted))
    if not wanted:
        return weight
    if wanted[0] < 0 or wanted[-1] >= size:
        raise ModelError("removal_too_large", count=wanted[-1] + 1, limit=size - 1)
    if wanted[0] == size - len(wanted):
        return remove_smallest(weight, len(wanted))
    places = [size - 1 - number for number in wanted]
    return subtract(weight, *_part(weight, _eigenvectors(smaller_gram(weight), places)))


def _check(weight: torch.Tensor, count: int) -> None:
    if weight.ndim != 2 or weight.numel() == 0:
        raise ModelError("not_a_matrix", shape=str(tuple(weight.shape)))
    if not 0 <= count < min(weight.shape):
        raise ModelError("removal_too_large", count=count, limit=min(weight.shape) - 1)
    if not bool(torch.isfinite(weight).all()):
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
    """Return W − left·right in W's dtype, slab by slab in float64."""
    rest = torch.empty_like(weight)
    for start in range(0, len(weight), SLAB):
        here = slice(start, start + SLAB)
        rest[here] = weight[here].to(torch.float64) - left[here] @ right
    return rest


def smallest_eigenvectors(gram: torch.Tensor, count: int) -> torch.Tensor | None:
    """Return the eigenvectors of the `count` smallest eigenvalues, or None where it cannot be sure.

    `gram` is symmetric positive semidefinite, (k, k), lower triangle. Block Krylov iteration with
    (G − μI)⁻¹, μ just below zero. Where the smallest eigenvalue is far from zero (the lower edge of
    a rectangular weight is clustered), μ moves up close to it, or separation would be slow.
    """
    size = len(gram)
    if size < KRYLOV_MIN_SIDE or count > KRYLOV_MAX_SHARE * size:
        return None
    top = float(gram.diagonal().sum())
    generator = torch.Generator(device=gram.device).manual_seed(0)
    width = count + max(8, count // 4)
    start = torch.randn(size, width, generator=generator, dtype=gram.dtype, device=gram.device)
    shift = -1e-13 * top
    factor = _factor(gram, shift)
    if factor is None:
        return None
    values, _, _ = _inverse_krylov(factor, shift, start[:, :PILOT_WIDTH], 1, PILOT_STEPS)
    if float(values[0]) > PILOT_FAR * top / size:
        factor, shift = _closer(gram, float(values[0]), float(values[-1]), factor, shift)
    for _ in range(ROUNDS):
        values, vectors, error = _inverse_krylov(factor, shift, start, count, STEPS)
        if error * (max(float(values[count - 1]), 0.0) / top) ** 0.5 <= CONVERGED:
            break
        start = vectors
        lowest, highest = float(values[0]), float(values[count - 1])
        factor, shift = _closer(gram, lowest, highest, factor, shift)
    else:
        return None
    wanted = vectors[:, :count]
    return wanted if _complete(gram, wanted, values[:count]) else None


def _factor(gram: torch.Tensor, shift: float) -> torch.Tensor | None:
    """Return the Cholesky factor of G − shift·I, or None where it is not positive definite."""
    shifted = gram.clone()
    shifted.diagonal().sub_(shift)
    factor, info = torch.linalg.cholesky_ex(shifted)
    return factor if int(info) == 0 else None


def _closer(
    gram: torch.Tensor, lowest: float, highest: float, factor: torch.Tensor, shift: float
) -> tuple[torch.Tensor, float]:
    """Return the factor for a shift nearer to the wanted eigenvalues, or the old one.

    `lowest` and `highest` are the Ritz values of the wanted ones; a shift above the true lowest
    gives no factor, so the distance grows until there is one or nothing would be gained.
    """
    for distance in (0.1, 0.5, 2.0):
        nearer = lowest - distance * max(highest - lowest, 1e-2 * lowest)
        if nearer - shift < 0.5 * (lowest - shift):
            break
        found = _factor(gram, nearer)
        if found is not None:
            return found, nearer
    return factor, shift


def _inverse_krylov(
    factor: torch.Tensor, shift: float, start: torch.Tensor, count: int, max_steps: int
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return Ritz values (ascending), Ritz vectors and the wanted space's angle to the true one.

    Rayleigh–Ritz for M = (L·Lᵀ)⁻¹ on the block Krylov space of `start`; λ = shift + 1/ν. The angle
    is estimated as ‖residual‖_F ÷ gap between the last wanted ν and the next.
    """
    width = start.shape[1]
    block = torch.linalg.qr(start).Q
    basis, images = block, torch.cholesky_solve(block, factor)
    basis, images = _grown(factor, basis, images, width)  # one block is never enough
    for step in range(max_steps):
        small = basis.T @ images
        values, coordinates = torch.linalg.eigh((small + small.T) / 2)
        chosen = coordinates[:, -width:].flip(1)
        vectors, nu = basis @ chosen, values[-width:].flip(0)
        residual = images @ chosen[:, :count] - vectors[:, :count] * nu[:count]
        relative = torch.linalg.norm(residual / nu[:count]) * nu[count - 1]
        gap = torch.maximum(nu[count - 1] - nu[count], TIE * nu[count - 1])
        angle = float(relative / gap)
        if angle <= CONVERGED or step == max_steps - 1:
            break
        basis, images = _grown(factor, basis, images, width)
    return shift + 1 / nu, vectors, angle


def _grown(
    factor: torch.Tensor, basis: torch.Tensor, images: torch.Tensor, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return basis and images with one more Krylov block, orthogonal to those before."""
    block = images[:, -width:]
    for _ in range(2):  # one projection against the basis leaves rounding behind
        block = torch.linalg.qr(block - basis @ (basis.T @ block)).Q
    grown = torch.cat([images, torch.cholesky_solve(block, factor)], dim=1)
    return torch.cat([basis, block], dim=1), grown


def _complete(gram: torch.Tensor, vectors: torch.Tensor, values: torch.Tensor) -> bool:
    """Prove that no eigenvalue outside `vectors` lies below the largest of `values`.

    G − τI + c·V·Vᵀ lifts the known eigenvalues above zero; it is positive definite exactly when all
    others are above τ, a hair below the largest known one (a tie there is no miss).
    """
    top = float(gram.diagonal().sum())
    largest = float(values.max())
    lifted = torch.addmm(gram, vectors * top, vectors.T)
    lifted.diagonal().sub_(largest - (1e-7 * abs(largest) + 1e-13 * top))
    _, info = torch.linalg.cholesky_ex(lifted)
    return int(info) == 0
