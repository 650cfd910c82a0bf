"""Whether verdicts keep their promise, on simulated studies whose truth is known.

Two arms answer the same test rows with several seeds. A row is right where

    ability + ease of the row + what this arm makes of the row + luck of the seed + rest > 0,

all but the first normal with mean 0; abilities are chosen for the accuracies that the table names.
Seeds of "usual" luck differ by 0.7 points of accuracy, as the tuned arms of the BANKING77 and
work-order studies do; "wild" ones by twice as much. The verdict is `kasa.verdict.compare`'s own.

- coverage: share of studies whose 95 % interval holds the true difference (wanted: 93 to 97 %)
- claimed: better or worse; where the arms are equal this is the error (wanted: at most 5 %)
- equivalent: where the true difference is the margin or more this is the error (at most 5 %)

The last part has four arms of equal ability: some claim among its six pairs. `--bootstrap` adds
what a percentile bootstrap over seeds and rows together would say.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from common import conditions
from numpy.typing import NDArray
from scipy.stats import norm

from kasa.runs.records import FinishedRun
from kasa.verdict.compare import compare, compare_all, decide
from kasa.verdict.resample import replicates
from tests.study_runs import finished_run

ARMS = ("kasa-r8", "lora-r8", "frozen_head", "tfidf")
EASE, TASTE, REST = 2.0, 0.5, 0.6
LUCK = {"usual": 0.06, "wild": 0.12}
MARGIN = 0.01
Rights = NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """True accuracies of the arms, the test rows, the seeds and how much luck these have."""

    accuracies: tuple[float, ...]
    num_rows: int
    num_seeds: int
    luck: str = "usual"


CASES = (
    Case((0.88, 0.88), 300, 5),
    Case((0.88, 0.88), 300, 3),
    Case((0.88, 0.88), 300, 2),
    Case((0.70, 0.70), 300, 5),
    Case((0.70, 0.70), 150, 3),
    Case((0.88, 0.88), 1200, 3),
    Case((0.88, 0.88), 300, 5, "wild"),
    Case((0.88, 0.88), 300, 3, "wild"),
    Case((0.90, 0.85), 300, 5),
    Case((0.72, 0.67), 300, 5),
    Case((0.90, 0.85), 300, 5, "wild"),
    Case((0.88, 0.88), 5000, 5),
    Case((0.89, 0.88), 5000, 5),
    Case((0.89, 0.88), 5000, 3, "wild"),
)


def simulated(case: Case, rng: np.random.Generator) -> list[Rights]:
    """Return which answers of each arm are right, shape (S, N) each."""
    luck, rows, seeds = LUCK[case.luck], case.num_rows, case.num_seeds
    spread = math.sqrt(EASE**2 + TASTE**2 + luck**2 + REST**2)
    ease = rng.normal(0, EASE, rows)
    return [
        norm.ppf(accuracy) * spread
        + ease
        + rng.normal(0, TASTE, rows)
        + rng.normal(0, luck, (seeds, 1))
        + rng.normal(0, REST, (seeds, rows))
        > 0
        for accuracy in case.accuracies
    ]


def runs_of(name: str, rights: Rights) -> list[FinishedRun]:
    """Return an arm's runs, one per seed."""
    labels = ["yes"] * rights.shape[1]
    template = finished_run(name, 0, labels[:1], labels[:1])
    runs = []
    for seed, right in enumerate(rights):
        table = pd.DataFrame({"row": range(len(right)), "label": labels})
        table["predicted"] = np.where(right, "yes", "no")
        facts = vars(template) | {"id": f"{name}-s{seed}", "seed": seed, "predictions": table}
        runs.append(FinishedRun(**facts))
    return runs


def both_drawn(a: Rights, b: Rights, rng: np.random.Generator) -> tuple[float, float]:
    """Return the percentile interval of a bootstrap that draws seeds and rows, crossed."""
    difference = a.astype(float) - b
    seeds, rows = difference.shape
    weights = rng.multinomial(rows, np.full(rows, 1 / rows), size=1000) / rows
    drawn = rng.integers(seeds, size=(1000, max(1, seeds - 1)))
    means = np.take_along_axis(weights @ difference.T, drawn, axis=1).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def share(words: Counter[str], num_studies: int, *named: str) -> str:
    """Return how often these words were said."""
    return f"{100 * sum(words[word] for word in named) / num_studies:.1f} %"


def row_of(case: Case, num_studies: int, *, bootstrap: bool) -> str:
    """Return one line of the table: `num_studies` simulated studies of one case."""
    rng = np.random.default_rng(20_261_128)
    truth = case.accuracies[0] - case.accuracies[1]
    words: Counter[str] = Counter()
    old: Counter[str] = Counter()
    held = old_held = 0
    for study in range(num_studies):
        rights = simulated(case, rng)
        a, b = (runs_of(name, right) for name, right in zip(ARMS, rights, strict=False))
        found = compare(a, b, "accuracy", MARGIN, seed=study)
        words[found.verdict] += 1
        held += found.interval[0] <= truth <= found.interval[1]
        if bootstrap:
            interval = both_drawn(rights[0], rights[1], rng)
            old[decide(interval, MARGIN)] += 1
            old_held += interval[0] <= truth <= interval[1]
    cells = [
        " / ".join(f"{100 * accuracy:.0f} %" for accuracy in case.accuracies),
        f"{case.num_rows}",
        f"{case.num_seeds}",
        case.luck,
        f"{100 * held / num_studies:.1f} %",
        share(words, num_studies, "better", "worse"),
        share(words, num_studies, "better"),
        share(words, num_studies, "equivalent"),
    ]
    if bootstrap:
        claimed = share(old, num_studies, "better", "worse")
        cells += [f"{100 * old_held / num_studies:.1f} %", claimed]
    return "| " + " | ".join(cells) + " |"


def family(num_studies: int) -> dict[str, str]:
    """Return how often four equal arms have a claim: on the first pair, on any other."""
    rng = np.random.default_rng(4)
    case = Case((0.88,) * 4, 300, 5)
    first = others = uncorrected = 0
    for _ in range(num_studies):
        rights = simulated(case, rng)
        arms = {name: runs_of(name, right) for name, right in zip(ARMS, rights, strict=True)}
        found = compare_all(arms, list(combinations(arms, 2)), replicates(arms, "accuracy"), MARGIN)
        claimed = [verdict.verdict in {"better", "worse"} for verdict in found]
        plain = [decide(verdict.estimate.interval(0.95), MARGIN) for verdict in found]
        first += claimed[0]
        others += any(claimed[1:])
        uncorrected += any(word in {"better", "worse"} for word in plain)
    counts = {"first pair": first, "any other pair": others, "any, uncorrected": uncorrected}
    return {name: f"{100 * count / num_studies:.1f} %" for name, count in counts.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and the family's errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--bootstrap", action="store_true")
    chosen = parser.parse_args(arguments)
    start = time.perf_counter()
    names = ["true accuracies", "test rows", "seeds", "luck", "coverage", "claimed"]
    names += ["better", "equivalent"]
    if chosen.bootstrap:
        names += ["coverage, both drawn", "claimed, both drawn"]
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
    for case in CASES:
        print(row_of(case, chosen.studies, bootstrap=chosen.bootstrap), flush=True)
    print(f"Four equal arms, claims: {family(chosen.studies)}")
    print(f"{time.perf_counter() - start:.0f} s.")
    print(conditions("numpy", "scipy", "pandas"))


if __name__ == "__main__":
    main()
