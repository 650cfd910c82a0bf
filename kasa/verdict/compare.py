"""Two arms on the same test rows and seeds: difference, interval, and a verdict in one word.

The interval is a bootstrap over seeds *and* rows. Every seed is judged on the same test rows, so
the two are crossed: one draw of rows serves all seeds and both arms (Owen 2007, "The pigeonhole
bootstrap"). With S > 1 seeds, S - 1 are drawn, which makes the bootstrap variance of a mean over
few seeds unbiased (McCarthy and Snowden 1985). Two pseudo-rows, one that only `a` gets right and
one that only `b` does, are added before drawing (after Agresti and Min 2005): without them two arms
that never differ on two rows would have an interval of width zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kasa.checks import check
from kasa.errors import StudyError
from kasa.runs.records import FinishedRun
from kasa.study import METRICS

LEVEL = 0.95
DRAWS_AT_ONCE = 4_000_000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class MetricSummary:
    """One test metric of an arm: a value per seed, their mean, and the lowest and highest."""

    values: tuple[float, ...]
    mean: float
    min: float
    max: float


@dataclass(frozen=True)
class ArmSummary:
    """One arm over its finished seeds: seconds are means, `peak_memory_bytes` is the highest peak.

    `baseline_memory_bytes` is the memory before training of the run that had that peak; `confusion`
    counts test rows pooled over seeds, one tuple per true label, in the order of `labels`.
    """

    arm: str
    method: str
    seeds: tuple[int, ...]
    run_ids: tuple[str, ...]
    metrics: dict[str, MetricSummary]
    prepare_seconds: float
    train_seconds: float
    total_seconds: float
    baseline_memory_bytes: int
    peak_memory_bytes: int
    num_trainable_params: int
    num_total_params: int
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def num_seeds(self) -> int:
        """Number of finished seeds."""
        return len(self.seeds)


@dataclass(frozen=True)
class Verdict:
    """What the evidence says about arm `a` against arm `b` on one metric.

    `difference` is the mean of a minus that of b over the common seeds; `interval` holds it with
    probability `level`. `verdict` is equivalent (interval inside ±margin: whatever difference there
    is does not matter, even if the interval excludes 0), better or worse (interval excludes 0),
    else cannot_tell. `indicative` marks one seed: the interval then knows the rows' chance but not
    the training's.
    """

    a: str
    b: str
    metric: str
    a_value: float
    b_value: float
    difference: float
    interval: tuple[float, float]
    level: float
    margin: float
    verdict: str
    num_seeds: int
    num_rows: int
    indicative: bool
    run_ids: tuple[str, ...]


@dataclass(frozen=True)
class _Table:
    """One arm's predictions as codes: `labels` (N,), `predicted` (S, N), K classes."""

    labels: Ints
    predicted: Ints
    num_classes: int


def summarise(runs: Sequence[FinishedRun]) -> list[ArmSummary]:
    """Return one summary per arm, in the order in which arms first appear; seeds ascending."""
    return [_summary(_by_seed(runs, arm)) for arm in dict.fromkeys(run.arm for run in runs)]


def _by_seed(runs: Sequence[FinishedRun], arm: str) -> list[FinishedRun]:
    return sorted((run for run in runs if run.arm == arm), key=lambda run: run.seed)


def _summary(runs: list[FinishedRun]) -> ArmSummary:
    highest = max(runs, key=lambda run: run.peak_memory_bytes)
    pooled = pd.concat([run.predictions for run in runs], ignore_index=True)
    labels = tuple(dict.fromkeys([*runs[0].labels, *pooled["label"], *pooled["predicted"]]))
    counts = pd.crosstab(pooled["label"], pooled["predicted"])
    counts = counts.reindex(index=list(labels), columns=list(labels), fill_value=0)
    metrics = {}
    for name in METRICS:
        values = tuple(float(run.metrics[name]) for run in runs)
        metrics[name] = MetricSummary(values, float(np.mean(values)), min(values), max(values))
    return ArmSummary(
        arm=runs[0].arm,
        method=runs[0].method,
        seeds=tuple(run.seed for run in runs),
        run_ids=tuple(run.id for run in runs),
        metrics=metrics,
        prepare_seconds=float(np.mean([run.prepare_seconds for run in runs])),
        train_seconds=float(np.mean([run.train_seconds for run in runs])),
        total_seconds=float(np.mean([run.total_seconds for run in runs])),
        baseline_memory_bytes=highest.baseline_memory_bytes,
        peak_memory_bytes=highest.peak_memory_bytes,
        num_trainable_params=runs[0].num_trainable_params,
        num_total_params=runs[0].num_total_params,
        labels=labels,
        confusion=tuple(tuple(int(n) for n in row) for row in counts.to_numpy()),
    )


def compare(
    a_runs: Sequence[FinishedRun],
    b_runs: Sequence[FinishedRun],
    metric: str,
    margin: float,
    seed: int = 0,
    num_resamples: int = 2000,
) -> Verdict:
    """Return the verdict on arm a against arm b over the seeds that both have finished.

    Raises `StudyError` where the arms have no seed in common or were not tested on the same rows.
    Deterministic in `seed`.
    """
    check(condition=metric in METRICS, name="metric", got=metric, wanted=" | ".join(METRICS))
    a_arm, b_arm = a_runs[0].arm, b_runs[0].arm
    common = sorted({run.seed for run in a_runs} & {run.seed for run in b_runs})
    if not common:
        raise StudyError("no_common_seed", a=a_arm, b=b_arm)
    pairs = [[run for run in runs if run.seed in common] for runs in (a_runs, b_runs)]
    a_table, b_table = _tables(*(_by_seed(runs, runs[0].arm) for runs in pairs))
    a_values, b_values = (_observed(table, metric) for table in (a_table, b_table))
    difference = float(np.mean(a_values - b_values))
    draws = _resample((a_table, b_table), metric, seed, num_resamples)
    interval = _percentiles(draws[0] - draws[1], difference)
    return Verdict(
        a=a_arm,
        b=b_arm,
        metric=metric,
        a_value=float(np.mean(a_values)),
        b_value=float(np.mean(b_values)),
        difference=difference,
        interval=interval,
        level=LEVEL,
        margin=margin,
        verdict=decide(interval, margin),
        num_seeds=len(common),
        num_rows=len(a_table.labels),
        indicative=len(common) == 1,
        run_ids=tuple(run.id for runs in pairs for run in runs),
    )


def decide(interval: tuple[float, float], margin: float) -> str:
    """Return equivalent, better, worse or cannot_tell for the interval of a difference."""
    low, high = interval
    if -margin <= low and high <= margin:
        return "equivalent"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "cannot_tell"


def metric_interval(
    runs: Sequence[FinishedRun], metric: str, seed: int = 0, num_resamples: int = 2000
) -> tuple[float, float]:
    """Return the 95 % interval of one arm's mean test metric, drawn as in `compare`."""
    table = _tables(_by_seed(runs, runs[0].arm))[0]
    observed = float(np.mean(_observed(table, metric)))
    return _percentiles(_resample((table,), metric, seed, num_resamples)[0], observed)


def _percentiles(draws: Floats, observed: float) -> tuple[float, float]:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return min(float(low), observed), max(float(high), observed)


def _tables(*arms: list[FinishedRun]) -> list[_Table]:
    """Return every arm's predictions coded alike; all runs must hold the same labelled rows."""
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
    names = {str(name) for runs in frames for frame in runs for name in frame["predicted"]}
    names |= {str(name) for name in first["label"]}
    codes = {name: code for code, name in enumerate(sorted(names))}

    def coded(frame: pd.DataFrame, column: str) -> Ints:
        return np.array([codes[str(name)] for name in frame[column]], dtype=np.int64)

    # A pseudo-row that is wrong needs a second class even where the rows hold only one.
    num_classes = max(2, len(codes))
    labels = coded(first, "label")
    return [
        _Table(labels, np.stack([coded(f, "predicted") for f in runs]), num_classes)
        for runs in frames
    ]


def _observed(table: _Table, metric: str) -> Floats:
    """Return the metric of every seed, shape (S,)."""
    one = np.ones((1, len(table.labels)))
    true = one @ _one_hot(table.labels, table.num_classes)
    values = []
    for predicted in table.predicted:
        hot = _one_hot(predicted, table.num_classes)
        right = one @ (hot * (predicted == table.labels)[:, None])
        values.append(_value(metric, right, true, one @ hot)[0])
    return np.array(values)


def _one_hot(codes: Ints, num_classes: int) -> Floats:
    return np.eye(num_classes)[codes]


def _value(metric: str, right: Floats, true: Floats, predicted: Floats) -> Floats:
    """Return accuracy or macro-F1 from counts per class, each of shape (R, K).

    F1 of a class is 2·right ÷ (true + predicted); classes that a draw lacks altogether are left out
    of the mean, as in scikit-learn's `f1_score(average="macro")`.
    """
    if metric == "accuracy":
        return np.asarray(right.sum(axis=1) / true.sum(axis=1), dtype=np.float64)
    both = true + predicted
    f1 = np.divide(2 * right, both, out=np.zeros_like(both), where=both > 0)
    return np.asarray(f1.sum(axis=1) / (both > 0).sum(axis=1), dtype=np.float64)


def _resample(
    tables: tuple[_Table, ...], metric: str, seed: int, num_resamples: int
) -> list[Floats]:
    """Return the resampled mean metric of every arm, shape (R,) each, from the same draws."""
    rng = np.random.default_rng(seed)
    num_seeds, num_rows = tables[0].predicted.shape
    drawn = max(1, num_seeds - 1)
    parts: list[list[Floats]] = []
    chunk = max(1, min(num_resamples, DRAWS_AT_ONCE // (num_rows + 2)))
    for start in range(0, num_resamples, chunk):
        size = min(chunk, num_resamples - start)
        weights = _draw_rows(rng, size, num_rows + 2)
        seeds = rng.integers(num_seeds, size=(size, drawn))
        true = rng.integers(tables[0].num_classes, size=size)
        step = rng.integers(1, tables[0].num_classes, size=size)
        wrong = (true + step) % tables[0].num_classes
        values = []
        for arm, table in enumerate(tables):
            right_weight, wrong_weight = weights[:, -2 + arm], weights[:, -1 - arm]
            pseudo = (true, wrong, right_weight, wrong_weight)
            per_seed = _draw_values(table, metric, weights[:, :-2].astype(np.float64), pseudo)
            values.append(np.take_along_axis(per_seed, seeds, axis=1).mean(axis=1))
        parts.append(values)
    return [np.concatenate([part[arm] for part in parts]) for arm in range(len(tables))]


def _draw_rows(rng: np.random.Generator, num_draws: int, num_rows: int) -> Ints:
    """Return how often each row was drawn, shape (R, N); a draw takes N rows with replacement."""
    flat = (
        rng.integers(num_rows, size=(num_draws, num_rows))
        + num_rows * np.arange(num_draws)[:, None]
    )
    return np.bincount(flat.ravel(), minlength=num_draws * num_rows).reshape(num_draws, num_rows)


def _draw_values(
    table: _Table, metric: str, weights: Floats, pseudo: tuple[Ints, Ints, Ints, Ints]
) -> Floats:
    """Return the metric per draw and seed, shape (R, S); a draw weighs each row by its count."""
    true_class, wrong_class, right_weight, wrong_weight = pseudo
    draws = np.arange(len(weights))
    true = weights @ _one_hot(table.labels, table.num_classes)
    true[draws, true_class] += right_weight + wrong_weight
    columns = []
    for codes in table.predicted:
        hot = _one_hot(codes, table.num_classes)
        predicted = weights @ hot
        right = weights @ (hot * (codes == table.labels)[:, None])
        right[draws, true_class] += right_weight
        predicted[draws, true_class] += right_weight
        predicted[draws, wrong_class] += wrong_weight
        columns.append(_value(metric, right, true, predicted))
    return np.stack(columns, axis=1)


def disagreements(runs: Sequence[FinishedRun], rows: pd.DataFrame) -> pd.DataFrame:
    """Return the test rows on which arms differ: row, text, label, then one column per arm.

    An arm's answer is the prediction most of its seeds give; a tie goes to the higher summed
    confidence.
    """
    arms = list(dict.fromkeys(run.arm for run in runs))
    table = pd.DataFrame({arm: _majority(_by_seed(runs, arm)) for arm in arms})
    table = table[table.nunique(axis=1, dropna=True) > 1]
    # Row numbers are a file's own: a test file has numbers that the training file has too.
    facts = rows[rows["part"] == "test"].set_index("row")[["text", "label"]]
    return facts.join(table, how="inner").sort_index().reset_index(names="row")


def _majority(runs: list[FinishedRun]) -> pd.Series:
    votes = pd.concat([run.predictions for run in runs], ignore_index=True)
    grouped = votes.groupby(["row", "predicted"])["confidence"].agg(["size", "sum"]).reset_index()
    ranked = grouped.sort_values(
        ["row", "size", "sum", "predicted"], ascending=[True, False, False, True]
    )
    return ranked.drop_duplicates("row").set_index("row")["predicted"]
