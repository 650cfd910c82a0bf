"""What goes into a run and what comes out of it: the rows by part, and the measured outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kasa.tuning.metrics import score


@dataclass(frozen=True)
class Part:
    """One part of the rows: their numbers in the file, texts and label ids."""

    rows: tuple[int, ...]
    texts: tuple[str, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Parts:
    """Train, validation and test rows with the label names that the ids stand for."""

    train: Part
    validation: Part
    test: Part
    labels: tuple[str, ...]


def split_parts(rows: pd.DataFrame) -> Parts:
    """Return the rows (row, text, label, part) by part; label ids follow the sorted label names."""
    labels = tuple(sorted(rows["label"].unique()))
    ids = {label: index for index, label in enumerate(labels)}

    def part(name: str) -> Part:
        chosen = rows[rows["part"] == name]
        return Part(
            tuple(int(row) for row in chosen["row"]),
            tuple(chosen["text"]),
            tuple(ids[label] for label in chosen["label"]),
        )

    return Parts(part("train"), part("validation"), part("test"), labels)


@dataclass(frozen=True)
class Outcome:
    """What one run measured, all but its memory and total time.

    `probabilities` is (test rows, classes). `prepare_seconds` and `train_seconds` are the
    chosen trial's own; every trial's are in `trials`.
    """

    probabilities: NDArray[np.float64]
    selected: dict[str, float]
    validation: dict[str, float]
    trials: list[dict[str, Any]]
    prepare_seconds: float
    train_seconds: float
    evaluate_seconds: float
    num_trainable_params: int
    num_total_params: int
    baseline_memory_bytes: int
    guard: dict[str, Any] | None = None
    conditions: dict[str, Any] = field(default_factory=dict)

    def predictions(self, parts: Parts) -> pd.DataFrame:
        """Return the test rows: row, label, predicted, confidence (its probability)."""
        predicted = self.probabilities.argmax(1)
        return pd.DataFrame(
            {
                "row": parts.test.rows,
                "label": [parts.labels[i] for i in parts.test.labels],
                "predicted": [parts.labels[i] for i in predicted],
                "confidence": self.probabilities.max(1).round(6),
            }
        )

    def metrics(self, parts: Parts) -> dict[str, float]:
        """Return the test metrics, computed once, after everything was chosen."""
        return score(parts.test.labels, self.probabilities.argmax(1).tolist())


def softmax(logits: NDArray[Any], axis: int = -1) -> NDArray[np.float64]:
    """Return exp(x)/Σexp(x) along an axis, in float64, shifted by the maximum against overflow."""
    shifted = logits.astype(np.float64) - logits.max(axis=axis, keepdims=True)
    exponentials = np.exp(shifted)
    result: NDArray[np.float64] = exponentials / exponentials.sum(axis=axis, keepdims=True)
    return result


def cross_entropy(logits: NDArray[Any], labels: Sequence[int]) -> float:
    """Return the mean of −log softmax(logits)[label] in nats."""
    probabilities = softmax(logits)[np.arange(len(labels)), list(labels)]
    return float(-np.log(np.clip(probabilities, 1e-12, None)).mean())
