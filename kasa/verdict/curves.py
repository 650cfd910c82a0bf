"""Learning curves and noise curves: what fewer rows, wrong labels and more rows do to an arm.

KaSA is said to help where rows are few or labels wrong. Here that is one number with an interval:
how the difference between two arms changes from all rows as they are to the hardest level. What
more rows would bring is foretold from the curve's shape, with the uncertainty of its points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kasa.arms import Arm
from kasa.runs.records import FinishedRun
from kasa.study import Study
from kasa.verdict.compare import LEVEL, arm_interval, common_seeds, decide
from kasa.verdict.estimate import Estimate, of_arm, of_change, of_difference
from kasa.verdict.resample import Replicates

Floats = NDArray[np.float64]
Interval = tuple[float, float]

ROWS, NOISE = "rows", "noise"
KINDS = (ROWS, NOISE)
# A curve of fewer points has no shape to go on.
LEAST_POINTS = 3
MORE_ROWS = 2.0
EXPONENTS = np.linspace(0.05, 1.0, 20)
DRAWN_SHAPES = 1000


@dataclass(frozen=True)
class Point:
    """An arm's mean metric at one level: a share of the training rows, or of wrong labels."""

    level: float
    num_train_rows: float
    estimate: Estimate
    interval: Interval
    run_ids: tuple[str, ...]


@dataclass(frozen=True)
class Forecast:
    """What `MORE_ROWS` times the training rows should bring: metric there, and the gain."""

    value: float
    interval: Interval
    gain: float
    gain_interval: Interval
    verdict: str


@dataclass(frozen=True)
class Curve:
    """One arm's points, levels ascending; `forecast` where a learning curve has enough of them."""

    arm: str
    points: tuple[Point, ...]
    forecast: Forecast | None = None


@dataclass(frozen=True)
class Gap:
    """The mean difference a − b at one level, over the seeds that both arms have there."""

    level: float
    estimate: Estimate
    interval: Interval


@dataclass(frozen=True)
class CurveSet:
    """All curves of one kind on one metric.

    `pair` are the arms of first interest among those with a curve, `gaps` their difference at every
    level, `change` the hardest level's gap less that with all rows as they are, and `verdict` what
    the change says of a: better, worse, equivalent (inside ±margin) or cannot_tell.
    """

    kind: str
    metric: str
    curves: tuple[Curve, ...]
    pair: tuple[str, str] | None = None
    gaps: tuple[Gap, ...] = ()
    change: Gap | None = None
    verdict: str = "cannot_tell"


def level_of(arm: Arm, kind: str) -> float:
    """Return where an arm lies on a curve of this kind: 1 for all rows, 0 for no wrong label."""
    if kind == ROWS:
        return 1.0 if arm.train_share is None else arm.train_share
    return 0.0 if arm.label_noise is None else arm.label_noise


def curve_sets(
    study: Study,
    by_arm: Mapping[str, Sequence[FinishedRun]],
    drawn: Mapping[str, Mapping[str, Replicates]],
    pairs: Sequence[tuple[str, str]],
) -> tuple[CurveSet, ...]:
    """Return the curves of every kind and metric that have points; `pairs` in order of interest."""
    found = []
    for kind in KINDS:
        members = _members(study, by_arm, kind)
        if members:
            for metric, own in drawn.items():
                found.append(_curve_set(study, kind, metric, members, by_arm, own, pairs))
    return tuple(found)


def _members(
    study: Study, by_arm: Mapping[str, Sequence[FinishedRun]], kind: str
) -> dict[str, dict[float, str]]:
    """Return for every judged arm with a curve its finished arms by level, levels ascending."""
    arms, members = study.named_arms(), dict[str, dict[float, str]]()
    for name in by_arm:
        arm = arms[name]
        other = arm.label_noise if kind == ROWS else arm.train_share
        if other is None:
            members.setdefault(study.whole_of(name), {})[level_of(arm, kind)] = name
    return {arm: dict(sorted(own.items())) for arm, own in members.items() if len(own) > 1}


def _curve_set(
    study: Study,
    kind: str,
    metric: str,
    members: Mapping[str, Mapping[float, str]],
    by_arm: Mapping[str, Sequence[FinishedRun]],
    drawn: Mapping[str, Replicates],
    pairs: Sequence[tuple[str, str]],
) -> CurveSet:
    margin = study.protocol.equivalence_margin
    curves = []
    for arm, own in members.items():
        points = tuple(_point(level, by_arm[name], drawn[name]) for level, name in own.items())
        forecast = None
        if kind == ROWS and 1.0 in own and len(points) >= LEAST_POINTS:
            forecast = foretell(points, [drawn[name] for name in own.values()], margin)
        curves.append(Curve(arm, points, forecast))
    whole, hardest = (1.0, min) if kind == ROWS else (0.0, max)
    pair = next((pair for pair in pairs if all(arm in members for arm in pair)), None)
    if pair is None:
        return CurveSet(kind, metric, tuple(curves))
    a, b = (members[arm] for arm in pair)
    gaps = {
        level: _gap(level, drawn[a[level]], drawn[b[level]])
        for level in a
        if level in b and common_seeds(by_arm[a[level]], by_arm[b[level]])
    }
    change, verdict = None, "cannot_tell"
    if whole in gaps and len(gaps) > 1:
        far = hardest(gaps)
        change = _change(far, [drawn[name] for name in (a[far], b[far], a[whole], b[whole])])
    if change is not None:
        verdict = decide(change.interval, margin)
    return CurveSet(kind, metric, tuple(curves), pair, tuple(gaps.values()), change, verdict)


def _point(level: float, runs: Sequence[FinishedRun], drawn: Replicates) -> Point:
    rows = [run.num_train_rows or 0 for run in runs]
    ids = tuple(run.id for run in runs)
    return Point(level, sum(rows) / len(rows), of_arm(drawn), arm_interval(drawn), ids)


def _gap(level: float, a: Replicates, b: Replicates) -> Gap:
    seeds = [seed for seed in a.seeds if seed in b.seeds]
    found = of_difference(a.of(seeds), b.of(seeds))
    return Gap(level, found, found.interval(LEVEL))


def _change(level: float, four: Sequence[Replicates]) -> Gap | None:
    """Return (a − b) at a level less (a − b) with all rows, over the seeds that all four have."""
    seeds = [seed for seed in four[0].seeds if all(seed in each.seeds for each in four[1:])]
    if not seeds:
        return None
    a, b, a_whole, b_whole = (each.of(seeds) for each in four)
    found = of_change(a, b, a_whole, b_whole)
    return Gap(level, found, found.interval(LEVEL))


def foretell(points: Sequence[Point], drawn: Sequence[Replicates], margin: float) -> Forecast:
    """Return what `MORE_ROWS` times the rows should bring, from a learning curve up to all rows.

    The error 1 − metric at x times the rows is taken as c + a·x^−b with a, c ≥ 0 and b from 0.05
    to 1 (power laws of learning: Hestness et al. 2017, arXiv:1712.00409). The shape is fitted to
    the points, and to 1,000 draws of them: the test rows drawn anew, the same for all points, and
    each point moved by its seeds' luck. The gain is the fit's own, from x = 1 on; it is added to
    what was measured there.
    """
    shares = np.array([point.level for point in points])
    targets = np.array([1.0, MORE_ROWS])
    seen = np.array([point.estimate.value for point in points])
    luck = np.sqrt([point.estimate.seed_variance for point in points])
    rng = np.random.default_rng(0)
    draws = np.stack([each.draws[:DRAWN_SHAPES].mean(axis=1) for each in drawn], axis=1)
    draws = draws + rng.normal(size=draws.shape) * luck
    now, later = power_law(shares, 1 - seen[None], targets)[0]
    errors = power_law(shares, 1 - draws, targets)
    gain, gains = float(now - later), errors[:, 0] - errors[:, 1]
    low, high = _ends(gains)
    verdict = "more" if low > margin else "little" if high <= margin else "cannot_tell"
    return Forecast(
        value=points[-1].estimate.value + gain,
        interval=_ends(draws[:, -1] + gains),
        gain=gain,
        gain_interval=(low, high),
        verdict=verdict,
    )


def _ends(values: Floats) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def power_law(shares: Floats, errors: Floats, targets: Floats) -> Floats:
    """Return c + a·x^−b at the targets, (R, M), of least squares to errors (R, K) at shares (K,).

    For every exponent the best a, c ≥ 0 are known in closed form; the best exponent is kept.
    """
    best = np.full(len(errors), np.inf)
    found = np.zeros((len(errors), len(targets)))
    mean = errors.mean(axis=1)
    for exponent in EXPONENTS:
        x = shares**-exponent
        apart = x - x.mean()
        slope = np.maximum(0.0, (errors - mean[:, None]) @ apart / (apart @ apart))
        floor = mean - slope * x.mean()
        through_zero = errors @ x / (x @ x)
        slope = np.where(floor < 0, through_zero, slope)
        floor = np.maximum(0.0, floor)
        rest = ((errors - floor[:, None] - slope[:, None] * x) ** 2).sum(axis=1)
        better = rest < best
        best = np.where(better, rest, best)
        values = floor[:, None] + slope[:, None] * targets**-exponent
        found = np.where(better[:, None], values, found)
    return found
