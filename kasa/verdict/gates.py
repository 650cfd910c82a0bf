"""Each arm against each requirement of the study: met, not met, or not settled yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kasa.runs.records import FinishedRun
from kasa.study import Gates, Study
from kasa.verdict.compare import ArmSummary, metric_interval
from kasa.verdict.costs import run_cost

MET, NOT_MET, NOT_SETTLED = "met", "not_met", "not_settled"


@dataclass(frozen=True)
class GateResult:
    """One arm against one gate, both in the gate's own unit (fraction, minutes, GB, money per run).

    `measured` is the mean over seeds (memory: the highest), None without a finished run; `low` and
    `high` are the 95 % interval for a metric and the lowest and highest run for a cost.
    """

    arm: str
    gate: str
    required: float
    measured: float | None
    low: float | None
    high: float | None
    status: str


def check_gates(
    study: Study, summaries: Sequence[ArmSummary], runs: Sequence[FinishedRun]
) -> list[GateResult]:
    """Return a result for every arm and every gate that is set, arms in the study's order.

    A metric is not settled while its 95 % interval straddles the threshold; a cost while some of
    the arm's runs keep the limit and others do not; both while the arm has no finished run.
    """
    by_arm = {summary.arm: summary for summary in summaries}
    results = []
    for arm in study.named_arms(judged=True):
        own = [run for run in runs if run.arm == arm]
        for gate, required in _set_gates(study.gates):
            if arm not in by_arm or not own:
                results.append(GateResult(arm, gate, required, None, None, None, NOT_SETTLED))
            elif gate == "metric_min":
                results.append(_metric_gate(by_arm[arm], own, study.metric, required))
            else:
                results.append(_cost_gate(arm, gate, required, _costs(gate, own, study)))
    return results


def _set_gates(gates: Gates) -> list[tuple[str, float]]:
    names = ("metric_min", "train_minutes_max", "peak_memory_gb_max", "money_max")
    return [(name, getattr(gates, name)) for name in names if getattr(gates, name) is not None]


def _metric_gate(
    summary: ArmSummary, runs: list[FinishedRun], metric: str, required: float
) -> GateResult:
    low, high = metric_interval(runs, metric)
    status = MET if low >= required else NOT_MET if high < required else NOT_SETTLED
    measured = summary.metrics[metric].mean
    return GateResult(summary.arm, "metric_min", required, measured, low, high, status)


def _costs(gate: str, runs: list[FinishedRun], study: Study) -> list[float]:
    """Return what each run took of a gated resource; training includes KaSA's preparation."""
    if gate == "train_minutes_max":
        return [(run.prepare_seconds + run.train_seconds) / 60 for run in runs]
    if gate == "peak_memory_gb_max":
        return [run.peak_memory_bytes / 1e9 for run in runs]
    return [run_cost(run.total_seconds, study) for run in runs]


def _cost_gate(arm: str, gate: str, required: float, values: list[float]) -> GateResult:
    low, high = min(values), max(values)
    status = MET if high <= required else NOT_MET if low > required else NOT_SETTLED
    measured = high if gate == "peak_memory_gb_max" else sum(values) / len(values)
    return GateResult(arm, gate, required, measured, low, high, status)
