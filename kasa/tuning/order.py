"""The order of the training rows: by chance, with rows of similar length in one batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

# transformers' grouping sorts four batches at a time of a small set, and half of what is computed
# is padding; sorting fifty halves that. Ties keep the batches of short rows mixed.
POOL_BATCHES = 50


class ByLength(Sampler[int]):
    """Rows in batches of similar length, the batches in any order.

    The chance follows from seed and epoch alone: a resumed run must see the rows in the order in
    which it would have seen them.
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
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        pool = POOL_BATCHES * self.batch_size
        full, short = [], []
        for start in range(0, len(order), pool):
            rows = sorted(order[start : start + pool], key=self.lengths.__getitem__)
            rest = len(rows) % self.batch_size
            if rest:  # any batch may be the one that lacks rows, but for that of the longest
                places = max(1, len(rows) // self.batch_size)
                place = int(torch.randint(places, (1,), generator=generator)) * self.batch_size
                short = rows[place : place + rest]
                del rows[place : place + rest]
            full += [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        batches = [full[i] for i in torch.randperm(len(full), generator=generator).tolist()]
        longest = [self.lengths[batch[-1]] for batch in batches]
        if batches:  # memory shows at once how much it will take
            batches.insert(0, batches.pop(longest.index(max(longest))))
        # The batch that lacks rows stands last: whoever cuts the order does so by the batch size.
        yield from (row for batch in [*batches, short] for row in batch)
