"""The energy curve of a large weight from a few products with it, with an error band.

Stochastic Lanczos quadrature (Ubaru, Chen and Saad 2017) by one block Lanczos run on A = WᵀW (or
WWᵀ, the smaller side) from p random probes. It gives two things at once. The block's Ritz values θᵢ
are the leading σᵢ², with residuals rᵢ. Every probe's own Gauss rule (nodes λⱼ, weights wⱼ) samples
the spectral density: N(λ) = Σ_{λⱼ>λ} wⱼ is the share of components above λ, Σ_{λⱼ>λ} wⱼ·λⱼ their
energy, and the pairs trace the energy curve. ‖W‖_F² is exact, so the curve ends where it must.

The band is an estimate, not a proof: four standard errors over the probes, plus twice the change
against a rule of two steps fewer, which sees a curve that the quadrature has not resolved yet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Values = NDArray[np.float64]

PROBES = 8
STEPS = 12
SHORTER = 2
# The least min(shape) whose Krylov space has room.
WORTHWHILE = 8 * PROBES * STEPS
SIGMAS = 4.0
RESOLUTION_FACTOR = 2.0
# A curve drawn through a dozen points is no better than this share of the energy it describes, and
# no figure here is better than this share of the whole.
INTERPOLATION = 0.01
ABSOLUTE = 5e-4
# Ritz values whose residual is below this share of them count as found.
FOUND = 1e-3
BREAKDOWN = 1e-5
CACHED_ROWS = 64


@dataclass(frozen=True, eq=False)
class Sketch:
    """An approximate spectrum of k = min(shape) values, descending, with its error.

    `energy_low` ≤ true energy fraction ≤ `energy_high` at every number of components 1…k, with
    about 4 standard errors of confidence; `num_found` leading values are known individually.
    """

    singular_values: Values
    energy_low: Values
    energy_high: Values
    num_found: int


def sketch(
    weight: torch.Tensor, *, probes: int = PROBES, steps: int = STEPS, seed: int = 0
) -> Sketch:
    """Return a sketch of W's spectrum from 2·`steps` products with W; shape (m, n), float32.

    A weight too small for the block Krylov space is not worth a sketch: raises ValueError.
    """
    size = min(weight.shape)
    if probes * (steps + 1) > size:
        raise ValueError(f"got min(shape) = {size}, wanted at least {probes * (steps + 1)}")
    # Row by row in W's precision, then in float64: as exact as needed, and W is not copied.
    rows = torch.linalg.vector_norm(weight, dim=1)
    total = float(torch.linalg.vector_norm(rows, dtype=torch.float64)) ** 2
    if total == 0:
        flat = np.ones(size)
        return Sketch(np.zeros(size), flat, flat, 0)
    band, coupling = _block_lanczos(weight, probes, steps, seed)
    values, vectors = np.linalg.eigh(band)
    residuals = np.linalg.norm(coupling @ vectors[-probes:], axis=0)[::-1]
    ritz, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
    num_found = _num_found(ritz, residuals, size * (vectors[:probes] ** 2).mean(0))
    head, error = ritz[:num_found] / total, residuals[:num_found] / total
    shorter = SHORTER if len(band) == probes * steps else 0  # broken down means resolved
    rest = _rest_curve(band, vectors[:, :num_found], probes, shorter, size - num_found)
    scale = max(0.0, 1.0 - head.sum())
    middle, low, high = (np.concatenate([np.cumsum(head), head.sum() + scale * c]) for c in rest)
    low, high = low - ABSOLUTE, high + ABSOLUTE
    return _joined(head, error, middle, low, high, total)


def _num_found(ritz: Values, residuals: Values, mass: Values) -> int:
    """Return how many leading Ritz values are single eigenvalues known to be there, one by one.

    `mass` estimates how many eigenvalues each stands for; where the sum is clearly more than the
    number of values, some are multiple and a block of probes cannot count them.
    """
    number = np.arange(1, len(ritz) + 1)
    many = np.cumsum(mass) > number + 1 + SIGMAS * np.sqrt(2 * number / PROBES)
    bad = np.flatnonzero((residuals > FOUND * ritz) | many)
    return int(bad[0]) if bad.size else len(ritz)


def _rest_curve(
    band: Values, found: Values, probes: int, shorter: int, count: int
) -> tuple[Values, Values, Values]:
    """Return the energy curve of the components not found, with its band, scaled to end at 1."""
    num_steps = len(band) // probes
    counts = np.arange(1, count + 1) / max(count, 1)
    long = _curves(band, found, probes, num_steps, counts)
    short = _curves(band, found, probes, num_steps - shorter, counts)
    middle = long.mean(0)
    spread = SIGMAS * long.std(0, ddof=1) / probes**0.5
    change = RESOLUTION_FACTOR * np.abs(middle - short.mean(0))
    error = spread + change + INTERPOLATION
    return middle, middle - error, middle + error


def _joined(
    head: Values, error: Values, middle: Values, low: Values, high: Values, total: float
) -> Sketch:
    """Return the sketch whose first values are the found ones and whose rest is the curve's."""
    found = len(head)
    size = len(middle)
    if found:
        known = np.cumsum(head)
        # Past the found ones no value is larger than the last of them.
        rest = np.arange(1, size - found + 1) * (head[-1] + error[-1])
        ceiling = np.concatenate([known + np.cumsum(error), known[-1] + error.sum() + rest])
        floor = np.concatenate([known, np.full(size - found, known[-1])])
        ceiling, floor = ceiling + ABSOLUTE, floor - ABSOLUTE
        low, high = np.maximum(low, floor), np.minimum(high, ceiling)
        low[:found], high[:found] = floor[:found], ceiling[:found]
        middle = np.clip(middle, low, high)
        middle[:found] = known
    # Concave from (0, 0) to (k, 1): the mean share is a floor, and the ends are exact.
    even = np.arange(1, size + 1) / size
    low = np.clip(np.maximum.accumulate(np.maximum(low, even)), 0, 1)
    high = np.clip(np.maximum(high, low), 0, 1)
    low[-1] = high[-1] = 1.0
    middle = np.clip(middle, low, high)
    shares = np.diff(_concave(middle), prepend=0.0)
    if found:
        shares[:found] = head
    values = np.sqrt(np.minimum.accumulate(shares.clip(min=0)) * total)
    return Sketch(values, low, high, found)


def _concave(curve: Values) -> Values:
    """Return the least concave majorant of a curve through (0, 0): energy curves are concave."""
    heights = np.concatenate([[0.0], curve])
    hull = [0]
    for place in range(1, len(heights)):
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (heights[b] - heights[a]) * (place - b) > (heights[place] - heights[b]) * (b - a):
                break
            hull.pop()
        hull.append(place)
    return np.interp(np.arange(1, len(heights)), hull, heights[hull])


def _block_lanczos(
    weight: torch.Tensor, probes: int, steps: int, seed: int
) -> tuple[Values, Values]:
    """Return the block tridiagonal matrix of A on the Krylov space, and the coupling out of it.

    Shapes: (probes·steps, probes·steps) and (probes, probes). Products run in W's precision with
    full reorthogonalisation; everything small is float64.
    """
    tall = weight if weight.shape[0] >= weight.shape[1] else weight.T
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(tall.shape[1], probes, generator=generator).to(tall)
    block = torch.linalg.qr(start).Q
    basis = [block]
    band = np.zeros((probes * steps, probes * steps))
    coupling = np.zeros((probes, probes))
    for step in range(steps):
        image = _twice(tall, block)
        here = slice(step * probes, (step + 1) * probes)
        diagonal = (block.T @ image).double().cpu().numpy()
        band[here, here] = (diagonal + diagonal.T) / 2
        space = torch.cat(basis, dim=1)
        for _ in range(2):
            image = image - space @ (space.T @ image)
        block, factor = torch.linalg.qr(image)
        coupling = factor.double().cpu().numpy()
        smallest = float(np.abs(np.diag(coupling)).min())
        if smallest <= BREAKDOWN * float(np.abs(band[here, here]).max()):
            # The Krylov space holds all there is in some direction; going on would add noise.
            return band[: here.stop, : here.stop], coupling
        if step + 1 < steps:
            there = slice((step + 1) * probes, (step + 2) * probes)
            band[there, here], band[here, there] = coupling, coupling.T
            basis.append(block)
    return band, coupling


def _twice(tall: torch.Tensor, block: torch.Tensor) -> torch.Tensor:
    """Return Wᵀ(W·X); slabs stay in the cache for the second product, so W is read only once.

    A wide weight comes transposed; its own rows are what lies together in memory.
    """
    if tall.is_cuda:
        return tall.T @ (tall @ block)
    if not tall.is_contiguous():
        wide = tall.T
        return wide @ (block.T @ wide).T
    flat = block.T.contiguous()
    image = torch.zeros_like(flat)
    for start in range(0, len(tall), CACHED_ROWS):
        slab = tall[start : start + CACHED_ROWS]
        image.addmm_(flat @ slab.T, slab)
    return image.T


def _curves(band: Values, found: Values, probes: int, steps: int, counts: Values) -> Values:
    """Return each probe's energy curve at `counts` without `found`, scaled to end at 1."""
    curves = []
    for probe in range(probes):
        start = np.zeros(len(band))
        start[probe] = 1.0
        start -= found @ (found.T @ start)
        nodes, weights = _gauss_rule(band, start, steps)
        nodes, weights = nodes[::-1].clip(min=0), weights[::-1]
        energy = nodes * weights
        # Half of a node's weight lies above it and half below: both edges and middles are points.
        count = np.stack([np.cumsum(weights) - weights / 2, np.cumsum(weights)], axis=1).ravel()
        share = np.stack([np.cumsum(energy) - energy / 2, np.cumsum(energy)], axis=1).ravel()
        last = share[-1] if share[-1] > 0 else 1.0
        curves.append(np.interp(counts, np.append(0.0, count), np.append(0.0, share / last)))
    return np.stack(curves)


def _gauss_rule(band: Values, start: Values, steps: int) -> tuple[Values, Values]:
    """Return the Gauss rule of scalar Lanczos with the small matrix from `start`, `steps` long."""
    basis = [start / max(float(np.linalg.norm(start)), 1e-300)]
    alphas, betas = [], []
    for step in range(steps):
        image = band @ basis[-1]
        alphas.append(float(basis[-1] @ image))
        space = np.stack(basis, axis=1)
        for _ in range(2):
            image = image - space @ (space.T @ image)
        beta = float(np.linalg.norm(image))
        if beta <= 1e-12 * abs(alphas[0]) or step == steps - 1:
            break
        betas.append(beta)
        basis.append(image / beta)
    tridiagonal = np.diag(alphas) + np.diag(betas, 1) + np.diag(betas, -1)
    nodes, vectors = np.linalg.eigh(tridiagonal)
    return nodes, vectors[0] ** 2
