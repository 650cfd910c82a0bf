"""Where to cut a spectrum: criteria behind one interface, and plans made of them.

Every criterion answers with how many of the smallest singular components it removes. None removes
all: at least one component stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import tomli_w
from numpy.typing import ArrayLike

from kasa.errors import ModelError
from kasa.spectral.spectrum import (
    Spectrum,
    Values,
    checked,
    effective_rank,
    energy_fraction,
    energy_without_smallest,
    stable_rank,
)

# The 95 % point of the Tracy–Widom law of order 1.
TRACY_WIDOM_95 = 0.9793


@dataclass(frozen=True)
class Options:
    """What criteria can be told: how many to remove, the energy to keep, the share to remove."""

    removed_components: int = 8
    tau: float = 0.99
    share: float = 0.1

    def __post_init__(self) -> None:
        """Check both settings."""
        if self.removed_components < 0:
            got = self.removed_components
            raise ModelError("bad_criterion", name="removed_components", got=got, wanted=">= 0")
        if not 0 < self.tau <= 1:
            raise ModelError("bad_criterion", name="tau", got=self.tau, wanted="0 < tau <= 1")
        if not 0 <= self.share < 1:
            raise ModelError("bad_criterion", name="share", got=self.share, wanted="0 <= share < 1")


@dataclass(frozen=True)
class Cut:
    """One criterion's answer for one weight.

    `energy_kept` is Σσ² of the kept over all; `relative_change` is ‖W−W'‖_F/‖W‖_F, the root of the
    removed share; `threshold` is the σ that decided: the criterion's own for gavish_donoho and
    marchenko_pastur, otherwise the smallest σ kept.
    """

    criterion: str
    num_kept: int
    num_removed: int
    energy_kept: float
    relative_change: float
    threshold: float


@dataclass(frozen=True)
class Plan:
    """A truncation plan: for each module, the cut that one criterion proposes."""

    model: str
    criterion: str
    options: Options
    cuts: dict[str, Cut]


Rule = Callable[[Values, tuple[int, int], Options], tuple[int, float | None]]
"""(singular values, shape, options) -> (number kept, threshold or None for the smallest σ kept)."""


def _none(s: Values, _shape: tuple[int, int], _options: Options) -> tuple[int, float | None]:
    """Keep everything: the control."""
    return s.size, None


def _paper(s: Values, _shape: tuple[int, int], options: Options) -> tuple[int, float | None]:
    """Remove a fixed number of the smallest: KaSA, arXiv:2412.06071, section 3.2."""
    return s.size - options.removed_components, None


def _share(s: Values, _shape: tuple[int, int], options: Options) -> tuple[int, float | None]:
    """Remove the same share of every weight's components, rounded to a whole number."""
    return s.size - round(options.share * s.size), None


def _energy(s: Values, _shape: tuple[int, int], options: Options) -> tuple[int, float | None]:
    """Keep the fewest components with Σσ² of at least τ of the whole."""
    return int(np.searchsorted(energy_fraction(s), options.tau)) + 1, None


def _effective_rank(
    s: Values, _shape: tuple[int, int], _options: Options
) -> tuple[int, float | None]:
    """Keep ⌈exp(entropy of σ/Σσ)⌉ components: Roy and Vetterli, EUSIPCO 2007."""
    # The tolerance keeps rounding from lifting an exact whole number to the next.
    return math.ceil(effective_rank(s) - 1e-9), None


def _stable_rank(s: Values, _shape: tuple[int, int], _options: Options) -> tuple[int, float | None]:
    """Keep ⌈‖W‖_F²/‖W‖₂²⌉ components: Rudelson and Vershynin 2007."""
    return math.ceil(stable_rank(s) - 1e-9), None


def _gavish_donoho(
    s: Values, shape: tuple[int, int], _options: Options
) -> tuple[int, float | None]:
    """Keep σ > ω(β)·median σ, ω ≈ 0.56β³−0.95β²+1.82β+1.43: Gavish and Donoho 2014, IEEE T-IT."""
    beta = min(shape) / max(shape)
    threshold = (0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43) * float(np.median(s))
    return int((s > threshold).sum()), threshold


def _marchenko_pastur(
    s: Values, shape: tuple[int, int], _options: Options
) -> tuple[int, float | None]:
    """Keep σ above what the largest of pure noise reaches in 95 of 100 cases.

    σ² > s²·(μ + q·w): s is the noise of one entry, estimated from the median, median σ/√(μ_β·n)
    with the Marchenko–Pastur law's median μ_β (as in Gavish and Donoho 2014, section III); the edge
    μ = (√(n−½)+√(m−½))² and the width w = √μ·(1/√(n−½)+1/√(m−½))^(1/3) of its Tracy–Widom law,
    with the 95 % point q of order 1 (Johnstone 2001; Ma 2012). s²·μ is s²·n·(1+1/√Q)², Q = n/m.
    """
    small, large = min(shape), max(shape)
    noise = float(np.median(s)) / math.sqrt(marchenko_pastur_median(small / large) * large)
    near, far = math.sqrt(large - 0.5), math.sqrt(small - 0.5)
    width = (near + far) * (1 / near + 1 / far) ** (1 / 3)
    threshold = noise * math.sqrt((near + far) ** 2 + TRACY_WIDOM_95 * width)
    return int((s > threshold).sum()), threshold


CRITERIA: dict[str, Rule] = {
    "paper": _paper,
    "share": _share,
    "energy": _energy,
    "effective_rank": _effective_rank,
    "stable_rank": _stable_rank,
    "gavish_donoho": _gavish_donoho,
    "marchenko_pastur": _marchenko_pastur,
    "none": _none,
}


def cut(
    criterion: str,
    singular_values: ArrayLike,
    shape: tuple[int, int],
    options: Options | None = None,
) -> Cut:
    """Return where a criterion of `CRITERIA` cuts a spectrum; `ModelError` for an unknown one."""
    if criterion not in CRITERIA:
        raise ModelError("unknown_criterion", got=criterion, wanted=", ".join(CRITERIA))
    s = checked(singular_values)
    kept, threshold = CRITERIA[criterion](s, shape, options or Options())
    kept = min(max(kept, 1), s.size)
    energy = energy_without_smallest(s, s.size - kept)
    return Cut(
        criterion=criterion,
        num_kept=kept,
        num_removed=s.size - kept,
        energy_kept=energy,
        relative_change=_relative_change(s, kept),
        threshold=float(s[kept - 1]) if threshold is None else threshold,
    )


def propose(
    spectra: Sequence[Spectrum], criterion: str, model: str = "", options: Options | None = None
) -> Plan:
    """Return a criterion's cut for every weight of a model as one truncation plan."""
    chosen = options or Options()
    cuts = {s.module: cut(criterion, s.singular_values, s.shape, chosen) for s in spectra}
    return Plan(model, criterion, chosen, cuts)


def plan_to_toml(plan: Plan) -> str:
    """Return the plan as TOML: the model, the criterion, its options, and one table per weight."""
    weights = [
        {"module": module, "removed_components": c.num_removed, "energy_kept": c.energy_kept}
        for module, c in plan.cuts.items()
    ]
    head = {"model": plan.model, "criterion": plan.criterion, "options": asdict(plan.options)}
    return tomli_w.dumps({**head, "weights": weights})


@lru_cache(maxsize=1024)
def marchenko_pastur_median(beta: float) -> float:
    """Return the median of the Marchenko–Pastur law with aspect ratio 0 < β ≤ 1 and unit noise.

    Density √((b−x)(x−a))/(2πβx) on [a, b] = [(1−√β)², (1+√β)²]; the substitution
    x = m − h·cos θ makes the integrand smooth. Known values: 0.6528 at β = 1, and 1 as β → 0.
    """
    lower, upper = (1 - math.sqrt(beta)) ** 2, (1 + math.sqrt(beta)) ** 2
    middle, half = (upper + lower) / 2, (upper - lower) / 2
    # Midpoints keep clear of x = 0, the lower edge at β = 1.
    theta = (np.arange(20_000) + 0.5) * math.pi / 20_000
    x = middle - half * np.cos(theta)
    mass = np.cumsum(np.sin(theta) ** 2 / x)
    return float(np.interp(0.5, (mass - 0.5 * np.diff(mass, prepend=0.0)) / mass[-1], x))


def _relative_change(s: Values, kept: int) -> float:
    """Return √(Σ removed σ² / Σσ²)."""
    if s[0] == 0:
        return 0.0
    # Summed over the removed values: 1 − energy_kept would lose the small ones to rounding.
    scaled = (s / s[0]) ** 2
    return float(math.sqrt(scaled[kept:].sum() / scaled.sum()))
