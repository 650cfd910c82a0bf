"""The cheap methods that need no base model: TF-IDF with a linear model, and the majority.

TF-IDF gets a grid of regularisation strengths, chosen on validation, as tuned arms get learning
rates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from kasa.tuning.answers import (
    Answers,
    choice_answers,
    class_answers,
    score_answers,
    text_answers,
)
from kasa.tuning.measure import memory_bytes, stopwatch
from kasa.tuning.outcome import Outcome, Part, Parts
from kasa.tuning.probe import Probe, fit_probe

JAPANESE = re.compile("[぀-ヿ㐀-鿿]")


def vectorizer(texts: Sequence[str]) -> TfidfVectorizer:
    """Return TF-IDF over words, or over 1-4 characters where the texts are mostly Japanese."""
    japanese = sum(bool(JAPANESE.search(text)) for text in texts)
    if japanese > len(texts) / 2:
        return TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True)
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)


def fitted_vectorizer(part: Part) -> TfidfVectorizer:
    """Return TF-IDF fitted on every text of a part: second texts and choices too."""
    texts = [*part.texts, *part.seconds, *(text for row in part.choices for text in row)]
    return vectorizer(texts).fit(texts)


def word_features(words: TfidfVectorizer, part: Part) -> Any:
    """Return sparse features: a text's weights, or what two texts have and share.

    Two texts (a pair, or a question with each of its choices) give [a, b, a∘b, |a − b|].
    """
    if part.choices:
        asked = [text for text, row in zip(part.texts, part.choices, strict=True) for _ in row]
        return _pairs(words, asked, [text for row in part.choices for text in row])
    if part.seconds:
        return _pairs(words, part.texts, part.seconds)
    return words.transform(part.texts)


def _pairs(words: TfidfVectorizer, first: Sequence[str], second: Sequence[str]) -> Any:
    a, b = words.transform(first), words.transform(second)
    return sparse.hstack([a, b, a.multiply(b), abs(a - b)]).tocsr()


@dataclass(frozen=True)
class Tfidf:
    """TF-IDF fitted on the training rows, with the linear model on it.

    Where answers are texts there is no `probe`: the answer of the nearest training prompt (cosine)
    is given instead.
    """

    words: TfidfVectorizer
    known: Any
    probe: Probe | None
    parts: Parts
    prepare_seconds: float

    def answers(self, part: Part) -> Answers:
        """Return what it answers to a part."""
        features = word_features(self.words, part)
        if self.probe is not None:
            return self.probe.answers(features, part)
        nearest = np.asarray((features @ self.known.T).argmax(axis=1)).ravel()
        return text_answers(part, [self.parts.train.labels[i] for i in nearest])


def fit_tfidf(parts: Parts, *, class_weights: bool = False) -> Tfidf:
    """Fit TF-IDF and a linear model on the training rows; nothing of the base model is used."""
    with stopwatch() as preparing:
        words = fitted_vectorizer(parts.train)
        known = word_features(words, parts.train)

    def features(part: Part) -> Any:
        return known if part is parts.train else word_features(words, part)

    generates = parts.task == "generation"
    probe = None if generates else fit_probe(features, parts, class_weights=class_weights)
    return Tfidf(words, known, probe, parts, preparing.seconds)


def run_tfidf(parts: Parts, *, class_weights: bool = False) -> Outcome:
    """Fit TF-IDF on the training rows and answer the test rows with it."""
    before = memory_bytes()
    fitted = fit_tfidf(parts, class_weights=class_weights)
    probe, seconds = fitted.probe, fitted.prepare_seconds
    if probe is None:
        validation = fitted.answers(parts.validation)
        return _untrained(validation, parts, fitted.answers, seconds, before)
    with stopwatch() as evaluating:
        answers = fitted.answers(parts.test)
    return Outcome(
        answers=answers,
        selected={"C": probe.strength},
        validation=probe.validation,
        trials=probe.trials,
        prepare_seconds=seconds,
        train_seconds=probe.train_seconds,
        evaluate_seconds=evaluating.seconds,
        num_trainable_params=probe.num_params,
        num_total_params=probe.num_params,
        baseline_memory_bytes=before,
        conditions={"precision": "fp64"},
    )


def run_majority(parts: Parts) -> Outcome:
    """Give every row the same answer: what anything that has learned must beat.

    The most frequent class or answer, the mean score, the most frequent place among the choices.
    """
    before = memory_bytes()
    with stopwatch() as preparing:
        most = Counter(parts.train.labels).most_common(1)[0][0]
        mean = float(np.mean(parts.train.labels)) if parts.task == "regression" else 0.0

    def answered(part: Part) -> Answers:
        if parts.task == "regression":
            return score_answers(part, np.full(len(part.rows), mean))
        if parts.task == "generation":
            return text_answers(part, [str(most)] * len(part.rows))
        if parts.task == "multiple_choice":
            places = [min(int(most), len(choices) - 1) for choices in part.choices]
            figures = [
                np.eye(len(choices))[place]
                for choices, place in zip(part.choices, places, strict=True)
            ]
            return choice_answers(part, figures)
        shares = np.bincount(parts.train.labels, minlength=len(parts.labels))
        return class_answers(
            part, parts.labels, np.tile(shares / shares.sum(), (len(part.rows), 1))
        )

    return _untrained(answered(parts.validation), parts, answered, preparing.seconds, before)


def _untrained(
    validation: Answers, parts: Parts, answered: Any, seconds: float, before: int
) -> Outcome:
    """Return the outcome of a method without parameters and without settings to choose."""
    with stopwatch() as evaluating:
        answers = answered(parts.test)
    return Outcome(
        answers=answers,
        selected={},
        validation=validation.validation,
        trials=[],
        prepare_seconds=seconds,
        train_seconds=0.0,
        evaluate_seconds=evaluating.seconds,
        num_trainable_params=0,
        num_total_params=0,
        baseline_memory_bytes=before,
        conditions={"precision": "fp64"},
    )
