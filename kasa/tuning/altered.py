"""Training rows taken away or labelled wrongly: the points of learning curves and noise curves.

Validation and test rows stay as they are. What is taken away or mislabelled is drawn by the run's
seed, the same for every arm, and nested: a larger share holds the rows of a smaller one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kasa.arms import Arm
from kasa.tuning.outcome import Part, Parts

Ints = NDArray[np.int64]


def altered(parts: Parts, arm: Arm, seed: int) -> Parts:
    """Return the rows as an arm's `train_share` and `label_noise` want them."""
    if arm.train_share is not None:
        return replace(parts, train=fewer(parts.train, arm.train_share, seed))
    if arm.label_noise is not None:
        return replace(parts, train=mislabelled(parts, arm.label_noise, seed))
    return parts


def fewer(train: Part, share: float, seed: int) -> Part:
    """Return round(share·N) of the rows, in their order; every label keeps at least one row.

    Rows are ranked by (place among their label's + u)/(rows of the label) with u uniform, which
    holds every label near its share; the first of each label come before all others.
    """
    rng = np.random.default_rng([seed, 0])
    ranks = np.empty(len(train.rows))
    strata = _strata(train)
    for places in strata:
        shuffled = rng.permutation(places)
        ranks[shuffled] = (np.arange(len(places)) + rng.random()) / len(places)
        ranks[shuffled[0]] = -1.0
    count = max(len(strata), round(share * len(train.rows)))
    return train.take(sorted(np.argsort(ranks, kind="stable")[:count]))


def _strata(train: Part) -> list[Ints]:
    """Return the places of each class; one stratum where labels are scores, choices or texts."""
    whole = np.arange(len(train.rows))
    if train.choices or not all(isinstance(label, int) for label in train.labels):
        return [whole]
    found = defaultdict(list)
    for place, label in enumerate(train.labels):
        found[label].append(place)
    return [np.array(found[label]) for label in sorted(found)]


def mislabelled(parts: Parts, share: float, seed: int) -> Part:
    """Return the training rows, round(share·N) of them with another label, drawn uniformly."""
    train = parts.train
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(len(train.rows))
    # Drawn for every row, so that a row's wrong label is the same at every share.
    steps = rng.random(len(train.rows))
    labels = list(train.labels)
    for place in order[: round(share * len(labels))]:
        count = len(train.choices[place]) if train.choices else len(parts.labels)
        labels[place] = (labels[place] + 1 + int(steps[place] * (count - 1))) % count
    return replace(train, labels=tuple(labels))
