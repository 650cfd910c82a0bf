"""What an arm costs and brings at work: PoC, first year, three years, break-even, tornado.

Everything is a formula of the numbers in one `Case`, so that a sheet can hold the same formulas:

    tuning      = seconds of one tuning ÷ 3600 · machine hour
    poc         = seconds of all its runs ÷ 3600 · machine hour + PoC hours · staff hour
    start       = roll-out hours · staff hour
    year        = retrainings · (tuning + hours each · staff hour)
                  + retrainings · rows each · labelling seconds ÷ 3600 · staff hour
                  + 12 · upkeep hours a month · staff hour + serving hours · machine hour
    benefit     = answers a year · (right · benefit − (1 − right) · loss)

with years of operation 0 (PoC), 1 and 3; nothing is discounted.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from kasa.study import Study
from kasa.verdict.costs import SECONDS_PER_HOUR, machine_seconds
from kasa.verdict.evidence import Evidence

HORIZONS = {"poc": 0, "first_year": 1, "three_years": 3}
PARTS = ("machine", "people", "labelling", "serving")
# The metrics that are shares of right answers; others (a correlation, chrF) price no answer.
RIGHT_SHARES = ("accuracy", "exact_match")
LONGEST = 3


@dataclass(frozen=True)
class Case:
    """Every number that the costs of one arm rest on; hours, money in the study's currency.

    `right` is the share of right answers on the test rows, with its 95 % interval; None where the
    task's metrics are no such share.
    """

    tuning_seconds: float
    poc_seconds: float
    right: float | None
    right_low: float | None
    right_high: float | None
    machine_hour: float
    staff_hour: float
    poc_hours: float
    rollout_hours: float
    upkeep_hours_per_month: float
    retrainings_per_year: float
    retraining_hours: float
    rows_per_retraining: float
    labelling_seconds: float
    serving_hours_per_year: float
    answers_per_year: float | None
    benefit_per_correct: float | None
    loss_per_wrong: float

    @property
    def priced(self) -> bool:
        """Whether there is a benefit to set against the costs."""
        known = (self.right, self.answers_per_year, self.benefit_per_correct)
        return all(value is not None for value in known)


def right_metric(study: Study) -> str | None:
    """Return the metric that says how many answers are right, or None."""
    return next((name for name in RIGHT_SHARES if name in study.metrics), None)


def case_of(evidence: Evidence, arm: str) -> Case:
    """Return an arm's numbers: what was measured, what the study says, what is assumed."""
    study, operation = evidence.study, evidence.study.operation
    own = [run for run in evidence.finished if run.arm == arm]
    spent = machine_seconds(sum(run.total_seconds for run in own), study)
    summary = next(found for found in evidence.summaries if found.arm == arm)
    metric = right_metric(study)
    low, high = evidence.intervals[metric][arm] if metric else (None, None)
    given = {
        each.name: getattr(operation, each.name)
        for each in fields(operation)
        if each.name != "staff_per_hour"
    }
    return Case(
        tuning_seconds=spent / len(own),
        poc_seconds=spent,
        right=summary.metrics[metric].mean if metric else None,
        right_low=None if low is None else max(0.0, low),
        right_high=None if high is None else min(1.0, high),
        machine_hour=study.prices.hourly,
        staff_hour=operation.staff(study.prices.currency),
        **given,
    )


def costs(case: Case, horizon: str) -> dict[str, float]:
    """Return the money of each of `PARTS` up to the end of a horizon."""
    years = HORIZONS[horizon]
    runs = case.retrainings_per_year * years
    tuning = case.tuning_seconds / SECONDS_PER_HOUR * case.machine_hour
    hours = case.poc_hours
    if years:
        hours += case.rollout_hours + 12 * case.upkeep_hours_per_month * years
        hours += runs * case.retraining_hours
    labelled = runs * case.rows_per_retraining * case.labelling_seconds / SECONDS_PER_HOUR
    return {
        "machine": case.poc_seconds / SECONDS_PER_HOUR * case.machine_hour + runs * tuning,
        "people": hours * case.staff_hour,
        "labelling": labelled * case.staff_hour,
        "serving": case.serving_hours_per_year * years * case.machine_hour,
    }


def total(case: Case, horizon: str) -> float:
    """Return what an arm costs up to the end of a horizon."""
    return sum(costs(case, horizon).values())


def value_per_answer(case: Case) -> float | None:
    """Return what one answer brings in the mean, right and wrong ones together."""
    if case.right is None or case.benefit_per_correct is None:
        return None
    return case.right * case.benefit_per_correct - (1 - case.right) * case.loss_per_wrong


def benefit(case: Case, horizon: str) -> float | None:
    """Return what the answers bring up to the end of a horizon; None where it is not known."""
    each = value_per_answer(case)
    if each is None or case.answers_per_year is None:
        return None
    return HORIZONS[horizon] * case.answers_per_year * each


def net(case: Case, horizon: str) -> float | None:
    """Return benefit less costs up to the end of a horizon; None where no benefit is known."""
    gained = benefit(case, horizon)
    return None if gained is None else gained - total(case, horizon)


def net_interval(case: Case, horizon: str) -> tuple[float, float] | None:
    """Return the net at both ends of the 95 % interval of the share of right answers."""
    ends = [net(replace(case, right=end), horizon) for end in (case.right_low, case.right_high)]
    low, high = ends
    return None if low is None or high is None else (low, high)


def months_to_break_even(case: Case) -> float | None:
    """Return after how many months of operation the start is earned back; None for never.

    (PoC + start) ÷ (benefit a year − costs a year) · 12; None also where no benefit is known.
    """
    yearly = (total(case, "three_years") - total(case, "first_year")) / (LONGEST - 1)
    gained = benefit(case, "first_year")
    if gained is None or gained <= yearly:
        return None
    return 12 * (total(case, "first_year") - yearly) / (gained - yearly)


def answers_to_break_even(case: Case) -> float | None:
    """Return how many answers a year pay for three years; None where no number would."""
    each = value_per_answer(case)
    if each is None or each <= 0:
        return None
    return total(case, "three_years") / (LONGEST * each)


@dataclass(frozen=True)
class Lever:
    """What three years come to when one number of a case is halved or doubled, or at its ends.

    `low` and `high` are the number's two values, `at_low` and `at_high` the result there.
    """

    name: str
    low: float
    high: float
    at_low: float
    at_high: float

    @property
    def swing(self) -> float:
        """How far apart the two results lie."""
        return abs(self.at_high - self.at_low)


MEASURED = ("right", "right_low", "right_high", "poc_seconds")


def levers(case: Case) -> tuple[Lever, ...]:
    """Return what the three-year result depends on, the strongest first.

    The result is the net, or the cost where no benefit is known. The share of right answers goes
    over its 95 % interval, every other number from half to double.
    """
    found = []
    for each in fields(case):
        value = getattr(case, each.name)
        if value is None or each.name in MEASURED:
            continue
        found.append(_lever(case, each.name, value / 2, value * 2))
    if case.priced and case.right_low is not None and case.right_high is not None:
        found.append(_lever(case, "right", case.right_low, case.right_high))
    moving = [lever for lever in found if lever.swing > 0]
    return tuple(sorted(moving, key=lambda lever: -lever.swing))


def _lever(case: Case, name: str, low: float, high: float) -> Lever:
    ends = [result(replace(case, **{name: value})) for value in (low, high)]
    return Lever(name, low, high, *ends)


def result(case: Case) -> float:
    """Return what three years come to: the net, or the cost where no benefit is known."""
    gained = net(case, "three_years")
    return total(case, "three_years") if gained is None else gained


def given(study: Study) -> frozenset[str]:
    """Return the names of prices and numbers of operation that differ from what is assumed."""
    changed = {
        each.name
        for record in (study.prices, study.operation)
        for each in fields(record)
        if getattr(record, each.name) != each.default
    }
    return frozenset(changed)
