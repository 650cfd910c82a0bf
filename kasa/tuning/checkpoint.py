"""A tuned run's checkpoints: killed at any moment, it goes on where it was and ends the same.

trials.safetensors   the finished trials' records, and the trained weights of the best of them
trial.safetensors    the trial at work: weights, optimiser, schedule, random states, its curves

What is no tensor stands as JSON in the file's own header, so that one file, written in one step,
is either the old state or the new one; nothing is ever unpickled. A file made under another key,
or damaged, is as good as none.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import json
import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kasa.tuning.measure import PACKAGES, peak_memory_bytes

# Raise it when a run of the same settings trains differently than before, or files change.
FORMAT = 1
TRIALS, TRIAL = "trials.safetensors", "trial.safetensors"
# Within an epoch that takes longer than this, so that no more than this is trained twice.
EVERY_SECONDS = 60.0
NOTHING: dict[str, Any] = {"resumed": 0, "seconds": 0.0, "peak_memory_bytes": 0}


@dataclass(frozen=True)
class Snapshot:
    """What one file holds: JSON-ready facts and tensors by name."""

    facts: dict[str, Any]
    tensors: dict[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of one part ("model", "optimizer") without its name."""
        prefix = f"{name}."
        return {
            key.removeprefix(prefix): value
            for key, value in self.tensors.items()
            if key.startswith(prefix)
        }


def run_key(*facts: object) -> str:
    """Return the SHA-256 of everything that decides how a run trains, library versions included.

    The facts must tell themselves apart by their `repr`, as frozen dataclasses of plain values do.
    """
    versions = tuple((name, importlib.metadata.version(name)) for name in PACKAGES)
    return hashlib.sha256(repr((FORMAT, versions, facts)).encode()).hexdigest()


class Checkpoints:
    """One run's checkpoints in a folder that the run's owner deletes; without a folder, none.

    `trials` are the finished trials' records and `weights` the best one's.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        """Read what an earlier process of the same run left."""
        self.folder = folder
        self.key = key
        self.opened = self.saved = time.perf_counter()
        for half in folder.glob(".*") if folder else ():
            half.unlink()  # it was being written when its process was killed
        finished, working = self._read(TRIALS), self._read(TRIAL)
        self.trials: list[Any] = finished.facts["trials"] if finished else []
        self.weights = finished.part("model") if finished else {}
        if working and working.facts["trial"] != len(self.trials):
            working = None  # it finished after that, or those before it are gone
        self._working = working
        left = working or finished
        self.earlier = left.facts["pieces"] if left else NOTHING

    def conditions(self) -> dict[str, Any]:
        """Return how often the run was resumed, and the time and memory of what it builds on."""
        if self.earlier is NOTHING:
            return {"resumed": 0}
        return {
            "resumed": self.earlier["resumed"] + 1,
            "earlier_seconds": self.earlier["seconds"],
            "earlier_peak_memory_bytes": self.earlier["peak_memory_bytes"],
        }

    def take_working(self, model: nn.Module) -> Snapshot | None:
        """Return the state of the trial at work, once, if it is one of this very model."""
        left, self._working = self._working, None
        shapes = {name: weight.shape for name, weight in trainable(model)}
        fits = left and {n: w.shape for n, w in left.part("model").items()} == shapes
        return left if fits else None

    def due(self) -> bool:
        """Whether the last state was kept so long ago that too much would be trained twice."""
        return time.perf_counter() - self.saved > EVERY_SECONDS

    def keep_working(self, record: dict[str, Any], state: Snapshot) -> None:
        """Keep the trial at work: its record so far, and the state of its training."""
        facts = {"trial": len(self.trials), "record": record} | state.facts
        self._write(TRIAL, facts, state.tensors)

    def keep_trials(self, trials: list[Any], weights: dict[str, Tensor]) -> None:
        """Keep the finished trials' records and the best one's weights."""
        self.trials = trials
        tensors = {f"model.{name}": weight for name, weight in weights.items()}
        self._write(TRIALS, {"trials": trials}, tensors)
        if self.folder:
            (self.folder / TRIAL).unlink(missing_ok=True)

    def _write(self, name: str, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self.saved = time.perf_counter()
        if not self.folder:
            return
        pieces = {
            "resumed": self.conditions()["resumed"],
            "seconds": self.earlier["seconds"] + self.saved - self.opened,
            "peak_memory_bytes": max(self.earlier["peak_memory_bytes"], peak_memory_bytes()),
        }
        write(self.folder / name, Snapshot(facts | {"key": self.key, "pieces": pieces}, tensors))

    def _read(self, name: str) -> Snapshot | None:
        found = read(self.folder / name) if self.folder else None
        return found if found and found.facts.get("key") == self.key else None


def trainable(model: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """Return the weights that training changes, by name."""
    return ((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)


def write(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot in one step; raises OSError where the disk is full or not writable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {n: t.detach().cpu().contiguous() for n, t in snapshot.tensors.items()}
    text = json.dumps(snapshot.facts)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(tensors, temporary, {"facts": text, "sha256": _digest(text, tensors)})
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except SafetensorError as error:
        # The library says the system's reason only in words.
        number = int(found[1]) if (found := re.search(r"os error (\d+)", str(error))) else errno.EIO
        raise OSError(number, os.strerror(number), str(path), number) from error
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path) -> Snapshot | None:
    """Return what a file holds, or None where there is none or it is damaged."""
    with suppress(OSError, SafetensorError, ValueError, KeyError, TypeError):
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = file.metadata()
        if header["sha256"] == _digest(header["facts"], tensors):
            return Snapshot(json.loads(header["facts"]), tensors)
    return None


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
