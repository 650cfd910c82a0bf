"""What a machine hour and a person's hour cost, and what the method would do at work.

Both are records of a study file. None of it changes a result, so a started study may still change
it; every number, given or assumed, is printed with the costs that rest on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import date

from kasa.checks import check, check_types

# An hour of an engineer with overheads, of an order of magnitude: printed as assumed until changed.
USUAL_STAFF = {
    "JPY": 4000.0,
    "USD": 45.0,
    "EUR": 45.0,
    "GBP": 40.0,
    "CNY": 120.0,
    "KRW": 35_000.0,
    "THB": 350.0,
    "VND": 150_000.0,
}


@dataclass(frozen=True)
class Prices:
    """What a machine hour costs, in an ISO 4217 currency: rented, or owned.

    With a `purchase` price the machine is one's own, and its hour costs
    purchase ÷ (life_years · hours_per_year) + power_watts ÷ 1000 · power_per_kwh; without one it is
    rented for `machine_per_hour`. `source` and `dated` (ISO date) say where the price is from.
    """

    currency: str = "JPY"
    machine_per_hour: float = 350.0
    purchase: float | None = None
    life_years: float = 4.0
    hours_per_year: float = 2000.0
    power_watts: float = 150.0
    power_per_kwh: float = 0.0
    source: str = ""
    dated: str = ""

    def __post_init__(self) -> None:
        """Check the prices, the date's and the currency's form."""
        check_types(self, "prices")
        good = re.fullmatch("[A-Z]{3}", self.currency) is not None
        check(condition=good, name="prices.currency", got=self.currency, wanted="JPY, USD, EUR, …")
        for name in ("machine_per_hour", "power_watts", "power_per_kwh"):
            value = getattr(self, name)
            check(condition=value >= 0, name=f"prices.{name}", got=value, wanted=">= 0")
        for name in ("purchase", "life_years", "hours_per_year"):
            value = getattr(self, name)
            good = value is None or value > 0
            check(condition=good, name=f"prices.{name}", got=value, wanted="> 0")
        good = _is_date(self.dated)
        check(condition=good, name="prices.dated", got=self.dated, wanted="2026-11-30")

    @property
    def hourly(self) -> float:
        """What one hour of the machine costs."""
        if self.purchase is None:
            return self.machine_per_hour
        wear = self.purchase / (self.life_years * self.hours_per_year)
        return wear + self.power_watts / 1000 * self.power_per_kwh


def _is_date(words: str) -> bool:
    try:
        return not words or bool(date.fromisoformat(words))
    except ValueError:
        return False


@dataclass(frozen=True)
class Operation:
    """What a method would do at work in a year, what an answer is worth, and what people do for it.

    `benefit_per_correct` is what a right answer saves beyond today's way, `loss_per_wrong` what a
    wrong one costs; without `answers_per_year` and `benefit_per_correct` there are costs but no
    benefit. `staff_per_hour` left empty is the currency's usual one.
    """

    answers_per_year: float | None = None
    benefit_per_correct: float | None = None
    loss_per_wrong: float = 0.0
    staff_per_hour: float | None = None
    poc_hours: float = 40.0
    rollout_hours: float = 80.0
    upkeep_hours_per_month: float = 4.0
    retrainings_per_year: float = 4.0
    retraining_hours: float = 4.0
    rows_per_retraining: float = 200.0
    labelling_seconds: float = 30.0
    serving_hours_per_year: float = 2000.0

    def __post_init__(self) -> None:
        """Check that nothing is below zero."""
        check_types(self, "operation")
        for each in fields(self):
            value = getattr(self, each.name)
            good = value is None or value >= 0
            check(condition=good, name=f"operation.{each.name}", got=value, wanted=">= 0")

    def staff(self, currency: str) -> float:
        """Return what a person's hour costs; 0 where neither given nor usual in this currency."""
        if self.staff_per_hour is not None:
            return self.staff_per_hour
        return USUAL_STAFF.get(currency, 0.0)
