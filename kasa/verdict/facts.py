"""One study's evidence as plain JSON-ready facts, with the decision and the costs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from kasa.runs.records import FinishedRun, RunRecord
from kasa.verdict.business import (
    HORIZONS,
    Case,
    answers_to_break_even,
    benefit,
    case_of,
    costs,
    given,
    months_to_break_even,
    net,
    net_interval,
    total,
)
from kasa.verdict.compare import ArmSummary, Verdict
from kasa.verdict.decision import decide
from kasa.verdict.evidence import Evidence
from kasa.verdict.settle import settlement

RUN_COSTS = (
    "prepare_seconds",
    "train_seconds",
    "evaluate_seconds",
    "total_seconds",
    "baseline_memory_bytes",
    "peak_memory_bytes",
    "tokens_per_second",
    "matmul_share",
    "energy_joules",
    "num_trainable_params",
    "num_total_params",
)


def evidence_to_dict(evidence: Evidence) -> dict[str, Any]:
    """Return one JSON-ready document: the last line of `run --json`, and the pack's JSON file."""
    measured = {run.id: run for run in evidence.all_finished}
    return {
        "study": evidence.record.id,
        "title": evidence.study.title,
        "metric": evidence.metric,
        "indicative": evidence.indicative,
        "runs": [_run_to_dict(run, measured.get(run.id)) for run in evidence.runs],
        "arms": [_arm_to_dict(summary, evidence) for summary in evidence.summaries],
        "missing_arms": list(evidence.missing_arms),
        "verdicts": [_verdict_to_dict(verdict) for verdict in evidence.verdicts],
        "settlement": _settlement_to_dict(evidence),
        "curves": [asdict(found) for found in evidence.curves],
        "collateral": {
            "arms": [asdict(harm) for harm in evidence.harms],
            "pair": [asdict(gap) for gap in evidence.harm_gaps],
        },
        "gates": [
            {
                name: getattr(gate, name)
                for name in ("arm", "gate", "required", "measured", "status")
            }
            for gate in evidence.gates
        ],
        "decision": asdict(decide(evidence)),
        "costs": _costs_to_dict(evidence),
        "rows": evidence.card.sizes,
        "conditions": evidence.conditions,
        "differing_conditions": {
            name: {value: list(ids) for value, ids in values.items()}
            for name, values in evidence.differing.items()
        },
    }


def _costs_to_dict(evidence: Evidence) -> dict[str, Any]:
    """Return what every arm costs and brings, the numbers behind it, and which were entered."""
    study = evidence.study
    cases = {summary.arm: case_of(evidence, summary.arm) for summary in evidence.summaries}
    return {
        "currency": study.prices.currency,
        "source": study.prices.source,
        "dated": study.prices.dated,
        "entered": sorted(given(study)),
        "arms": [{"arm": arm, **_case_to_dict(case)} for arm, case in cases.items()],
    }


def _case_to_dict(case: Case) -> dict[str, Any]:
    return {
        "inputs": asdict(case),
        "horizons": {
            horizon: costs(case, horizon)
            | {
                "total": total(case, horizon),
                "benefit": benefit(case, horizon),
                "net": net(case, horizon),
                "net_interval": net_interval(case, horizon),
            }
            for horizon in HORIZONS
        },
        "months_to_break_even": months_to_break_even(case),
        "answers_to_break_even": answers_to_break_even(case),
    }


def _settlement_to_dict(evidence: Evidence) -> dict[str, Any] | None:
    main = evidence.main_verdict
    found = settlement(main) if main else None
    return vars(found) if found else None


def _run_to_dict(run: RunRecord, measured: FinishedRun | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "id": run.id,
        "arm": run.arm,
        "method": run.method,
        "seed": run.seed,
        "status": run.status,
    }
    if measured is not None:
        results = ("metrics", "validation", "selected")
        facts |= {name: getattr(measured, name) for name in (*results, *RUN_COSTS)}
    if run.error is not None:
        facts["error"] = {"code": run.error.code, "message": run.error.message("en")}
    return facts


def _arm_to_dict(summary: ArmSummary, evidence: Evidence) -> dict[str, Any]:
    facts = {name: value for name, value in vars(summary).items() if name != "metrics"}
    facts["metrics"] = {
        name: vars(metric) | {"interval": evidence.intervals[name][summary.arm]}
        for name, metric in summary.metrics.items()
    }
    lists: dict[str, Any] = json.loads(json.dumps(facts))
    return lists


def verdict_facts(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict's facts side by side, the estimate's standard error and df among them."""
    told = ("difference", "num_seeds", "num_rows", "indicative")
    facts = {name: value for name, value in vars(verdict).items() if name != "estimate"}
    facts |= {name: getattr(verdict, name) for name in told}
    found = verdict.estimate
    return facts | {"standard_error": found.standard_error, "degrees_of_freedom": found.df}


def _verdict_to_dict(verdict: Verdict) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(json.dumps(verdict_facts(verdict)))
    return facts
