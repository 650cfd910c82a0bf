"""How firm results are: learning rates, calibration, classes, and rows that no run answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kasa.report import robustness
from kasa.report.sections import report_sections
from kasa.report.tree import Charts
from kasa.runs.records import FinishedRun
from kasa.text import LANGUAGES, translator
from kasa.verdict.evidence import MOST_GROUPS
from kasa.verdict.robustness import (
    calibration,
    never_right,
    rate_results,
    shares_right,
)
from tests.study_runs import (
    LABELS,
    example_evidence,
    example_rows,
    example_runs,
    example_study,
    finished_run,
)


def sure_runs(confidence: list[float], right: list[bool]) -> list[FinishedRun]:
    predicted = ["yes" if good else "no" for good in right]
    return [finished_run("lora-r8", 0, ["yes"] * len(right), predicted, confidence=confidence)]


# -- learning rates -----------------------------------------------------------------------------


def test_rates_hold_a_value_per_seed_in_ascending_order() -> None:
    runs = [
        replace(
            finished_run("lora-r8", seed, ["a"], ["a"]),
            trials=[
                {"learning_rate": 0.01, "validation": {"accuracy": 0.5 + seed / 10}},
                {"learning_rate": 0.001, "validation": {"accuracy": 0.8}},
            ],
        )
        for seed in (0, 1)
    ]
    low, high = rate_results(runs, "accuracy")
    assert (low.learning_rate, low.values, low.mean) == (0.001, (0.8, 0.8), 0.8)
    assert (high.learning_rate, high.values) == (0.01, (0.5, 0.6))
    assert high.mean == pytest.approx(0.55)


def test_an_arm_without_learning_rates_has_none() -> None:
    strengths = [{"C": 1.0, "validation": {"accuracy": 0.7}}]
    run = replace(finished_run("frozen_head", 0, ["a"], ["a"]), trials=strengths)
    assert rate_results([run], "accuracy") == ()
    assert rate_results([finished_run("lora-r8", 0, ["a"], ["a"])], "chrf") == ()


# -- calibration --------------------------------------------------------------------------------


def test_calibration_by_hand() -> None:
    # 40 answers make two groups: 0.6 sure and half right, 0.9 sure and all right.
    confidence = [0.6] * 20 + [0.9] * 20
    right = [True, False] * 10 + [True] * 20
    found = calibration(sure_runs(confidence, right))
    assert found is not None
    assert [(b.num_answers, b.right) for b in found.bins] == [(20, 0.5), (20, 1.0)]
    assert (found.confidence, found.right) == pytest.approx((0.75, 0.75))
    assert found.excess == pytest.approx(0)
    assert found.error == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)


def test_a_surer_arm_than_it_should_be() -> None:
    found = calibration(sure_runs([0.95] * 50, [True, False] * 25))
    assert found is not None
    assert found.excess == pytest.approx(0.45)
    assert found.error == pytest.approx(0.45)


@pytest.mark.parametrize(("num_answers", "num_bins"), [(1, 1), (39, 1), (40, 2), (5000, 10)])
def test_bins_hold_enough_answers(num_answers: int, num_bins: int) -> None:
    confidence = list(np.linspace(0.3, 1, num_answers))
    found = calibration(sure_runs(confidence, [True] * num_answers))
    assert found is not None
    assert len(found.bins) == num_bins
    assert sum(b.num_answers for b in found.bins) == num_answers


def test_answers_without_confidence_have_no_calibration() -> None:
    assert calibration(sure_runs([float("nan")] * 3, [True] * 3)) is None
    (run,) = sure_runs([0.5], [True])
    bare = replace(run, predictions=run.predictions.drop(columns="confidence"))
    assert calibration([bare]) is None


# -- classes ------------------------------------------------------------------------------------


def test_shares_per_class_are_recalls() -> None:
    labels = ["a"] * 4 + ["b"] * 2
    runs = [
        finished_run("lora-r8", 0, labels, ["a", "a", "a", "b", "b", "b"]),
        finished_run("lora-r8", 1, labels, ["a", "a", "b", "b", "b", "b"]),
    ]
    found = shares_right(runs, runs[0].predictions.set_index("row")["label"])
    assert found["a"].mean == pytest.approx((0.75 + 0.5) / 2)
    assert found["b"].mean == 1.0
    for share in found.values():
        assert 0 <= share.low <= share.mean <= share.high <= 1
    # Two rows that are always right prove less than many would.
    assert found["b"].low < 0.8


def test_groups_without_a_test_row_are_left_out() -> None:
    runs = [finished_run("lora-r8", 0, ["a"] * 3, ["a"] * 3)]
    groups = pd.Series(["line 1", "line 1", "line 2", "line 3"], index=[2, 3, 4, 99])
    assert list(shares_right(runs, groups)) == ["line 1", "line 2"]


# -- rows that no run answers -------------------------------------------------------------------


def test_never_right_by_hand() -> None:
    labels = ["a", "a", "a", "a"]
    by_arm = {
        "kasa-r8": [
            finished_run("kasa-r8", 0, labels, ["a", "b", "b", "c"]),
            finished_run("kasa-r8", 1, labels, ["b", "b", "b", "b"]),
        ],
        "tfidf": [finished_run("tfidf", 0, labels, ["b", "b", "a", "c"])],
        # It reads no row, so its being right about them says nothing.
        "majority": [finished_run("majority", 0, labels, ["a"] * 4)],
    }
    rows = pd.DataFrame(
        {"row": [2, 3, 4, 5], "text": ["p", "q", "r", "s"], "label": "a", "part": "test"}
    )
    found = never_right(by_arm, rows)
    assert found.to_dict("list") == {
        "row": [3, 5],
        "text": ["q", "s"],
        "label": ["a", "a"],
        "answer": ["b", "c"],
        "agreement": [1.0, pytest.approx(2 / 3)],
    }


def test_nothing_is_never_right_without_runs_or_errors() -> None:
    rows = pd.DataFrame({"row": [2], "text": ["p"], "label": ["a"], "part": ["test"]})
    columns = ["row", "text", "label", "answer", "agreement"]
    all_right = {"tfidf": [finished_run("tfidf", 0, ["a"], ["a"])]}
    for by_arm in ({}, all_right):
        found = never_right(by_arm, rows)
        assert found.empty
        assert list(found.columns) == columns


# -- charts and sections ------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
def test_charts_hold_the_runs_own_numbers(lang: str) -> None:
    evidence, text = example_evidence(), translator(lang)
    rates = robustness.rates_chart(evidence, text)
    assert rates is not None
    lines = [trace for trace in rates.figure.data if trace.mode == "lines+markers"]
    assert len(lines) == 2  # KaSA and LoRA; baselines try no learning rates
    assert list(lines[0].y) == pytest.approx([0.51, 0.53])
    sure = robustness.calibration_chart(evidence, text)
    assert sure is not None
    assert len(sure.figure.data) == 4
    classes = robustness.shares_chart(evidence, text, "class")
    assert classes is not None
    (cells,) = classes.figure.data
    assert (len(cells.z), len(cells.z[0])) == (len(LABELS), 4)
    hardest = [sum(row) for row in cells.z]
    assert hardest == sorted(hardest)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_groups_of_the_data_are_shown_beside_the_classes(lang: str) -> None:
    rows, text = example_rows(), translator(lang)
    rows["group"] = [f"line {row % 2}" if row % 5 else "" for row in rows["row"]]
    study = example_study()
    evidence = example_evidence(
        study=replace(study, data=replace(study.data, group="Linie <b>")), rows=rows
    )
    assert {tuple(shares) for shares in evidence.groups.values()} == {("line 0", "line 1")}
    (section,) = (s for s in report_sections(evidence, text) if s.key == "classes")
    (charts,) = section.blocks
    assert isinstance(charts, Charts)
    assert charts.names == (text("report.by.class"), "Linie <b>")
    group = evidence.finished[0].predictions
    own = group[(group["row"] % 5 != 0) & (group["row"] % 2 == 0)]
    right = (own["predicted"] == own["label"]).mean()
    assert evidence.groups["kasa-r8"]["line 0"].mean == pytest.approx(right, abs=0.05)


def test_personal_data_in_groups_is_masked_and_few_are_shown() -> None:
    rows = example_rows()
    rows["group"] = [f"user{row % 40}@example.com" for row in rows["row"]]
    study = example_study()
    shown = replace(study, data=replace(study.data, group="who"))
    masked = example_evidence(study=shown, rows=rows).groups["tfidf"]
    assert not any("@example.com" in name for name in masked)
    open_study = replace(shown, data=replace(shown.data, mask=False))
    assert len(example_evidence(study=open_study, rows=rows).groups["tfidf"]) == MOST_GROUPS


def test_sections_are_empty_where_answers_are_no_classes() -> None:
    study = example_study(data=replace(example_study().data, label="", score="defect"))
    runs = [
        replace(
            run,
            metrics={"pearson": 0.5, "spearman": 0.5},
            validation={"pearson": 0.5, "spearman": 0.5},
            trials=[],
            predictions=run.predictions.assign(label=1.0, predicted=1.5),
        )
        for run in example_runs(arms=("lora-r8",))
    ]
    study = replace(study, arms=(study.arms[1],))
    rows = pd.DataFrame({"row": range(2, 122), "text": "note", "score": 1.0, "part": "test"})
    evidence = example_evidence(runs, study, rows=rows.assign(label=1.0))
    text = translator("en")
    for make in (
        robustness.robustness_section,
        robustness.classes_section,
        robustness.never_right_section,
    ):
        assert make(evidence, text).blocks == ()
