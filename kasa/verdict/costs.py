"""What the machine time costs: hours × price per hour."""

from __future__ import annotations

from collections.abc import Iterable

from kasa.runs.records import FinishedRun
from kasa.study import Prices

SECONDS_PER_HOUR = 3600


def run_cost(seconds: float, prices: Prices) -> float:
    """Return seconds ÷ 3600 × `machine_per_hour`, in the study's currency."""
    return seconds / SECONDS_PER_HOUR * prices.machine_per_hour


def total_cost(runs: Iterable[FinishedRun], prices: Prices) -> float:
    """Return the price of all the runs' machine time together, in the study's currency."""
    return run_cost(sum(run.total_seconds for run in runs), prices)
