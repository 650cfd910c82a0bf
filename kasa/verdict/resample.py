"""Test metrics of arms' runs, as observed and on rows drawn anew (bootstrap).

Every seed and every arm is judged on the same test rows, so one draw of rows serves them all: the
difference of two arms on the same draws is the paired bootstrap. Seeds are not drawn: three or five
are too few for it (drawn apart from the rows they make intervals too narrow, crossed with them too
wide; `benchmarks/verdicts.py`). `kasa.verdict.estimate` adds their share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

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
    num_classes: int = 0
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

    labels = coded(first, "label")
    return [
        Table("macro_f1", labels, np.stack([coded(f, "predicted") for f in runs]), len(codes))
        for runs in frames
    ]


def observed(table: Table) -> Floats:
    """Return the metric of every seed, shape (S,)."""
    values: Floats = _weighted(table, np.ones((1, len(table.labels))))[0]
    return values


@dataclass(frozen=True)
class Replicates:
    """One arm's metric per seed: as observed, shape (S,), and on R draws of the rows, (R, S)."""

    metric: str
    seeds: tuple[int, ...]
    num_rows: int
    observed: Floats
    draws: Floats

    def of(self, seeds: Sequence[int]) -> Replicates:
        """Return these seeds alone."""
        places = [self.seeds.index(seed) for seed in seeds]
        return replace(
            self,
            seeds=tuple(seeds),
            observed=self.observed[places],
            draws=self.draws[:, places],
        )


def replicates(
    arms: Mapping[str, Sequence[FinishedRun]], metric: str, seed: int = 0, num_draws: int = 2000
) -> dict[str, Replicates]:
    """Return every arm's metric on the same draws of the rows that all its runs share.

    Raises `StudyError` where two runs were not tested on the same rows. Deterministic in `seed`.
    """
    by_seed = {name: sorted(runs, key=lambda run: run.seed) for name, runs in arms.items()}
    found = tables(metric, *by_seed.values())
    draws = resampled(found, seed, num_draws)
    return {
        name: Replicates(
            metric, tuple(run.seed for run in runs), len(table.labels), observed(table), drawn
        )
        for (name, runs), table, drawn in zip(by_seed.items(), found, draws, strict=True)
    }


def resampled(group: Sequence[Table], seed: int, num_draws: int) -> list[Floats]:
    """Return the metric of every table on the same draws of their rows, shape (R, S) each."""
    rng = np.random.default_rng(seed)
    num_rows = len(group[0].labels)
    parts: list[list[Floats]] = []
    chunk = max(1, min(num_draws, DRAWS_AT_ONCE // num_rows))
    for start in range(0, num_draws, chunk):
        weights = _draw_rows(rng, min(chunk, num_draws - start), num_rows).astype(np.float64)
        parts.append([_weighted(table, weights) for table in group])
    return [np.concatenate([part[arm] for part in parts]) for arm in range(len(group))]


def _draw_rows(rng: np.random.Generator, num_draws: int, num_rows: int) -> Ints:
    """Return how often each row was drawn, shape (R, N); a draw takes N rows with replacement."""
    flat = (
        rng.integers(num_rows, size=(num_draws, num_rows))
        + num_rows * np.arange(num_draws)[:, None]
    )
    return np.bincount(flat.ravel(), minlength=num_draws * num_rows).reshape(num_draws, num_rows)


def _weighted(table: Table, weights: Floats) -> Floats:
    """Return the metric per draw and seed, shape (R, S); a draw weighs each row by its count."""
    if len(table.scores):
        means: Floats = weights @ table.scores.T / weights.sum(axis=1, keepdims=True)
        return means
    if table.metric == "macro_f1":
        return _macro_f1(table, weights)
    return _correlations(table, weights)


def _macro_f1(table: Table, weights: Floats) -> Floats:
    """Return the mean F1 over classes; a class's is 2·right ÷ (true + predicted).

    Classes that a draw lacks altogether are left out, as in scikit-learn's macro average.
    """
    eye = np.eye(table.num_classes)
    true = weights @ eye[table.labels]
    columns = []
    for codes in table.predicted:
        hot = eye[codes]
        both = true + weights @ hot
        right = weights @ (hot * (codes == table.labels)[:, None])
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
