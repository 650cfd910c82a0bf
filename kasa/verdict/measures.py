"""What can be compared between arms, with direction and unit as data; the Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kasa.metrics import METRICS, Metric
from kasa.study import Study
from kasa.verdict.compare import ArmSummary
from kasa.verdict.costs import run_cost


@dataclass(frozen=True)
class Measure:
    """One measure; `direction` says whether higher or lower is better, `unit` how to print it."""

    name: str
    direction: str
    unit: str
    value: Callable[[ArmSummary, Study], float]


def _metric(metric: Metric) -> Measure:
    return Measure(metric.name, "higher", metric.unit, lambda arm, _: arm.metrics[metric.name].mean)


METRIC_MEASURES: dict[str, Measure] = {name: _metric(metric) for name, metric in METRICS.items()}

COSTS: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("train_seconds", "lower", "seconds", lambda arm, _: arm.train_seconds),
        Measure("total_seconds", "lower", "seconds", lambda arm, _: arm.total_seconds),
        Measure("peak_memory_bytes", "lower", "bytes", lambda arm, _: arm.peak_memory_bytes),
        Measure("num_trainable_params", "lower", "count", lambda arm, _: arm.num_trainable_params),
        Measure("money", "lower", "money", lambda arm, study: run_cost(arm.total_seconds, study)),
    )
}


def pareto_front(
    points: Mapping[str, tuple[float, float]], directions: tuple[str, str]
) -> tuple[str, ...]:
    """Return the names no other point beats: at least as good on both axes and better on one.

    `directions` says for each axis whether higher or lower is better; the front is sorted by the
    first axis. Equal points are all kept.
    """
    signs = tuple(1.0 if direction == "higher" else -1.0 for direction in directions)
    scores = {name: (signs[0] * x, signs[1] * y) for name, (x, y) in points.items()}

    def beaten(name: str) -> bool:
        x, y = scores[name]
        return any(other[0] >= x and other[1] >= y and other != (x, y) for other in scores.values())

    front = [name for name in points if not beaten(name)]
    return tuple(sorted(front, key=lambda name: points[name]))
