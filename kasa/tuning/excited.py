"""Which rows and tokens excite the components of a tuned run's update.

With ΔW = Σⱼ σⱼ·lⱼrⱼᵀ and the input x of the layer at a token, component j adds σⱼ·(rⱼ·x)·lⱼ to the
output there. lⱼ has length 1, so σⱼ·(rⱼ·x) is how strongly, and with which sign, it speaks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kasa.spectral.importance import Factors
from kasa.tuning.addition import adapted_layers
from kasa.tuning.heads import HeadTask
from kasa.tuning.knowledge import portions_of
from kasa.tuning.language import LanguageTask
from kasa.tuning.outcome import Part
from kasa.tuning.tasks import Task

# Where a token stands: piece of the row (0 the text, 1 … the second text or the choices), from, to.
Span = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Heard:
    """One sequence of a row: how strongly components speak at its tokens, (tokens, components)."""

    spans: list[Span | None]
    spoken: NDArray[np.float32]

    @property
    def words(self) -> NDArray[np.bool_]:
        """Which tokens are words of the row: those with a place, or all where none has one.

        Special tokens are none, nor is an answer that was only a placeholder.
        """
        known = np.array([span is not None for span in self.spans], dtype=bool)
        return known if known.any() else np.ones(len(self.spans), dtype=bool)


def excitations(
    task: Task, model: Any, part: Part, updates: Mapping[str, Factors]
) -> list[list[Heard]]:
    """Return each row's sequences with what all components say at their tokens.

    Components stand in the order of `updates`, those of one layer side by side. A layer that reads
    something else than the row's tokens (a decoder's, reading the answer) is silent here.
    """
    layers, heard = adapted_layers(model), dict[str, Tensor]()

    def listen(name: str) -> Any:
        own = updates[name]
        pull = (own.right * own.singular_values).float()

        def hook(_layer: nn.Module, args: tuple[Tensor, ...], _output: Any) -> None:
            heard[name] = args[0].detach() @ pull.to(args[0])

        return hook

    model.eval()
    rows: list[list[Heard]] = []
    with ExitStack() as stack, torch.no_grad():
        for name in updates:
            stack.callback(layers[name].register_forward_hook(listen(name)).remove)
        for portion in portions_of(task, model, part):
            heard.clear()
            model(**portion.batch)
            mask = portion.batch["attention_mask"].bool().cpu()
            spoken = torch.cat(
                [_in_tokens(heard.get(name), mask, own) for name, own in updates.items()], dim=-1
            )
            place = 0
            for count in portion.counts:
                spans = spans_of(task, part, len(rows))
                own = [spoken[place + k][mask[place + k]].numpy() for k in range(count)]
                rows.append([Heard(_fitting(spans, k, len(x)), x) for k, x in enumerate(own)])
                place += count
    return rows


@dataclass(frozen=True)
class Speaker:
    """A component that speaks on a row, its share of all that is said, and its loudest word."""

    module: str
    number: int
    share: float
    span: Span | None


def speakers(row: Sequence[Heard], updates: Mapping[str, Factors], count: int = 3) -> list[Speaker]:
    """Return the components that speak loudest on a row.

    A component's share is Σ(σⱼ·rⱼ·x)² over the row's words, of the sum over all components.
    """
    owners = [(name, k) for name, own in updates.items() for k in range(len(own.singular_values))]
    spans = [each.spans[place] for each in row for place in np.flatnonzero(each.words)]
    words = np.concatenate([each.spoken[each.words] for each in row])
    spoken = np.square(words.astype(np.float64))
    said = spoken.sum(0)
    total = float(said.sum()) or 1.0
    found = []
    for place in np.argsort(-said, kind="stable")[:count]:
        (module, number), span = owners[place], spans[int(spoken[:, place].argmax())]
        if said[place] > 0:
            found.append(Speaker(module, number, float(said[place]) / total, span))
    return found


def _in_tokens(found: Tensor | None, mask: Tensor, own: Factors) -> Tensor:
    """Return what a layer's components said at each token; zeros where the layer is silent."""
    size = len(own.singular_values)
    if found is None or found.shape[:2] != mask.shape:
        return torch.zeros(*mask.shape, size)
    return found.float().cpu()


def _fitting(spans: list[list[Span | None]], place: int, length: int) -> list[Span | None]:
    """Return a sequence's spans; none at all where they do not fit its tokens."""
    found = spans[place] if place < len(spans) else []
    return found if len(found) == length else [None] * length


def spans_of(task: Task, part: Part, index: int) -> list[list[Span | None]]:
    """Return where the tokens of a row's sequences stand in its pieces; special tokens nowhere.

    Empty for tokenizers that cannot say it, and for prompts in a chat form.
    """
    tokenizer = task.reader.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        return []
    options = {"truncation": True, "max_length": task.reader.max_length}
    first = part.texts[index]
    others = part.choices[index] if part.choices else part.seconds[index : index + 1]
    if isinstance(task, LanguageTask):
        return [] if tokenizer.chat_template else [_prompt_spans(task, part, index)]
    if isinstance(task, HeadTask) and others and not task.kind.apart:
        pairs = [
            tokenizer(first, other, return_offsets_mapping=True, **options) for other in others
        ]
        return [
            [
                None if piece is None or end == start else (piece * (1 + k), start, end)
                for piece, (start, end) in zip(
                    found.sequence_ids(), found["offset_mapping"], strict=True
                )
            ]
            for k, found in enumerate(pairs)
        ]
    found = [
        tokenizer(piece, return_offsets_mapping=True, **options)["offset_mapping"]
        for piece in (first, *others)
    ]
    return [
        [(k, start, end) if end > start else None for start, end in own]
        for k, own in enumerate(found)
    ]


def _prompt_spans(task: LanguageTask, part: Part, index: int) -> list[Span | None]:
    """Return where the tokens of a prompt stand; those of the answer after it stand nowhere."""
    tokenizer, text = task.reader.tokenizer, part.texts[index]
    plain = {"add_special_tokens": False} if task.causal else {}
    written = f"{text}\n" if task.causal else text
    offsets = tokenizer(written, return_offsets_mapping=True, **plain)["offset_mapping"]
    spans: list[Span | None] = [
        (0, start, min(end, len(text))) if start < min(end, len(text)) else None
        for start, end in offsets
    ]
    if not task.causal:
        return spans[: task.reader.max_length]
    answer = part.choices[index][part.labels[index]] if part.choices else str(part.labels[index])
    prompt, words = task.pair(part, index, answer)
    start = [] if tokenizer.bos_token_id is None else [None]
    return [*[*start, *spans][-len(prompt) :], *[None] * len(words)]
