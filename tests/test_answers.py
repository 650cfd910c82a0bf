"""Answers: the metrics of every task against scikit-learn, scipy and sacrebleu, and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF
from scipy.stats import pearsonr, spearmanr

from kasa.tuning.answers import (
    choice_answers,
    class_answers,
    preference,
    score_answers,
    softmax,
    text_answers,
)
from kasa.tuning.outcome import Part


def part(labels: list[Any], choices: tuple[tuple[str, ...], ...] = ()) -> Part:
    rows = tuple(range(7, 7 + len(labels)))
    return Part(rows, ("",) * len(labels), tuple(labels), (), choices)


# -- classes and choices ------------------------------------------------------------------------


def test_classes_by_hand() -> None:
    chances = [[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.3, 0.3, 0.4]]
    found = class_answers(part([0, 1, 1]), ("a", "b", "c"), chances)
    assert found.table.to_dict("list") == {
        "row": [7, 8, 9],
        "label": ["a", "b", "b"],
        "predicted": ["a", "b", "c"],
        "confidence": [0.7, 0.5, 0.4],
    }
    assert found.metrics["accuracy"] == pytest.approx(2 / 3)
    assert found.metrics["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert found.loss == pytest.approx(-math.log(0.7 * 0.5 * 0.3) / 3)
    assert found.validation == {**found.metrics, "loss": found.loss}


def test_choices_by_hand() -> None:
    """Figures are logits; rows have different numbers of choices."""
    given = part([1, 0], (("red", "blue"), ("tea", "milk", "oil")))
    figures = [[0.0, math.log(3)], [0.0, math.log(2), 0.0]]
    found = choice_answers(given, figures)
    assert list(found.table["label"]) == ["blue", "tea"]
    assert list(found.table["predicted"]) == ["blue", "milk"]
    assert list(found.table["confidence"]) == [0.75, 0.5]
    assert found.metrics == {"accuracy": 0.5}
    assert found.loss == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)


def test_softmax_neither_overflows_nor_depends_on_a_shift() -> None:
    logits = np.array([[1000.0, 1000.0], [-1000.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(softmax(logits), [[0.5, 0.5], [0.0, 1.0]], atol=1e-12)
    np.testing.assert_allclose(softmax(logits + 5), softmax(logits))


# -- scores -------------------------------------------------------------------------------------

numbers = st.lists(
    st.tuples(st.integers(-40, 40), st.integers(-40, 40)), min_size=3, max_size=20
).filter(lambda rows: len({a for a, _ in rows}) > 1 and len({b for _, b in rows}) > 1)


@settings(max_examples=40, deadline=None)
@given(numbers)
def test_correlations_are_scipys(rows: list[tuple[int, int]]) -> None:
    labels, said = [a / 4 for a, _ in rows], [b / 4 for _, b in rows]
    found = score_answers(part(labels), said)
    assert found.metrics["pearson"] == pytest.approx(pearsonr(said, labels).statistic)
    assert found.metrics["spearman"] == pytest.approx(spearmanr(said, labels).statistic)
    mean = sum((a - b) ** 2 for a, b in zip(labels, said, strict=True)) / len(labels)
    assert found.loss == pytest.approx(mean)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]),
        ([2.0, 2.0, 2.0], [1.0, 2.0, 3.0]),
        ([1.0, 1.0], [1, 1]),
        ([1.0], [2]),
    ],
)
def test_a_constant_has_no_correlation_and_counts_as_0(
    labels: list[float], said: list[float]
) -> None:
    assert score_answers(part(labels), said).metrics == {"pearson": 0.0, "spearman": 0.0}


def test_scores_are_kept_with_six_digits() -> None:
    found = score_answers(part([1.0, 2.0]), np.array([0.12345678, 2.0]))
    assert list(found.table["predicted"]) == [0.123457, 2.0]
    assert "confidence" not in found.table


# -- texts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "written", "exact"),
    [
        ("call Hydraulics", "CALL  hydraulics\n", 1),
        ("ＡＢＣ　１２", "abc 12", 1),
        ("ｵｲﾙ漏れ", "オイル漏れ", 1),
        ("Straße", "STRASSE", 1),
        ("call hydraulics", "call hydraulics!", 0),
        ("oil", "", 0),
        ("油漏れ", "油もれ", 0),
    ],
)
def test_width_case_and_blanks_do_not_count(right: str, written: str, exact: int) -> None:
    found = text_answers(part([right]), [written])
    assert found.metrics["exact_match"] == found.table["exact_match"][0] == exact
    assert (found.metrics["chrf"] == 1) == bool(exact)


SENTENCES = st.lists(
    st.sampled_from(["call", "the", "crew", "油漏れ", "pump", "異音", "at", "once", "."]),
    min_size=1,
    max_size=6,
).map(" ".join)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(SENTENCES, SENTENCES), min_size=1, max_size=4))
def test_chrf_is_the_mean_of_sacrebleus_sentences(rows: list[tuple[str, str]]) -> None:
    right, written = [a for a, _ in rows], [b for _, b in rows]
    found = text_answers(part(right), written)
    wanted = [CHRF().sentence_score(b, [a]).score / 100 for a, b in rows]
    assert list(found.table["chrf"]) == pytest.approx(wanted, abs=1e-6)
    assert found.metrics["chrf"] == pytest.approx(np.mean(wanted), abs=1e-6)
    assert found.loss == pytest.approx(1 - np.mean(wanted), abs=1e-6)
    assert "perplexity" not in found.metrics


def test_perplexity_is_exp_of_the_mean_loss_per_token() -> None:
    found = text_answers(part(["a", "b"]), ["a", "c"], [math.log(2), math.log(8)])
    assert found.loss == pytest.approx(math.log(4))
    assert found.metrics["perplexity"] == pytest.approx(4)
    assert list(found.table["token_loss"]) == pytest.approx([math.log(2), math.log(8)], abs=1e-6)
    assert math.isfinite(text_answers(part(["a"]), ["b"], [1e6]).metrics["perplexity"])


def test_the_first_metric_decides_and_the_loss_breaks_a_tie() -> None:
    right, wrong = (
        text_answers(part(["call the crew"]), [written], [2.0])
        for written in ("call the crew", "oil")
    )
    surer = text_answers(part(["call the crew"]), ["call the crew"], [1.0])
    ordered = sorted([wrong, right, surer], key=lambda each: preference(each.validation))
    assert ordered == [surer, right, wrong]
