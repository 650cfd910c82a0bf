"""Where an informed adapter begins: directions and ranks read off the training rows beforehand.

A begins with orthonormal rows instead of random ones, B with zero as always, so that the model
answers as before until the first step. The rows are right singular vectors of

- gradient: the task's mean gradient ∂L/∂W, along whose top directions one step lowers the loss most
- aligned: the weight, those components whose first-order effect on the loss is largest
- removed: the weight, the strongest of those components that KaSA removes

With `spread`, r·M ranks of M matrices go to the largest singular values of all gradients; every
matrix keeps at least one. The head is mild (kasa.tuning.knowledge): one that knows its rows by
heart has no gradient on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from kasa.arms import Arm
from kasa.spectral.importance import factors_of, matrix_of
from kasa.tuning.adapters import Start, target_modules
from kasa.tuning.knowledge import Knowledge
from kasa.tuning.tasks import Task


@dataclass(frozen=True, eq=False)
class Gradient:
    """Singular values (k,) and right singular vectors (k, in) of a layer's mean gradient."""

    values: Tensor
    directions: Tensor


def find_start(task: Task, arm: Arm) -> Start:
    """Return what the arm's adapter begins with, from at most 300 training rows."""
    known = Knowledge(task)
    names = target_modules(known.base, arm)
    ranks: dict[str, int] = {}
    gradients: dict[str, Gradient] = {}
    if arm.spread or arm.start == "gradient":
        gradients = gradients_of(known, names)
    if arm.spread:
        # KaSA keeps one component of every matrix at least.
        limits = [min(matrix_of(known.base.get_submodule(name)).shape) - 1 for name in names]
        values = [
            gradients[name].values.numpy()[:limit]
            for name, limit in zip(names, limits, strict=True)
        ]
        ranks = dict(zip(names, spread_ranks(values, arm.rank * len(names)), strict=True))
    wanted = {name: ranks.get(name, arm.rank) for name in names}
    return Start(ranks, _directions(known, arm, wanted, gradients))


def gradients_of(known: Knowledge, names: Sequence[str]) -> dict[str, Gradient]:
    """Return the decomposed mean gradient of the loss for every named layer, (out, in) each."""
    layers: dict[str, Any] = {name: known.base.get_submodule(name) for name in names}
    weights = {name: layer.weight for name, layer in layers.items()}
    for weight in weights.values():
        weight.requires_grad = True
    try:
        portions = known.portions(known.parts.train)
        rows = sum(len(portion.counts) for portion in portions)
        for portion in portions:
            with torch.enable_grad():
                (known.loss(portion.batch) * (len(portion.counts) / rows)).backward()
        found = {}
        for name, layer in layers.items():
            # Conv1D stores its matrix the other way round.
            gradient = layer.weight.grad.T if isinstance(layer, Conv1D) else layer.weight.grad
            _, values, right = torch.linalg.svd(gradient.double(), full_matrices=False)
            found[name] = Gradient(values.cpu(), right.cpu())
    finally:
        for weight in weights.values():
            weight.requires_grad, weight.grad = False, None
    return found


def spread_ranks(values: Sequence[np.ndarray[Any, Any]], budget: int) -> list[int]:
    """Return how many of the `budget` largest values lie in each vector, but at least one each."""
    counts = [1] * len(values)
    rest = [(float(value), place) for place, own in enumerate(values) for value in own[1:]]
    for _, place in sorted(rest, reverse=True)[: max(0, budget - len(values))]:
        counts[place] += 1
    return counts


def _directions(
    known: Knowledge, arm: Arm, ranks: Mapping[str, int], gradients: Mapping[str, Gradient]
) -> dict[str, Tensor]:
    if arm.start is None:
        return {}
    if arm.start == "gradient":
        return {name: gradients[name].directions[:rank].float() for name, rank in ranks.items()}
    found = {}
    for own in known.scores(list(ranks)):
        layer, rank = known.base.get_submodule(own.module), ranks[own.module]
        if arm.start == "aligned":
            chosen = own.order("first_order")[::-1][:rank].tolist()
        else:
            chosen = _removed(arm.removed_from(own.module), own.expected.size)[:rank]
        chosen += [number for number in range(own.expected.size)[::-1] if number not in chosen]
        found[own.module] = factors_of(layer).right[:, chosen[:rank]].T.float()
    return found


def _removed(removal: int | Sequence[int], size: int) -> list[int]:
    """Return the numbers of the components that a removal takes, the strongest first."""
    return list(range(size - removal, size)) if isinstance(removal, int) else sorted(removal)
