"""Whether a bundle's card and results are what a worker writes, so that pages can show them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from kasa.checks import is_real, is_text
from kasa.data.card import DatasetCard
from kasa.data.problems import KINDS
from kasa.data.split import PARTS
from kasa.dataspec import SPLITS
from kasa.metrics import metrics_of
from kasa.runs.records import FinishedRun

# A number beyond this is no measurement, and no format can show it.
MOST = 1e15
COSTS = (
    *("prepare_seconds", "train_seconds", "evaluate_seconds", "total_seconds"),
    *("baseline_memory_bytes", "peak_memory_bytes", "num_trainable_params", "num_total_params"),
)
SPLIT_WAYS = (*SPLITS, "column", "file")
TREATMENTS = ("changed", "kept_together", "left_out", "kept", "truncated")
CURVES = ("curve", "validation_curve")


def good_card(card: DatasetCard) -> bool:
    """Say whether a card's facts are of their kinds, and all that the pages ask for is there."""
    return (
        is_of(card, DatasetCard)
        and {*PARTS} <= {*card.sizes}
        and card.split_by in SPLIT_WAYS
        and all(each.kind in KINDS and each.treatment in TREATMENTS for each in card.problems)
    )


def good_run(run: FinishedRun, task: str) -> bool:
    """Say whether a run's measurements are of their kinds and possible."""
    return (
        is_of(run, FinishedRun)
        and {"row", "label", "predicted"} <= {*run.predictions.columns}
        and bool(run.predictions["row"].is_unique and len(run.predictions))
        and {*metrics_of(task)} <= {*run.metrics}
        and all(0 <= getattr(run, name) <= MOST for name in COSTS)
        and all(_good_trial(trial) for trial in run.trials)
        and _good_conditions(run.conditions)
        and _good_collateral(run.collateral)
    )


def is_of(value: object, hint: Any) -> bool:
    """Say whether a value is what an annotation says, through dicts, lists, tuples and unions."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is UnionType:
        return any(is_of(value, each) for each in inner)
    if origin is dict:
        return isinstance(value, dict) and all(
            is_of(name, inner[0]) and is_of(each, inner[1]) for name, each in value.items()
        )
    if origin is list:
        return isinstance(value, list) and all(is_of(each, inner[0]) for each in value)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = inner[:1] * len(value) if inner[-1] is ... else inner
        return len(kinds) == len(value) and all(map(is_of, value, kinds))
    if hint in (int, float):
        return isinstance(value, int | float) and is_real(value) and abs(value) <= MOST
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        return isinstance(value, hint) and all(  # type: ignore[arg-type]
            is_of(getattr(value, each.name), hints[each.name]) for each in fields(hint)
        )
    return isinstance(value, hint)


def _good_trial(trial: dict[str, Any]) -> bool:
    rate = trial.get("learning_rate", 0.0)
    curves = (trial.get(name) or [] for name in CURVES)
    return (
        is_real(rate)
        and is_of(trial.get("validation", {}), dict[str, float])
        and all(is_of(curve, list[dict[str, float]]) for curve in curves)
    )


def _good_conditions(conditions: dict[str, Any]) -> bool:
    plain = str | int | float | bool | None
    hosts, count = conditions.get("outside_hosts", []), conditions.get("outside_connections", 0)
    others = [value for name, value in conditions.items() if name != "outside_hosts"]
    return (
        is_of(hosts, list[str])
        and is_of(count, int)
        and all(is_of(value, plain | dict[str, plain]) for value in others)
    )


def _good_collateral(found: dict[str, Any] | None) -> bool:
    if found is None:
        return True
    figures = {name: value for name, value in found.items() if name != "kind"}
    return is_text(found.get("kind")) and is_of(figures, dict[str, list[float]])
