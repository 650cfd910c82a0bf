"""What a method must reach to be worth it, and what a machine hour costs, as widgets."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app.components import number_field, optional_field
from app.i18n import t
from kasa.metrics import METRICS, metrics_of
from kasa.prices import Prices
from kasa.study import Gates, Study

CURRENCIES = ("JPY", "USD", "EUR", "CNY", "GBP", "KRW", "THB", "VND")


def requirements_form(study: Study) -> Study:
    """Show gates and prices and return the study with them as they now stand."""
    st.caption(t("experiment.gates.lead"))
    return replace(study, gates=_gates(study), prices=_prices(study.prices))


def _gates(study: Study) -> Gates:
    gates, names = study.gates, metrics_of(study.task)
    metrics = {name: t(f"metrics.{name}") for name in names}
    columns = st.columns(5)
    metric = columns[0].selectbox(
        t("experiment.gates.metric"),
        names,
        names.index(study.metric),
        format_func=metrics.__getitem__,
        key=f"gate_metric_name_{study.task}",
    )
    # Shares are typed as per cent, correlations as they are.
    share = METRICS[metric].unit == "fraction"
    scale = 100 if share else 1
    least = optional_field(
        columns[1],
        t(
            f"experiment.gates.{'metric_min' if share else 'correlation_min'}",
            metric=metrics[metric],
        ),
        None if gates.metric_min is None else scale * gates.metric_min,
        (0.001 * scale, 1.0 * scale),
        "gate_metric" if share else "gate_correlation",
        step=0.01 * scale,
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
    required = None if least is None else round(least / scale, 6)
    # Left to the task, the deciding metric stays so until another one is chosen.
    chosen = gates.metric if metric == study.metric else metric
    return replace(gates, metric=chosen, metric_min=required, **limits)


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
    return replace(prices, currency=currency, machine_per_hour=price)
