"""What a draft study compares, as widgets: methods, their settings, and the layers they adapt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components import number_field, whole_field
from app.i18n import t, text
from kasa.arms import METHODS, STARTING, STARTS, Arm, kasa_parts
from kasa.report.labels import arm_labels
from kasa.study import Study

PENALTIES = {"beta": "β", "gamma": "γ"}
FIRST_CONFIG = {"peft_type": "LOHA", "r": 8, "alpha": 16}
# VeRA's rank costs next to nothing; this is PEFT's own default.
VERA_RANK = 256


def choose_methods(study: Study) -> tuple[Arm, ...]:
    """Let the person choose among the methods that can do the study's task."""
    able = [method for method, facts in METHODS.items() if study.task in facts.tasks]
    labels = {method: t(f"arms.name.{method}") for method in METHODS}
    present = [method for method in able if any(arm.method == method for arm in study.arms)]
    chosen = st.multiselect(
        t("experiment.arms.label"),
        able,
        default=present,
        format_func=labels.__getitem__,
        help=t("experiment.arms.help"),
        key=f"arms_{study.task}" if study.task != "classification" else "arms",
        placeholder=t("experiment.arms.placeholder"),
    )
    kept = tuple(arm for arm in study.arms if arm.method in chosen)
    added = tuple(_new_arm(method, study) for method in chosen if method not in present)
    return ordered(kept + added)


def ordered(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Return arms in the order of the page and the queue, whatever was clicked first."""
    order = list(METHODS)
    return tuple(sorted(arms, key=lambda arm: order.index(arm.method)))


def _new_arm(method: str, study: Study) -> Arm:
    if method == "peft":
        return Arm(method, config=dict(FIRST_CONFIG))
    like = next(
        (arm for arm in study.arms if arm.facts.ranked and arm.method != "vera"), Arm("lora")
    )
    targets = next((arm.target_modules for arm in study.arms if arm.facts.kind == "adapter"), ())
    if METHODS[method].kind != "adapter":
        return Arm(method)
    rank = VERA_RANK if method == "vera" else like.rank
    return Arm(method, rank=rank, target_modules=targets)


def arm_settings(study: Study) -> tuple[Arm, ...]:
    """Show each tuned method's own settings, and the buttons for KaSA's parts."""
    study = replace(study, arms=_with_parts(study.arms))
    labels = arm_labels(study, text())
    changed: list[Arm] = []
    for name, arm in study.named_arms().items():
        # By method and place, not by name: the name holds the rank that is edited here.
        key = f"{arm.method}_{sum(other.method == arm.method for other in changed)}"
        if arm.method == "peft":
            st.markdown(f"**{labels[name]}**")
            changed.append(replace(arm, config=_config(arm, key)))
        elif arm.facts.ranked:
            st.markdown(f"**{labels[name]}**")
            columns = st.columns(4)
            rank = whole_field(
                columns[0], t("experiment.advanced.rank"), arm.rank, (1, 1024), f"rank_{key}"
            )
            settings = _kasa_settings(arm, columns[1:], key, rank) if arm.method == "kasa" else {}
            begun = _beginning(arm, key) if arm.method in STARTING else {}
            changed.append(replace(arm, rank=rank, **settings, **begun))
        else:
            changed.append(arm)
    return tuple(changed)


def _with_parts(arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
    """Offer to compare KaSA's parts as methods of their own, or to leave them out again."""
    kasa = [arm for arm in arms if arm.method == "kasa"]
    if not kasa:
        return arms
    targets = kasa[0].target_modules
    parts = [replace(arm, target_modules=targets) for arm in kasa_parts(kasa[0].rank)]
    if len(kasa) == 1 and st.button(
        t("experiment.advanced.add_parts"),
        key="add_parts",
        icon=":material/science:",
        help=t("experiment.advanced.parts_help"),
    ):
        return ordered([*arms, *(arm for arm in parts if arm not in arms)])
    if len(kasa) > 1 and st.button(
        t("experiment.advanced.drop_parts"), key="drop_parts", icon=":material/remove:"
    ):
        return tuple(arm for arm in arms if arm.method != "kasa" or arm is kasa[0])
    return arms


def _config(arm: Arm, key: str) -> dict[str, Any]:
    """Let the person write the PEFT configuration; what is no JSON object changes nothing."""
    before = arm.config or FIRST_CONFIG
    written = st.text_area(
        t("experiment.advanced.config"),
        json.dumps(before, indent=2, ensure_ascii=False),
        key=f"config_{key}",
        help=t("experiment.advanced.config_help"),
        height=150,
    )
    try:
        found = json.loads(written)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not found.get("peft_type"):
        st.error(t("experiment.advanced.config_bad"), icon=":material/error:")
        return before
    return found


def _beginning(arm: Arm, key: str) -> dict[str, Any]:
    """Let the person say where the adapter begins, and whether ranks go where they are needed."""
    begins, spreads = st.columns(2, vertical_alignment="bottom")
    names = {start: t(f"arms.start.{start or 'random'}") for start in (None, *STARTS)}
    start = begins.selectbox(
        t("experiment.advanced.start"),
        list(names),
        index=list(names).index(arm.start),
        format_func=names.__getitem__,
        key=f"start_{key}",
        help=t("experiment.advanced.start_help"),
    )
    spread = spreads.checkbox(
        t("experiment.advanced.spread"),
        value=bool(arm.spread),
        key=f"spread_{key}",
        help=t("experiment.advanced.spread_help"),
    )
    return {"start": start, "spread": spread or None}


def _kasa_settings(
    arm: Arm, columns: Sequence[DeltaGenerator], key: str, rank: int
) -> dict[str, Any]:
    removed = _removed(arm, columns[0], key, rank)
    if not arm.diagonal:  # without it there are no penalties to weigh
        return {"removed_components": removed}
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
    return {"removed_components": removed} | weights


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
