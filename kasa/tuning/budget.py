"""How long a trial trains: so many epochs, or so many seconds with the schedule by their share."""

from __future__ import annotations

from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

WARMUP_SHARE = 0.06
# With seconds as the budget, epochs must never end it; so many take years.
ENDLESS_EPOCHS = 1_000_000


def rate_factor(share: float) -> float:
    """Return the learning rate's factor after this share of the budget, both from 0 to 1.

    share / w up to the warm-up's share w, then (1 − share) / (1 − w): the Trainer's linear
    schedule, with seconds in place of steps.
    """
    return max(0.0, min(share / WARMUP_SHARE, (1 - share) / (1 - WARMUP_SHARE)))


def by_share(optimizer: Optimizer, share: Callable[[], float]) -> LambdaLR:
    """Return a schedule that asks after every step which share of the budget is spent."""
    return LambdaLR(optimizer, lambda _step: rate_factor(share()))
