"""The linear probe: a linear model on fixed features, chosen among strengths on validation.

It is a baseline of its own, and the start of a tuned arm's head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge

from kasa.tuning.answers import Answers, choice_answers, class_answers, preference, score_answers
from kasa.tuning.measure import stopwatch
from kasa.tuning.outcome import Part, Parts

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """The mean and standard deviation of the training scores; a head answers in their units."""

    mean: float = 0.0
    spread: float = 1.0


def scale_of(parts: Parts) -> Scale:
    """Return the scale of a regression's training scores; other tasks have none (0 and 1)."""
    if parts.task != "regression":
        return Scale()
    scores = np.asarray(parts.train.labels, dtype=np.float64)
    return Scale(float(scores.mean()), float(scores.std()) or 1.0)


@dataclass(frozen=True)
class Probe:
    """A fitted linear model and the trials it was chosen from; `strength` is C, or 1/α of ridge."""

    model: Any
    strength: float
    trials: list[dict[str, Any]]
    validation: dict[str, float]
    parts: Parts

    @property
    def train_seconds(self) -> float:
        """Seconds of the chosen trial's fit."""
        chosen = [trial for trial in self.trials if trial["C"] == self.strength]
        return float(chosen[0]["train_seconds"])

    @property
    def num_params(self) -> int:
        """Number of weights and biases."""
        return int(np.size(self.model.coef_) + np.size(self.model.intercept_))

    def answers(self, features: Any, part: Part) -> Answers:
        """Return what the probe answers; features are (rows, d), or (choices of all rows, d)."""
        return _answers(self.model, self.parts, features, part)

    def head(self) -> tuple[Floats, Floats]:
        """Return weight (outputs, d) and bias (outputs,) of an equal linear head.

        With two classes scikit-learn fits one logit z; ±z/2 gives the same probabilities. A
        choice's figure and a score (in units of `scale_of`) are one output.
        """
        weight, bias = np.atleast_2d(self.model.coef_), np.atleast_1d(self.model.intercept_)
        if self.parts.labels and len(self.parts.labels) == 2 and len(weight) == 1:
            return np.vstack([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
        return weight, bias


def fit_probe(
    features: Callable[[Part], Any],
    parts: Parts,
    *,
    class_weights: bool = False,
    strengths: Sequence[float] = STRENGTHS,
) -> Probe:
    """Fit a linear model for every strength and keep the best on validation.

    Logistic regression for classes, ridge for scores, and for choices a logistic regression of
    "this is the right one". Ties go to the lower validation loss, then to the smaller strength.
    """
    train_x, val_x = features(parts.train), features(parts.validation)
    trials: list[dict[str, Any]] = []
    fitted = []
    for strength in strengths:
        with stopwatch() as fitting:
            model = _fit(parts, train_x, strength, class_weights)
        validation = _answers(model, parts, val_x, parts.validation).validation
        trials.append({"C": strength, "validation": validation, "train_seconds": fitting.seconds})
        fitted.append(model)
    best = min(range(len(trials)), key=lambda i: preference(trials[i]["validation"]))
    return Probe(fitted[best], strengths[best], trials, trials[best]["validation"], parts)


def _fit(parts: Parts, features: Any, strength: float, class_weights: bool) -> Any:
    labels: Sequence[Any] = parts.train.labels
    if parts.task == "regression":
        scale = scale_of(parts)
        wanted = (np.asarray(labels, dtype=np.float64) - scale.mean) / scale.spread
        return Ridge(alpha=1 / strength).fit(features, wanted)
    weight = "balanced" if class_weights else None
    if parts.task == "multiple_choice":
        labels = right_choices(parts.train)
    return LogisticRegression(C=strength, max_iter=5000, class_weight=weight).fit(features, labels)


def right_choices(part: Part) -> list[int]:
    """Return 1 for every right choice and 0 for the others, row after row."""
    return [
        int(number == label)
        for choices, label in zip(part.choices, part.labels, strict=True)
        for number in range(len(choices))
    ]


def by_row(part: Part, figures: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the figures of all choices as one vector per row."""
    ends = np.cumsum([len(choices) for choices in part.choices])
    return np.split(figures, ends[:-1])


def _answers(model: Any, parts: Parts, features: Any, part: Part) -> Answers:
    if parts.task == "regression":
        scale = scale_of(parts)
        return score_answers(part, scale.mean + scale.spread * model.predict(features))
    if parts.task == "multiple_choice":
        return choice_answers(part, by_row(part, model.decision_function(features)))
    return class_answers(part, parts.labels, model.predict_proba(features))
