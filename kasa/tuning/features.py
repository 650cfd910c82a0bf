"""Features of the untouched base, kept by content: no run of a study computes them again.

What they took is kept beside them and counted by every run that uses them, so that the methods'
times stay comparable whichever of them came first.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kasa.tuning.measure import stopwatch

Features = NDArray[Any]


class FeatureCache:
    """Arrays in one folder, by the SHA-256 of what they were computed from; without a folder, none.

    `seconds` are those that runs before this one have spent on what was found here.
    """

    def __init__(self, folder: Path | None) -> None:
        """Begin with nothing found."""
        self.folder = folder
        self.seconds = 0.0

    def get(self, facts: object, compute: Callable[[], Features]) -> tuple[Features, float]:
        """Return the features of `facts` and the seconds that computing them took, now or then.

        The facts must tell themselves apart by their `repr`, as tuples of plain values do.
        """
        path = None
        if self.folder is not None:
            path = self.folder / f"{hashlib.sha256(repr(facts).encode()).hexdigest()}.npz"
            with suppress(OSError, ValueError, KeyError, EOFError):
                with np.load(path, allow_pickle=False) as kept:
                    found, seconds = kept["features"], float(kept["seconds"])
                self.seconds += seconds
                return found, seconds
        with stopwatch() as watch:
            features = compute()
        if path is not None:
            _write(path, features, watch.seconds)
        return features, watch.seconds


def _write(path: Path, features: Features, seconds: float) -> None:
    """Write in one step; a disk that is full costs the cache, not the run."""
    part = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            np.savez(part, features=features, seconds=np.float64(seconds))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
