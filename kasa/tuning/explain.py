"""What a tuned run has learned: its components, what excites them, and what goes without them.

Of every adapted weight: the true singular values of its addition beside what was trained, how the
addition lies on the base's own directions, and for each component the rows and tokens that excite
it most. Then parts of the addition are silenced, a component, a weight, a layer, all of it, and the
test rows are answered again: what their losses say is measured, row by row against the whole run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from kasa.arms import Arm
from kasa.errors import ModelError, StoreError
from kasa.model.source import ModelSource
from kasa.spectral.importance import Factors, decomposed
from kasa.spectral.update import overlap
from kasa.tuning import excited
from kasa.tuning.addition import (
    adapted_layers,
    diagonal_of,
    inner_of,
    untouched_weights,
    updates_of,
    without,
)
from kasa.tuning.blocks import block_of, from_block
from kasa.tuning.keys import LOW_RANK
from kasa.tuning.knowledge import Measured, measure, some_rows
from kasa.tuning.language import LanguageTask
from kasa.tuning.outcome import Part
from kasa.tuning.predict import Tuned
from kasa.tuning.sensitivity import mean_and_error

# Test rows that are looked at, and how often they are answered with something silenced.
MOST_ROWS, MOST_REMOVALS = 200, 200
TOP_ROWS, MOST_TOKENS = 5, 128
OUTSIDE_BLOCKS = -1
Progress = Callable[[int, int], None]


def explain(
    tuned: Tuned,
    source: ModelSource,
    arm: Arm,
    run: str,
    progress: Progress = lambda _done, _total: None,
) -> dict[str, Any]:
    """Return what a run has learned, as JSON-ready values, from at most 200 of its test rows.

    Raises `StoreError` for a method whose change is no sum of components beside the base.
    """
    if arm.method not in LOW_RANK:
        raise StoreError("no_components", run=run, method=arm.method)
    task, model = tuned.task, tuned.model
    part = some_rows(task.parts.test, MOST_ROWS)
    updates, layers = updates_of(model), adapted_layers(model)
    weights = untouched_weights(model, source)
    heard = excited.excitations(task, model, part, updates)
    spoken = _by_module(heard, updates)
    found = {
        name: _anatomy(own, decomposed(_out_in(weights[name], layers[name])), arm, name)
        | {
            "layer": place_of(model, name),
            "diagonal": _listed(diagonal_of(layers[name])),
            "components": _components(own, spoken[name], heard, part),
        }
        for name, own in updates.items()
    }
    silenced = Silenced(tuned, part, updates)
    effects = silenced.effects(found, progress)
    return {
        "labels": list(task.parts.labels),
        "num_rows": len(part.rows),
        "loss": silenced.base.loss,
        "accuracy": silenced.base.accuracy,
        "modules": list(found.values()),
        **effects,
    }


def _out_in(weight: Tensor, layer: Any) -> Tensor:
    """Return a weight as (out, in); Conv1D stores it the other way round."""
    return weight.T if layer.fan_in_fan_out else weight


def place_of(model: Any, module: str) -> int:
    """Return the number of the block that a module lies in; -1 outside all blocks."""
    try:
        return block_of(inner_of(model), module)[1]
    except ModelError:
        return OUTSIDE_BLOCKS


def _anatomy(own: Factors, base: Factors, arm: Arm, name: str) -> dict[str, Any]:
    """Return what an addition is made of, and how it lies on the base's directions."""
    values, on_base = own.singular_values, overlap(own, base)
    norm = float(base.singular_values.double().square().sum()) ** 0.5
    removed = arm.removed_from(name) if arm.method == "kasa" else 0
    return {
        "module": name,
        "shape": [len(own.left), len(own.right)],
        "values": values.tolist(),
        "relative": float(values.square().sum()) ** 0.5 / norm if norm else 0.0,
        "removed": removed if isinstance(removed, int) else len(removed),
        "shares": on_base.shares.tolist(),
        "random": on_base.random.tolist(),
        "outside": on_base.outside,
    }


def _listed(values: Any) -> list[float] | None:
    return None if values is None else values.float().cpu().tolist()


def _by_module(
    heard: Sequence[Sequence[excited.Heard]], updates: Mapping[str, Factors]
) -> dict[str, list[list[NDArray[np.float32]]]]:
    """Return per module and row what its components said in each of the row's sequences."""
    ends = np.cumsum([len(own.singular_values) for own in updates.values()])
    starts = [0, *ends[:-1]]
    return {
        name: [[each.spoken[:, start:end] for each in row] for row in heard]
        for name, start, end in zip(updates, starts, ends, strict=True)
    }


def _components(
    own: Factors,
    spoken: Sequence[Sequence[NDArray[np.float32]]],
    heard: Sequence[Sequence[excited.Heard]],
    part: Part,
) -> list[dict[str, Any]]:
    """Return every component's loudness over all tokens, and the rows that excite it most."""
    words = [
        [said[each.words] for each, said in zip(row, own_row, strict=True)]
        for row, own_row in zip(heard, spoken, strict=True)
    ]
    peaks = np.array(
        [np.max([np.abs(said).max(0, initial=0.0) for said in row], axis=0) for row in words]
    )
    every = np.concatenate([said for row in words for said in row])
    loudness = np.sqrt(np.square(every).mean(0)) if len(every) else np.zeros(peaks.shape[1])
    found = []
    for number in range(len(own.singular_values)):
        loudest = [int(row) for row in np.argsort(-peaks[:, number], kind="stable")[:TOP_ROWS]]
        rows = [
            {
                "row": int(part.rows[row]),
                "peak": float(peaks[row, number]),
                "tokens": list(_tokens(heard[row], spoken[row], number)),
            }
            for row in loudest
            if peaks[row, number] > 0
        ]
        found.append({"number": number, "loudness": float(loudness[number]), "rows": rows})
    return found


def _tokens(
    sequences: Sequence[excited.Heard], spoken: Sequence[NDArray[np.float32]], number: int
) -> Iterator[list[float]]:
    """Yield [piece, from, to, what the component says] for the tokens whose place is known."""
    seen: set[excited.Span] = set()
    for sequence, said in zip(sequences, spoken, strict=True):
        for span, value in zip(sequence.spans, said[:, number], strict=True):
            # The first piece of choices is read with every one of them; its first reading counts.
            if span is not None and span not in seen and len(seen) < MOST_TOKENS:
                seen.add(span)
                yield [*span, round(float(value), 6)]


class Silenced:
    """A run's test rows answered again with parts of its addition silenced."""

    def __init__(self, tuned: Tuned, part: Part, updates: Mapping[str, Factors]) -> None:
        """Answer the rows with the whole run first."""
        self.tuned, self.part, self.updates = tuned, part, updates
        self.base = self._measured()

    def _measured(self) -> Measured:
        return measure(self.tuned.task, self.tuned.model, self.part)

    def effect(self, silenced: Mapping[str, Sequence[int]]) -> dict[str, Any]:
        """Return how the loss of the rows changes, over all of them and class by class.

        Each is a mean paired change with its standard error and the number of rows.
        """
        with without(self.tuned.model, self.updates, silenced):
            now = self._measured()
        changes = now.losses - self.base.losses
        labels = self.tuned.task.parts.labels
        own = np.asarray(self.part.labels) if labels else np.array([])
        return _change(changes) | {
            "accuracy": now.accuracy,
            "classes": [_change(changes[own == number]) for number in range(len(labels))],
        }

    def effects(self, found: dict[str, dict[str, Any]], progress: Progress) -> dict[str, Any]:
        """Return what silencing everything and each layer does; add the others to `found`.

        Of the components only the loudest are silenced one by one, as many as fit.
        """
        by_layer: dict[int, list[str]] = {}
        for name, own in found.items():
            by_layer.setdefault(own["layer"], []).append(name)
        room = MOST_REMOVALS - len(found) - len(by_layer) - 1
        loudest = sorted(
            (
                (-each["loudness"], name, each["number"])
                for name, own in found.items()
                for each in own["components"]
            )
        )[: max(0, room)]
        chosen = {(name, number) for _, name, number in loudest}
        total, done = 1 + len(by_layer) + len(found) + len(chosen), 1
        everything = {name: range(len(own.singular_values)) for name, own in self.updates.items()}
        effects: dict[str, Any] = {"all": self.effect(everything), "layers": []}
        for layer, names in sorted(by_layer.items()):
            with self._resumed(layer, names[0]):
                whole = {name: everything[name] for name in names}
                effects["layers"].append({"layer": layer, "effect": self.effect(whole)})
                for name in names:
                    found[name]["effect"] = self.effect({name: everything[name]})
                    for each in found[name]["components"]:
                        number = each["number"]
                        if (name, number) in chosen:
                            each["effect"] = self.effect({name: [number]})
                            done += 1
                            progress(done, total)
                    done += 1
            done += 1
            progress(done, total)
        return effects

    def _resumed(self, layer: int, module: str) -> Any:
        """Answer from a layer upwards inside the context, where the base can."""
        if layer <= 0 or isinstance(self.tuned.task, LanguageTask):
            return nullcontext()
        return from_block(inner_of(self.tuned.model), module, self._measured)


def _change(changes: NDArray[np.float64]) -> dict[str, Any]:
    if not len(changes):
        return {"change": 0.0, "error": 0.0, "rows": 0}
    mean, error = mean_and_error(changes)
    return {"change": mean, "error": error, "rows": len(changes)}
