"""The order of the training rows: by chance, with rows of similar length in one batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices


class ByLength(Sampler[int]):
    """Rows in batches of similar length, so that little padding is computed.

    transformers' own grouping, but its chance follows from seed and epoch alone: a resumed run must
    see the rows in the order in which it would have seen them.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        """Keep the rows' lengths; the epoch is 0 until `set_epoch`."""
        self.lengths = list(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose another order for another pass over the rows; the Trainer calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        """Yield the rows' numbers; the longest of all stands in the first batch."""
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
        order: list[int] = get_length_grouped_indices(
            self.lengths, self.batch_size, generator=generator
        )
        return iter(order)
