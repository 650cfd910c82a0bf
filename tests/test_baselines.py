"""The cheap baselines: the probe's choice, its head, and TF-IDF on English and Japanese."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

from kasa.tuning.answers import class_answers, preference, softmax
from kasa.tuning.baselines import run_tfidf, vectorizer
from kasa.tuning.outcome import Part, Parts
from kasa.tuning.probe import STRENGTHS, Probe
from kasa.tuning.probe import fit_probe as fit_probe_of
from tests.tiny_models import work_orders

Rows = tuple[NDArray[np.float64], list[int]]


def noisy_rows(num_rows: int, seed: int, num_labels: int = 3, num_features: int = 12) -> Rows:
    """Return rows whose label shows in one feature each, under noise, among features that lie."""
    random = np.random.default_rng(seed)
    labels = np.arange(num_rows) % num_labels
    x = random.standard_normal((num_rows, num_features))
    x[np.arange(num_rows), labels] += 1.0
    return x, labels.tolist()


def part_of(labels: Sequence[int]) -> Part:
    return Part(tuple(range(len(labels))), ("",) * len(labels), tuple(labels))


def fit_probe(
    train_x: NDArray[np.float64],
    train_y: list[int],
    val_x: NDArray[np.float64],
    val_y: list[int],
) -> Probe:
    """Fit the probe on these features instead of a text's."""
    train, validation = part_of(train_y), part_of(val_y)
    parts = Parts(train, validation, validation, tuple("abcdefgh"[: max(train_y) + 1]))
    found = {id(train): train_x, id(validation): val_x}
    return fit_probe_of(lambda part: found[id(part)], parts)


def test_the_probe_is_chosen_by_validation_alone() -> None:
    """Every strength refitted here; the training rows would choose another one."""
    (train_x, train_y), (val_x, val_y) = noisy_rows(30, 0), noisy_rows(90, 1)
    probe = fit_probe(train_x, train_y, val_x, val_y)
    fitted = [LogisticRegression(C=c, max_iter=5000).fit(train_x, train_y) for c in STRENGTHS]
    # The least probability that the loss counts with is 1e-12: -log p is 27.6 at the most.
    chances = [np.clip(model.predict_proba(val_x), 1e-12, None) for model in fitted]
    losses = [-np.log(each[range(90), val_y]).mean() for each in chances]
    accuracies = [accuracy_score(val_y, model.predict(val_x)) for model in fitted]
    best = min(range(len(STRENGTHS)), key=lambda i: (-accuracies[i], losses[i]))
    on_train = [log_loss(train_y, model.predict_proba(train_x)) for model in fitted]
    assert int(np.argmin(on_train)) != best
    assert probe.strength == STRENGTHS[best]
    assert [trial["C"] for trial in probe.trials] == list(STRENGTHS)
    found = [trial["validation"]["loss"] for trial in probe.trials]
    assert found == pytest.approx(losses)
    assert probe.validation["accuracy"] == accuracies[best]
    assert np.array_equal(probe.model.coef_, fitted[best].coef_)
    assert probe.train_seconds == probe.trials[best]["train_seconds"] > 0


def test_a_tie_goes_to_the_lower_loss_and_then_to_the_smaller_strength() -> None:
    x = np.array([[-1.0], [1.0]] * 4)
    probe = fit_probe(x, [0, 1] * 4, x, [0, 1] * 4)
    assert {trial["validation"]["accuracy"] for trial in probe.trials} == {1.0}
    assert probe.strength == 100.0  # the surest of four that are all right
    nothing = fit_probe(np.zeros((8, 1)), [0, 1] * 4, np.zeros((8, 1)), [0, 1] * 4)
    assert nothing.strength == 0.1  # four equal models


def test_preference_puts_accuracy_before_loss() -> None:
    better = {"accuracy": 0.8, "loss": 2.0}
    assert preference(better) < preference({"accuracy": 0.7, "loss": 0.1})
    assert preference({"accuracy": 0.8, "loss": 1.0}) < preference(better)


@pytest.mark.parametrize("num_labels", [2, 3, 5])
def test_the_head_gives_the_probes_probabilities(num_labels: int) -> None:
    (train_x, train_y), (val_x, val_y) = (
        noisy_rows(40, 0, num_labels),
        noisy_rows(40, 1, num_labels),
    )
    probe = fit_probe(train_x, train_y, val_x, val_y)
    weight, bias = probe.head()
    assert (weight.shape, bias.shape) == ((num_labels, 12), (num_labels,))
    found = softmax(val_x @ weight.T + bias)
    np.testing.assert_allclose(found, probe.model.predict_proba(val_x), atol=1e-12)
    assert np.ptp(found[:, 0]) > 0.1
    answers = class_answers(part_of(val_y), probe.parts.labels, found)
    assert answers.loss == pytest.approx(probe.validation["loss"])
    exact = log_loss(val_y, found, labels=range(num_labels))
    assert answers.loss == pytest.approx(exact)


def test_a_label_that_validation_lacks_does_not_stop_the_probe() -> None:
    (train_x, train_y), (val_x, val_y) = noisy_rows(30, 0), noisy_rows(30, 1)
    seen = [row for row, label in enumerate(val_y) if label != 2]
    probe = fit_probe(train_x, train_y, val_x[seen], [val_y[row] for row in seen])
    assert np.isfinite(probe.validation["loss"])


def test_scores_are_scikit_learns_and_a_label_never_predicted_counts_as_zero() -> None:
    said = class_answers(part_of([0, 0, 1, 2]), ("a", "b", "c"), np.eye(3)[[0, 0, 1, 1]])
    assert said.metrics == {
        "accuracy": 0.75,
        "macro_f1": pytest.approx((1 + 2 / 3 + 0) / 3),
    }


ENGLISH = ("the pump leaks", "no alarm at the press")
JAPANESE = ("ポンプの油漏れ", "扉が閉まらない", "警報が鳴る")


@pytest.mark.parametrize(
    ("texts", "analyzer", "ngrams"),
    [
        (ENGLISH, "word", (1, 2)),
        (JAPANESE, "char", (1, 4)),
        ((*ENGLISH, *JAPANESE), "char", (1, 4)),
        ((*ENGLISH, JAPANESE[0]), "word", (1, 2)),
        (("ｵｲﾙ漏れ",), "char", (1, 4)),
    ],
)
def test_japanese_is_read_by_character(
    texts: tuple[str, ...], analyzer: str, ngrams: tuple[int, int]
) -> None:
    found = vectorizer(texts)
    assert (found.analyzer, found.ngram_range) == (analyzer, ngrams)


def test_japanese_texts_without_blanks_are_told_apart() -> None:
    """Read by words, each of these would be one unknown word."""
    places = ("第一", "第二", "第三", "第四", "第五", "第六", "第七", "第八")
    leaks = [f"{place}ポンプの油漏れを確認した" for place in places]
    doors = [f"{place}ラインの扉が閉まらない" for place in places]

    def part(start: int, end: int) -> Part:
        texts = [
            text for pair in zip(leaks[start:end], doors[start:end], strict=True) for text in pair
        ]
        return Part(tuple(range(len(texts))), tuple(texts), (0, 1) * (end - start))

    parts = Parts(part(0, 4), part(4, 6), part(6, 8), ("油漏れ", "扉"))
    assert run_tfidf(parts).answers.metrics == {"accuracy": 1.0, "macro_f1": 1.0}


def test_the_outcome_of_tfidf_is_complete() -> None:
    parts = work_orders()
    outcome = run_tfidf(parts)
    words = vectorizer(parts.train.texts).fit(parts.train.texts)
    assert outcome.num_trainable_params == 3 * len(words.vocabulary_) + 3
    assert outcome.num_total_params == outcome.num_trainable_params
    assert outcome.selected["C"] in STRENGTHS
    assert len(outcome.trials) == len(STRENGTHS)
    assert outcome.guard is None
    assert min(outcome.prepare_seconds, outcome.train_seconds, outcome.evaluate_seconds) > 0
    assert outcome.answers.metrics["accuracy"] >= 0.5  # chance is a third
    table = outcome.answers.table
    assert list(table.columns) == ["row", "label", "predicted", "confidence"]
    assert tuple(table["row"]) == parts.test.rows
    right = (table["label"] == table["predicted"]).mean()
    assert right == pytest.approx(outcome.answers.metrics["accuracy"])
    assert table["confidence"].between(1 / 3, 1).all()


def test_tfidf_never_reads_the_test_words() -> None:
    parts = work_orders()
    strange = tuple(f"unheard{row} words{row}" for row in parts.test.rows)
    changed = Parts(
        parts.train,
        parts.validation,
        Part(parts.test.rows, strange, parts.test.labels),
        parts.labels,
    )
    before, after = run_tfidf(parts), run_tfidf(changed)
    assert after.num_total_params == before.num_total_params
    assert after.validation == before.validation
    # No known word: the same answer for all.
    assert after.answers.table["predicted"].nunique() == 1
    assert after.answers.table["confidence"].nunique() == 1
