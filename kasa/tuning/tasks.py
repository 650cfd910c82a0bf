"""Task: how the rows of a task become tensors, a model that answers them, and answers.

A run asks its task for everything that differs between tasks; the training around it is the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn

from kasa.model.source import ModelSource
from kasa.study import Protocol
from kasa.tuning.answers import Answers
from kasa.tuning.features import FeatureCache
from kasa.tuning.outcome import Part, Parts
from kasa.tuning.probe import Probe
from kasa.tuning.reader import Reader, load_reader

Batch = dict[str, Tensor]
STRIDE = 4


class Task(ABC):
    """One study's rows and base model; every tuned run of the study starts from it.

    `probe` is the linear probe that heads start from, None for tasks without a head;
    `answered_together` is the number of rows in a batch of answers.
    """

    answered_together = 64
    probe: Probe | None = None
    probe_seconds = 0.0

    def __init__(
        self,
        source: ModelSource,
        parts: Parts,
        protocol: Protocol,
        cache: Path | None = None,
    ) -> None:
        """Read the tokenizer; nothing else is loaded yet. `cache` keeps the base's features."""
        self.cache = FeatureCache(cache)
        self.source = source
        self.parts = parts
        self.protocol = protocol
        self.reader: Reader = load_reader(source, protocol.max_length)

    @cached_property
    def train(self) -> Dataset:
        """The training rows as token ids, tokenised once."""
        return self.tokenise(self.parts.train)

    @abstractmethod
    def tokenise(self, part: Part) -> Dataset:
        """Return a part's rows as token ids, longer ones cut at the reader's `max_length`."""

    def padded(self, rows: Sequence[Sequence[int]], value: int, *, left: bool = False) -> Tensor:
        """Return (rows, length) with `value` beside the shorter ones, to the right unless `left`.

        The length is a multiple of 4 where the model reads so far: every new length makes the CPU
        library prepare its products anew, which costs more time and memory than a few columns.
        """
        longest = max(len(row) for row in rows)
        if not left:
            longest = max(longest, min(-(-longest // STRIDE) * STRIDE, self.reader.max_length))
        gaps = [[value] * (longest - len(row)) for row in rows]
        pairs = zip(gaps, rows, strict=True)
        return torch.tensor([[*gap, *row] if left else [*row, *gap] for gap, row in pairs])

    @abstractmethod
    def collate(self, rows: Sequence[dict[str, Any]]) -> Batch:
        """Return rows padded to the longest of them, as the model's `forward` takes them."""

    @abstractmethod
    def model(self) -> nn.Module:
        """Return a fresh base, in `base`, with what answers the task, ready to train."""

    @abstractmethod
    def answer(self, model: nn.Module, part: Part) -> Answers:
        """Return a model's answers to a part, without gradients, in fp32."""

    def prepare(self) -> nn.Module:
        """Do what every run begins with, on the untouched base, which is returned."""
        return self.model()

    @abstractmethod
    def save(self, model: nn.Module, folder: Path) -> None:
        """Save what belongs to the model beside its base and adapter."""

    @abstractmethod
    def restore(self, model: nn.Module, folder: Path) -> None:
        """Load what `save` saved."""


def by_length(
    rows: Dataset,
    lengths: Sequence[int],
    size: int,
    collate: Callable[[Sequence[dict[str, Any]]], Batch],
    work: Callable[[Batch], list[Any]],
) -> list[Any]:
    """Return `work`'s result for every row, in the rows' order.

    Rows of similar length share a batch: less padding, same result.
    """
    order = np.argsort(lengths, kind="stable")
    results: list[Any] = [None] * len(order)
    with torch.inference_mode():
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            batch = collate([rows[int(index)] for index in chosen])
            batch.pop("labels", None)
            for index, result in zip(chosen, work(batch), strict=True):
                results[index] = result
    return results


def on_device(batch: Batch, model: nn.Module) -> Batch:
    """Return the batch where the model's weights are."""
    device = next(model.parameters()).device
    return {name: value.to(device) for name, value in batch.items()}


def device() -> str:
    """Return cuda where there is a GPU, else cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def task_for(
    source: ModelSource, parts: Parts, protocol: Protocol, cache: Path | None = None
) -> Task:
    """Return the task of these rows on this base.

    A base that writes text answers with text and by the likelihood of choices; a head on pooled
    states does everything else. Raises `ModelError` for text from a base that cannot write.
    """
    from kasa.tuning.heads import HeadTask
    from kasa.tuning.language import LanguageTask

    if parts.task == "generation":
        return LanguageTask(source, parts, protocol, cache)
    if parts.task == "multiple_choice" and load_reader(source, protocol.max_length).writes:
        return LanguageTask(source, parts, protocol, cache)
    return HeadTask(source, parts, protocol, cache)
