"""A mean over seeds and test rows with its uncertainty: variance components and Student's t.

An arm's metric (or the difference of two) is seen on S seeds crossed with N test rows, one answer
each: the two-way random-effects layout without repetition. Its mean has the variance

    σ_row²/N + σ_seed²/S + σ_rest²/(S·N).

The rows' share (first and last term) is the bootstrap's variance of the seeds' mean; the seeds' own
is what the seeds' values vary beyond the rest, moments as in the analysis of variance. The interval
is t with Satterthwaite's degrees of freedom (1946): with three seeds that differ much it is as wide
as two degrees of freedom make it, with seeds that do not differ it is the rows' interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from kasa.verdict.resample import Replicates

Floats = NDArray[np.float64]

# Rows that nobody saw: without them two arms that never differ on two rows would have an interval
# of width zero. Correlations need none, scores are hardly ever equal.
UNSEEN_ROWS = 1.0


@dataclass(frozen=True)
class Estimate:
    """A mean with the shares of its variance; `df` are Satterthwaite's degrees of freedom.

    `row_variance` holds `rest_variance`, the share of what is neither row nor seed alone; all three
    are variances of the mean itself. With one seed, `seed_variance` and `rest_variance` are 0:
    unknown.
    """

    value: float
    row_variance: float
    seed_variance: float
    rest_variance: float
    df: float
    num_seeds: int
    num_rows: int

    @property
    def standard_error(self) -> float:
        """√(row_variance + seed_variance)."""
        return float(np.sqrt(self.row_variance + self.seed_variance))

    def interval(self, level: float) -> tuple[float, float]:
        """Return value ± t(df)·standard error, which holds the truth with probability `level`."""
        half = float(stdtrit(self.df, (1 + level) / 2)) * self.standard_error
        return self.value - half, self.value + half


def estimate(values: Floats, draws: Floats, num_rows: int, unseen: float = UNSEEN_ROWS) -> Estimate:
    """Return the estimate of the mean of `values` (S,), seen on row draws (R, S) as `draws`."""
    num_seeds = len(values)
    means = draws.mean(axis=1)
    rows = float(means.var(ddof=1)) + unseen / (num_rows + 2) ** 2
    between = rest = 0.0
    if num_seeds > 1:
        between = float(values.var(ddof=1)) / num_seeds
        apart = draws - means[:, None]
        rest = float(apart.var(axis=0, ddof=1).mean()) / (num_seeds - 1)
    seeds, df = seed_share(rows, between, rest, num_seeds, num_rows)
    return Estimate(
        value=float(values.mean()),
        row_variance=rows,
        seed_variance=float(seeds),
        rest_variance=rest,
        df=float(df),
        num_seeds=num_seeds,
        num_rows=num_rows,
    )


def seed_share(rows: Any, between: Any, rest: Any, num_seeds: int, num_rows: int) -> Any:
    """Return the seeds' variance, max(0, between − rest), and the mean's degrees of freedom.

    `rows`, `between` (s²/S of the seeds' values) and `rest` are variances of the mean, numbers or
    arrays. df = V² ÷ Σ (part² ÷ its own df), over the parts that V is made of.
    """
    seeds = np.maximum(0.0, between - rest)
    few, many = max(1, num_seeds - 1), max(1, num_rows - 1)
    parts = rows**2 / many
    parts = parts + np.where(seeds > 0, between**2 / few + rest**2 / (few * many), 0.0)
    total = (rows + seeds) ** 2
    return seeds, np.divide(total, parts, out=np.full_like(total, many), where=parts > 0)


def of_arm(arm: Replicates) -> Estimate:
    """Return one arm's estimate."""
    return estimate(arm.observed, arm.draws, arm.num_rows, _unseen(arm.metric, 2 * UNSEEN_ROWS))


def of_difference(a: Replicates, b: Replicates) -> Estimate:
    """Return the estimate of a − b over the same seeds and draws."""
    unseen = _unseen(a.metric, UNSEEN_ROWS)
    return estimate(a.observed - b.observed, a.draws - b.draws, a.num_rows, unseen)


def of_change(a: Replicates, b: Replicates, a_before: Replicates, b_before: Replicates) -> Estimate:
    """Return the estimate of (a − b) − (a_before − b_before) over the same seeds and draws."""
    values = a.observed - b.observed - a_before.observed + b_before.observed
    draws = a.draws - b.draws - a_before.draws + b_before.draws
    return estimate(values, draws, a.num_rows, _unseen(a.metric, 2 * UNSEEN_ROWS))


def _unseen(metric: str, rows: float) -> float:
    return 0.0 if metric in {"pearson", "spearman"} else rows
