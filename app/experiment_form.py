"""The settings of a draft study, as widgets: name, methods, profile and advanced settings.

Requirements and prices have a module of their own, because a started study may still change them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components import number_field, whole_field
from app.i18n import t, text
from kasa.report.labels import arm_labels
from kasa.study import METHODS, PROFILES, Arm, Protocol, Study

PENALTIES = {"beta": "β", "gamma": "γ"}
RATES = (1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2)


def study_form(study: Study) -> Study | None:
    """Show what is compared and how; None while a field is empty that may not be.

    Raises `StudyError` where the settings contradict each other, for example two equal methods.
    """
    title = st.text_input(
        t("experiment.title_label"),
        study.title,
        key="study_title",
        max_chars=max(120, len(study.title)),
    ).strip()
    arms = _arms(study)
    protocol = _profile(study.protocol)
    with st.expander(t("experiment.advanced.title"), key="advanced"):
        arms = _advanced_arms(replace(study, arms=arms)) if arms else ()
        rates, protocol = _advanced_protocol(protocol)
    missing = [
        name for name, value in (("title", title), ("arms", arms), ("rates", rates)) if not value
    ]
    for name in missing:
        st.warning(t(f"experiment.missing.{name}"), icon=":material/info:")
    if missing:
        return None
    return replace(study, title=title, arms=arms, protocol=replace(protocol, learning_rates=rates))


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
        placeholder=t("experiment.arms.placeholder"),
    )
    kept = tuple(arm for arm in study.arms if arm.method in chosen)
    tuned = next((arm for arm in study.arms if arm.tuned), Arm("lora"))
    added = tuple(Arm(method, rank=tuned.rank) for method in chosen if method not in present)
    # The order on the page and in the queue is always the same, whatever was clicked first.
    return tuple(sorted(kept + added, key=lambda arm: METHODS.index(arm.method)))


def _profile(protocol: Protocol) -> Protocol:
    labels = {name: t(f"report.profile.{name}").capitalize() for name in PROFILES}
    name = st.segmented_control(
        t("experiment.profile.label"),
        tuple(PROFILES),
        default=protocol.profile,
        format_func=labels.__getitem__,
        key="profile",
        required=True,
    )
    if name and name != protocol.profile:
        # Empty values take the new profile's own.
        protocol = replace(protocol, profile=name, seeds=(), learning_rates=(), epochs=0)
    st.caption(profile_words(protocol))
    return protocol


def profile_words(protocol: Protocol) -> str:
    """Return what a protocol asks for in words, with a caution where one seed is too few."""
    words = t(
        "experiment.profile.means",
        seeds=text().number(len(protocol.seeds)),
        rates=text().number(len(protocol.learning_rates)),
        epochs=text().number(protocol.epochs),
    )
    caution = t("experiment.profile.one_seed") if len(protocol.seeds) == 1 else ""
    return f"{words} {caution}".strip()


def _advanced_arms(study: Study) -> tuple[Arm, ...]:
    labels = arm_labels(study, text())
    changed: list[Arm] = []
    for name, arm in zip(study.arm_names(), study.arms, strict=True):
        if not arm.tuned:
            changed.append(arm)
            continue
        # By method and place, not by name: the name holds the rank that is edited here.
        key = f"{arm.method}_{sum(other.method == arm.method for other in changed)}"
        st.markdown(f"**{labels[name]}**")
        columns = st.columns(4)
        rank = whole_field(
            columns[0], t("experiment.advanced.rank"), arm.rank, (1, 1024), f"rank_{key}"
        )
        settings = _kasa_settings(arm, columns[1:], key, rank) if arm.method == "kasa" else {}
        changed.append(replace(arm, rank=rank, **settings))
    return tuple(changed)


def _kasa_settings(
    arm: Arm, columns: Sequence[DeltaGenerator], key: str, rank: int
) -> dict[str, Any]:
    weights = {
        name: number_field(
            column,
            letter,
            getattr(arm, name),
            (0.0, 10.0),
            f"{name}_{key}",
            step=1e-4,
            help=t(f"experiment.advanced.{name}"),
        )
        for column, (name, letter) in zip(columns[1:], PENALTIES.items(), strict=False)
    }
    return {"removed_components": _removed(arm, columns[0], key, rank)} | weights


def _removed(arm: Arm, column: DeltaGenerator, key: str, rank: int) -> int | None:
    """Show how much is removed; a plan says it per weight and is only named here."""
    label = t("experiment.advanced.removed")
    if arm.plan is not None:
        name = arm.plan_name or t("experiment.advanced.own_plan")
        column.text_input(label, name, disabled=True, key=f"plan_{key}")
        return arm.removed_components
    follows = arm.removed_components is None
    removed = whole_field(
        column,
        label,
        rank if arm.removed_components is None else arm.removed_components,
        (0, 1024),
        # A removal that follows the rank must show the new rank.
        f"removed_{key}_{rank if follows else 'own'}",
        help=t("experiment.advanced.removed_help"),
    )
    return None if follows and removed == rank else removed


def _advanced_protocol(protocol: Protocol) -> tuple[tuple[float, ...], Protocol]:
    """Return (learning rates, protocol); the rates are empty while none is chosen."""
    st.markdown(f"**{t('experiment.advanced.protocol')}**")
    rates = st.multiselect(
        t("experiment.advanced.rates"),
        sorted({*RATES, *protocol.learning_rates}),
        default=protocol.learning_rates,
        format_func="{:g}".format,
        help=t("experiment.advanced.rates_help"),
        key=f"rates_{protocol.profile}",
        placeholder=t("experiment.advanced.rates_placeholder"),
    )
    columns = st.columns(5)
    whole = _whole_settings(protocol, columns)
    margin = number_field(
        columns[4],
        t("experiment.advanced.margin"),
        100 * protocol.equivalence_margin,
        (0.0, 20.0),
        "margin",
        step=0.5,
        help=t("experiment.advanced.margin_help"),
    )
    same_seeds = whole["seeds"] == len(protocol.seeds)
    changed = replace(
        protocol,
        epochs=whole["epochs"],
        seeds=protocol.seeds if same_seeds else tuple(range(whole["seeds"])),
        batch_size=whole["batch"],
        max_length=whole["length"],
        equivalence_margin=round(margin / 100, 6),
    )
    return tuple(sorted(rates)), changed


def _whole_settings(protocol: Protocol, columns: Sequence[DeltaGenerator]) -> dict[str, int]:
    # What a profile brings has its name in the key, so that another profile shows its own.
    suffix = protocol.profile
    names = {
        "epochs": (protocol.epochs, (1, 1000), f"epochs_{suffix}"),
        "seeds": (len(protocol.seeds), (1, 20), f"seeds_{suffix}"),
        "batch": (protocol.batch_size, (1, 1024), "batch_size"),
        "length": (protocol.max_length, (8, 8192), "max_length"),
    }
    return {
        name: whole_field(
            column,
            t(f"experiment.advanced.{name}"),
            value,
            bounds,
            key,
            help=t(f"experiment.advanced.{name}_help"),
        )
        for column, (name, (value, bounds, key)) in zip(columns, names.items(), strict=False)
    }
