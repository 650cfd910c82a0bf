"""Answers: what a model said to the rows of one part, and how right it was, for every task.

Each function makes the same record from what a task's model gives: class probabilities, scores,
a figure per choice, or texts. Metrics are scikit-learn's, scipy's and sacrebleu's.
"""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score

if TYPE_CHECKING:
    from kasa.tuning.outcome import Part

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """A line per row (row, label, predicted and what else the task knows), metrics, mean loss."""

    table: pd.DataFrame
    metrics: dict[str, float]
    loss: float

    @property
    def validation(self) -> dict[str, float]:
        """Metrics and loss in one record, as trials are judged by them."""
        return {**self.metrics, "loss": self.loss}

    def records(self) -> list[dict[str, Any]]:
        """Return what was answered to every row: label, and confidence where the task has one."""
        names = {"predicted": "label", "confidence": "confidence"}
        kept = self.table[[name for name in names if name in self.table]].rename(columns=names)
        return [
            {str(name): value for name, value in row.items()} for row in kept.to_dict("records")
        ]


def preference(validation: dict[str, float]) -> tuple[float, float]:
    """Sort key of a trial, best first: higher first metric, then lower loss, on validation."""
    return (-round(next(iter(validation.values())), 9), validation["loss"])


def class_answers(part: Part, labels: Sequence[str], probabilities: ArrayLike) -> Answers:
    """Return the most probable class of every row; probabilities are (rows, classes).

    Metrics: accuracy and macro-F1 (a class never predicted counts as 0). Loss: mean −log p(label).
    """
    chances = np.asarray(probabilities, dtype=np.float64)
    predicted = chances.argmax(1)
    table = _table(part, [labels[i] for i in part.labels], [labels[i] for i in predicted])
    metrics = {
        "accuracy": float(accuracy_score(part.labels, predicted)),
        "macro_f1": float(f1_score(part.labels, predicted, average="macro", zero_division=0)),
    }
    right = chances[np.arange(len(part.labels)), list(part.labels)]
    loss = float(-np.log(np.clip(right, 1e-12, None)).mean())
    return Answers(table.assign(confidence=chances.max(1).round(6)), metrics, loss)


def choice_answers(part: Part, figures: Sequence[ArrayLike]) -> Answers:
    """Return the best choice of every row from one figure (a logit) per choice.

    Metric: accuracy. Loss: mean −log softmax(figures)[right choice].
    """
    chances = [softmax(np.asarray(row, dtype=np.float64)) for row in figures]
    predicted = [int(row.argmax()) for row in chances]
    named = [
        (choices[label], choices[found])
        for choices, label, found in zip(part.choices, part.labels, predicted, strict=True)
    ]
    table = _table(part, [label for label, _ in named], [found for _, found in named])
    right = np.array([row[label] for row, label in zip(chances, part.labels, strict=True)])
    metrics = {"accuracy": float(accuracy_score(part.labels, predicted))}
    loss = float(-np.log(np.clip(right, 1e-12, None)).mean())
    confidence = [round(float(row.max()), 6) for row in chances]
    return Answers(table.assign(confidence=confidence), metrics, loss)


def score_answers(part: Part, values: ArrayLike) -> Answers:
    """Return the predicted scores. Metrics: Pearson's and Spearman's correlation with the labels.

    A constant prediction, or a single one, has none and counts as 0. Loss: mean squared error.
    """
    predicted = np.asarray(values, dtype=np.float64).round(6)
    labels = np.asarray(part.labels, dtype=np.float64)
    metrics = {
        "pearson": _correlation(stats.pearsonr, predicted, labels),
        "spearman": _correlation(stats.spearmanr, predicted, labels),
    }
    loss = float(((predicted - labels) ** 2).mean())
    return Answers(_table(part, list(labels), list(predicted)), metrics, loss)


def _correlation(measure: Any, predicted: Floats, labels: Floats) -> float:
    if len(labels) < 2:
        return 0.0
    with warnings.catch_warnings():
        # scipy warns of a constant input and returns NaN, which the line below explains away.
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        found = float(measure(predicted, labels).statistic)
    return 0.0 if np.isnan(found) else found


def text_answers(
    part: Part, texts: Sequence[str], token_losses: Sequence[float] | None = None
) -> Answers:
    """Return the texts that were generated, each with its own exact match and chrF.

    Metrics: chrF (Popović 2015, characters up to 6-grams, β = 2; mean over rows, as a share) and
    exact match after folding width, case and white space. Loss: mean −log p per token of the right
    answer where a model gives it, with perplexity = exp(loss) beside the metrics; else 1 − chrF.
    """
    from sacrebleu.metrics.chrf import CHRF

    chrf = CHRF()
    folded = [
        (_folded(label), _folded(text)) for label, text in zip(part.labels, texts, strict=True)
    ]
    exact = [float(label == text) for label, text in folded]
    near = [round(chrf.sentence_score(text, [label]).score / 100, 6) for label, text in folded]
    table = _table(part, list(part.labels), list(texts)).assign(exact_match=exact, chrf=near)
    metrics = {"chrf": float(np.mean(near)), "exact_match": float(np.mean(exact))}
    if token_losses is None:
        return Answers(table, metrics, 1.0 - metrics["chrf"])
    loss = float(np.mean(token_losses))
    table = table.assign(token_loss=np.round(token_losses, 6))
    return Answers(table, metrics | {"perplexity": float(np.exp(min(loss, 700.0)))}, loss)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _table(part: Part, labels: list[Any], predicted: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({"row": part.rows, "label": labels, "predicted": predicted})


def softmax(logits: NDArray[Any], axis: int = -1) -> Floats:
    """Return exp(x)/Σexp(x) along an axis, in float64, shifted by the maximum against overflow."""
    shifted = logits.astype(np.float64) - logits.max(axis=axis, keepdims=True)
    exponentials = np.exp(shifted)
    result: Floats = exponentials / exponentials.sum(axis=axis, keepdims=True)
    return result
