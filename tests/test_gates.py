from __future__ import annotations

from dataclasses import replace

import pytest

from kasa.runs.records import FinishedRun
from kasa.study import Gates, Prices
from kasa.verdict.compare import summarise
from kasa.verdict.gates import GateResult, check_gates
from tests.study_runs import example_runs, example_study

RUNS = example_runs(["lora-r8"])  # accuracy 0.90 on 120 rows; 41, 42 and 43 s of training


def results(
    runs: list[FinishedRun] = RUNS, prices: Prices | None = None, **gates: float
) -> dict[str, GateResult]:
    study = example_study(gates=Gates(**gates), prices=prices or Prices())
    found = check_gates(study, summarise(runs), runs)
    return {gate.gate: gate for gate in found if gate.arm == "lora-r8"}


@pytest.mark.parametrize(
    ("gate", "required", "status"),
    [
        ("metric_min", 0.75, "met"),
        ("metric_min", 0.90, "not_settled"),
        ("metric_min", 0.99, "not_met"),
        ("train_minutes_max", 1.0, "met"),
        ("train_minutes_max", 0.5, "not_met"),
        ("train_minutes_max", 42.5 / 60, "not_settled"),
        ("peak_memory_gb_max", 0.91, "met"),
        ("peak_memory_gb_max", 0.90, "not_met"),
        ("money_max", 10, "met"),
        ("money_max", 1, "not_met"),
    ],
)
def test_status(gate: str, required: float, status: str) -> None:
    assert results(**{gate: required})[gate].status == status


def test_money_is_that_of_one_run() -> None:
    # 41, 42 and 43 s of training and 4 s beside it at 3600 an hour: 46 on average.
    money = results(money_max=46, prices=Prices("JPY", 3600))["money_max"]
    assert (money.measured, money.low, money.high) == (46, 45, 47)
    assert money.status == "not_settled"


def test_training_includes_kasas_preparation() -> None:
    runs = example_runs(["kasa-r8"], [0])  # 48 s and 2.5 s of preparation
    study = example_study(gates=Gates(train_minutes_max=49 / 60))
    gate = check_gates(study, summarise(runs), runs)[0]
    assert gate.measured == pytest.approx(50.5 / 60)
    assert gate.status == "not_met"


def test_memory_is_the_highest_peak() -> None:
    runs = [RUNS[0], replace(RUNS[1], peak_memory_bytes=3_000_000_000)]
    gate = results(runs, peak_memory_gb_max=1.0)["peak_memory_gb_max"]
    assert gate.measured == 3.0
    assert gate.status == "not_settled"


def test_an_arm_without_runs_is_not_settled() -> None:
    found = check_gates(example_study(gates=Gates(metric_min=0.5)), summarise(RUNS), RUNS)
    status = {gate.arm: (gate.status, gate.measured) for gate in found}
    assert status["kasa-r8"] == ("not_settled", None)
    assert status["lora-r8"][0] == "met"


def test_no_gates_no_results() -> None:
    assert results() == {}


def test_macro_f1_can_decide() -> None:
    runs = example_runs(["tfidf"])  # accuracy 0.67, macro-F1 0.56
    study = example_study(gates=Gates(metric="macro_f1", metric_min=0.66))
    assert check_gates(study, summarise(runs), runs)[-1].status == "not_met"
