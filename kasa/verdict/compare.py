"""Two arms on the same test rows and seeds: difference, interval, and a verdict in one word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kasa.checks import check
from kasa.errors import StudyError
from kasa.metrics import METRICS, metrics_of
from kasa.runs.records import FinishedRun
from kasa.verdict.resample import Floats, observed, resampled, tables

LEVEL = 0.95
CLASS_TASKS = ("classification", "pair_classification")


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
    counts test rows pooled over seeds, one tuple per true label, in the order of `labels`; both are
    empty where the answers are no classes. `perplexity` is a writer's mean, None for the others.
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
    perplexity: float | None = None

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


def summarise(runs: Sequence[FinishedRun], task: str = "classification") -> list[ArmSummary]:
    """Return one summary per arm, in the order in which arms first appear; seeds ascending."""
    return [_summary(_by_seed(runs, arm), task) for arm in dict.fromkeys(run.arm for run in runs)]


def _by_seed(runs: Sequence[FinishedRun], arm: str) -> list[FinishedRun]:
    return sorted((run for run in runs if run.arm == arm), key=lambda run: run.seed)


def _summary(runs: list[FinishedRun], task: str) -> ArmSummary:
    highest = max(runs, key=lambda run: run.peak_memory_bytes)
    labels, confusion = _confusion(runs) if task in CLASS_TASKS else ((), ())
    metrics = {}
    for name in metrics_of(task):
        values = tuple(float(run.metrics[name]) for run in runs)
        metrics[name] = MetricSummary(values, float(np.mean(values)), min(values), max(values))
    surprise = [run.metrics["perplexity"] for run in runs if "perplexity" in run.metrics]
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
        confusion=confusion,
        perplexity=float(np.mean(surprise)) if surprise else None,
    )


def _confusion(runs: list[FinishedRun]) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    pooled = pd.concat([run.predictions for run in runs], ignore_index=True)
    labels = tuple(dict.fromkeys([*runs[0].labels, *pooled["label"], *pooled["predicted"]]))
    counts = pd.crosstab(pooled["label"], pooled["predicted"])
    counts = counts.reindex(index=list(labels), columns=list(labels), fill_value=0)
    return labels, tuple(tuple(int(n) for n in row) for row in counts.to_numpy())


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
    both = tables(metric, *(_by_seed(runs, runs[0].arm) for runs in pairs))
    a_values, b_values = (observed(table) for table in both)
    difference = float(np.mean(a_values - b_values))
    draws = resampled(both, seed, num_resamples)
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
        num_rows=len(both[0].labels),
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
    table = tables(metric, _by_seed(runs, runs[0].arm))[0]
    mean = float(np.mean(observed(table)))
    return _percentiles(resampled([table], seed, num_resamples)[0], mean)


def _percentiles(draws: Floats, mean: float) -> tuple[float, float]:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return min(float(low), mean), max(float(high), mean)


def disagreements(
    runs: Sequence[FinishedRun], rows: pd.DataFrame, task: str = "classification"
) -> pd.DataFrame:
    """Return the test rows on which arms differ: row, text, label, then one column per arm.

    `rows` has the columns row, text, label and part. An arm's answer is the prediction most of its
    seeds give, a tie going to the higher summed confidence; the mean score, rows in the order of
    how far arms are apart; what the first seed wrote.
    """
    arms = list(dict.fromkeys(run.arm for run in runs))
    table = pd.DataFrame({arm: _usual_answer(_by_seed(runs, arm), task) for arm in arms})
    apart = table[table.nunique(axis=1, dropna=True) > 1]
    # Row numbers are a file's own: a test file has numbers that the training file has too.
    facts = rows[rows["part"] == "test"].set_index("row")[["text", "label"]]
    found = facts.join(apart, how="inner").sort_index()
    if task == "regression" and len(found):
        spread = found[arms].max(axis=1) - found[arms].min(axis=1)
        found = found.loc[spread.sort_values(ascending=False, kind="stable").index]
    return found.reset_index(names="row")


def _usual_answer(runs: list[FinishedRun], task: str) -> pd.Series:
    if task == "generation":
        return runs[0].predictions.set_index("row")["predicted"]
    votes = pd.concat([run.predictions for run in runs], ignore_index=True)
    if task == "regression":
        numbers = votes.assign(predicted=votes["predicted"].astype("float64"))
        return numbers.groupby("row")["predicted"].mean().round(3)
    grouped = votes.groupby(["row", "predicted"])["confidence"].agg(["size", "sum"]).reset_index()
    ranked = grouped.sort_values(
        ["row", "size", "sum", "predicted"], ascending=[True, False, False, True]
    )
    return ranked.drop_duplicates("row").set_index("row")["predicted"]
