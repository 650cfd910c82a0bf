"""The metrics that a task is judged by, as data: what each is and which tasks have it."""

from __future__ import annotations

from dataclasses import dataclass

from kasa.dataspec import TASKS


@dataclass(frozen=True)
class Metric:
    """One metric of the test rows; `unit` says how to print it: fraction (a share) or correlation.

    Higher is better for all of them.
    """

    name: str
    unit: str
    tasks: tuple[str, ...]


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "accuracy", "fraction", ("classification", "pair_classification", "multiple_choice")
        ),
        Metric("macro_f1", "fraction", ("classification", "pair_classification")),
        Metric("pearson", "correlation", ("regression",)),
        Metric("spearman", "correlation", ("regression",)),
        Metric("chrf", "fraction", ("generation",)),
        Metric("exact_match", "fraction", ("generation",)),
    )
}


def metrics_of(task: str) -> tuple[str, ...]:
    """Return the names of a task's metrics; the first decides unless another was chosen.

    Raises `KeyError` for an unknown task.
    """
    if task not in TASKS:
        raise KeyError(task)
    return tuple(name for name, metric in METRICS.items() if task in metric.tasks)
