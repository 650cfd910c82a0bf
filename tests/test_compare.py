from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from kasa.errors import StudyError
from kasa.runs.records import FinishedRun
from kasa.verdict.compare import (
    Verdict,
    compare,
    compare_all,
    decide,
    disagreements,
    mcnemar,
    metric_interval,
    summarise,
)
from kasa.verdict.resample import observed, replicates, tables
from tests.study_runs import example_runs, finished_run

YES_NO = ["yes", "no"]


def arm(name: str, right: list[list[bool]]) -> list[FinishedRun]:
    """Return one run per list; labels alternate yes, no, and a row is right or wrong as told."""
    runs = []
    for seed, answers in enumerate(right):
        labels = [YES_NO[row % 2] for row in range(len(answers))]
        predicted = [
            label if good else YES_NO[(row + 1) % 2]
            for row, (label, good) in enumerate(zip(labels, answers, strict=True))
        ]
        runs.append(finished_run(name, seed, labels, predicted))
    return runs


def verdict_of(a: list[list[bool]], b: list[list[bool]], metric: str = "accuracy") -> Verdict:
    return compare(arm("kasa-r8", a), arm("lora-r8", b), metric, 0.01)


# -- known answers ------------------------------------------------------------------------------


def test_difference_by_hand() -> None:
    a = [[True, True, True, False], [True, True, False, False]]  # 0.75 and 0.50
    b = [[True, False, False, False], [True, True, True, True]]  # 0.25 and 1.00
    verdict = verdict_of(a, b)
    assert (verdict.a_value, verdict.b_value) == (0.625, 0.625)
    assert verdict.difference == 0.0
    assert (verdict.num_seeds, verdict.num_rows, verdict.indicative) == (2, 4, False)
    assert verdict.run_ids == ("kasa-r8-s0", "kasa-r8-s1", "lora-r8-s0", "lora-r8-s1")


def test_macro_f1_by_hand() -> None:
    # yes: 1 right of 2 true and 1 named, F1 = 2/3; no: 2 right of 2 true and 3 named, F1 = 4/5.
    verdict = verdict_of([[True, True, False, True]], [[True] * 4], "macro_f1")
    assert verdict.a_value == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert verdict.b_value == 1.0


@pytest.mark.parametrize(
    ("interval", "margin", "word"),
    [
        ((-0.005, 0.005), 0.01, "equivalent"),
        ((-0.01, 0.01), 0.01, "equivalent"),
        ((0.002, 0.008), 0.01, "equivalent"),  # there is a difference, and it does not matter
        ((0.002, 0.02), 0.01, "better"),
        ((-0.02, -0.002), 0.01, "worse"),
        ((-0.02, 0.02), 0.01, "cannot_tell"),
        ((0.0, 0.02), 0.01, "cannot_tell"),
        ((0.001, 0.002), 0.0, "better"),
    ],
)
def test_decide(interval: tuple[float, float], margin: float, word: str) -> None:
    assert decide(interval, margin) == word


def test_clear_difference_is_found_and_mirrors() -> None:
    strong = [[True] * 100 for _ in range(3)]
    weak = [[row % 2 == 0 for row in range(100)] for _ in range(3)]
    forward, backward = verdict_of(strong, weak), verdict_of(weak, strong)
    assert (forward.verdict, backward.verdict) == ("better", "worse")
    assert forward.difference == -backward.difference == 0.5
    assert forward.interval == pytest.approx((0.4, 0.6), abs=0.03)  # 1.96·√(0.5·0.5/100) = 0.098


def test_interval_of_one_seed_is_the_rows_interval() -> None:
    a = [[row % 10 != 0 for row in range(200)]]  # 0.90
    b = [[row % 5 != 1 for row in range(200)]]  # 0.80, wrong on other rows
    verdict = verdict_of(a, b)
    d = np.array(a[0], dtype=float) - np.array(b[0], dtype=float)
    half = 1.96 * d.std() / np.sqrt(200)
    assert verdict.interval == pytest.approx((0.1 - half, 0.1 + half), abs=0.012)
    assert verdict.indicative


def test_seed_variance_widens_the_interval() -> None:
    rows = 400
    steady = [[row % 4 != 0 for row in range(rows)] for _ in range(3)]
    shaky = [[row % 20 >= wrong for row in range(rows)] for wrong in (1, 5, 9)]  # mean 0.75
    calm = verdict_of(steady, steady)
    wild = verdict_of(shaky, steady)
    assert wild.interval[1] - wild.interval[0] > 4 * (calm.interval[1] - calm.interval[0])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=30)
)
def test_observed_metrics_are_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    labels, predicted = [p[0] for p in pairs], [p[1] for p in pairs]
    runs = [finished_run("lora-r8", 0, labels, predicted)]
    expected = {
        "accuracy": accuracy_score(labels, predicted),
        "macro_f1": f1_score(labels, predicted, average="macro", zero_division=0),
    }
    for metric, value in expected.items():
        (table,) = tables(metric, runs)
        assert observed(table)[0] == pytest.approx(value)


# -- degenerate cases ---------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
@pytest.mark.parametrize("right", [True, False])
def test_two_arms_that_agree_on_two_rows_cannot_be_told_apart(metric: str, right: bool) -> None:
    verdict = verdict_of([[right] * 2], [[right] * 2], metric)
    assert verdict.difference == 0
    assert verdict.verdict == "cannot_tell"


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_all_right_against_all_wrong_on_two_rows_is_not_settled(metric: str) -> None:
    verdict = verdict_of([[True] * 2], [[False] * 2], metric)
    assert verdict.difference == 1
    assert verdict.verdict == "cannot_tell"


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_ties_on_many_rows_are_equivalent(metric: str) -> None:
    same = [[row % 5 != 0 for row in range(1000)] for _ in range(3)]
    verdict = verdict_of(same, same, metric)
    assert verdict.difference == 0
    assert verdict.verdict == "equivalent"


def test_one_class_only() -> None:
    labels = ["yes"] * 20
    a, b = (finished_run(name, 0, labels, labels) for name in ("kasa-r8", "lora-r8"))
    assert compare([a], [b], "macro_f1", 0.01).difference == 0


def test_a_missing_run_leaves_the_common_seeds() -> None:
    a = arm("kasa-r8", [[True] * 6, [True] * 6, [False] * 6])
    b = arm("lora-r8", [[True] * 6, [False] * 6, [True] * 6])
    verdict = compare(a, [b[0], b[2]], "accuracy", 0.01)
    assert verdict.num_seeds == 2
    assert verdict.difference == pytest.approx((0 - 1) / 2)
    assert "kasa-r8-s1" not in verdict.run_ids


def test_rows_in_another_order_are_the_same_rows() -> None:
    a, b = example_runs(["kasa-r8"]), example_runs(["lora-r8"])
    mixed = [replace(r, predictions=r.predictions.sample(frac=1, random_state=1)) for r in b]
    assert compare(a, mixed, "accuracy", 0.01) == compare(a, b, "accuracy", 0.01)


def test_it_is_deterministic() -> None:
    a, b = example_runs(["kasa-r8"]), example_runs(["lora-r8"])
    first = compare(a, b, "macro_f1", 0.01, seed=3)
    assert first == compare(a, b, "macro_f1", 0.01, seed=3)
    assert first.interval != compare(a, b, "macro_f1", 0.01, seed=4).interval


@pytest.mark.parametrize(
    "other",
    [
        finished_run("lora-r8", 0, ["yes", "no"], ["yes", "no"], rows=[2, 4]),
        finished_run("lora-r8", 0, ["no", "yes"], ["yes", "no"], rows=[2, 3]),
        finished_run("lora-r8", 0, ["yes"], ["yes"], rows=[2]),
        finished_run("lora-r8", 0, ["yes", "yes"], ["yes", "no"], rows=[2, 2]),
    ],
    ids=["other rows", "other labels", "fewer rows", "a row twice"],
)
def test_unpaired_rows_are_refused(other: FinishedRun) -> None:
    a = finished_run("kasa-r8", 0, ["yes", "no"], ["yes", "no"])
    with pytest.raises(StudyError) as caught:
        compare([a], [other], "accuracy", 0.01)
    assert caught.value.code == "unpaired_rows"


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (1, 9, 22 / 1024),  # 2·(1 + 10)/2^10
        (9, 1, 22 / 1024),
        (5, 5, 1.0),
        (0, 0, 1.0),
        (5, 0, 1 / 16),
        (6, 0, 1 / 32),
    ],
)
def test_mcnemar_by_hand(only_a: int, only_b: int, p: float) -> None:
    both = [(True, True), (False, False)] * 3
    answers = [*both, *[(True, False)] * only_a, *[(False, True)] * only_b]
    (a,), (b,) = (arm("lora-r8", [[answer[side] for answer in answers]]) for side in (0, 1))
    assert mcnemar(a, b) == pytest.approx(p)


@pytest.mark.parametrize(("rows", "word"), [(5, "cannot_tell"), (6, "better")])
def test_one_seed_claims_nothing_that_the_exact_test_does_not(rows: int, word: str) -> None:
    """Five of five rows are 1 in 16 by chance; Student's t alone would call that clear."""
    verdict = verdict_of([[True] * rows], [[False] * rows])
    assert verdict.interval[0] > 0
    assert verdict.verdict == word


def test_mcnemar_is_told_for_every_seed_of_accuracy_alone() -> None:
    a, b = example_runs(["kasa-r8"]), example_runs(["lora-r8"])
    assert len(compare(a, b, "accuracy", 0.01).mcnemar) == 3
    assert compare(a, b, "macro_f1", 0.01).mcnemar == ()


def test_many_pairs_share_their_certainty() -> None:
    """The first pair keeps its 95 %; five others hold 99 % each, so that all hold with 95 %."""
    runs = example_runs()
    by_arm = {name: [run for run in runs if run.arm == name] for name in {r.arm for r in runs}}
    pairs = [("kasa-r8", "lora-r8"), ("lora-r8", "tfidf"), ("kasa-r8", "tfidf")]
    pairs += [(name, "frozen_head") for name in ("kasa-r8", "lora-r8", "tfidf")]
    found = compare_all(by_arm, pairs, replicates(by_arm, "accuracy"), 0.01)
    assert [(verdict.a, verdict.b) for verdict in found] == pairs
    assert [verdict.num_joint for verdict in found] == [1, 5, 5, 5, 5, 5]
    assert [verdict.level for verdict in found] == pytest.approx([0.95, *[0.99] * 5])
    alone = compare(by_arm["lora-r8"], by_arm["tfidf"], "accuracy", 0.01)
    low, high = found[1].interval
    assert low < alone.interval[0] < alone.interval[1] < high
    assert found[1].difference == alone.difference


def test_pairs_without_a_common_seed_are_left_out() -> None:
    by_arm = {"kasa-r8": example_runs(["kasa-r8"], [0]), "tfidf": example_runs(["tfidf"], [1])}
    drawn = replicates(by_arm, "accuracy")
    assert compare_all(by_arm, [("kasa-r8", "tfidf")], drawn, 0.01) == []


def test_no_common_seed_is_refused() -> None:
    a, b = example_runs(["kasa-r8"], [0]), example_runs(["lora-r8"], [1])
    with pytest.raises(StudyError) as caught:
        compare(a, b, "accuracy", 0.01)
    assert caught.value.code == "no_common_seed"


def test_an_unknown_metric_is_refused() -> None:
    runs = example_runs(["kasa-r8"])
    with pytest.raises(StudyError):
        compare(runs, runs, "auc", 0.01)


# -- the promise: a difference is rarely claimed where there is none -----------------------------


def simulated(
    rng: np.random.Generator, template: FinishedRun, rows: np.ndarray, gain: float
) -> list[FinishedRun]:
    """Return 3 seeds of an arm: a row's difficulty is common, each seed adds its own chance."""
    runs = []
    for seed in range(3):
        right = rows + gain + rng.normal(0, 0.1) + rng.normal(0, 0.7, len(rows)) > 0
        answers = pd.DataFrame({"row": range(len(rows)), "label": "yes"})
        answers["predicted"] = np.where(right, "yes", "no")
        name = f"{template.arm}-s{seed}"
        runs.append(replace(template, id=name, seed=seed, predictions=answers))
    return runs


@pytest.mark.parametrize(("gain", "at_least", "at_most"), [(0.0, 0, 6), (0.9, 54, 60)])
def test_simulated_studies(gain: float, at_least: int, at_most: int) -> None:
    rng = np.random.default_rng(11)
    kasa, lora = (finished_run(name, 0, ["yes"], ["yes"]) for name in ("kasa-r8", "lora-r8"))
    claims = 0
    for _ in range(60):
        rows = rng.normal(1.5, 2.0, 200)
        a, b = simulated(rng, kasa, rows, gain), simulated(rng, lora, rows, 0.0)
        verdict = compare(a, b, "accuracy", 0.01, num_draws=400).verdict
        claims += verdict in {"better", "worse"}
    assert at_least <= claims <= at_most


# -- one arm ------------------------------------------------------------------------------------


def test_metric_interval_is_close_to_wilson() -> None:
    low, high = metric_interval(arm("tfidf", [[row % 10 != 0 for row in range(200)]]), "accuracy")
    assert (low, high) == pytest.approx((0.8506, 0.9345), abs=0.015)  # Wilson 1927, 180 of 200


def test_metric_interval_of_all_right_is_not_a_point() -> None:
    low, high = metric_interval(arm("tfidf", [[True] * 20]), "accuracy")
    assert low < 0.95
    assert high == 1.0


def test_summary() -> None:
    runs = arm("kasa-r8", [[True, True, True, False], [True, False, False, False]])
    runs[1] = replace(
        runs[1], peak_memory_bytes=2_000_000_000, baseline_memory_bytes=7, train_seconds=90
    )
    summary = summarise([runs[1], runs[0]])[0]
    assert summary.seeds == (0, 1)
    assert summary.num_seeds == 2
    assert summary.metrics["accuracy"].values == (0.75, 0.25)
    assert summary.metrics["accuracy"].mean == 0.5
    assert (summary.metrics["accuracy"].min, summary.metrics["accuracy"].max) == (0.25, 0.75)
    assert summary.train_seconds == 75
    assert (summary.peak_memory_bytes, summary.baseline_memory_bytes) == (2_000_000_000, 7)
    # Rows: yes no yes no. Seed 0 errs on the last (no -> yes), seed 1 on all but the first.
    assert summary.labels == ("no", "yes")
    assert summary.confusion == ((1, 3), (1, 3))


# -- where arms differ --------------------------------------------------------------------------


def test_disagreements_by_majority_then_confidence() -> None:
    labels = ["yes", "no", "yes"]
    kasa = [
        finished_run("kasa-r8", 0, labels, ["yes", "no", "no"], confidence=[0.9, 0.9, 0.6]),
        finished_run("kasa-r8", 1, labels, ["yes", "no", "yes"], confidence=[0.9, 0.9, 0.8]),
    ]
    lora = [
        finished_run("lora-r8", seed, labels, predicted)
        for seed, predicted in enumerate(
            [["no", "no", "no"], ["no", "no", "no"], ["yes", "no", "no"]]
        )
    ]
    rows = pd.DataFrame(
        {
            "row": [2, 3, 4, 9],
            "text": ["a", "b", "c", "d"],
            "label": [*labels, "no"],
            "part": "test",
        }
    )
    # A test file of the user's own has row numbers that the training file has too.
    rows = pd.concat([rows.assign(text="another file's", part="train"), rows])
    table = disagreements([*kasa, *lora], rows)
    assert list(table.columns) == ["row", "text", "label", "kasa-r8", "lora-r8"]
    assert table.to_numpy().tolist() == [[2, "a", "yes", "yes", "no"], [4, "c", "yes", "yes", "no"]]


def test_no_runs_no_disagreements() -> None:
    rows = pd.DataFrame({"row": [2], "text": ["a"], "label": ["yes"], "part": ["test"]})
    assert disagreements([], rows).empty
