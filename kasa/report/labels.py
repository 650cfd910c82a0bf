"""What people read for an arm, a measure and a number, from the catalogue and with units."""

from __future__ import annotations

import html
from collections.abc import Callable

from kasa.arms import Arm
from kasa.study import Study
from kasa.text import Translator
from kasa.verdict.measures import METRIC_MEASURES, Measure

LONGEST = 22


def arm_label(arm: Arm, text: Translator, *, short: bool = False) -> str:
    """Return an arm's name, for example "KaSA (r=8)"; `short` fits a chart's axis on a phone."""
    name = text(f"arms.{'short' if short else 'name'}.{arm.method}")
    if arm.plan is not None:
        return text("arms.with_plan", name=name, rank=arm.rank)
    if arm.method == "peft":
        kind = str((arm.config or {})["peft_type"])
        return text("arms.with_config", name=name, kind=kind)
    return text("arms.with_rank", name=name, rank=arm.rank) if arm.facts.ranked else name


def arm_labels(study: Study, text: Translator, *, short: bool = False) -> dict[str, str]:
    """Return a label per arm name; arms of one method and rank get what is unusual about them."""
    plain = [arm_label(arm, text, short=short) for arm in study.arms]
    labels = {}
    for name, arm, label in zip(study.arm_names(), study.arms, plain, strict=True):
        twins = [other for other, same in zip(study.arms, plain, strict=True) if same == label]
        unusual = _unusual(arm, twins, text)
        labels[name] = f"{label} [{', '.join(unusual)}]" if unusual else label
    return labels


def _unusual(arm: Arm, twins: list[Arm], text: Translator) -> list[str]:
    """Return the settings in which twins differ and this one is not as its method usually is."""
    facts: dict[str, Callable[[Arm], object]] = {
        "removed": lambda a: a.plan_name if a.plan is not None else a.components_to_remove,
        "alpha": lambda a: f"{a.scale_alpha:g}",
        "beta": lambda a: f"{a.beta:g}",
        "gamma": lambda a: f"{a.gamma:g}",
        "diagonal": lambda a: a.diagonal,
        "rates": lambda a: (
            ", ".join(f"{r:g}" for r in a.learning_rates) or text("arms.usual_rates")
        ),
        "start": lambda a: text(f"arms.start.{a.start or 'random'}"),
        "spread": lambda a: bool(a.spread),
        "train_share": lambda a: _percent(a.train_share, text),
        "label_noise": lambda a: _percent(a.label_noise, text),
        "modules": lambda a: "+".join(a.target_modules) or text("arms.usual_modules"),
    }
    usual = Arm(arm.method, arm.rank, config=arm.config)
    named = {
        name: text(f"arms.setting.{name}", value=fact(arm))
        for name, fact in facts.items()
        if len({fact(twin) for twin in twins}) > 1 and fact(arm) != fact(usual)
    }
    if not arm.regularised and named.keys() & {"beta", "gamma"}:
        named = {name: words for name, words in named.items() if name not in {"beta", "gamma"}}
        named["penalties"] = text("arms.setting.no_penalties")
    return list(named.values())


def _percent(share: float | None, text: Translator) -> str:
    return "" if share is None else text.percent(share, 0)


def format_measure(value: float, measure: Measure, text: Translator, currency: str) -> str:
    """Return a measure's value as people write it: 88.1%, 2 min 5 sec, 912 MB, 76,416, ¥35."""
    ways: dict[str, Callable[[], str]] = {
        "fraction": lambda: text.percent(value),
        "correlation": lambda: text.number(value, 3),
        "seconds": lambda: text.seconds(value),
        "bytes": lambda: text.bytes(value),
        "count": lambda: text.number(value),
        "money": lambda: text.money(value, currency),
    }
    return ways[measure.unit]()


def metric_words(metric: str, value: float, text: Translator) -> str:
    """Return a metric's value as people write it: 88.1 %, or 0.853 for a correlation."""
    return format_measure(value, METRIC_MEASURES[metric], text, "")


def plain(words: str, longest: int = LONGEST) -> str:
    """Return words for a plotly label: cut to `longest` characters and with its markup disarmed."""
    cut = words if len(words) <= longest else words[: longest - 1] + "…"
    return html.escape(cut, quote=False)
