"""Test metrics of an arm's runs, as observed and on resampled seeds and rows.

Every seed is judged on the same test rows, so the two are crossed: one draw of rows serves all
seeds and both arms (Owen 2007, "The pigeonhole bootstrap"). With S > 1 seeds, S - 1 are drawn,
which makes the bootstrap variance of a mean over few seeds unbiased (McCarthy and Snowden 1985).
Two pseudo-rows, one that only the first arm gets right and one that only the second does, are added
before drawing (after Agresti and Min 2005): without them two arms that never differ on two rows
would have an interval of width zero. Correlations need none: scores are hardly ever equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kasa.errors import StudyError
from kasa.runs.records import FinishedRun

DRAWS_AT_ONCE = 4_000_000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """One arm's answers, S seeds by N rows, in the form that its metric needs.

    Codes (labels (N,), predicted (S, N), K classes) for macro-F1; `scores` (S, N), one per row, for
    metrics that are means over rows; label and predicted numbers for correlations.
    """

    metric: str
    labels: NDArray[np.generic]
    predicted: NDArray[np.generic]
    num_classes: int = 2
    scores: Floats = field(default_factory=lambda: np.empty((0, 0)))


def tables(metric: str, *arms: Sequence[FinishedRun]) -> list[Table]:
    """Return every arm's answers; all runs must hold the same labelled rows, or `StudyError`."""
    frames = [[run.predictions.sort_values("row") for run in runs] for runs in arms]
    first = frames[0][0]
    for runs, arm in zip(frames, arms, strict=True):
        for frame, run in zip(runs, arm, strict=True):
            same = len(frame) == len(first) and all(
                np.array_equal(frame[name].to_numpy(), first[name].to_numpy())
                for name in ("row", "label")
            )
            if not same or frame["row"].duplicated().any() or frame.empty:
                raise StudyError("unpaired_rows", a=arms[0][0].id, b=run.id)
    if metric == "macro_f1":
        return _coded(frames)
    if metric in {"pearson", "spearman"}:
        labels = first["label"].to_numpy(np.float64)
        return [
            Table(metric, labels, np.stack([f["predicted"].to_numpy(np.float64) for f in runs]))
            for runs in frames
        ]
    return [
        Table(
            metric,
            first["label"].to_numpy(),
            np.stack([f["predicted"].to_numpy() for f in runs]),
            scores=np.stack([_row_scores(metric, frame) for frame in runs]),
        )
        for runs in frames
    ]


def _row_scores(metric: str, frame: pd.DataFrame) -> Floats:
    """Return a row's own share of a metric that is a mean over rows."""
    if metric == "accuracy":
        right = frame["predicted"].to_numpy() == frame["label"].to_numpy()
        return np.asarray(right, dtype=np.float64)
    return frame[metric].to_numpy(np.float64)


def _coded(frames: list[list[pd.DataFrame]]) -> list[Table]:
    first = frames[0][0]
    names = {str(name) for runs in frames for frame in runs for name in frame["predicted"]}
    names |= {str(name) for name in first["label"]}
    codes = {name: code for code, name in enumerate(sorted(names))}

    def coded(frame: pd.DataFrame, column: str) -> Ints:
        return np.array([codes[str(name)] for name in frame[column]], dtype=np.int64)

    # A pseudo-row that is wrong needs a second class even where the rows hold only one.
    num_classes = max(2, len(codes))
    labels = coded(first, "label")
    return [
        Table("macro_f1", labels, np.stack([coded(f, "predicted") for f in runs]), num_classes)
        for runs in frames
    ]


def observed(table: Table) -> Floats:
    """Return the metric of every seed, shape (S,)."""
    num_rows = len(table.labels)
    if len(table.scores):
        return np.asarray(table.scores.mean(axis=1), dtype=np.float64)
    weights = np.ones((1, num_rows))
    values: Floats = _weighted(table, weights)[0]
    return values


def resampled(group: Sequence[Table], seed: int, num_resamples: int) -> list[Floats]:
    """Return the resampled mean metric of every arm, shape (R,) each, from the same draws."""
    rng = np.random.default_rng(seed)
    num_seeds, num_rows = group[0].predicted.shape
    pseudo = 0 if group[0].metric in {"pearson", "spearman"} else 2
    drawn = max(1, num_seeds - 1)
    parts: list[list[Floats]] = []
    chunk = max(1, min(num_resamples, DRAWS_AT_ONCE // (num_rows + pseudo)))
    for start in range(0, num_resamples, chunk):
        size = min(chunk, num_resamples - start)
        weights = _draw_rows(rng, size, num_rows + pseudo)
        seeds = rng.integers(num_seeds, size=(size, drawn))
        classes = group[0].num_classes
        true = rng.integers(classes, size=size)
        wrong = (true + rng.integers(1, classes, size=size)) % classes
        values = []
        for arm, table in enumerate(group):
            rows = weights[:, :num_rows].astype(np.float64)
            extra = (true, wrong, weights[:, -2 + arm], weights[:, -1 - arm]) if pseudo else None
            per_seed = _weighted(table, rows, extra)
            values.append(np.take_along_axis(per_seed, seeds, axis=1).mean(axis=1))
        parts.append(values)
    return [np.concatenate([part[arm] for part in parts]) for arm in range(len(group))]


def _draw_rows(rng: np.random.Generator, num_draws: int, num_rows: int) -> Ints:
    """Return how often each row was drawn, shape (R, N); a draw takes N rows with replacement."""
    flat = (
        rng.integers(num_rows, size=(num_draws, num_rows))
        + num_rows * np.arange(num_draws)[:, None]
    )
    return np.bincount(flat.ravel(), minlength=num_draws * num_rows).reshape(num_draws, num_rows)


def _weighted(
    table: Table, weights: Floats, pseudo: tuple[Ints, Ints, Ints, Ints] | None = None
) -> Floats:
    """Return the metric per draw and seed, shape (R, S); a draw weighs each row by its count.

    `pseudo` are the classes and weights of the pseudo-rows: true, wrong, of right, of wrong.
    """
    if len(table.scores):
        return _means(table, weights, pseudo)
    if table.metric == "macro_f1":
        return _macro_f1(table, weights, pseudo)
    return _correlations(table, weights)


def _means(table: Table, weights: Floats, pseudo: tuple[Ints, Ints, Ints, Ints] | None) -> Floats:
    sums, counts = weights @ table.scores.T, weights.sum(axis=1)
    if pseudo is not None:
        sums = sums + pseudo[2][:, None]
        counts = counts + pseudo[2] + pseudo[3]
    return np.asarray(sums / counts[:, None], dtype=np.float64)


def _macro_f1(
    table: Table, weights: Floats, pseudo: tuple[Ints, Ints, Ints, Ints] | None
) -> Floats:
    """Return the mean F1 over classes; a class's is 2·right ÷ (true + predicted).

    Classes that a draw lacks altogether are left out, as in scikit-learn's macro average.
    """
    draws, eye = np.arange(len(weights)), np.eye(table.num_classes)
    true = weights @ eye[table.labels]
    if pseudo is not None:
        true[draws, pseudo[0]] += pseudo[2] + pseudo[3]
    columns = []
    for codes in table.predicted:
        hot = eye[codes]
        predicted = weights @ hot
        right = weights @ (hot * (codes == table.labels)[:, None])
        if pseudo is not None:
            true_class, wrong_class, right_weight, wrong_weight = pseudo
            right[draws, true_class] += right_weight
            predicted[draws, true_class] += right_weight
            predicted[draws, wrong_class] += wrong_weight
        both = true + predicted
        f1 = np.divide(2 * right, both, out=np.zeros_like(both), where=both > 0)
        columns.append(f1.sum(axis=1) / (both > 0).sum(axis=1))
    return np.stack(columns, axis=1)


def _correlations(table: Table, weights: Floats) -> Floats:
    """Pearson's r = cov(x, y) ÷ (s_x·s_y) of the drawn rows; of their mid-ranks for Spearman's ρ.

    A draw in which either is constant has none and counts as 0.
    """
    x = np.broadcast_to(table.labels.astype(np.float64), weights.shape)
    columns = []
    if table.metric == "spearman":
        x = _ranks(table.labels, weights)
    for predicted in table.predicted:
        y = np.broadcast_to(predicted.astype(np.float64), weights.shape)
        if table.metric == "spearman":
            y = _ranks(predicted, weights)
        columns.append(_pearson(x, y, weights))
    return np.stack(columns, axis=1)


def _pearson(x: Floats, y: Floats, weights: Floats) -> Floats:
    total = weights.sum(axis=1, keepdims=True)
    dx = x - (weights * x).sum(axis=1, keepdims=True) / total
    dy = y - (weights * y).sum(axis=1, keepdims=True) / total
    covariance = (weights * dx * dy).sum(axis=1)
    spread = np.sqrt((weights * dx**2).sum(axis=1) * (weights * dy**2).sum(axis=1))
    zeros = np.zeros_like(covariance)
    found: Floats = np.divide(covariance, spread, out=zeros, where=spread > 1e-12)
    return found


def _ranks(values: NDArray[np.generic], weights: Floats) -> Floats:
    """Return each row's mid-rank among the drawn rows, (R, N): ties share their mean rank."""
    different, places = np.unique(values, return_inverse=True)
    groups = np.eye(len(different))[places]
    counts = weights @ groups
    below = np.cumsum(counts, axis=1) - counts
    ranks: Floats = (below + (counts + 1) / 2)[:, places]
    return ranks
