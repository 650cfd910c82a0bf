"""What can be compared between arms, with direction and unit as data; the Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kasa.metrics import METRICS, Metric
from kasa.runs.records import FinishedRun
from kasa.study import Study
from kasa.verdict.compare import ArmSummary
from kasa.verdict.costs import run_cost


@dataclass(frozen=True)
class Measure:
    """One measure; `direction` says whether higher or lower is better, `unit` how to print it.

    `value` reads an arm's summary, `of_run` one of its runs.
    """

    name: str
    direction: str
    unit: str
    value: Callable[[ArmSummary, Study], float]
    of_run: Callable[[FinishedRun, Study], float]


def _metric(metric: Metric) -> Measure:
    return Measure(
        metric.name,
        "higher",
        metric.unit,
        lambda arm, _: arm.metrics[metric.name].mean,
        lambda run, _: run.metrics[metric.name],
    )


def _cost(name: str, unit: str) -> Measure:
    def value(found: ArmSummary | FinishedRun, _: Study) -> float:
        return float(getattr(found, name))

    return Measure(name, "lower", unit, value, value)


def _money(found: ArmSummary | FinishedRun, study: Study) -> float:
    return run_cost(found.total_seconds, study)


METRIC_MEASURES: dict[str, Measure] = {name: _metric(metric) for name, metric in METRICS.items()}

COSTS: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        _cost("train_seconds", "seconds"),
        _cost("total_seconds", "seconds"),
        _cost("peak_memory_bytes", "bytes"),
        _cost("num_trainable_params", "count"),
        Measure("money", "lower", "money", _money, _money),
    )
}
# Where a requirement is drawn: the cost's name, and its unit in the requirement's.
GATED_COSTS = {
    "train_minutes_max": ("train_seconds", 60.0),
    "peak_memory_gb_max": ("peak_memory_bytes", 1e9),
    "money_max": ("money", 1.0),
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
