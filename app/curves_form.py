"""Which methods are also tried with fewer rows or wrong labels, as widgets on a draft study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.i18n import t, text
from kasa.arms import NOISE_TASKS, Arm, curve_arms
from kasa.report.labels import arm_labels
from kasa.study import Study

SHARES = (0.1, 0.25, 0.5, 0.75)
NOISES = (0.1, 0.2, 0.3, 0.4)
USUAL_SHARES, USUAL_NOISES = (0.25, 0.5, 0.75), (0.1, 0.2, 0.3)


def split_curves(arms: Iterable[Arm]) -> tuple[tuple[Arm, ...], tuple[Arm, ...]]:
    """Return the judged arms, and the points of curves."""
    every = tuple(arms)
    return tuple(a for a in every if a.judged), tuple(a for a in every if not a.judged)


def choose_curves(study: Study, points: tuple[Arm, ...], before: tuple[Arm, ...]) -> Study:
    """Let the person choose methods and levels; return the study with the curves' points.

    `study` has judged arms only; `points` are those it had, `before` the judged arms they were
    made from, in the same places.
    """
    names = study.arm_names()
    labels = dict(zip(names, arm_labels(study, text()).values(), strict=True))
    owners = {arm: name for name, arm in zip(names, _matched(study.arms, before), strict=True)}
    chosen = st.multiselect(
        t("experiment.curves.arms"),
        names,
        default=sorted({owners[p.whole] for p in points if p.whole in owners}, key=names.index),
        format_func=labels.__getitem__,
        key="curve_arms_" + "_".join(names),
        help=t("experiment.curves.arms_help"),
        placeholder=t("experiment.curves.placeholder"),
    )
    if not chosen:
        return study
    left, right = st.columns(2)
    given = [point.train_share for point in points] if points else USUAL_SHARES
    shares = _levels(left, "rows", SHARES, given)
    noises: tuple[float, ...] = ()
    if study.task in NOISE_TASKS:
        given = [point.label_noise for point in points] if points else USUAL_NOISES
        noises = _levels(right, "noise", NOISES, given)
    arms = [arm for name, arm in zip(names, study.arms, strict=True) if name in chosen]
    made = curve_arms(arms, shares, noises)
    count = len(made) * len(study.protocol.seeds)
    st.caption(t("experiment.curves.count", count=text().number(count)))
    return replace(study, arms=study.arms + made)


def _matched(arms: tuple[Arm, ...], before: tuple[Arm, ...]) -> list[Arm]:
    """Return for every arm the one it was before its settings were edited."""
    return list(before) if len(before) == len(arms) else list(arms)


def _levels(
    place: DeltaGenerator, kind: str, offered: Sequence[float], given: Sequence[float | None]
) -> tuple[float, ...]:
    before = {level for level in given if level is not None}
    levels = {level: text().percent(level, 0) for level in sorted({*offered, *before})}
    chosen = place.multiselect(
        t(f"experiment.curves.{kind}"),
        list(levels),
        default=sorted(before),
        format_func=levels.__getitem__,
        key=f"curve_{kind}",
        help=t(f"experiment.curves.{kind}_help"),
        placeholder=t("experiment.curves.levels_placeholder"),
    )
    return tuple(chosen)
