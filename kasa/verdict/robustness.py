"""How firm an arm's result is: its learning rates, confidence, classes, and rows no arm answers.

All of it is read from the runs that are there already; nothing is trained for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from kasa.runs.records import FinishedRun
from kasa.verdict.compare import LEVEL
from kasa.verdict.estimate import of_arm
from kasa.verdict.resample import Replicates, Table, observed, resampled, tables

# Fewer answers than this make no point of a calibration curve.
ANSWERS_PER_BIN = 20
MOST_BINS = 10
NUM_DRAWS = 1000
# Arms that do not read a row say nothing about it by being wrong.
BLIND = ("majority",)


@dataclass(frozen=True)
class RateResult:
    """What one learning rate brought on the validation rows, a value per seed."""

    learning_rate: float
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.values))


def rate_results(runs: Sequence[FinishedRun], metric: str) -> tuple[RateResult, ...]:
    """Return an arm's validation metric at every learning rate that it tried, ascending.

    Empty for an arm that tries none.
    """
    found: dict[float, list[float]] = defaultdict(list)
    for run in runs:
        for trial in run.trials:
            if "learning_rate" in trial and metric in trial["validation"]:
                found[float(trial["learning_rate"])].append(float(trial["validation"][metric]))
    return tuple(RateResult(rate, tuple(found[rate])) for rate in sorted(found))


@dataclass(frozen=True)
class Bin:
    """Answers of like confidence: their number, mean confidence and the share that was right."""

    num_answers: int
    confidence: float
    right: float


@dataclass(frozen=True)
class Calibration:
    """How sure an arm is of its test answers beside how often it is right, over all its seeds."""

    confidence: float
    right: float
    error: float
    bins: tuple[Bin, ...]

    @property
    def excess(self) -> float:
        """Mean confidence − share right: above 0 the arm is surer than it should be."""
        return self.confidence - self.right


def calibration(runs: Sequence[FinishedRun]) -> Calibration | None:
    """Return an arm's expected calibration error; None where its answers have no confidence.

    ECE = Σ_b n_b/N · |confidence_b − right_b| over groups of equally many answers, the surest
    last (Guo et al. 2017, arXiv:1706.04599; groups as Nguyen and O'Connor 2015).
    """
    answers = pd.concat([run.predictions for run in runs], ignore_index=True)
    if "confidence" not in answers or answers["confidence"].isna().any():
        return None
    answers = answers.sort_values("confidence", kind="stable")
    sure = answers["confidence"].to_numpy(np.float64)
    right = (answers["predicted"] == answers["label"]).to_numpy(np.float64)
    num_bins = min(MOST_BINS, max(1, len(sure) // ANSWERS_PER_BIN))
    groups = np.array_split(np.arange(len(sure)), num_bins)
    bins = tuple(Bin(len(g), float(sure[g].mean()), float(right[g].mean())) for g in groups)
    error = sum(b.num_answers * abs(b.confidence - b.right) for b in bins) / len(sure)
    return Calibration(float(sure.mean()), float(right.mean()), float(error), bins)


@dataclass(frozen=True)
class Share:
    """How often an arm is right on some of the test rows, with its 95 % interval."""

    mean: float
    low: float
    high: float


def shares_right(runs: Sequence[FinishedRun], groups: pd.Series) -> dict[str, Share]:
    """Return how often an arm is right in every group of the test rows, mean over its seeds.

    `groups` has a name per row number. Where it holds the true labels, the shares are recalls.
    """
    (table,) = tables("accuracy", runs)
    rows = runs[0].predictions.sort_values("row")["row"]
    names = rows.map(groups.astype(str)).to_numpy()
    return {
        str(name): _share(replace(table, labels=table.labels[own], scores=table.scores[:, own]))
        for name in sorted(set(names[pd.notna(names)]))
        for own in [np.flatnonzero(names == name)]
    }


def _share(table: Table) -> Share:
    (draws,) = resampled([table], seed=0, num_draws=NUM_DRAWS)
    seeds, rows = table.scores.shape
    found = of_arm(Replicates("accuracy", tuple(range(seeds)), rows, observed(table), draws))
    low, high = found.interval(LEVEL)
    return Share(found.value, max(0.0, low), min(1.0, high))


def never_right(by_arm: Mapping[str, Sequence[FinishedRun]], rows: pd.DataFrame) -> pd.DataFrame:
    """Return the test rows that every run of every arm that reads gets wrong.

    Columns row, text, label, answer (the one most runs give) and agreement (the share of runs that
    give it), the most agreed upon first: where all say the same, the label itself may be wrong.
    `rows` has the columns row, text, label and part.
    """
    reading = [run for runs in by_arm.values() for run in runs if run.method not in BLIND]
    columns = ["row", "text", "label", "answer", "agreement"]
    if not reading:
        return pd.DataFrame(columns=columns)
    answers = pd.concat([run.predictions for run in reading], ignore_index=True)
    wrong = answers[answers["predicted"] != answers["label"]]
    counts = wrong.groupby("row").size()
    defeated = wrong[wrong["row"].isin(counts.index[counts == len(reading)])]
    said = defeated.groupby(["row", "predicted"]).size().rename("votes").reset_index()
    said = said.sort_values(["row", "votes", "predicted"], ascending=[True, False, True])
    said = said.drop_duplicates("row").set_index("row")
    facts = rows[rows["part"] == "test"].set_index("row")[["text", "label"]]
    found = facts.join(said, how="inner")
    found["agreement"] = found["votes"] / len(reading)
    found = found.rename(columns={"predicted": "answer"}).reset_index(names="row")
    order = found.sort_values(["agreement", "row"], ascending=[False, True], kind="stable")
    return order[columns].reset_index(drop=True)
