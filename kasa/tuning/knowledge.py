"""Which singular components of a base carry a task: scores from the user's rows, cuts measured.

Scores come from training rows (kasa.spectral.importance), measurements from validation rows, which
no score has seen. A head is fitted as a mild linear probe; nothing of the base is trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from kasa.errors import ModelError
from kasa.spectral.importance import (
    Factors,
    Portion,
    Scores,
    component_scores,
    factors_of,
)
from kasa.tuning.answers import softmax
from kasa.tuning.blocks import from_block
from kasa.tuning.heads import HeadTask
from kasa.tuning.language import LanguageTask
from kasa.tuning.outcome import Part
from kasa.tuning.probe import by_row, fit_probe, scale_of
from kasa.tuning.tasks import Task, on_device

# Enough to rank components (their stability tells), and as many as a small dataset has.
SCORED_ROWS = 300
BATCH = 16
# The head is the mildest of the linear probe's. One that knows its rows by heart hardly has a
# gradient on them: on BANKING77 the strength that validation likes best (C = 10, training loss
# 0.02) foretells held-out losses with ρ = 0.4 to 0.6, this one (0.70) with 0.99.
STRENGTH = 0.1


class Knowledge:
    """A base with its probe head on a task's rows: score its components, remove them, measure."""

    def __init__(self, task: Task) -> None:
        """Load the base, fit a mild linear head where the task has one, and freeze all of it."""
        self.task, parts = task, task.parts
        model: Any = task.model()
        if isinstance(task, HeadTask):
            features = partial(task.features, model)
            weights = task.protocol.class_weights
            probe = fit_probe(features, parts, class_weights=weights, strengths=(STRENGTH,))
            model.set_head(*probe.head())
        self.model = model
        self.model.eval().requires_grad_(requires_grad=False)
        self.parts = parts
        self._factors: dict[str, Factors] = {}

    @property
    def base(self) -> nn.Module:
        """The base model."""
        found: nn.Module = self.model.base
        return found

    def modules(self) -> list[str]:
        """Return the names of all linear layers of the base's blocks, in order.

        Layers outside the blocks (a pooler that no pooling reads, a language head) are left out.
        """
        names = [
            name
            for name, layer in self.base.named_modules()
            if isinstance(layer, (nn.Linear, Conv1D)) and any(p.isdigit() for p in name.split("."))
        ]
        if not names:
            kind = type(self.base).__name__
            raise ModelError("no_targets", model_type=kind, wanted="-")
        return names

    def portions(self, part: Part, num_rows: int = SCORED_ROWS) -> list[Portion]:
        """Return at most `num_rows` rows of a part, drawn by a fixed seed, as batches."""
        return portions_of(self.task, self.model, some_rows(part, num_rows))

    def scores(
        self, modules: Sequence[str] | None = None, num_rows: int = SCORED_ROWS
    ) -> Iterator[Scores]:
        """Yield every layer's component scores from training rows."""
        portions = self.portions(self.parts.train, num_rows)
        yield from component_scores(self.base, modules or self.modules(), portions, self.loss)

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the task's mean loss over a batch with its labels."""
        found: Tensor = self.model(**batch)["loss"]
        return found

    def factors(self, module: str) -> Factors:
        """Return a layer's decomposition, kept for the next call."""
        if module not in self._factors:
            self._factors[module] = factors_of(self.base.get_submodule(module))
        return self._factors[module]

    @contextmanager
    def without(self, removed: Mapping[str, Sequence[int]]) -> Iterator[None]:
        """Take components out of the base inside the block: module → their numbers."""
        kept: list[tuple[Any, Tensor]] = []
        try:
            for module, components in removed.items():
                if not components:
                    continue
                layer: Any = self.base.get_submodule(module)
                part, weight = self.factors(module).part(components), layer.weight.data
                layer.weight.data = weight - (part if isinstance(layer, nn.Linear) else part.T)
                kept.append((layer, weight))
            yield
        finally:
            for layer, weight in kept:
                layer.weight.data = weight

    def measured(self, part: Part) -> Measured:
        """Return the loss of every row of a part, and whether it is answered rightly."""
        return measure(self.task, self.model, part)

    def resumed(self, module: str, part: Part) -> AbstractContextManager[None]:
        """Answer `part` from the block of `module` upwards inside the context.

        Not for bases that write: prompts and choices are read in other batches than rows.
        """
        if isinstance(self.task, LanguageTask):
            return nullcontext()
        return from_block(self.base, module, lambda: self.measured(part))


@dataclass(frozen=True, eq=False)
class Measured:
    """Loss per row, (N,), and whether each row is answered rightly; None where that is no word."""

    losses: NDArray[np.float64]
    right: NDArray[np.bool_] | None

    @property
    def loss(self) -> float:
        """The mean loss."""
        return float(self.losses.mean())

    @property
    def accuracy(self) -> float | None:
        """The share of right answers."""
        return None if self.right is None else float(self.right.mean())


def some_rows(part: Part, num_rows: int) -> Part:
    """Return at most `num_rows` rows of a part, shuffled by a fixed seed."""
    order = np.random.default_rng(0).permutation(len(part.rows))[:num_rows]
    return part.take(int(place) for place in order)


def portions_of(task: Task, model: nn.Module, part: Part) -> list[Portion]:
    """Return the rows of a part as batches, in order."""
    rows = task.tokenise(part)
    size = min(BATCH, max(1, len(rows) // 2))
    found = []
    for start in range(0, len(rows), size):
        chosen = [rows[index] for index in range(start, min(start + size, len(rows)))]
        batch = on_device(task.collate(chosen), model)
        pieces = [
            len(row["input_ids"]) if isinstance(row.get("input_ids"), list) else 1 for row in chosen
        ]
        found.append(Portion(batch, tuple(pieces)))
    return found


def measure(task: Task, model: nn.Module, part: Part) -> Measured:
    """Return the loss of every row of a part, and whether it is answered rightly."""
    if isinstance(task, LanguageTask):
        return _measured_words(task, model, part)
    figures = task.figures(model, part)  # type: ignore[attr-defined]
    if task.parts.task == "regression":
        scale = scale_of(task.parts)
        wanted = (np.asarray(part.labels, dtype=np.float64) - scale.mean) / scale.spread
        return Measured((figures[:, 0] - wanted) ** 2, None)
    if task.parts.task == "multiple_choice":
        return _chosen(by_row(part, figures[:, 0]), part)
    return _chosen(list(figures), part)


def _chosen(figures: Sequence[NDArray[Any]], part: Part) -> Measured:
    """Return −log softmax(figures)[label] per row, and whether the label's is the largest."""
    chances = [softmax(row) for row in figures]
    pairs = list(zip(chances, part.labels, strict=True))
    losses = -np.log([max(float(row[label]), 1e-12) for row, label in pairs])
    return Measured(losses, np.array([int(row.argmax()) == label for row, label in pairs]))


def _measured_words(task: LanguageTask, model: Any, part: Part) -> Measured:
    if part.choices:
        rows = range(len(part.rows))
        pairs = [task.pair(part, row, choice) for row in rows for choice in part.choices[row]]
        figures = -np.array(task.token_losses(model, pairs))
        return _chosen(by_row(part, figures), part)
    pairs = [task.pair(part, row, str(part.labels[row])) for row in range(len(part.rows))]
    return Measured(np.array(task.token_losses(model, pairs)), None)
