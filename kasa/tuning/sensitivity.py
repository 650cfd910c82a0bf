"""Sensitivity, measured: held-out loss against the number of removed components, and the best plan.

A curve is about one scope (a matrix, a layer, a kind of layer, or all of them) and one criterion;
its points remove the same share of every matrix of the scope. Changes are paired by row with the
untouched base, so their intervals are narrow. The plan is the largest cut that is shown to stay
within a tolerance, found with a budget of measurements on rows that no score has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from kasa.spectral.importance import SCORES, Scores
from kasa.tuning.blocks import block_of
from kasa.tuning.keys import BUDGET, TOLERANCE
from kasa.tuning.knowledge import Knowledge, Measured
from kasa.tuning.outcome import Part

SHARES = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
LEVEL = 0.95
Interval = tuple[float, float]
Removed = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Step:
    """What one cut did to held-out rows: the mean loss's change with its 95 % interval."""

    share: float
    num_removed: int
    loss: float
    change: float
    interval: Interval
    accuracy: float | None


@dataclass(frozen=True)
class Curve:
    """Cuts of one scope by one criterion, growing; the first removes nothing.

    `stable` is the largest share up to which every cut is shown to cost no more than the tolerance
    (the upper end of its interval).
    """

    scope: str
    name: str
    criterion: str
    num_components: int
    steps: tuple[Step, ...]
    stable: float


@dataclass(frozen=True)
class Candidate:
    """One cut that was tried for a plan: by which criterion, how much, and from which layers."""

    criterion: str
    share: float
    part: str
    num_removed: int
    step: Step


@dataclass(frozen=True)
class TaskPlan:
    """The chosen cut: components by module, what it is expected to cost, and what was tried."""

    chosen: Candidate | None
    removed: dict[str, tuple[int, ...]]
    tolerance: float
    base_loss: float
    base_accuracy: float | None
    num_rows: int
    tried: tuple[Candidate, ...]


def cut_of(scores: Sequence[Scores], criterion: str, share: float) -> Removed:
    """Return the least important share of every matrix's components; at least one stays."""
    found = {}
    for own in scores:
        order = own.order(criterion)
        count = min(round(share * order.size), order.size - 1)
        found[own.module] = tuple(map(int, order[:count]))
    return found


def mean_and_error(changes: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean of paired changes and its standard error s/√N, 0 for a single one."""
    error = float(changes.std(ddof=1)) / len(changes) ** 0.5 if len(changes) > 1 else 0.0
    return float(changes.mean()), error


def step_of(base: Measured, now: Measured, share: float, num_removed: int) -> Step:
    """Return a cut's step: mean paired change ± t·s/√N over the rows."""
    mean, error = mean_and_error(now.losses - base.losses)
    half = 0.0
    if error:
        half = float(stdtrit(len(base.losses) - 1, (1 + LEVEL) / 2)) * error
    interval = (mean - half, mean + half)
    return Step(share, num_removed, now.loss, mean, interval, now.accuracy)


def scopes(knowledge: Knowledge, modules: Sequence[str], scope: str) -> dict[str, list[str]]:
    """Return the named groups of modules that a scope stands for, in the model's order."""
    groups: dict[str, list[str]] = {}
    for module in modules:
        _, place = block_of(knowledge.base, module)
        kind = module.split(f".{place}.", 1)[-1]
        name = {"all": "all", "layer": str(place), "kind": kind, "matrix": module}[scope]
        groups.setdefault(name, []).append(module)
    return groups


def sensitivity(
    knowledge: Knowledge,
    scores: Sequence[Scores],
    part: Part,
    *,
    scope: str = "all",
    criteria: Sequence[str] = SCORES,
    shares: Sequence[float] = SHARES,
    tolerance: float = TOLERANCE,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[Curve]:
    """Yield a curve per group of the scope and criterion, measured on `part`.

    The blocks below the first one that a group touches run once for all of its cuts.
    """
    by_module = {own.module: own for own in scores}
    groups = scopes(knowledge, list(by_module), scope)
    base = knowledge.measured(part)
    total, done = len(groups) * len(criteria), 0
    for name, modules in groups.items():
        own = [by_module[module] for module in modules]
        first = min(modules, key=lambda module: block_of(knowledge.base, module)[1])
        with knowledge.resumed(first, part):
            for criterion in criteria:
                progress(done, total)
                steps = [step_of(base, base, 0.0, 0)]
                for share in sorted(shares):
                    removed = cut_of(own, criterion, share)
                    with knowledge.without(removed):
                        now = knowledge.measured(part)
                    steps.append(step_of(base, now, share, sum(map(len, removed.values()))))
                size = sum(each.expected.size for each in own)
                stable = stable_share(steps, tolerance * base.loss)
                yield Curve(scope, name, criterion, size, tuple(steps), stable)
                done += 1
    progress(total, total)


def stable_share(steps: Sequence[Step], allowed: float) -> float:
    """Return the largest share up to which every step's interval ends below what is allowed."""
    stable = 0.0
    for step in steps:
        if step.interval[1] > allowed:
            break
        stable = step.share
    return stable


def plan(
    knowledge: Knowledge,
    scores: Sequence[Scores],
    part: Part,
    *,
    criteria: Sequence[str] = SCORES,
    tolerance: float = TOLERANCE,
    budget: int = BUDGET,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> TaskPlan:
    """Return the largest cut shown to cost no more than `tolerance`·loss on `part`.

    Tried are every criterion on all layers, on the upper half and on the lower half of them (LASER,
    arXiv:2312.13558, found its gains in late layers), each by bisection over the shares, as far as
    the budget of measurements goes. Where two cuts are of one size the smaller loss wins; where
    none keeps within the tolerance nothing is removed.
    """
    base = knowledge.measured(part)
    halves = _halves(knowledge, scores)
    tried: list[Candidate] = []
    searches = [(name, own, criterion) for name, own in halves.items() for criterion in criteria]
    for number, (name, own, criterion) in enumerate(searches):
        # What is left of the budget is shared by the searches that are left.
        left = (budget - len(tried)) // (len(searches) - number)
        low, high = 0, len(SHARES)
        while low < high and left > 0:
            middle = (low + high) // 2
            cut = cut_of(own, criterion, SHARES[middle])
            with knowledge.without(cut):
                now = knowledge.measured(part)
            count = sum(map(len, cut.values()))
            step = step_of(base, now, SHARES[middle], count)
            tried.append(Candidate(criterion, SHARES[middle], name, count, step))
            progress(len(tried), budget)
            low, high = (middle + 1, high) if _within(step, base, tolerance) else (low, middle)
            left -= 1
    good = [each for each in tried if _within(each.step, base, tolerance)]
    chosen = max(good, key=lambda each: (each.num_removed, -each.step.loss), default=None)
    removed: Removed = {}
    if chosen is not None:
        removed = cut_of(halves[chosen.part], chosen.criterion, chosen.share)
    return TaskPlan(
        chosen=chosen,
        removed={module: tuple(sorted(own)) for module, own in removed.items()},
        tolerance=tolerance,
        base_loss=base.loss,
        base_accuracy=base.accuracy,
        num_rows=len(base.losses),
        tried=tuple(tried),
    )


def _within(step: Step, base: Measured, tolerance: float) -> bool:
    return step.interval[1] <= tolerance * base.loss


def _halves(knowledge: Knowledge, scores: Sequence[Scores]) -> dict[str, list[Scores]]:
    places = {own.module: block_of(knowledge.base, own.module)[1] for own in scores}
    middle = (max(places.values()) + 1) / 2
    found = {
        "all": list(scores),
        "upper": [own for own in scores if places[own.module] >= middle],
        "lower": [own for own in scores if places[own.module] < middle],
    }
    return {name: own for name, own in found.items() if own}
