"""Plans by hand: totals over a model, scaling, the adapted weights, the arm that follows one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasa.arms import Arm
from kasa.dataspec import DataSpec
from kasa.spectral.plans import adapted, plan_totals, scaled, with_planned, within
from kasa.spectral.spectrum import Spectrum
from kasa.spectral.truncation import CRITERIA, propose
from kasa.study import Study, study_from_dict


def spectrum(module: str, values: list[float]) -> Spectrum:
    kind = module.rsplit(".", 1)[-1]
    shape = (len(values), len(values))
    return Spectrum(f"{module}.weight", module, 0, kind, shape, np.array(values))


QUERY = spectrum("layer.0.attention.query", [3, 2, 1])  # Σσ² = 14
VALUE = spectrum("layer.0.attention.value", [4, 1])  # Σσ² = 17
DENSE = spectrum("layer.0.dense", [1])
MODEL = [QUERY, VALUE, DENSE]  # Σσ² = 32, six components


def test_totals_by_hand() -> None:
    totals = plan_totals(MODEL, {QUERY.module: 2, VALUE.module: 1})
    assert (totals.num_removed, totals.num_components) == (3, 6)
    assert totals.share_removed == 0.5
    assert totals.energy_kept == pytest.approx(26 / 32)  # 2² + 1² + 1² are gone
    assert totals.relative_change == pytest.approx(math.sqrt(6 / 32))


def test_totals_of_nothing() -> None:
    empty = plan_totals(MODEL, {})
    assert (empty.num_removed, empty.energy_kept, empty.relative_change) == (0, 1.0, 0.0)
    zero = plan_totals([spectrum("a", [0, 0])], {"a": 1})
    assert (zero.energy_kept, zero.relative_change) == (1.0, 0.0)
    assert plan_totals([], {}).share_removed == 0.0


def test_a_small_removal_is_not_lost_to_rounding_nor_to_scale() -> None:
    huge = spectrum("a", [1e200, 1e190])
    assert plan_totals([huge], {"a": 1}).relative_change == pytest.approx(1e-10)


values = st.lists(st.floats(0.1, 1e3), min_size=1, max_size=12).map(
    lambda found: sorted(found, reverse=True)
)


@given(st.lists(values, min_size=1, max_size=5), st.sampled_from(sorted(CRITERIA)))
def test_totals_are_the_weights_together(lists: list[list[float]], criterion: str) -> None:
    spectra = [spectrum(f"w{number}", found) for number, found in enumerate(lists)]
    cuts = propose(spectra, criterion).cuts
    totals = plan_totals(spectra, {module: each.num_removed for module, each in cuts.items()})
    energies = [float(np.square(s.singular_values).sum()) for s in spectra]
    kept = sum(e * c.energy_kept for e, c in zip(energies, cuts.values(), strict=True))
    assert totals.energy_kept == pytest.approx(kept / sum(energies))
    assert totals.relative_change**2 == pytest.approx(1 - totals.energy_kept, abs=1e-9)


@pytest.mark.parametrize(
    ("factor", "numbers"),
    [(0.0, [0, 0, 0]), (0.5, [1, 0, 0]), (1.0, [2, 1, 0]), (2.0, [2, 1, 0])],
)
def test_a_scaled_plan_leaves_one_component(factor: float, numbers: list[int]) -> None:
    plan = scaled(MODEL, {QUERY.module: 2, VALUE.module: 1}, factor)
    assert list(plan.values()) == numbers


@pytest.mark.parametrize(("count", "kept"), [(-1, 0), (0, 0), (2, 2), (3, 2), (99, 2)])
def test_a_number_is_held_to_what_is_possible(count: int, kept: int) -> None:
    assert within(count, 3) == kept


def test_the_adapted_weights() -> None:
    assert adapted(MODEL) == [QUERY, VALUE]
    assert adapted(MODEL, ("dense",)) == [DENSE]
    assert adapted(MODEL, ("attention.value",)) == [VALUE]
    # Only whole parts of a name count.
    assert adapted(MODEL, ("alue",)) == MODEL
    assert adapted([DENSE]) == [DENSE]


def test_a_planned_arm_follows_the_kasa_arms_and_keeps_their_settings() -> None:
    first = Arm("kasa", rank=4, removed_components=2, beta=1e-3, gamma=2e-3)
    arms = (first, Arm("lora"))
    added = with_planned(arms, {"a": 3}, "energy")
    planned = added[1]
    assert (added[0], added[2]) == arms
    assert (planned.rank, planned.beta, planned.gamma) == (4, 1e-3, 2e-3)
    assert (planned.plan, planned.plan_name) == ({"a": 3}, "energy")
    assert planned.removed_components is None
    # The same name is replaced where it stands, another one is added behind it.
    changed = with_planned(added, {"a": 1}, "energy")
    assert [arm.plan for arm in changed] == [None, {"a": 1}, None]
    more = with_planned(changed, {"a": 5}, "energy (edited)")
    assert [arm.plan for arm in more] == [None, {"a": 1}, {"a": 5}, None]


def test_a_study_without_kasa_gets_a_planned_arm_and_keeps_it_in_its_file() -> None:
    arms = with_planned((Arm("lora"),), {"layer.0.query": 1}, "paper")
    assert [arm.method for arm in arms] == ["kasa", "lora"]
    study = Study("A", "embedded", DataSpec("", "", ""), arms)
    assert study_from_dict(study.to_dict()) == study
