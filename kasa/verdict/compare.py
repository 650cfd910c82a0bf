"""Two arms on the same test rows and seeds: difference, interval, and a verdict in one word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import bdtr

from kasa.checks import check
from kasa.errors import StudyError
from kasa.metrics import METRICS, metrics_of
from kasa.runs.records import FinishedRun
from kasa.verdict.estimate import Estimate, of_arm, of_difference
from kasa.verdict.resample import Replicates, replicates

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

    `estimate` is the mean of a minus that of b over the common seeds with its uncertainty;
    `interval` holds the true difference with probability `level`. `verdict` is equivalent (interval
    inside ±margin: whatever difference there is does not matter, even if the interval excludes 0),
    better or worse (interval excludes 0), else cannot_tell. `indicative` marks one seed: the
    interval then knows the rows' chance but not the training's. `mcnemar` is the exact p-value of
    each common seed for accuracy, empty for other metrics; with one seed, nothing is claimed
    against it. `num_joint` is how many pairs the interval shares its 95 % with.
    """

    a: str
    b: str
    metric: str
    a_value: float
    b_value: float
    estimate: Estimate
    interval: tuple[float, float]
    level: float
    margin: float
    verdict: str
    mcnemar: tuple[float, ...]
    run_ids: tuple[str, ...]
    num_joint: int = 1

    @property
    def difference(self) -> float:
        """Mean of a minus mean of b."""
        return self.estimate.value

    @property
    def num_seeds(self) -> int:
        """Number of common seeds."""
        return self.estimate.num_seeds

    @property
    def num_rows(self) -> int:
        """Number of test rows."""
        return self.estimate.num_rows

    @property
    def indicative(self) -> bool:
        """Whether there is one seed only."""
        return self.num_seeds == 1

    def mirrored(self) -> Verdict:
        """Return the same evidence as the verdict on b against a."""
        low, high = self.interval
        return replace(
            self,
            a=self.b,
            b=self.a,
            a_value=self.b_value,
            b_value=self.a_value,
            estimate=replace(self.estimate, value=-self.difference),
            interval=(-high, -low),
            verdict={"better": "worse", "worse": "better"}.get(self.verdict, self.verdict),
        )


def summarise(runs: Sequence[FinishedRun], task: str = "classification") -> list[ArmSummary]:
    """Return one summary per arm, in the order in which arms first appear; seeds ascending."""
    return [_summary(_by_seed(own), task) for own in runs_by_arm(runs).values()]


def runs_by_arm(runs: Sequence[FinishedRun]) -> dict[str, list[FinishedRun]]:
    """Return each arm's runs; arms and runs in the order in which they appear."""
    by_arm: dict[str, list[FinishedRun]] = {}
    for run in runs:
        by_arm.setdefault(run.arm, []).append(run)
    return by_arm


def _by_seed(runs: Sequence[FinishedRun]) -> list[FinishedRun]:
    return sorted(runs, key=lambda run: run.seed)


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
    num_draws: int = 2000,
) -> Verdict:
    """Return the verdict on arm a against arm b over the seeds that both have finished.

    Raises `StudyError` where the arms have no seed in common or were not tested on the same rows.
    Deterministic in `seed`.
    """
    check(condition=metric in METRICS, name="metric", got=metric, wanted=" | ".join(METRICS))
    a, b = a_runs[0].arm, b_runs[0].arm
    if not common_seeds(a_runs, b_runs):
        raise StudyError("no_common_seed", a=a, b=b)
    # An arm against itself is a pair too.
    by_arm = {"a": a_runs, "b": b_runs}
    drawn = replicates(by_arm, metric, seed, num_draws)
    return replace(verdict_on(("a", "b"), by_arm, drawn, margin), a=a, b=b)


def compare_all(
    by_arm: Mapping[str, Sequence[FinishedRun]],
    pairs: Sequence[tuple[str, str]],
    drawn: Mapping[str, Replicates],
    margin: float,
) -> list[Verdict]:
    """Return the verdict on every pair with a seed in common, in their order, from its replicates.

    The first pair is the study's question and has its 95 % to itself; the intervals of the n others
    hold jointly with 95 % (Bonferroni: each with 1 − 0.05/n), or with many pairs one would look
    like a difference by chance.
    """
    known = [(a, b) for a, b in pairs if common_seeds(by_arm[a], by_arm[b])]
    others = max(1, len(known) - 1)
    return [
        verdict_on(pair, by_arm, drawn, margin, num_joint=others if place else 1)
        for place, pair in enumerate(known)
    ]


def common_seeds(a_runs: Sequence[FinishedRun], b_runs: Sequence[FinishedRun]) -> list[int]:
    """Return the seeds that both arms have finished, ascending."""
    return sorted({run.seed for run in a_runs} & {run.seed for run in b_runs})


def verdict_on(
    pair: tuple[str, str],
    by_arm: Mapping[str, Sequence[FinishedRun]],
    drawn: Mapping[str, Replicates],
    margin: float,
    num_joint: int = 1,
) -> Verdict:
    """Return the verdict on a pair of arms from their replicates."""
    seeds = common_seeds(*(by_arm[arm] for arm in pair))
    a, b = (drawn[arm].of(seeds) for arm in pair)
    runs = [[run for run in _by_seed(by_arm[arm]) if run.seed in seeds] for arm in pair]
    found = of_difference(a, b)
    level = 1 - (1 - LEVEL) / num_joint
    interval = found.interval(level)
    chances = tuple(map(mcnemar, *runs)) if a.metric == "accuracy" else ()
    verdict = decide(interval, margin)
    if len(chances) == 1 and verdict in {"better", "worse"} and chances[0] > 1 - level:
        verdict = "cannot_tell"
    return Verdict(
        a=pair[0],
        b=pair[1],
        metric=a.metric,
        a_value=float(np.mean(a.observed)),
        b_value=float(np.mean(b.observed)),
        estimate=found,
        interval=interval,
        level=level,
        margin=margin,
        verdict=verdict,
        mcnemar=chances,
        run_ids=tuple(run.id for part in runs for run in part),
        num_joint=num_joint,
    )


def mcnemar(a: FinishedRun, b: FinishedRun) -> float:
    """Return the exact two-sided p-value of McNemar's test (1947): are a and b right equally often?

    p = min(1, 2·P(X ≤ min(n_a, n_b))) for X ~ Binomial(n_a + n_b, ½), where n_a rows are right in a
    alone and n_b in b alone.
    """
    right = [
        (frame["predicted"] == frame["label"]).to_numpy()
        for frame in (run.predictions.sort_values("row") for run in (a, b))
    ]
    only_a, only_b = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    # Rounded, because half of a symmetric sum may miss ½ by the last digit.
    return min(1.0, round(2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)), 12))


def decide(interval: tuple[float, float], margin: float) -> str:
    """Return equivalent, better, worse or cannot_tell for the interval of a difference."""
    low, high = interval
    if -margin <= low and high <= margin:
        return "equivalent"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "cannot_tell"


def metric_interval(runs: Sequence[FinishedRun], metric: str) -> tuple[float, float]:
    """Return the 95 % interval of one arm's mean test metric, within what the metric can be."""
    return arm_interval(replicates({"arm": runs}, metric)["arm"])


def arm_interval(arm: Replicates) -> tuple[float, float]:
    """Return `metric_interval` of an arm's replicates."""
    low, high = of_arm(arm).interval(LEVEL)
    least = 0.0 if METRICS[arm.metric].unit == "fraction" else -1.0
    return max(least, low), min(1.0, high)


def disagreements(
    runs: Sequence[FinishedRun], rows: pd.DataFrame, task: str = "classification"
) -> pd.DataFrame:
    """Return the test rows on which arms differ: row, text, label, then one column per arm.

    `rows` has the columns row, text, label and part. An arm's answer is the prediction most of its
    seeds give, a tie going to the higher summed confidence; the mean score, rows in the order of
    how far arms are apart; what the first seed wrote.
    """
    arms = runs_by_arm(runs)
    table = pd.DataFrame({arm: _usual_answer(_by_seed(own), task) for arm, own in arms.items()})
    apart = table[table.nunique(axis=1, dropna=True) > 1]
    # Row numbers are a file's own: a test file has numbers that the training file has too.
    facts = rows[rows["part"] == "test"].set_index("row")[["text", "label"]]
    found = facts.join(apart, how="inner").sort_index()
    if task == "regression" and len(found):
        scores = found[list(arms)]
        spread = scores.max(axis=1) - scores.min(axis=1)
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
