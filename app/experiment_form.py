"""The settings of a draft study, as widgets: name, methods, profile and advanced settings.

Requirements and prices have a module of their own, because a started study may still change them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.arms_form import arm_settings, choose_methods
from app.components import number_field, optional_field, whole_field
from app.curves_form import choose_curves, split_curves
from app.i18n import t, text
from app.targets_form import choose_targets
from kasa.study import MOST_TRIAL_SECONDS, PROFILES, Protocol, Study

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
    judged, points = split_curves(study.arms)
    study = replace(study, arms=judged)
    arms = choose_methods(study)
    protocol = _profile(study.protocol)
    meaning = st.empty()  # what the advanced settings may still change
    with st.expander(t("experiment.advanced.title"), key="advanced"):
        if arms:
            arms = arm_settings(replace(study, arms=arms))
            arms = choose_targets(replace(study, arms=arms))
        rates, protocol = _advanced_protocol(protocol, study.task)
    if rates:
        protocol = replace(protocol, learning_rates=rates)
    meaning.caption(profile_words(protocol))
    missing = [
        name for name, value in (("title", title), ("arms", arms), ("rates", rates)) if not value
    ]
    for name in missing:
        st.warning(t(f"experiment.missing.{name}"), icon=":material/info:")
    if missing:
        return None
    changed = replace(study, title=title, arms=arms, protocol=protocol)
    with st.expander(t("experiment.curves.title"), key="curves"):
        return choose_curves(changed, points, judged)


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
    return protocol


def profile_words(protocol: Protocol) -> str:
    """Return what a protocol asks for in words, with a caution where one seed is too few."""
    words = t(
        f"experiment.profile.{'means_seconds' if protocol.trial_seconds else 'means'}",
        seeds=text().number(len(protocol.seeds)),
        rates=text().number(len(protocol.learning_rates)),
        epochs=text().number(protocol.epochs),
        seconds=text().number(protocol.trial_seconds),
    )
    caution = t("experiment.profile.one_seed") if len(protocol.seeds) == 1 else ""
    return f"{words} {caution}".strip()


def _advanced_protocol(protocol: Protocol, task: str) -> tuple[tuple[float, ...], Protocol]:
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
    training = _training_settings(protocol, task)
    same_seeds = whole["seeds"] == len(protocol.seeds)
    changed = replace(
        protocol,
        epochs=whole["epochs"],
        seeds=protocol.seeds if same_seeds else tuple(range(whole["seeds"])),
        batch_size=whole["batch"],
        max_length=whole["length"],
        equivalence_margin=round(margin / 100, 6),
        **training,
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


def _training_settings(protocol: Protocol, task: str) -> dict[str, Any]:
    """Return seconds, patience, runs at a time, and the task's class weights or answers."""
    columns = st.columns((1, 1, 1, 2))
    seconds = optional_field(
        columns[0],
        t("experiment.advanced.trial_seconds"),
        protocol.trial_seconds or None,
        (1.0, float(MOST_TRIAL_SECONDS)),
        "trial_seconds",
        step=1.0,
        placeholder=t("experiment.advanced.trial_seconds_open"),
        help=t("experiment.advanced.trial_seconds_help"),
    )
    chosen: dict[str, Any] = {"trial_seconds": int(seconds or 0)}
    chosen["patience"] = whole_field(
        columns[1],
        t("experiment.advanced.patience"),
        protocol.patience,
        (0, 1000),
        "patience",
        help=t("experiment.advanced.patience_help"),
    )
    places = optional_field(
        columns[2],
        t("experiment.advanced.parallel"),
        protocol.parallel_runs or None,
        (1.0, 64.0),
        "parallel_runs",
        step=1.0,
        placeholder=t("experiment.advanced.parallel_open"),
        help=t("experiment.advanced.parallel_help", cores=text().number(os.cpu_count() or 1)),
    )
    chosen["parallel_runs"] = int(places or 0)
    if task in {"classification", "pair_classification"}:
        chosen["class_weights"] = columns[3].checkbox(
            t("experiment.advanced.class_weights"),
            protocol.class_weights,
            key="class_weights",
            help=t("experiment.advanced.class_weights_help"),
        )
    if task == "generation":
        chosen["answer_tokens"] = whole_field(
            columns[3],
            t("experiment.advanced.answer_tokens"),
            protocol.answer_tokens,
            (1, 2048),
            "answer_tokens",
            help=t("experiment.advanced.answer_tokens_help"),
        )
    return chosen
