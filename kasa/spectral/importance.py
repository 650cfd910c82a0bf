"""What every singular component of a weight means to a task, from one forward-backward pass.

W = Σᵢ σᵢ·uᵢvᵢᵀ. With the inputs x of a layer and the loss gradient δ at its output, row n of the
data says of component i

    s_{n,i} = σᵢ·uᵢᵀG_n vᵢ = σᵢ·Σ_t (δ_t·uᵢ)(x_t·vᵢ)        (t over the row's tokens)

and removing the component changes the row's loss by −s_{n,i} to first order. No gradient of a
weight is ever formed: projections of x and δ on the components are enough, and they give all the
criteria at once. A loss is handed in, so nothing here knows tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kasa.errors import ModelError

Values = NDArray[np.float64]
Batch = dict[str, Tensor]
SCORES = ("magnitude", "first_order", "fisher", "activation")
# The factors of the matrices that one pass looks at stay below this.
MEMORY_BYTES = 1_600_000_000


@dataclass(frozen=True)
class Portion:
    """A batch with how many of its sequences belong to each row: one, or two texts, or choices."""

    batch: Batch
    counts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Scores:
    """What the components of one weight mean to the task; place 0 is the largest singular value.

    `values` has, by criterion, the importance of every component, shape (k,):

    - magnitude: σᵢ, what the paper cuts by
    - first_order: |mean_n s_{n,i}|, how far the loss moves without the component
    - fisher: ½·mean_n s_{n,i}², the second-order rise of the loss by the empirical Fisher
    - activation: σᵢ·√mean_t (x_t·vᵢ)², what the component adds to the layer's output (in this basis
      exactly additive in its square; the measure of SVD-LLM, arXiv:2403.07378, without its basis)

    `expected` is the first-order change of the mean loss when a component is removed, −mean_n s.
    `stability` is Spearman's ρ between the scores from two halves of the rows.
    """

    module: str
    shape: tuple[int, int]
    values: dict[str, Values]
    expected: Values
    num_rows: int
    stability: dict[str, float]

    def order(self, criterion: str) -> NDArray[np.int64]:
        """Return the components' numbers, the least important first."""
        if criterion not in self.values:
            raise ModelError("unknown_criterion", got=criterion, wanted=", ".join(self.values))
        found = self.values[criterion]
        # Ties go to the smaller singular value.
        return np.lexsort((-np.arange(found.size), found)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Factors:
    """U (out, k), S (k,) and V (in, k) of a layer's matrix, which maps x to W·x."""

    left: Tensor
    singular_values: Tensor
    right: Tensor

    def part(self, components: Sequence[int]) -> Tensor:
        """Return Σ σᵢ·uᵢvᵢᵀ of these components, (out, in)."""
        chosen = list(components)
        return (self.left[:, chosen] * self.singular_values[chosen]) @ self.right[:, chosen].T


def matrix_of(layer: nn.Module) -> Tensor:
    """Return the (out, in) matrix of a linear layer; Conv1D stores it the other way round."""
    weight = layer.weight
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise ModelError("not_a_matrix", shape=type(layer).__name__)
    return weight.detach() if isinstance(layer, nn.Linear) else weight.detach().T


def factors_of(layer: nn.Module) -> Factors:
    """Return the singular value decomposition of a layer's matrix, computed in float64."""
    return decomposed(matrix_of(layer))


def decomposed(matrix: Tensor) -> Factors:
    """Return the singular value decomposition of an (out, in) matrix, computed in float64."""
    left, values, right = torch.linalg.svd(matrix.to(torch.float64), full_matrices=False)
    dtype = torch.promote_types(matrix.dtype, torch.float32)
    return Factors(left.to(dtype), values.to(dtype), right.T.contiguous().to(dtype))


class _Sums:
    """Sums over rows and tokens of one layer, one entry per half of the rows."""

    def __init__(self, factors: Factors) -> None:
        self.factors = factors
        size = len(factors.singular_values)
        zeros = {"first": size, "squares": size, "inputs": size}
        self.sums = {name: torch.zeros(2, k, dtype=torch.float64) for name, k in zeros.items()}
        self.tokens = torch.zeros(2, dtype=torch.float64)

    def add(self, half: int, x: Tensor, gradient: Tensor, portion: Portion) -> None:
        """Take in one batch's inputs and output gradients, the sum of its rows' losses."""
        x, gradient = _by_sequence(x), _by_sequence(gradient)
        seen = x @ self.factors.right
        pulled = gradient @ self.factors.left
        pieces = torch.einsum("btk,btk->bk", seen, pulled) * self.factors.singular_values
        rows = pieces
        if sum(portion.counts) == len(pieces) and max(portion.counts) > 1:
            owner = torch.repeat_interleave(
                torch.arange(len(portion.counts), device=pieces.device),
                torch.tensor(portion.counts, device=pieces.device),
            )
            rows = pieces.new_zeros(len(portion.counts), pieces.shape[1])
            rows = rows.index_add(0, owner, pieces)
        mask = portion.batch.get("attention_mask")
        # Padding counts for nothing; a layer that sees no tokens has none.
        if mask is None or mask.shape != x.shape[:2]:
            mask = torch.ones(x.shape[:2], device=x.device)
        counted = torch.einsum("btk,bt->k", seen.square(), mask.to(seen))
        self.sums["first"][half] += rows.sum(0).double().cpu()
        self.sums["squares"][half] += rows.square().sum(0).double().cpu()
        self.sums["inputs"][half] += counted.double().cpu()
        self.tokens[half] += float(mask.sum())

    def scores(self, halves: Sequence[int], num_rows: Sequence[int]) -> dict[str, Values]:
        """Return the criteria's values from these halves, and the signed mean as `expected`."""
        chosen = list(halves)
        rows = sum(num_rows[half] for half in chosen)
        total = {name: found[chosen].sum(0) for name, found in self.sums.items()}
        sigma = self.factors.singular_values.double().cpu()
        inputs = (total["inputs"] / self.tokens[chosen].sum().clamp_min(1)).sqrt()
        found = {
            "magnitude": sigma,
            "first_order": (total["first"] / rows).abs(),
            "fisher": 0.5 * total["squares"] / rows,
            "activation": sigma * inputs,
            "expected": -total["first"] / rows,
        }
        return {name: value.numpy() for name, value in found.items()}


def _by_sequence(states: Tensor) -> Tensor:
    """Return (sequences, tokens, d): a layer may see one state a sequence, or more axes."""
    return states.detach().reshape(states.shape[0], -1, states.shape[-1])


def component_scores(
    model: nn.Module,
    modules: Sequence[str],
    portions: Sequence[Portion],
    loss: Callable[[Batch], Tensor],
    memory_bytes: int = MEMORY_BYTES,
) -> Iterator[Scores]:
    """Yield the scores of every named linear layer of `model`, in the order of `modules`.

    `loss` returns the mean loss over a batch's rows. Portions are dealt to two halves in turn, for
    the stability. One pass over the portions serves as many matrices as their factors fit into
    `memory_bytes`; more matrices take further passes. The model is left as it was. Raises
    `ModelError` for a layer without a matrix and for fewer than two portions.
    """
    if len(portions) < 2:
        raise ModelError("too_few_portions", got=len(portions), wanted=2)
    num_rows = [sum(len(p.counts) for p in portions[half::2]) for half in (0, 1)]
    for group in _groups(model, modules, memory_bytes):
        sums = {name: _Sums(factors_of(model.get_submodule(name))) for name in group}
        _pass(model, sums, portions, loss)
        for name, own in sums.items():
            yield _scores(model, name, own, num_rows)


def num_passes(model: nn.Module, modules: Sequence[str], memory_bytes: int = MEMORY_BYTES) -> int:
    """Return how many forward-backward passes the scores of these layers take."""
    return sum(1 for _ in _groups(model, modules, memory_bytes))


def _groups(model: nn.Module, modules: Sequence[str], memory_bytes: int) -> Iterator[list[str]]:
    group: list[str] = []
    held = 0
    for name in modules:
        rows, columns = matrix_of(model.get_submodule(name)).shape
        need = 4 * (rows + columns) * min(rows, columns)
        if group and held + need > memory_bytes:
            yield group
            group, held = [], 0
        group.append(name)
        held += need
    if group:
        yield group


def _pass(
    model: nn.Module,
    sums: Mapping[str, _Sums],
    portions: Sequence[Portion],
    loss: Callable[[Batch], Tensor],
) -> None:
    """Run every portion forward and back once, each layer adding up what it sees."""
    current: dict[str, Any] = {}

    def watch(own: _Sums) -> Callable[..., Tensor]:
        def hook(_layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            x, half, portion = args[0].detach(), current["half"], current["portion"]
            # A base that is frozen would build no graph; nothing is added to the output.
            open_output = output + torch.zeros((), device=output.device, requires_grad=True)
            rows = len(portion.counts)
            open_output.register_hook(lambda g: own.add(half, x, g * rows, portion))
            return open_output

        return hook

    with ExitStack() as stack:
        stack.enter_context(_frozen(model))
        for name, own in sums.items():
            handle = model.get_submodule(name).register_forward_hook(watch(own))
            stack.callback(handle.remove)
        for place, portion in enumerate(portions):
            current.update(half=place % 2, portion=portion)
            with torch.enable_grad():
                loss(portion.batch).backward()


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Hold the model in evaluation and its weights without gradients, inside the block."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    was_training = model.training
    model.eval()
    for weight in trained:
        weight.requires_grad = False
    try:
        yield
    finally:
        for weight in trained:
            weight.requires_grad = True
        model.train(was_training)


def _scores(model: nn.Module, name: str, own: _Sums, num_rows: Sequence[int]) -> Scores:
    found = own.scores((0, 1), num_rows)
    first, second = (own.scores((half,), num_rows) for half in (0, 1))
    rows, columns = matrix_of(model.get_submodule(name)).shape
    return Scores(
        module=name,
        shape=(int(rows), int(columns)),
        values={criterion: found[criterion] for criterion in SCORES},
        expected=found["expected"],
        num_rows=sum(num_rows),
        stability={name: _agreement(first[name], second[name]) for name in SCORES},
    )


def _agreement(a: Values, b: Values) -> float:
    """Return Spearman's ρ; 1 where one side is constant and both are the same, else 0."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float(np.array_equal(a, b))
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: Values) -> Values:
    """Return each value's rank; equal ones share their mean rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places])
