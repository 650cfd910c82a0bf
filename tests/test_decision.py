from __future__ import annotations

from dataclasses import replace

import pytest

from kasa.arms import Arm
from kasa.prices import Operation
from kasa.report.decision import (
    decision_section,
    experiment_sentence,
    reasons,
    stage_states,
    stages_section,
)
from kasa.study import Gates, Study
from kasa.text import LANGUAGES, translator
from kasa.verdict.business import answers_to_break_even, case_of, total
from kasa.verdict.decision import GO, NO_GO, NOT_ENOUGH, decide, preferred
from kasa.verdict.evidence import Evidence
from tests.study_runs import example_evidence, example_runs, example_study, run_record

PAYS = Operation(answers_per_year=1e6, benefit_per_correct=100.0)


def study(metric_min: float | None = None, operation: Operation | None = None) -> Study:
    gates = Gates(metric_min=metric_min)
    return replace(example_study(), gates=gates, operation=operation or Operation())


def break_even() -> float:
    """Return the answers a year at which the recommended arm earns exactly what it costs."""
    evidence = example_evidence(study=study(0.6, Operation(1.0, 60.0)))
    arms = tuple(summary.arm for summary in evidence.summaries)
    needed = answers_to_break_even(case_of(evidence, preferred(evidence, arms)))
    assert needed is not None
    return needed


def seeds_of_one() -> Evidence:
    return example_evidence(example_runs(seeds=[0]), study(0.6))


def at_work() -> Evidence:
    runs = example_runs()
    records = [run_record(run) for run in runs[:-1]] + [run_record(runs[-1], "running")]
    return example_evidence(runs[:-1], study(0.6), records)


CASES = {
    "all met": (lambda: example_evidence(study=study(0.6)), GO, "all_met"),
    "gates missed": (lambda: example_evidence(study=study(0.99)), NO_GO, "gates_missed"),
    "on the edge": (lambda: example_evidence(study=study(0.9)), NOT_ENOUGH, "gates_open"),
    "no standard": (lambda: example_evidence(study=study()), NOT_ENOUGH, "no_standard"),
    "pays for itself": (lambda: example_evidence(study=study(None, PAYS)), GO, "all_met"),
    "loses money": (
        lambda: example_evidence(study=study(0.6, Operation(10.0, 1.0))),
        NO_GO,
        "loses_money",
    ),
    "never pays": (
        lambda: example_evidence(study=study(0.6, Operation(1e6, 1.0, loss_per_wrong=1e4))),
        NO_GO,
        "loses_money",
    ),
    "money open": (
        lambda: example_evidence(study=study(0.6, Operation(break_even(), 60.0))),
        NOT_ENOUGH,
        "money_open",
    ),
    "at work": (at_work, NOT_ENOUGH, "running"),
    "nothing": (lambda: example_evidence([], study(0.6)), NOT_ENOUGH, "no_results"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_rule(name: str) -> None:
    make, word, because = CASES[name]
    found = decide(make())
    assert (found.word, found.because) == (word, because)


def test_more_rows_are_not_proposed_where_the_best_method_is_only_too_slow() -> None:
    gates = Gates(metric_min=0.85, train_minutes_max=1e-6)
    found = decide(example_evidence(study=replace(study(), gates=gates)))
    assert (found.because, found.experiment.kind) == ("gates_missed", "cheaper")


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", [name for name in CASES if name != "nothing"])
def test_every_outcome_is_said_in_words(name: str, lang: str) -> None:
    evidence, text = CASES[name][0](), translator(lang)
    found = decide(evidence)
    assert len(reasons(found, evidence, text)) == 3
    assert experiment_sentence(found, evidence, text)
    assert decision_section(evidence, text).message
    assert len(stages_section(evidence, text).blocks) == 1


def test_a_start_that_is_never_earned_back_is_said_so() -> None:
    evidence = CASES["loses money"][0]()
    said = reasons(decide(evidence), evidence, translator("en"))[2]
    assert said.endswith("its PoC and roll-out are never paid back.")


def test_without_a_result_there_is_no_section() -> None:
    evidence = example_evidence([], study(0.6))
    assert decision_section(evidence, translator("en")).blocks == ()
    assert stages_section(evidence, translator("ja")).blocks == ()


def test_one_seed_of_a_tuned_method_is_not_enough() -> None:
    evidence = seeds_of_one()
    only = example_evidence(
        example_runs(["kasa-r8", "lora-r8"], [0]),
        replace(study(0.6), arms=(Arm("kasa"), Arm("lora"))),
    )
    assert decide(only).because == "one_seed"
    # A baseline has no luck of a seed, so the cheapest of those may be a go.
    assert decide(evidence).because == "all_met"


def test_the_cheapest_that_meets_is_taken_unless_a_dearer_is_shown_better() -> None:
    evidence = example_evidence(study=study(0.6))
    arms = tuple(summary.arm for summary in evidence.summaries)
    # TF-IDF costs less, and the frozen base is shown to be better than it.
    assert total(case_of(evidence, "tfidf"), "three_years") < total(
        case_of(evidence, "frozen_head"), "three_years"
    )
    assert preferred(evidence, ("frozen_head", "tfidf")) == "frozen_head"
    assert preferred(evidence, ("tfidf",)) == "tfidf"
    chosen = preferred(evidence, arms)
    for other in arms:
        verdict = evidence.verdict_between(other, chosen)
        assert verdict is None or verdict.verdict != "better" or other == chosen


def test_the_plan_moves_with_the_word() -> None:
    states = {
        word: stage_states(decide(CASES[name][0]()))
        for name, word in (("all met", GO), ("gates missed", NO_GO), ("on the edge", NOT_ENOUGH))
    }
    assert [states[w]["prove"] for w in (GO, NO_GO, NOT_ENOUGH)] == ["done", "stopped", "now"]
    assert [states[w]["pilot"] for w in (GO, NO_GO, NOT_ENOUGH)] == ["now", "open", "open"]
