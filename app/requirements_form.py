"""What a method must reach to be worth it, and what a machine hour costs, as widgets."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app.components import number_field, optional_field
from app.i18n import t
from kasa.study import METRICS, Gates, Prices, Study

CURRENCIES = ("JPY", "USD", "EUR", "CNY", "GBP", "KRW", "THB", "VND")


def requirements_form(study: Study) -> Study:
    """Show gates and prices and return the study with them as they now stand."""
    st.caption(t("experiment.gates.lead"))
    return replace(study, gates=_gates(study), prices=_prices(study.prices))


def _gates(study: Study) -> Gates:
    gates = study.gates
    metrics = {name: t(f"metrics.{name}") for name in METRICS}
    columns = st.columns(5)
    metric = columns[0].selectbox(
        t("experiment.gates.metric"),
        METRICS,
        METRICS.index(gates.metric),
        format_func=metrics.__getitem__,
        key="gate_metric_name",
    )
    least = optional_field(
        columns[1],
        t("experiment.gates.metric_min", metric=metrics[metric]),
        None if gates.metric_min is None else 100 * gates.metric_min,
        (0.1, 100.0),
        "gate_metric",
        step=1.0,
        placeholder=t("experiment.gates.none"),
    )
    limits = {
        name: optional_field(
            column,
            t(f"experiment.gates.{name}", currency=study.prices.currency),
            getattr(gates, name),
            (0.01, 1e9),
            f"gate_{name}",
            step=1.0,
            placeholder=t("experiment.gates.none"),
        )
        for column, name in zip(
            columns[2:], ("train_minutes_max", "peak_memory_gb_max", "money_max"), strict=True
        )
    }
    share = None if least is None else round(least / 100, 6)
    return replace(gates, metric=metric, metric_min=share, **limits)


def _prices(prices: Prices) -> Prices:
    currencies = tuple(dict.fromkeys((*CURRENCIES, prices.currency)))
    columns = st.columns(5)
    currency = columns[0].selectbox(
        t("experiment.gates.currency"),
        currencies,
        currencies.index(prices.currency),
        key="currency",
    )
    price = number_field(
        columns[1],
        t("experiment.gates.price"),
        float(prices.machine_per_hour),
        (0.0, 1e9),
        "price",
        step=1.0,
        help=t("experiment.gates.price_help"),
    )
    return Prices(currency, price)
