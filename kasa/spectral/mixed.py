"""The smallest right singular vectors in two precisions: float32 to find them, float64 to be right.

A float32 Gram matrix costs half, and its Cholesky factor is good enough as a preconditioner. What
comes out of it is refined by a block Davidson iteration whose products with W are in float64, so
the answer is as exact as from a float64 Gram matrix, which is never formed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from kasa.spectral.gram import smaller_gram
from kasa.spectral.krylov import (
    TIE,
    closer,
    factorised,
    inverse_krylov,
    is_complete,
    lifted,
    pays,
)

# Estimated error of W' relative to ‖W‖_F; float32 rounds the result itself by about 2.5e-8.
CONVERGED = 4e-8
# What float32 does to the Gram matrix, relative to its Frobenius norm; doubled until it factorises.
NOISE = 3e-8
NOISE_MAX = 1e-5
# The angle at which float64 takes over: each of its steps costs less than a round in float32.
ROUGH, ROUGH_STEPS = 1.0, 7
REFINEMENTS = 14
# From an estimated error above this, a preconditioner closer to the wanted values pays its price.
FAR_OFF = 1e-3
# A thin first run finds out whether the smallest eigenvalue lies far above the noise.
PILOT_WIDTH, PILOT_STEPS, FAR = 8, 4, 32
GUARDS = 24


class Smallest(NamedTuple):
    """The smallest right singular vectors V_D, (k, count), and W·V_D, (m, count), in float64."""

    vectors: torch.Tensor
    images: torch.Tensor


def smallest_vectors(tall: torch.Tensor, count: int) -> Smallest | None:
    """Return V_D and W·V_D of a W (m, k) with m ≥ k, or None where it is not sure.

    Only for float32 weights; the caller has other ways for None.
    """
    if tall.dtype != torch.float32 or not pays(tall, count):
        return None
    scale = max(abs(float(end)) for end in torch.aminmax(tall)) or 1.0
    rough = _rough(smaller_gram(tall, scale, torch.float32), count)
    if rough is None:
        return None
    found = _refined(tall, rough, count)
    if found is None:
        return None
    # What float32 can prove: none lies below the wanted ones by more than its own noise.
    proof = (rough.values - 2 * rough.noise).clamp(min=0)
    return found if is_complete(rough.gram, found.vectors.float(), proof) else None


class _Rough(NamedTuple):
    """What float32 knows of the smallest: λ (count) and vectors (k, count + guards)."""

    gram: torch.Tensor
    factor: torch.Tensor
    values: torch.Tensor
    vectors: torch.Tensor
    noise: float


def _rough(gram: torch.Tensor, count: int) -> _Rough | None:
    """Return the smallest eigenvectors of a float32 Gram matrix, as far as its precision goes."""
    norm = float((2 * gram.square().sum() - gram.diagonal().square().sum()).sqrt())
    share, factor = NOISE, None
    while factor is None and share <= NOISE_MAX:
        noise = share * norm
        factor, shift, share = factorised(gram, -noise), -noise, 2 * share
    if factor is None:
        return None
    generator = torch.Generator(device=gram.device).manual_seed(0)
    start = torch.randn(len(gram), count + GUARDS, generator=generator, device=gram.device)
    values, _, _ = inverse_krylov(factor, shift, start[:, :PILOT_WIDTH], 1, PILOT_STEPS, None)
    if float(values[0]) > FAR * noise:
        factor, shift = closer(gram, float(values[0]), float(values[-1]), factor, shift)
    before = float("inf")
    while True:
        values, start, angle = inverse_krylov(factor, shift, start, count, ROUGH_STEPS, None)
        if angle <= ROUGH or angle > before / 10:  # good enough, or as good as float32 gets
            return _Rough(gram, factor, values[:count], start, noise)
        before = angle
        factor, shift = closer(gram, float(values[0]), float(values[count - 1]), factor, shift)


def _refined(tall: torch.Tensor, rough: _Rough, count: int) -> Smallest | None:
    """Return the `count` smallest right singular vectors near `rough`: block Davidson in float64.

    Each step adds (L·Lᵀ)⁻¹·residual to the space, on which WᵀW is solved exactly (Rayleigh–Ritz).
    Where many steps are to be expected, L is the factor of the Gram matrix shifted to the largest
    wanted value with the rough space lifted out of the way: nearly a Newton step for what converges
    last. The guards then only separate, and are not refined.
    """
    width, factor = rough.vectors.shape[1], rough.factor
    near = None
    exact = tall.to(torch.float64)
    total = float(torch.linalg.vector_norm(exact)) ** 2
    basis = torch.linalg.qr(rough.vectors.double()).Q
    products = [exact @ basis]  # W·basis in blocks: the wanted W·V_D are made of them at the end
    images = exact.T @ products[0]
    for step in range(REFINEMENTS):
        small = basis.T @ images
        values, coordinates = torch.linalg.eigh((small + small.T) / 2)
        chosen = coordinates[:, :width]
        vectors = basis @ chosen
        residual = images @ chosen - vectors * values[:width]
        sizes = torch.linalg.norm(residual, dim=0)
        # A wanted vector may turn among the wanted; only what turns it out of them is an error.
        gaps = (values[count] - values[:count]).clamp(min=TIE * max(float(values[count - 1]), 0.0))
        errors = sizes[:count] / gaps * (values[:count].clamp(min=0) / total).sqrt()
        error = float(torch.linalg.norm(errors))
        if error <= CONVERGED:
            return Smallest(vectors[:, :count], torch.cat(products, dim=1) @ chosen[:, :count])
        if step == 0 and error > FAR_OFF:
            near = lifted(rough.gram, basis.to(factor.dtype), float(rough.values[count - 1]))
            factor = factor if near is None else near
        guards = (sizes[count:] > 0) & (near is None)
        open_ones = torch.cat([errors > CONVERGED / count**0.5, guards])
        block = (residual / sizes.clamp(min=1e-300))[:, open_ones]
        block = torch.cholesky_solve(block.to(factor.dtype), factor).double()
        for _ in range(2):  # one projection against the basis leaves rounding behind
            block = torch.linalg.qr(block - basis @ (basis.T @ block)).Q
        basis = torch.cat([basis, block], dim=1)
        products.append(exact @ block)
        images = torch.cat([images, exact.T @ products[-1]], dim=1)
    return None
