"""Go, no-go or not enough evidence: what the requirements, the verdicts and the money say together.

The rule, in order; the first that applies decides:

1. runs are still at work, or no arm has a result: not enough evidence;
2. nothing to hold the arms against (no requirement, and no known benefit): not enough evidence;
3. every arm misses a requirement for certain: no-go;
4. no arm meets all requirements for certain: not enough evidence;
5. of the arms that do, the cheapest over three years is taken, or the one shown to be better than
   it; whether its three-year net is below zero at both ends of its interval: no-go;
   at one end: not enough evidence;
6. the arm, or the verdict it was taken by, rests on one seed of a method that training's luck
   moves: not enough evidence;
7. otherwise: go, with this arm, into a pilot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from kasa.arms import METHODS
from kasa.verdict.business import (
    answers_to_break_even,
    case_of,
    net_interval,
    total,
)
from kasa.verdict.curves import ROWS
from kasa.verdict.evidence import Evidence
from kasa.verdict.gates import MET, NOT_MET
from kasa.verdict.settle import GROWTH, settlement

GO, NO_GO, NOT_ENOUGH = "go", "no_go", "not_enough"
MOST_ROWS_FACTOR = GROWTH[-1]


@dataclass(frozen=True)
class Experiment:
    """The one thing that would change the recommendation; `kind` names its sentence.

    `amount` is a number of rows, seeds or answers a year, as the kind has it.
    """

    kind: str
    amount: float | None = None


@dataclass(frozen=True)
class Decision:
    """A recommendation with the arm it is about, the rule that gave it, and what would change it.

    `because` is one of running, no_results, no_standard, gates_missed, gates_open, loses_money,
    money_open, one_seed, all_met.
    """

    word: str
    because: str
    arm: str | None
    experiment: Experiment


def decide(evidence: Evidence) -> Decision:
    """Return the recommendation on a study's evidence."""
    if not evidence.summaries:
        return Decision(NOT_ENOUGH, "no_results", None, Experiment("finish"))
    if any(run.arm in evidence.study.named_arms(judged=True) for run in evidence.active):
        return Decision(NOT_ENOUGH, "running", None, Experiment("finish"))
    arms = [summary.arm for summary in evidence.summaries]
    status = {
        arm: {gate.gate: gate.status for gate in evidence.gates if gate.arm == arm} for arm in arms
    }
    meeting = tuple(arm for arm in arms if set(status[arm].values()) <= {MET})
    missing = tuple(arm for arm in arms if NOT_MET in status[arm].values())
    priced = case_of(evidence, arms[0]).priced
    if not evidence.gates and not priced:
        return Decision(NOT_ENOUGH, "no_standard", None, Experiment("standard"))
    if len(missing) == len(arms):
        best = _best(evidence)
        return Decision(NO_GO, "gates_missed", best, _to_meet(evidence, best))
    if not meeting:
        best = _best(evidence, without=missing)
        return Decision(NOT_ENOUGH, "gates_open", best, _to_settle(evidence, best))
    return _with_money(evidence, preferred(evidence, meeting))


def _with_money(evidence: Evidence, arm: str) -> Decision:
    """Return the recommendation on an arm that meets every requirement."""
    case = case_of(evidence, arm)
    found = net_interval(case, "three_years")
    if found is not None and max(found) < 0:
        needed = answers_to_break_even(case)
        return Decision(NO_GO, "loses_money", arm, Experiment("answers", needed))
    if found is not None and min(found) < 0:
        return Decision(NOT_ENOUGH, "money_open", arm, Experiment("answers_checked"))
    if _lucky(evidence, arm):
        return Decision(NOT_ENOUGH, "one_seed", arm, Experiment("seeds", 3))
    return Decision(GO, "all_met", arm, _to_change(evidence))


def preferred(evidence: Evidence, arms: tuple[str, ...]) -> str:
    """Return the cheapest arm over three years, or the best of those shown to be better than it."""
    price = {arm: total(case_of(evidence, arm), "three_years") for arm in arms}
    chosen = min(arms, key=price.__getitem__)
    better = []
    for arm in arms:
        verdict = evidence.verdict_between(arm, chosen)
        if verdict is not None and verdict.verdict == "better":
            better.append(arm)
    return _top(evidence, better) if better else chosen


def _best(evidence: Evidence, without: tuple[str, ...] = ()) -> str:
    """Return the arm with the highest mean of the deciding metric."""
    return _top(evidence, [s.arm for s in evidence.summaries if s.arm not in without])


def _top(evidence: Evidence, arms: list[str]) -> str:
    means = {s.arm: s.metrics[evidence.metric].mean for s in evidence.summaries}
    return max(arms, key=means.__getitem__)


def _lucky(evidence: Evidence, arm: str) -> bool:
    """Say whether an arm's figure rests on one seed of a method that the seed moves."""
    summary = next(s for s in evidence.summaries if s.arm == arm)
    return summary.num_seeds == 1 and METHODS[summary.method].kind != "baseline"


def _to_settle(evidence: Evidence, arm: str) -> Experiment:
    """Return what would settle an arm's open requirement.

    The half-width of a metric's interval falls with the root of the test rows, so
    rows · (half-width ÷ distance to the requirement)² of them would leave it on one side.
    """
    summary = next(s for s in evidence.summaries if s.arm == arm)
    if summary.num_seeds < len(evidence.study.protocol.seeds):
        return Experiment("finish")
    least = evidence.study.gates.metric_min
    rows = evidence.card.sizes["test"]
    low, high = evidence.intervals[evidence.metric][arm]
    if least is not None and low < least <= high:
        gap = abs(summary.metrics[evidence.metric].mean - least)
        half = (high - low) / 2
        needed = math.ceil(rows * (half / gap) ** 2) if gap > 0 else math.inf
        if needed <= rows * MOST_ROWS_FACTOR:
            return Experiment("test_rows", max(needed, rows + 1))
        return Experiment("on_the_line")
    return Experiment("alone")


def _to_meet(evidence: Evidence, arm: str) -> Experiment:
    """Return what may let an arm meet a requirement that it misses."""
    gates = {gate.gate for gate in evidence.gates if gate.arm == arm and gate.status == NOT_MET}
    if "metric_min" not in gates:
        return Experiment("cheaper")
    rows = evidence.card.sizes["train"]
    hoped = [
        curve.forecast.gain
        for found in evidence.curves
        if found.kind == ROWS and found.metric == evidence.metric
        for curve in found.curves
        if curve.forecast is not None
    ]
    if hoped and max(hoped) < evidence.study.protocol.equivalence_margin:
        return Experiment("other_base")
    return Experiment("train_rows", 2 * rows)


def _to_change(evidence: Evidence) -> Experiment:
    """Return what may still change a go: settling the study's own question, or new rows."""
    main = evidence.main_verdict
    found = settlement(main) if main else None
    if found is not None and found.num_seeds:
        return Experiment("more_seeds", found.num_seeds)
    return Experiment("new_rows", evidence.card.sizes["test"])
