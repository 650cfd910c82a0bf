"""What tuning did to text unlike the task, per arm and language, and whether two arms differ in it.

Every run has a figure per neutral sentence (`kasa.tuning.collateral`): how far its likeness to the
others is kept (1 is untouched), or by how much its loss per token has risen (0 is untouched).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kasa.runs.records import FinishedRun
from kasa.verdict.compare import LEVEL, decide
from kasa.verdict.estimate import Estimate, estimate
from kasa.verdict.resample import Table, observed, resampled

LANGUAGES = ("ja", "en")
NUM_DRAWS = 1000
# Whether less or more of a kind's figure is harm.
DIRECTIONS = {"likeness": "higher", "loss": "lower"}


@dataclass(frozen=True)
class Harm:
    """An arm's mean figure on one language's sentences, with its 95 % interval."""

    arm: str
    language: str
    kind: str
    value: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class HarmGap:
    """The pair's difference a − b; `verdict` is better where a harms less than b."""

    pair: tuple[str, str]
    language: str
    kind: str
    value: float
    interval: tuple[float, float]
    verdict: str


def harms(by_arm: Mapping[str, Sequence[FinishedRun]]) -> tuple[Harm, ...]:
    """Return every tuned arm's figures by language, in the arms' order."""
    found = []
    for arm, runs in by_arm.items():
        kind = kind_of(runs)
        for language in languages_of(runs):
            result = _estimate(_figures(runs, language))
            interval = result.interval(LEVEL)
            found.append(Harm(arm, language, kind, result.value, interval))
    return tuple(found)


def harm_gaps(
    by_arm: Mapping[str, Sequence[FinishedRun]], pairs: Sequence[tuple[str, str]]
) -> tuple[HarmGap, ...]:
    """Return by language how the first pair of tuned arms differs, over the seeds of both."""
    for a, b in pairs:
        kinds = {kind_of(by_arm[arm]) for arm in (a, b)}
        seeds = {run.seed for run in by_arm[a]} & {run.seed for run in by_arm[b]}
        if len(kinds) == 1 and "" not in kinds and seeds:
            (kind,) = kinds
            both = [lang for lang in languages_of(by_arm[a]) if lang in languages_of(by_arm[b])]
            return tuple(_gap((a, b), by_arm, sorted(seeds), lang, kind) for lang in both)
    return ()


def kind_of(runs: Sequence[FinishedRun]) -> str:
    """Return what was measured on the neutral sentences; empty where nothing was."""
    kinds = {(run.collateral or {}).get("kind", "") for run in runs}
    return kinds.pop() if len(kinds) == 1 else ""


def languages_of(runs: Sequence[FinishedRun]) -> list[str]:
    """Return the languages that were measured in every run of an arm."""
    measured = [run.collateral or {} for run in runs]
    return [lang for lang in LANGUAGES if all(lang in figures for figures in measured)]


def _gap(
    pair: tuple[str, str],
    by_arm: Mapping[str, Sequence[FinishedRun]],
    seeds: Sequence[int],
    language: str,
    kind: str,
) -> HarmGap:
    own = [{run.seed: run for run in by_arm[arm]} for arm in pair]
    a, b = (_figures([runs[seed] for seed in seeds], language) for runs in own)
    result = _estimate(a - b)
    low, high = result.interval(LEVEL)
    signed = (low, high) if DIRECTIONS[kind] == "higher" else (-high, -low)
    return HarmGap(pair, language, kind, result.value, (low, high), decide(signed, 0.0))


def _figures(runs: Sequence[FinishedRun], language: str) -> NDArray[np.float64]:
    """Return a figure per seed and sentence, (S, N)."""
    return np.array([(run.collateral or {})[language] for run in runs], dtype=np.float64)


def _estimate(figures: NDArray[np.float64]) -> Estimate:
    """Return the mean over seeds and sentences; other sentences might have been asked."""
    nobody = np.zeros(figures.shape[1])
    table = Table("collateral", nobody, figures, scores=figures)
    (draws,) = resampled([table], seed=0, num_draws=NUM_DRAWS)
    return estimate(observed(table), draws, figures.shape[1], unseen=0.0)
