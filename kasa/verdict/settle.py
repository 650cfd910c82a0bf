"""What would settle a "cannot tell": how many seeds or how many test rows, by simulation.

A future study is drawn from what this one measured: the difference stays as it is, the variance
components too, and S' seeds on N' rows bring

    difference ~ N(Δ, σ_row²/N' + σ_seed²/S' + σ_rest²/(S'·N')),

its estimated components scaled χ². The same rule that gave this verdict is applied to each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from kasa.verdict.compare import Verdict
from kasa.verdict.estimate import Estimate, Floats, seed_share

ENOUGH = 0.8
MOST_SEEDS = 20
GROWTH = (1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0)
NUM_STUDIES = 2000


@dataclass(frozen=True)
class Settlement:
    """The least that would settle a verdict with probability `ENOUGH`, each way alone.

    `num_seeds` on the same rows and `num_rows` with the same seeds; None where not even
    `MOST_SEEDS` or the last of `GROWTH` would. `at_least` marks one seed: how much seeds differ is
    unknown and counted as nothing.
    """

    num_seeds: int | None
    num_rows: int | None
    at_least: bool


def settlement(verdict: Verdict) -> Settlement | None:
    """Return what would settle a verdict; None where it is settled. Deterministic."""
    if verdict.verdict != "cannot_tell":
        return None
    found = verdict.estimate

    def settles(num_seeds: int, num_rows: int) -> bool:
        return chance_to_settle(verdict, num_seeds, num_rows) >= ENOUGH

    more_rows = (math.ceil(found.num_rows * factor) for factor in GROWTH)
    more_seeds = range(found.num_seeds + 1, MOST_SEEDS + 1) if found.num_seeds > 1 else ()
    return Settlement(
        num_seeds=_first(more_seeds, lambda seeds: settles(seeds, found.num_rows)),
        num_rows=_first(more_rows, lambda rows: settles(found.num_seeds, rows)),
        at_least=found.num_seeds == 1,
    )


def _first(values: Iterable[int], good: Callable[[int], bool]) -> int | None:
    return next((value for value in values if good(value)), None)


def chance_to_settle(verdict: Verdict, num_seeds: int, num_rows: int) -> float:
    """Return how likely a study of so many seeds and test rows ends in another word."""
    rng = np.random.default_rng(0)
    rows, between, rest = _expected(verdict.estimate, num_seeds, num_rows)
    seen = rng.normal(verdict.difference, np.sqrt(rows + between - rest), NUM_STUDIES)
    many, few = max(1, num_rows - 1), num_seeds - 1
    rows_seen = rows * rng.chisquare(many, NUM_STUDIES) / many
    between_seen: Floats = np.zeros(NUM_STUDIES)
    if few:
        between_seen = between * rng.chisquare(few, NUM_STUDIES) / few
    seeds_seen, df = seed_share(rows_seen, between_seen, rest, num_seeds, num_rows)
    half = stdtrit(df, (1 + verdict.level) / 2) * np.sqrt(rows_seen + seeds_seen)
    apart = np.abs(seen) > half
    alike = np.abs(seen) + half <= verdict.margin
    return float(np.mean(apart | alike))


def _expected(found: Estimate, num_seeds: int, num_rows: int) -> tuple[float, float, float]:
    """Return the variances of the mean to expect: of rows, between seeds, and of the rest."""
    per_row, per_seed = found.num_rows / num_rows, found.num_seeds / num_seeds
    rest = found.rest_variance * per_row * per_seed
    alone = max(0.0, found.row_variance - found.rest_variance) * per_row
    return alone + rest, found.seed_variance * per_seed + rest, rest
