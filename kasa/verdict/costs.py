"""What the machine time costs: hours × price per hour, shared by the runs at work together."""

from __future__ import annotations

from collections.abc import Iterable

from kasa.runs.records import FinishedRun
from kasa.study import Study

SECONDS_PER_HOUR = 3600


def machine_seconds(seconds: float, study: Study) -> float:
    """Return what a run's seconds take of the machine: an n-th where n runs share it."""
    return seconds / study.protocol.places


def run_cost(seconds: float, study: Study) -> float:
    """Return machine seconds ÷ 3600 × the machine hour's price, in the study's currency."""
    hours = machine_seconds(seconds, study) / SECONDS_PER_HOUR
    return hours * study.prices.hourly


def total_cost(runs: Iterable[FinishedRun], study: Study) -> float:
    """Return the price of all the runs' machine time together, in the study's currency."""
    return run_cost(sum(run.total_seconds for run in runs), study)
