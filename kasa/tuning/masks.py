"""Dropout's masks on the processor, from 16 random bits an element instead of 64.

torch draws them there one after another, and a fifth of a small model's training step went into it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

WAYS = 1 << 16  # what 16 bits can say


def bernoulli(
    tensor: Tensor, p: float = 0.5, *, generator: torch.Generator | None = None
) -> Tensor:
    """Fill a CPU tensor of any shape with ones, each with probability round(p·2¹⁶)/2¹⁶, and zeros.

    Stands for `Tensor.bernoulli_`; its probability is off by 2⁻¹⁷ (8e-6) at most.
    """
    numbers = torch.empty(-(-tensor.numel() // 4), dtype=torch.int64)
    numbers.random_(-(1 << 63), None, generator=generator)  # all 64 bits of each
    pieces = numbers.view(torch.int16)[: tensor.numel()].view(tensor.shape)
    below = round(p * WAYS) - WAYS // 2
    return tensor.fill_(1) if below == WAYS // 2 else tensor.copy_(pieces < below)


@contextmanager
def quick_masks() -> Iterator[None]:
    """Let dropout on the processor, attention's own too, draw by `bernoulli` inside the block."""
    with torch.library._scoped_library("aten", "IMPL") as library:  # noqa: SLF001
        with warnings.catch_warnings():
            # torch says once that a kernel of its own is overridden: that is what is meant.
            warnings.filterwarnings("ignore", "Warning only once for all operators", UserWarning)
            library.impl("bernoulli_.float", bernoulli, "CPU")
        yield
