"""Learning curves and noise curves: levels, the pair's change, the forecast, and how they look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from kasa.arms import Arm, curve_arms
from kasa.errors import StudyError
from kasa.report import curves as shown
from kasa.report.labels import arm_labels
from kasa.report.sections import arms_table, gates_table, report_sections, runs_table
from kasa.runs.records import FinishedRun
from kasa.study import Study
from kasa.text import LANGUAGES, translator
from kasa.verdict.curves import CurveSet, Point, foretell, power_law
from kasa.verdict.estimate import of_arm
from kasa.verdict.evidence import Evidence
from kasa.verdict.facts import evidence_to_dict
from kasa.verdict.resample import replicates
from tests.study_runs import LABELS, example_evidence, example_study, finished_run

NUM_ROWS = 120
TRUE = [LABELS[row % 3] for row in range(NUM_ROWS)]
JUDGED = (Arm("kasa"), Arm("lora"), Arm("tfidf"))
STUDY = example_study(
    arms=JUDGED + curve_arms(JUDGED[:2], (0.5, 0.25, 0.75), (0.3,)),
)
# Wrong rows by arm: KaSA bears few rows better than LoRA, and wrong labels as well as it does.
WRONG = {
    "kasa-r8": 12,
    "lora-r8": 12,
    "tfidf": 40,
    "kasa-r8-rows25": 18,
    "kasa-r8-rows50": 15,
    "kasa-r8-rows75": 13,
    "lora-r8-rows25": 48,
    "lora-r8-rows50": 30,
    "lora-r8-rows75": 18,
    "kasa-r8-noise30": 24,
    "lora-r8-noise30": 24,
}


def runs_of(arm: str, wrong: int) -> list[FinishedRun]:
    predicted = [LABELS[(row + 1) % 3] if row < wrong else TRUE[row] for row in range(NUM_ROWS)]
    share = STUDY.named_arms()[arm].train_share or 1.0
    return [
        replace(finished_run(arm, seed, TRUE, predicted), num_train_rows=round(240 * share))
        for seed in (0, 1, 2)
    ]


def evidence_of(wrong: dict[str, int], study: Study = STUDY) -> Evidence:
    return example_evidence([run for arm in wrong for run in runs_of(arm, wrong[arm])], study)


EVIDENCE = evidence_of(WRONG)


def set_of(kind: str, evidence: Evidence = EVIDENCE) -> CurveSet:
    (found,) = (each for each in evidence.curves if (each.kind, each.metric) == (kind, "accuracy"))
    return found


# -- the study ----------------------------------------------------------------------------------


def test_points_are_named_and_their_arm_must_be_there() -> None:
    assert STUDY.arm_names() == (
        *("kasa-r8", "lora-r8", "tfidf", "kasa-r8-rows25", "kasa-r8-rows50", "kasa-r8-rows75"),
        *("kasa-r8-noise30", "lora-r8-rows25", "lora-r8-rows50", "lora-r8-rows75"),
        "lora-r8-noise30",
    )
    assert STUDY.whole_of("lora-r8-rows75") == "lora-r8"
    assert STUDY.whole_of("tfidf") == "tfidf"
    with pytest.raises(StudyError, match="kasa-r8 beside it"):
        example_study(arms=(Arm("lora"), Arm("kasa", train_share=0.5)))


@pytest.mark.parametrize(
    ("share", "noise"), [(0.0, None), (1.0, None), (None, 0.0), (None, 1.5), (0.5, 0.1)]
)
def test_shares_out_of_range_are_refused(share: float | None, noise: float | None) -> None:
    with pytest.raises(StudyError):
        Arm("lora", train_share=share, label_noise=noise)


def test_a_study_without_points_keeps_its_fingerprint_and_its_file() -> None:
    plain = example_study(arms=JUDGED)
    assert "train_share" not in plain.to_toml()
    assert plain.fingerprint() != STUDY.fingerprint()


# -- what is judged, and what is a point ----------------------------------------------------------


def test_points_are_no_arms_of_the_verdict() -> None:
    assert [summary.arm for summary in EVIDENCE.summaries] == ["kasa-r8", "lora-r8", "tfidf"]
    assert {arm for v in EVIDENCE.verdicts for arm in (v.a, v.b)} <= {a.slug for a in JUDGED}
    assert {gate.arm for gate in EVIDENCE.gates} == {a.slug for a in JUDGED}
    assert EVIDENCE.missing_arms == ()
    assert len(EVIDENCE.all_finished) == 33
    text = translator("en")
    assert len(arms_table(EVIDENCE, text).rows) == len(gates_table(EVIDENCE, text).rows) == 3
    assert len(runs_table(EVIDENCE, text).rows) == 33


def test_the_verdict_is_the_same_with_and_without_points() -> None:
    alone = {arm: WRONG[arm] for arm in ("kasa-r8", "lora-r8", "tfidf")}
    plain = evidence_of(alone, example_study(arms=JUDGED))
    assert plain.verdicts == EVIDENCE.verdicts
    assert plain.curves == ()


def test_points_are_named_by_their_level() -> None:
    labels = arm_labels(STUDY, translator("en"))
    assert labels["kasa-r8"] == "KaSA (r=8)"
    assert labels["kasa-r8-rows25"] == "KaSA (r=8) [25% of the rows]"
    assert labels["lora-r8-noise30"] == "LoRA (r=8) [30% wrong labels]"


# -- the curves -----------------------------------------------------------------------------------


def test_points_by_hand() -> None:
    found = set_of("rows")
    assert [curve.arm for curve in found.curves] == ["kasa-r8", "lora-r8"]
    lora = found.curves[1]
    assert [point.level for point in lora.points] == [0.25, 0.5, 0.75, 1.0]
    assert [point.num_train_rows for point in lora.points] == [60, 120, 180, 240]
    values = [point.estimate.value for point in lora.points]
    assert values == pytest.approx([72 / 120, 90 / 120, 102 / 120, 108 / 120])
    assert lora.points[0].run_ids == tuple(f"lora-r8-rows25-s{seed}" for seed in (0, 1, 2))


def test_the_change_by_hand() -> None:
    rows, noise = set_of("rows"), set_of("noise")
    assert rows.pair == noise.pair == ("kasa-r8", "lora-r8")
    assert [gap.level for gap in rows.gaps] == [0.25, 0.5, 0.75, 1.0]
    gaps = [gap.estimate.value for gap in rows.gaps]
    assert gaps == pytest.approx([30 / 120, 15 / 120, 5 / 120, 0])
    assert rows.change is not None
    assert (rows.change.level, rows.verdict) == (0.25, "better")
    assert rows.change.estimate.value == pytest.approx(30 / 120)
    assert noise.change is not None
    assert (noise.change.level, noise.verdict) == (0.3, "cannot_tell")
    assert noise.change.estimate.value == pytest.approx(0.0)


def test_a_point_without_a_result_leaves_the_others() -> None:
    less = {arm: wrong for arm, wrong in WRONG.items() if arm != "lora-r8-rows25"}
    found = set_of("rows", evidence_of(less))
    assert [gap.level for gap in found.gaps] == [0.5, 0.75, 1.0]
    assert found.change is not None
    assert found.change.level == 0.5
    none = {arm: wrong for arm, wrong in WRONG.items() if "-rows" not in arm}
    assert [each.kind for each in evidence_of(none).curves] == ["noise", "noise"]


# -- what more rows would bring -------------------------------------------------------------------


@pytest.mark.parametrize(("floor", "slope", "exponent"), [(0.1, 0.2, 0.5), (0.0, 0.3, 0.25)])
def test_a_power_law_is_found_again(floor: float, slope: float, exponent: float) -> None:
    shares, targets = np.array([0.25, 0.5, 0.75, 1.0]), np.array([1.0, 2.0, 4.0])
    errors = floor + slope * shares**-exponent
    found = power_law(shares, errors[None], targets)
    assert found[0] == pytest.approx(floor + slope * targets**-exponent, abs=1e-9)


def test_errors_that_rise_with_the_rows_are_taken_as_level() -> None:
    found = power_law(np.array([0.25, 0.5, 1.0]), np.array([[0.1, 0.2, 0.3]]), np.array([2.0]))
    assert found[0, 0] == pytest.approx(0.2)


def test_a_curve_that_rises_says_that_more_rows_help_and_a_flat_one_does_not() -> None:
    wide = replace(STUDY, protocol=replace(STUDY.protocol, equivalence_margin=0.03))
    kasa, lora = (curve.forecast for curve in set_of("rows", evidence_of(WRONG, wide)).curves)
    assert kasa is not None
    assert lora is not None
    assert kasa.verdict == "little"
    assert lora.gain > 0.05
    assert lora.gain_interval[0] <= lora.gain <= lora.gain_interval[1]
    assert lora.verdict == "more"
    assert lora.value == pytest.approx(0.9 + lora.gain)
    assert lora.interval[0] < lora.value < lora.interval[1]


def test_forecasts_hold_the_truth() -> None:
    """Accuracy 0.93 − 0.15·x^−0.5 with 300 test rows and two seeds, 30 simulated curves."""
    rng = np.random.default_rng(5)
    levels = (0.25, 0.5, 0.75, 1.0)
    held = 0
    for _ in range(30):
        ease = rng.normal(0, 2, 300)
        runs = {f"{share}": luck_runs(share, ease, rng) for share in levels}
        drawn = replicates(runs, "accuracy", num_draws=400)
        points = [
            Point(share, 240 * share, of_arm(drawn[f"{share}"]), (0.0, 1.0), ()) for share in levels
        ]
        found = foretell(points, list(drawn.values()), margin=0.01)
        held += found.gain_interval[0] <= 0.15 * (1 - 2**-0.5) <= found.gain_interval[1]
    assert held >= 27


def luck_runs(share: float, ease: np.ndarray, rng: np.random.Generator) -> list[FinishedRun]:
    cut = np.sqrt(5.0) * norm.ppf(0.93 - 0.15 * share**-0.5)
    labels, runs = ["yes"] * len(ease), []
    for seed in (0, 1):
        good = cut + ease + rng.normal(0, 1, len(ease)) > 0
        table = pd.DataFrame({"row": range(len(ease)), "label": labels})
        table["predicted"] = np.where(good, "yes", "no")
        run = finished_run("lora-r8", seed, labels[:1], labels[:1])
        runs.append(replace(run, predictions=table))
    return runs


def test_two_points_make_no_forecast() -> None:
    less = {arm: WRONG[arm] for arm in ("kasa-r8", "lora-r8", "lora-r8-rows50")}
    (curve,) = set_of("rows", evidence_of(less)).curves
    assert curve.forecast is None


# -- how they look --------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
def test_charts_tables_and_sentences(lang: str) -> None:
    text = translator(lang)
    for kind, levels in (("rows", 4), ("noise", 2)):
        found = set_of(kind)
        assert len(shown.curve_chart(EVIDENCE, text, found).figure.data) >= 4
        gaps = shown.gap_chart(EVIDENCE, text, found)
        assert gaps is not None
        assert len(gaps.figure.data[0].x) == levels
        table = shown.curves_table(EVIDENCE, text, found)
        assert (len(table.rows), len(table.header)) == (levels, 4)
        sentences = list(shown.curve_sentences(EVIDENCE, text, found))
        # The change, and per method a forecast or what the wrong labels did.
        assert len(sentences) == 3
    assert "+25.0" in next(shown.curve_sentences(EVIDENCE, text, set_of("rows")))


def test_the_report_has_the_curves_and_the_document_too() -> None:
    assert "curves" in {section.key for section in report_sections(EVIDENCE, translator("ja"))}
    plain = example_evidence()
    assert "curves" not in {section.key for section in report_sections(plain, translator("ja"))}
    told = evidence_to_dict(EVIDENCE)["curves"]
    assert [each["kind"] for each in told] == ["rows", "rows", "noise", "noise"]
    assert told[0]["verdict"] == "better"


def test_an_arm_alone_has_a_curve_without_a_pair() -> None:
    alone = {arm: wrong for arm, wrong in WRONG.items() if arm.startswith("lora")}
    evidence = evidence_of(alone)
    found = set_of("rows", evidence)
    assert found.pair is None
    text = translator("en")
    assert shown.gap_chart(evidence, text, found) is None
    assert shown.curves_table(evidence, text, found).header == ("Training rows", "LoRA (r=8)")
