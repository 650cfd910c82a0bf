"""The settings of a draft study, as widgets: arms, profile, advanced settings, gates and prices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from app.i18n import t, text
from kasa.report.labels import arm_label
from kasa.study import METHODS, PROFILES, Arm, Gates, Prices, Protocol, Study

CURRENCIES = ("JPY", "USD", "EUR", "CNY", "GBP", "KRW", "THB", "VND")
RATES = (1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2)


def study_form(study: Study) -> Study:
    """Show every setting of a study and return it as it now stands."""
    title = st.text_input(t("experiment.title_label"), study.title, key="study_title", max_chars=120)
    arms = _arms(study)
    protocol = _profile(study.protocol)
    with st.expander(t("experiment.advanced.title"), key="advanced"):
        arms = _advanced_arms(arms)
        protocol = _advanced_protocol(protocol)
    with st.expander(t("experiment.gates.title"), key="gates_and_prices"):
        gates, prices = _gates(study)
    return replace(
        study,
        title=title.strip() or study.title,
        arms=arms,
        protocol=protocol,
        gates=gates,
        prices=prices,
    )


def _arms(study: Study) -> tuple[Arm, ...]:
    labels = {method: t(f"arms.name.{method}") for method in METHODS}
    present = [method for method in METHODS if any(arm.method == method for arm in study.arms)]
    chosen = st.multiselect(
        t("experiment.arms.label"),
        METHODS,
        default=present,
        format_func=labels.__getitem__,
        help=t("experiment.arms.help"),
        key="arms",
    )
    if not chosen:
        st.warning(t("experiment.arms.none"), icon=":material/info:")
        return study.arms
    kept = tuple(arm for arm in study.arms if arm.method in chosen)
    tuned = next((arm for arm in study.arms if arm.tuned), Arm("lora"))
    added = tuple(
        Arm(method, rank=tuned.rank) for method in METHODS if method in chosen and method not in present
    )
    return kept + added


def _profile(protocol: Protocol) -> Protocol:
    labels = {name: t(f"experiment.profile.{name}") for name in PROFILES}
    chosen = st.segmented_control(
        t("experiment.profile.label"),
        tuple(PROFILES),
        default=protocol.profile,
        format_func=labels.__getitem__,
        key="profile",
        required=True,
    )
    name = chosen or protocol.profile
    if name != protocol.profile:
        kept = {"seeds": (), "learning_rates": (), "epochs": 0}
        protocol = replace(protocol, profile=name, **kept)
    st.caption(
        t(
            "experiment.profile.means",
            seeds=text().number(len(protocol.seeds)),
            rates=text().number(len(protocol.learning_rates)),
            epochs=text().number(protocol.epochs),
        )
    )
    if len(protocol.seeds) == 1:
        st.caption(t("experiment.profile.one_seed"))
    return protocol


def _advanced_arms(arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
    changed = []
    for index, arm in enumerate(arms):
        if not arm.tuned:
            changed.append(arm)
            continue
        st.markdown(f"**{arm_label(arm, text())}**")
        columns = st.columns(4)
        settings: dict[str, Any] = {
            "rank": columns[0].number_input(
                t("experiment.advanced.rank"), 1, 256, arm.rank, key=f"rank_{index}"
            )
        }
        if arm.method == "kasa":
            settings |= _kasa_settings(arm, columns[1:], index, int(settings["rank"]))
        changed.append(replace(arm, **settings))
    return tuple(dict.fromkeys(changed))


def _kasa_settings(arm: Arm, columns: Any, index: int, rank: int) -> dict[str, Any]:
    removed = columns[0].number_input(
        t("experiment.advanced.removed"),
        0,
        1024,
        rank if arm.removed_components is None else arm.removed_components,
        help=t("experiment.advanced.removed_help"),
        # A removal that follows the rank must show the new rank.
        key=f"removed_{index}_{rank if arm.removed_components is None else 'own'}",
    )
    beta = columns[1].number_input(
        "β", 0.0, 10.0, arm.beta, format="%g", help=t("experiment.advanced.beta"), key=f"beta_{index}"
    )
    gamma = columns[2].number_input(
        "γ", 0.0, 10.0, arm.gamma, format="%g", help=t("experiment.advanced.gamma"), key=f"gamma_{index}"
    )
    follows = arm.removed_components is None and removed == rank
    return {"removed_components": None if follows else removed, "beta": beta, "gamma": gamma}


def _advanced_protocol(protocol: Protocol) -> Protocol:
    st.markdown(f"**{t('experiment.advanced.protocol')}**")
    columns = st.columns(4)
    options = sorted({*RATES, *protocol.learning_rates})
    suffix = protocol.profile
    rates = columns[0].multiselect(
        t("experiment.advanced.rates"),
        options,
        default=protocol.learning_rates,
        format_func="{:g}".format,
        help=t("experiment.advanced.rates_help"),
        key=f"rates_{suffix}",
    )
    epochs = columns[1].number_input(
        t("experiment.advanced.epochs"), 1, 100, protocol.epochs, key=f"epochs_{suffix}"
    )
    seeds = columns[2].number_input(
        t("experiment.advanced.seeds"),
        1,
        20,
        len(protocol.seeds),
        help=t("experiment.advanced.seeds_help"),
        key=f"seeds_{suffix}",
    )
    batch = columns[3].number_input(
        t("experiment.advanced.batch"), 1, 256, protocol.batch_size, key="batch_size"
    )
    length = columns[0].number_input(
        t("experiment.advanced.length"), 8, 512, protocol.max_length, key="max_length"
    )
    margin = columns[1].number_input(
        t("experiment.advanced.margin"),
        0.0,
        20.0,
        100 * protocol.equivalence_margin,
        step=0.5,
        help=t("experiment.advanced.margin_help"),
        key="margin",
    )
    same_seeds = seeds == len(protocol.seeds)
    return replace(
        protocol,
        learning_rates=tuple(rates) or protocol.learning_rates,
        epochs=epochs,
        seeds=protocol.seeds if same_seeds else tuple(range(seeds)),
        batch_size=batch,
        max_length=length,
        equivalence_margin=round(margin / 100, 6),
    )


def _gates(study: Study) -> tuple[Gates, Prices]:
    gates, prices = study.gates, study.prices
    st.markdown(t("experiment.gates.lead"))
    columns = st.columns(4)
    least = columns[0].number_input(
        t("experiment.gates.metric_min"),
        1.0,
        100.0,
        None if gates.metric_min is None else 100 * gates.metric_min,
        step=1.0,
        placeholder=t("experiment.gates.none"),
        key="gate_metric",
    )
    minutes = columns[1].number_input(
        t("experiment.gates.minutes"),
        0.1,
        10_000.0,
        gates.train_minutes_max,
        step=1.0,
        placeholder=t("experiment.gates.none"),
        key="gate_minutes",
    )
    memory = columns[2].number_input(
        t("experiment.gates.memory"),
        0.1,
        1_000.0,
        gates.peak_memory_gb_max,
        step=1.0,
        placeholder=t("experiment.gates.none"),
        key="gate_memory",
    )
    money = columns[3].number_input(
        t("experiment.gates.money"),
        0.01,
        1e9,
        gates.money_max,
        placeholder=t("experiment.gates.none"),
        key="gate_money",
    )
    currencies = tuple(dict.fromkeys((*CURRENCIES, prices.currency)))
    currency = columns[0].selectbox(
        t("experiment.gates.currency"),
        currencies,
        currencies.index(prices.currency),
        key="currency",
    )
    price = columns[1].number_input(
        t("experiment.gates.price"), 0.0, 1e6, float(prices.machine_per_hour), key="price"
    )
    changed = replace(
        gates,
        metric_min=None if least is None else round(least / 100, 6),
        train_minutes_max=minutes,
        peak_memory_gb_max=memory,
        money_max=money,
    )
    return changed, Prices(currency, price)
