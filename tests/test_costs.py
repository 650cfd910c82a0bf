from __future__ import annotations

import pytest

from kasa.dataspec import DataSpec
from kasa.study import Prices, Protocol, Study
from kasa.verdict.compare import summarise
from kasa.verdict.costs import run_cost, total_cost
from kasa.verdict.measures import COSTS, METRIC_MEASURES, pareto_front
from tests.study_runs import example_runs


@pytest.mark.parametrize(
    ("seconds", "per_hour", "cost"), [(0, 350, 0), (3600, 350, 350), (90, 400, 10), (90, 0, 0)]
)
def test_run_cost(seconds: float, per_hour: float, cost: float) -> None:
    assert run_cost(seconds, priced(per_hour)) == cost
    assert run_cost(seconds, priced(per_hour, parallel_runs=4)) == cost / 4


def priced(per_hour: float, parallel_runs: int = 1) -> Study:
    """Return a study with a price, in which so many runs share the machine."""
    protocol = Protocol(parallel_runs=parallel_runs)
    prices = Prices("EUR", per_hour)
    return Study("Prices", "embedded", DataSpec("a.csv", "x", "y"), (), protocol, prices=prices)


def test_total_cost_adds_every_run() -> None:
    runs = example_runs(["lora-r8"])  # 45 + 46 + 47 s in total
    assert total_cost(runs, priced(3600)) == pytest.approx(138)
    assert total_cost(runs, priced(3600, parallel_runs=3)) == pytest.approx(46)
    assert total_cost([], priced(350)) == 0


def test_measures_read_the_summary() -> None:
    arm = summarise(example_runs(["lora-r8"]))[0]
    values = {name: measure.value(arm, priced(3600)) for name, measure in COSTS.items()}
    assert values == {
        "train_seconds": 42,
        "total_seconds": 46,
        "peak_memory_bytes": 910_000_000,
        "num_trainable_params": 76_000,
        "money": 46,
    }
    assert METRIC_MEASURES["accuracy"].value(arm, priced(350)) == pytest.approx(0.9)
    assert {measure.direction for measure in COSTS.values()} == {"lower"}
    assert {measure.direction for measure in METRIC_MEASURES.values()} == {"higher"}


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ({"a": (1, 0.5), "b": (2, 0.9), "c": (3, 0.8)}, ("a", "b")),
        ({"a": (1, 0.9), "b": (1, 0.8)}, ("a",)),
        ({"a": (1, 0.9), "b": (1, 0.9)}, ("a", "b")),
        ({"a": (2, 0.9), "b": (1, 0.9)}, ("b",)),
        ({"a": (5, 0.1)}, ("a",)),
        ({}, ()),
    ],
)
def test_pareto_front(points: dict[str, tuple[float, float]], front: tuple[str, ...]) -> None:
    assert pareto_front(points, ("lower", "higher")) == front


def test_pareto_front_follows_the_directions() -> None:
    points = {"a": (1.0, 0.5), "b": (2.0, 0.9)}
    assert pareto_front(points, ("higher", "higher")) == ("b",)
    assert pareto_front(points, ("lower", "lower")) == ("a",)
