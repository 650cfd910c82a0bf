"""Metrics of a classification, and how trials are preferred on validation."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn.metrics import accuracy_score, f1_score


def score(labels: Sequence[int], predicted: Sequence[int]) -> dict[str, float]:
    """Return accuracy and macro-F1 (scikit-learn; a class never predicted counts as F1 = 0)."""
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0)),
    }


def preference(validation: dict[str, float]) -> tuple[float, float]:
    """Sort key of a trial, best first: higher validation accuracy, then lower validation loss."""
    return (-round(validation["accuracy"], 9), validation["loss"])
