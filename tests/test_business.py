from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from kasa.errors import StudyError
from kasa.prices import USUAL_STAFF, Operation, Prices
from kasa.study import study_from_dict
from kasa.verdict.business import (
    HORIZONS,
    Case,
    answers_to_break_even,
    benefit,
    case_of,
    costs,
    given,
    levers,
    months_to_break_even,
    net,
    net_interval,
    total,
)
from tests.study_runs import example_evidence, example_study

CASE = Case(
    tuning_seconds=3600.0,
    poc_seconds=10_800.0,
    right=0.9,
    right_low=0.85,
    right_high=0.95,
    machine_hour=100.0,
    staff_hour=1000.0,
    poc_hours=10.0,
    rollout_hours=20.0,
    upkeep_hours_per_month=1.0,
    retrainings_per_year=2.0,
    retraining_hours=3.0,
    rows_per_retraining=60.0,
    labelling_seconds=60.0,
    serving_hours_per_year=50.0,
    answers_per_year=10_000.0,
    benefit_per_correct=10.0,
    loss_per_wrong=5.0,
)


@pytest.mark.parametrize(
    ("horizon", "machine", "people", "labelling", "serving"),
    [
        ("poc", 300, 10_000, 0, 0),
        ("first_year", 300 + 200, (10 + 20 + 12 + 6) * 1000, 2000, 5000),
        ("three_years", 300 + 600, (10 + 20 + 36 + 18) * 1000, 6000, 15_000),
    ],
)
def test_costs_by_hand(
    horizon: str, machine: float, people: float, labelling: float, serving: float
) -> None:
    wanted = {"machine": machine, "people": people, "labelling": labelling, "serving": serving}
    assert costs(CASE, horizon) == pytest.approx(wanted)


def test_benefit_and_break_even_by_hand() -> None:
    each = 0.9 * 10 - 0.1 * 5
    assert benefit(CASE, "three_years") == pytest.approx(3 * 10_000 * each)
    assert benefit(CASE, "poc") == 0
    spent = 900 + 84_000 + 6000 + 15_000
    assert net(CASE, "three_years") == pytest.approx(255_000 - spent)
    low, high = net_interval(CASE, "three_years") or (0.0, 0.0)
    assert (low, high) == pytest.approx((30_000 * (8.5 - 0.75) - spent, 30_000 * 9.25 - spent))
    yearly = 200 + 18_000 + 2000 + 5000
    assert months_to_break_even(CASE) == pytest.approx(12 * 30_300 / (85_000 - yearly))
    assert answers_to_break_even(CASE) == pytest.approx(spent / (3 * each))
    assert net(replace(CASE, answers_per_year=answers_to_break_even(CASE)), "three_years") == (
        pytest.approx(0, abs=1e-6)
    )


def test_what_is_not_known_is_not_made_up() -> None:
    for name in ("right", "answers_per_year", "benefit_per_correct"):
        case = replace(CASE, **{name: None})
        assert net(case, "three_years") is None
        assert months_to_break_even(case) is None
    harmful = replace(CASE, right=0.1, benefit_per_correct=1.0)
    assert answers_to_break_even(harmful) is None
    assert months_to_break_even(harmful) is None


@drawn(
    st.builds(
        Case,
        **{
            each.name: st.floats(0, 1) if each.name.startswith("right") else st.floats(0, 1e6)
            for each in fields(Case)
        },
    )
)
def test_more_time_never_costs_less(case: Case) -> None:
    spent = [total(case, horizon) for horizon in HORIZONS]
    assert spent == sorted(spent)
    doubled = replace(case, machine_hour=2 * case.machine_hour, staff_hour=2 * case.staff_hour)
    assert total(doubled, "three_years") == pytest.approx(2 * spent[-1])


def test_levers_are_sorted_and_leave_out_what_moves_nothing() -> None:
    found = levers(CASE)
    swings = [lever.swing for lever in found]
    assert swings == sorted(swings, reverse=True)
    assert all(swing > 0 for swing in swings)
    names = {lever.name for lever in found}
    assert {"right", "staff_hour", "answers_per_year"} <= names
    right = next(lever for lever in found if lever.name == "right")
    assert (right.at_low, right.at_high) == pytest.approx(net_interval(CASE, "three_years"))
    without = levers(replace(CASE, benefit_per_correct=None, loss_per_wrong=0.0))
    assert "right" not in {lever.name for lever in without}


def test_a_case_is_what_was_measured_and_entered() -> None:
    study = replace(
        example_study(), operation=Operation(staff_per_hour=60.0), prices=Prices("USD", 2.0)
    )
    evidence = example_evidence(study=study)
    case = case_of(evidence, "lora-r8")
    own = [run.total_seconds for run in evidence.finished if run.arm == "lora-r8"]
    assert case.poc_seconds == pytest.approx(sum(own))
    assert case.tuning_seconds == pytest.approx(sum(own) / len(own))
    assert (case.machine_hour, case.staff_hour) == (2.0, 60.0)
    assert given(study) == {"currency", "machine_per_hour", "staff_per_hour"}
    assert case_of(example_evidence(), "tfidf").staff_hour == USUAL_STAFF["JPY"]


def test_prices_and_operation_survive_a_study_file() -> None:
    prices = Prices("EUR", purchase=8000.0, power_per_kwh=0.3, source="quote", dated="2026-11-01")
    study = replace(example_study(), prices=prices, operation=Operation(answers_per_year=12.0))
    assert study_from_dict(study.to_dict()) == study
    assert study.fingerprint() == example_study().fingerprint()
    assert prices.hourly == pytest.approx(8000 / 8000 + 0.15 * 0.3)


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("prices", {"purchase": 0.0}),
        ("prices", {"life_years": 0.0}),
        ("prices", {"power_watts": -1.0}),
        ("prices", {"dated": "tomorrow"}),
        ("operation", {"poc_hours": -1.0}),
        ("operation", {"loss_per_wrong": -0.5}),
    ],
)
def test_wrong_numbers_are_named(table: str, values: dict[str, object]) -> None:
    with pytest.raises(StudyError, match=f"{table}.{next(iter(values))}"):
        study_from_dict(example_study().to_dict() | {table: values})
