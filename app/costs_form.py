"""The numbers behind the costs as widgets: what an answer is worth, people, and the machine."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import streamlit as st

from app.components import number_field, optional_field, plain
from app.i18n import t, text
from kasa.prices import Operation, Prices
from kasa.study import Study

MOST = 1e12
ANSWERS = {
    "answers_per_year": "answers_help",
    "benefit_per_correct": "benefit_help",
    "loss_per_wrong": "loss_help",
}
PEOPLE = (
    "staff_per_hour",
    "poc_hours",
    "rollout_hours",
    "upkeep_hours_per_month",
    "retrainings_per_year",
    "retraining_hours",
    "rows_per_retraining",
    "labelling_seconds",
)
OWNED = ("purchase", "life_years", "hours_per_year", "power_watts", "power_per_kwh")
COLUMNS = 4
# What a purchase costs before somebody says so: two years of full use at the rent.
RENT_HOURS = 2 * 2000


def costs_form(study: Study) -> Study:
    """Show every number of the cost model and return the study with them as they now stand."""
    st.caption(t("decide_page.numbers_lead"))
    operation = study.operation
    for heading, names in (("answer", tuple(ANSWERS)), ("people", PEOPLE)):
        st.markdown(f"**{t(f'decide_page.{heading}')}**")
        operation = replace(operation, **_fields(operation, names, study))
    st.markdown(f"**{t('decide_page.machine')}**")
    prices, operation = _machine(study.prices, operation, study)
    return replace(study, prices=prices, operation=operation)


def _fields(record: Operation | Prices, names: tuple[str, ...], study: Study) -> dict[str, Any]:
    """Show a field per number; one that may be empty stays so until something is typed."""
    columns = st.columns(COLUMNS)
    found: dict[str, Any] = {}
    for place, name in enumerate(names):
        value, label = getattr(record, name), t(f"meeting.input.{name}")
        options: dict[str, Any] = {"step": 1.0}
        if name in ANSWERS:
            options["help"] = t(f"decide_page.{ANSWERS[name]}")
        column, key = columns[place % COLUMNS], f"cost_{name}"
        if name == "staff_per_hour":
            usual = study.operation.staff(study.prices.currency)
            typed = number_field(column, label, usual, (0.0, MOST), key, **options)
            found[name] = value if typed == usual else typed
        elif type(record).__dataclass_fields__[name].default is None and name != "purchase":
            options["placeholder"] = t("decide_page.empty")
            found[name] = optional_field(column, label, value, (0.0, MOST), key, **options)
        else:
            least = 0.01 if name in {"purchase", "life_years", "hours_per_year"} else 0.0
            found[name] = number_field(column, label, value, (least, MOST), key, **options)
    return found


def _machine(prices: Prices, operation: Operation, study: Study) -> tuple[Prices, Operation]:
    """Show rent or purchase, use, and where the price is from."""
    owned = st.toggle(
        t("decide_page.owned"),
        prices.purchase is not None,
        key="cost_owned",
        help=t("decide_page.owned_help"),
    )
    if owned:
        known = (
            prices
            if prices.purchase is not None
            else replace(prices, purchase=RENT_HOURS * max(prices.machine_per_hour, 0.01))
        )
        prices = replace(known, **_fields(known, OWNED, study))
    else:
        rented = replace(prices, purchase=None)
        prices = replace(rented, **_fields(rented, ("machine_per_hour",), study))
    operation = replace(operation, **_fields(operation, ("serving_hours_per_year",), study))
    left, right = st.columns(2)
    source = left.text_input(
        t("meeting.input.source"),
        prices.source,
        key="cost_source",
        placeholder=t("decide_page.source_placeholder"),
        max_chars=max(200, len(prices.source)),
    )
    known_date = date.fromisoformat(prices.dated) if prices.dated else None
    dated = right.date_input(t("meeting.input.dated"), known_date, key="cost_dated")
    prices = replace(
        prices,
        source=source.strip(),
        dated=dated.isoformat() if isinstance(dated, date) else "",
    )
    hourly = text().money(prices.hourly, prices.currency)
    st.caption(plain(t("decide_page.hourly", price=hourly)))
    return prices, operation
