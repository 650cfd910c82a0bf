"""Truncation plans in hand: their totals over the whole model, scaled, and as an arm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kasa.arms import Arm
from kasa.spectral.spectrum import Spectrum

# The last part of the names that adapters take by default: PEFT's query and value, by architecture.
USUAL_TARGETS = (
    *("query", "value", "q_proj", "v_proj", "q", "v", "c_attn", "q_lin", "v_lin"),
    *("query_proj", "value_proj", "query_key_value", "qkv_proj", "in_proj"),
)


@dataclass(frozen=True)
class Totals:
    """What a plan does to all of its weights together.

    `energy_kept` is Σ kept σ² / Σσ² over the weights and `relative_change` the root of the removed
    share, ‖W−W'‖_F/‖W‖_F of all of them as one.
    """

    num_removed: int
    num_components: int
    energy_kept: float
    relative_change: float

    @property
    def share_removed(self) -> float:
        """The removed components as a share of all."""
        return self.num_removed / self.num_components if self.num_components else 0.0


def plan_totals(spectra: Sequence[Spectrum], plan: Mapping[str, int]) -> Totals:
    """Return a plan's totals over `spectra`; a weight that it does not name loses nothing."""
    # Scaled by the largest value, so that squares neither overflow nor vanish.
    scale = max((float(s.singular_values[0]) for s in spectra), default=0.0) or 1.0
    whole = lost = 0.0
    removed = 0
    for spectrum in spectra:
        squares = (spectrum.singular_values / scale) ** 2
        count = plan.get(spectrum.module, 0)
        removed += count
        whole += float(squares.sum())
        lost += float(squares[squares.size - count :].sum())
    share = min(1.0, lost / whole) if whole else 0.0
    components = sum(s.singular_values.size for s in spectra)
    return Totals(removed, components, 1.0 - share, math.sqrt(share))


def scaled(spectra: Sequence[Spectrum], plan: Mapping[str, int], factor: float) -> dict[str, int]:
    """Return each weight's number times `factor`, rounded; at least one component stays."""
    return {
        s.module: within(round(plan.get(s.module, 0) * factor), s.singular_values.size)
        for s in spectra
    }


def within(count: int, full: int) -> int:
    """Return a number of removed components that leaves at least one of `full`."""
    return min(max(count, 0), full - 1)


def adapted(spectra: Sequence[Spectrum], target_modules: Sequence[str] = ()) -> list[Spectrum]:
    """Return the weights that adapters take: those that `target_modules` name, else the usual ones.

    Where the model has none of them, all are returned.
    """
    wanted = tuple(target_modules) or USUAL_TARGETS
    found = [s for s in spectra if any(f".{s.module}".endswith(f".{name}") for name in wanted)]
    return found or list(spectra)


def with_planned(
    arms: Sequence[Arm], plan: Mapping[str, int] | Mapping[str, list[int]], name: str
) -> tuple[Arm, ...]:
    """Return the arms and, after the KaSA ones, a further one that follows `plan`, called `name`.

    It keeps every other setting of the first KaSA arm and replaces a planned one of the same name.
    """
    first = next((arm for arm in arms if arm.method == "kasa"), Arm("kasa"))
    planned = replace(first, removed_components=None, plan=dict(plan), plan_name=name)
    if any(_is_planned(arm, name) for arm in arms):
        return tuple(planned if _is_planned(arm, name) else arm for arm in arms)
    places = [place for place, arm in enumerate(arms, start=1) if arm.method == "kasa"]
    place = places[-1] if places else 0
    return (*arms[:place], planned, *arms[place:])


def _is_planned(arm: Arm, name: str) -> bool:
    return arm.method == "kasa" and arm.plan is not None and arm.plan_name == name
