"""The smallest eigenvectors of a Gram matrix by block Krylov iteration with its inverse.

Cholesky factors take the place of an eigendecomposition, and a certificate proves that no smaller
eigenvalue was missed.
"""

from __future__ import annotations

import torch

# Below this side (the second on a GPU) a full eigendecomposition is as fast; above this share of it
# too.
KRYLOV_MIN_SIDE, KRYLOV_MIN_SIDE_GPU = 768, 2048
KRYLOV_MAX_SHARE = 0.05
ROUNDS, STEPS = 4, 6
# A thin first run finds out where the smallest eigenvalue lies, in shares of the mean one.
PILOT_WIDTH, PILOT_STEPS, PILOT_FAR = 4, 8, 1e-3
# Estimated error of W' relative to ‖W‖_F; float32 rounds the result itself by about 2.5e-8.
CONVERGED = 1e-8
# Two values closer than this share of themselves may change places: both answers are right.
TIE = 1e-3


def smallest_eigenvectors(gram: torch.Tensor, count: int) -> torch.Tensor | None:
    """Return the eigenvectors of the `count` smallest eigenvalues, or None where it cannot be sure.

    `gram` is symmetric positive semidefinite, (k, k), lower triangle. Block Krylov iteration with
    (G − μI)⁻¹, μ just below zero. Where the smallest eigenvalue is far from zero (the lower edge of
    a rectangular weight is clustered), μ moves up close to it, or separation would be slow.
    """
    size = len(gram)
    if not pays(gram, count):
        return None
    top = float(gram.diagonal().sum())
    generator = torch.Generator(device=gram.device).manual_seed(0)
    width = count + max(8, count // 4)
    start = torch.randn(size, width, generator=generator, dtype=gram.dtype, device=gram.device)
    shift = -1e-13 * top
    factor = factorised(gram, shift)
    if factor is None:
        return None
    values, _, _ = inverse_krylov(factor, shift, start[:, :PILOT_WIDTH], 1, PILOT_STEPS)
    if float(values[0]) > PILOT_FAR * top / size:
        factor, shift = closer(gram, float(values[0]), float(values[-1]), factor, shift)
    for _ in range(ROUNDS):
        values, vectors, error = inverse_krylov(factor, shift, start, count, STEPS)
        if error * (max(float(values[count - 1]), 0.0) / top) ** 0.5 <= CONVERGED:
            break
        start = vectors
        lowest, highest = float(values[0]), float(values[count - 1])
        factor, shift = closer(gram, lowest, highest, factor, shift)
    else:
        return None
    wanted = vectors[:, :count]
    return wanted if is_complete(gram, wanted, values[:count]) else None


def pays(matrix: torch.Tensor, count: int) -> bool:
    """Return whether finding `count` vectors costs less than decomposing an (·, k) matrix's k×k."""
    size = matrix.shape[1]
    least = KRYLOV_MIN_SIDE_GPU if matrix.is_cuda else KRYLOV_MIN_SIDE
    return size >= least and count <= KRYLOV_MAX_SHARE * size


def factorised(gram: torch.Tensor, shift: float) -> torch.Tensor | None:
    """Return the Cholesky factor of G − shift·I, or None where it is not positive definite."""
    shifted = gram.clone()
    shifted.diagonal().sub_(shift)
    factor, info = torch.linalg.cholesky_ex(shifted)
    return factor if int(info) == 0 else None


def closer(
    gram: torch.Tensor, lowest: float, highest: float, factor: torch.Tensor, shift: float
) -> tuple[torch.Tensor, float]:
    """Return the factor for a shift nearer to the wanted eigenvalues, or the old one.

    `lowest` and `highest` are the Ritz values of the wanted ones; a shift above the true lowest
    gives no factor, so the distance grows until there is one or nothing would be gained.
    """
    for distance in (0.5, 2.0):
        nearer = lowest - distance * max(highest - lowest, 1e-2 * lowest)
        if nearer - shift < 0.5 * (lowest - shift):
            break
        found = factorised(gram, nearer)
        if found is not None:
            return found, nearer
    return factor, shift


def inverse_krylov(
    factor: torch.Tensor,
    shift: float,
    start: torch.Tensor,
    count: int,
    max_steps: int,
    tolerance: float | None = CONVERGED,
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return Ritz values (ascending), Ritz vectors and the wanted space's angle to the true one.

    Rayleigh–Ritz for M = (L·Lᵀ)⁻¹ on the block Krylov space of `start`; λ = shift + 1/ν. The angle
    is estimated as ‖residual‖_F ÷ gap between the last wanted ν and the next. Without a `tolerance`
    all steps are made and only the last one is solved.
    """
    width = start.shape[1]
    block = torch.linalg.qr(start).Q
    basis, images = block, torch.cholesky_solve(block, factor)
    for step in range(max_steps):  # one block is never enough
        basis, images = _grown(factor, basis, images, width)
        if tolerance is None and step < max_steps - 1:
            continue
        small = basis.T @ images
        values, coordinates = torch.linalg.eigh((small + small.T) / 2)
        chosen = coordinates[:, -width:].flip(1)
        vectors, nu = basis @ chosen, values[-width:].flip(0)
        residual = images @ chosen[:, :count] - vectors[:, :count] * nu[:count]
        relative = torch.linalg.norm(residual / nu[:count]) * nu[count - 1]
        gap = torch.maximum(nu[count - 1] - nu[count], TIE * nu[count - 1])
        angle = float(relative / gap)
        if tolerance is not None and angle <= tolerance:
            break
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


def lifted(gram: torch.Tensor, vectors: torch.Tensor, threshold: float) -> torch.Tensor | None:
    """Return the Cholesky factor of G + c·V·Vᵀ − τI, or None where it is not positive definite.

    c is G's trace, so what V (orthonormal) holds is lifted above all other eigenvalues.
    """
    top = float(gram.diagonal().sum())
    return factorised(torch.addmm(gram, vectors * top, vectors.T), threshold)


def is_complete(gram: torch.Tensor, vectors: torch.Tensor, values: torch.Tensor) -> bool:
    """Prove that no eigenvalue outside `vectors` lies below the largest of `values`.

    The known eigenvalues lifted above zero, G − τI is positive definite exactly when all others are
    above τ, a hair below the largest known one (a tie there is no miss).
    """
    top, largest = float(gram.diagonal().sum()), float(values.max())
    hair = 1e-7 * abs(largest) + 1e-13 * top
    return lifted(gram, vectors, largest - hair) is not None
