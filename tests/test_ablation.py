"""From LoRA to KaSA one part at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kasa.arms import Arm, kasa_parts
from kasa.report.ablation import ablation_chart, ablation_section, ablation_table
from kasa.report.knowledge import outcome_sentences, planned_arm
from kasa.report.sections import report_sections
from kasa.runs.records import FinishedRun
from kasa.study import Study
from kasa.text import LANGUAGES, translator
from kasa.verdict.ablation import PARTS, ablation
from kasa.verdict.evidence import Evidence
from tests.study_runs import LABELS, example_evidence, example_study, finished_run

NUM_ROWS = 120
# LoRA, its base truncated, with the diagonal, with the penalties: rows that each gets wrong.
WRONG = {"lora-r8": 40, "kasa-r8-nodiag-noreg": 36, "kasa-r8-noreg": 12, "kasa-r8": 12}
LABELS_OF_ROWS = [LABELS[row % 3] for row in range(NUM_ROWS)]


def runs_of(arm: str, wrong: int) -> list[FinishedRun]:
    predicted = [
        LABELS[(row + 1) % 3] if row < wrong else label for row, label in enumerate(LABELS_OF_ROWS)
    ]
    return [finished_run(arm, seed, LABELS_OF_ROWS, predicted) for seed in (0, 1, 2)]


def evidence_of(study: Study, wrong: dict[str, int]) -> Evidence:
    return example_evidence([run for arm in wrong for run in runs_of(arm, wrong[arm])], study)


STUDY = example_study(arms=kasa_parts(8))
EVIDENCE = evidence_of(STUDY, WRONG)


def test_steps_by_hand_and_their_sum() -> None:
    steps = ablation(EVIDENCE, "accuracy")
    assert [step.part for step in steps] == list(PARTS)
    assert [(step.verdict.b, step.verdict.a) for step in steps] == [
        ("lora-r8", "kasa-r8-nodiag-noreg"),
        ("kasa-r8-nodiag-noreg", "kasa-r8-noreg"),
        ("kasa-r8-noreg", "kasa-r8"),
    ]
    changes = [step.verdict.difference for step in steps]
    assert changes == pytest.approx([4 / NUM_ROWS, 24 / NUM_ROWS, 0.0])
    whole = EVIDENCE.verdict("kasa-r8", "lora-r8", "accuracy")
    assert whole is not None
    assert sum(changes) == pytest.approx(whole.difference)
    assert steps[1].verdict.verdict == "better"


def test_a_verdict_mirrors() -> None:
    verdict = EVIDENCE.verdict("kasa-r8", "lora-r8", "accuracy")
    assert verdict is not None
    other = verdict.mirrored()
    assert (other.a, other.b, other.verdict) == ("lora-r8", "kasa-r8", "worse")
    assert other.interval == (-verdict.interval[1], -verdict.interval[0])
    assert (other.a_value, other.b_value) == (verdict.b_value, verdict.a_value)
    assert other.difference == -verdict.difference
    assert other.mirrored() == verdict


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_planned_cut_is_judged_after_its_runs(lang: str) -> None:
    """The plan's own method is found by its cut, and told against every other tuned one."""
    removed = {"encoder.layer.0.attention.self.query": (1, 5)}
    planned = Arm("kasa", plan={module: list(own) for module, own in removed.items()})
    study = example_study(arms=(planned, Arm("kasa"), Arm("lora"), Arm("frozen_head")))
    wrong = {"kasa-r8-plan": 12, "kasa-r8": 36, "lora-r8": 12, "frozen_head": 40}
    evidence = evidence_of(study, wrong)
    assert planned_arm(study, removed) == "kasa-r8-plan"
    assert planned_arm(study, {"other": (1, 5)}) is None
    assert planned_arm(study, {}) is None
    paper, lora = outcome_sentences(evidence, "kasa-r8-plan", translator(lang))
    assert "20.0" in paper
    assert "LoRA" in lora
    unfinished = evidence_of(study, {"lora-r8": 12})
    assert outcome_sentences(unfinished, "kasa-r8-plan", translator(lang)) == []


@pytest.mark.parametrize("missing", WRONG)
def test_one_arm_missing_makes_no_waterfall(missing: str) -> None:
    left = {arm: wrong for arm, wrong in WRONG.items() if arm != missing}
    evidence = evidence_of(STUDY, left)
    assert ablation(evidence, "accuracy") == ()
    assert ablation_chart(evidence, translator("en"), "accuracy") is None
    assert ablation_section(evidence, translator("en")).blocks == ()


def test_the_parts_of_another_rank_are_no_parts() -> None:
    arms = (*kasa_parts(8)[:-1], Arm("lora", 4))
    study = example_study(arms=arms)
    wrong = {("lora-r4" if arm == "lora-r8" else arm): n for arm, n in WRONG.items()}
    assert ablation(evidence_of(study, wrong), "accuracy") == ()


def test_parts_with_other_modules_belong_together() -> None:
    arms = tuple(replace(arm, target_modules=("query",)) for arm in kasa_parts(8))
    found = ablation(evidence_of(example_study(arms=arms), WRONG), "accuracy")
    assert len(found) == len(PARTS)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_report_shows_the_waterfall_with_its_intervals(lang: str) -> None:
    text = translator(lang)
    (section,) = (s for s in report_sections(EVIDENCE, text) if s.key == "ablation")
    assert section.title == text("report.section.ablation")
    chart = ablation_chart(EVIDENCE, text, "accuracy")
    assert chart is not None
    bars, lines = chart.figure.data
    assert list(bars.y[:-1]) == pytest.approx([100 * 4 / NUM_ROWS, 100 * 24 / NUM_ROWS, 0.0])
    assert list(lines.y) == pytest.approx([100 * n / NUM_ROWS for n in (4, 28, 28)])
    step = ablation(EVIDENCE, "accuracy")[1].verdict
    assert lines.error_y.array[1] == pytest.approx(100 * (step.interval[1] - step.difference))
    assert lines.error_y.arrayminus[1] == pytest.approx(100 * (step.difference - step.interval[0]))
    rows = ablation_table(EVIDENCE, text, "accuracy").rows
    assert [row[0] for row in rows] == [text(f"report.part.{part}") for part in PARTS]
    assert rows[1][-1] == text("report.part_word.better")
