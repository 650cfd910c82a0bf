"""Which layers the tuned methods adapt, as widgets: kinds of weights, and the layers' range."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from app import state
from app.i18n import t
from kasa.arms import Arm
from kasa.errors import KasaError
from kasa.model.headers import LAYER, WeightInfo
from kasa.model.source import resolve_model
from kasa.model.weights import linear_weights
from kasa.study import Study


@dataclass(frozen=True)
class Targets:
    """A choice of layers: kinds of weights, from the `first` to the `last` repeated layer."""

    kinds: tuple[str, ...]
    first: int
    last: int


def choose_targets(study: Study) -> tuple[Arm, ...]:
    """Let the person choose the layers; all adapters of the study get the same ones."""
    adapters = [arm for arm in study.arms if arm.facts.kind == "adapter" and arm.method != "peft"]
    weights = _weights(study.model)
    if not adapters or not weights:
        return study.arms
    kinds = sorted({weight.kind for weight in weights})
    last = max(int(weight.layer or 0) for weight in weights)
    now = read_targets(adapters[0].target_modules, weights)
    left, right = st.columns(2)
    chosen = left.multiselect(
        t("experiment.advanced.targets"),
        sorted({*kinds, *now.kinds}),
        default=now.kinds,
        key=f"targets_{study.model}",
        help=t("experiment.advanced.targets_help"),
        placeholder=t("experiment.advanced.targets_usual"),
    )
    ends = (now.first, now.last)
    if chosen and last > 0:
        ends = right.slider(
            t("experiment.advanced.layers"), 0, last, ends, key=f"layers_{study.model}"
        )
    names = target_names(Targets(tuple(chosen), *ends), weights)
    if names == adapters[0].target_modules and len({a.target_modules for a in adapters}) == 1:
        return study.arms
    return tuple(
        replace(arm, target_modules=names) if arm in adapters else arm for arm in study.arms
    )


def _weights(model: str) -> list[WeightInfo]:
    """Return the weights of the repeated layers; none where the model cannot be read."""
    try:
        source = resolve_model(model, hub_access=state.store().hub_access())
        return [weight for weight in linear_weights(source) if weight.layer is not None]
    except KasaError:
        return []


def read_targets(names: tuple[str, ...], weights: list[WeightInfo]) -> Targets:
    """Return what target names stand for; a name that is no weight's counts as a kind."""
    by_name = {_short(weight): weight for weight in weights}
    found = [by_name[name] for name in names if name in by_name]
    layers = [int(weight.layer or 0) for weight in found]
    kinds = [by_name[name].kind if name in by_name else name for name in names]
    last = max(int(weight.layer or 0) for weight in weights)
    first, end = (min(layers), max(layers)) if layers else (0, last)
    return Targets(tuple(dict.fromkeys(kinds)), first, end)


def target_names(targets: Targets, weights: list[WeightInfo]) -> tuple[str, ...]:
    """Return target names: kinds where all layers are meant, else weight by weight."""
    last = max(int(weight.layer or 0) for weight in weights)
    if (targets.first, targets.last) == (0, last):
        return targets.kinds
    return tuple(
        _short(weight)
        for weight in weights
        if weight.kind in targets.kinds and targets.first <= int(weight.layer or 0) <= targets.last
    )


def _short(weight: WeightInfo) -> str:
    """Return a weight's module from its layer on: a loaded model may lack the first parts."""
    found = LAYER.search(weight.module)
    return weight.module[found.start() :].lstrip(".") if found else weight.module
