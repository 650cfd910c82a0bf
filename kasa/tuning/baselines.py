"""The baselines a tuned arm must beat: frozen base + linear head, TF-IDF + logistic regression.

Both get a grid of regularisation strengths, chosen on validation, as tuned arms get learning rates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from kasa.tuning.measure import memory_bytes, stopwatch
from kasa.tuning.metrics import preference, score
from kasa.tuning.outcome import Outcome, Parts

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
JAPANESE = re.compile("[぀-ヿ㐀-鿿]")


@dataclass(frozen=True)
class Probe:
    """A fitted logistic regression with the trials it was chosen from."""

    model: LogisticRegression
    strength: float
    trials: list[dict[str, Any]]
    validation: dict[str, float]

    @property
    def train_seconds(self) -> float:
        """Seconds of the chosen trial's fit."""
        chosen = [trial for trial in self.trials if trial["C"] == self.strength]
        return float(chosen[0]["train_seconds"])

    def head(self, num_labels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight (classes, d) and bias (classes,) of an equal softmax head.

        With two classes scikit-learn fits one logit z; ±z/2 gives the same probabilities.
        """
        weight, bias = self.model.coef_, self.model.intercept_
        if num_labels == 2 and len(weight) == 1:
            return np.vstack([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
        return weight, bias


def fit_probe(train_x: Any, train_y: Sequence[int], val_x: Any, val_y: Sequence[int]) -> Probe:
    """Fit logistic regression for every strength C and keep the best on validation.

    Chosen by validation accuracy, ties by lower validation log-loss, then by the smaller C.
    """
    trials: list[dict[str, Any]] = []
    fitted = []
    classes = np.arange(max(train_y) + 1)
    for strength in STRENGTHS:
        with stopwatch() as watch:
            model = LogisticRegression(C=strength, max_iter=5000).fit(train_x, train_y)
        validation = score(val_y, model.predict(val_x).tolist())
        validation["loss"] = float(log_loss(val_y, model.predict_proba(val_x), labels=classes))
        trials.append({"C": strength, "validation": validation, "train_seconds": watch.seconds})
        fitted.append(model)
    best = min(range(len(trials)), key=lambda i: preference(trials[i]["validation"]))
    return Probe(fitted[best], STRENGTHS[best], trials, trials[best]["validation"])


def vectorizer(texts: Sequence[str]) -> TfidfVectorizer:
    """Return TF-IDF over words, or over 1-4 characters where the texts are mostly Japanese."""
    japanese = sum(bool(JAPANESE.search(text)) for text in texts)
    if japanese > len(texts) / 2:
        return TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True)
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)


def run_tfidf(parts: Parts) -> Outcome:
    """Fit TF-IDF + logistic regression on the training rows; nothing of the base model is used."""
    before = memory_bytes()
    words = vectorizer(parts.train.texts)
    with stopwatch() as preparing:
        train_x = words.fit_transform(parts.train.texts)
    val_x = words.transform(parts.validation.texts)
    probe = fit_probe(train_x, parts.train.labels, val_x, parts.validation.labels)
    with stopwatch() as evaluating:
        probabilities = probe.model.predict_proba(words.transform(parts.test.texts))
    num_params = int(probe.model.coef_.size + probe.model.intercept_.size)
    return Outcome(
        probabilities=probabilities,
        selected={"C": probe.strength},
        validation=probe.validation,
        trials=probe.trials,
        prepare_seconds=preparing.seconds,
        train_seconds=probe.train_seconds,
        evaluate_seconds=evaluating.seconds,
        num_trainable_params=num_params,
        num_total_params=num_params,
        baseline_memory_bytes=before,
        conditions={"precision": "fp64"},
    )
