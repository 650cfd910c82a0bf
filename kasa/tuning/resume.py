"""The state of a training at one of its steps: taken out of the Trainer, and put back into one."""

from __future__ import annotations

import json
import random
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import Trainer, TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from kasa.tuning.checkpoint import Snapshot, trainable


def take_state(
    state: TrainerState, model: nn.Module, optimizer: Optimizer, lr_scheduler: Any
) -> Snapshot:
    """Return all that the next steps depend on: weights, optimiser, schedule, random states.

    The order of the data is no part of it: it follows from the seed and the epoch's number.
    """
    weights = {f"model.{name}": weight for name, weight in trainable(model)}
    moments, values = _optimizer_state(optimizer)
    generators, numbers = _random_state()
    facts = {
        "trainer": asdict(state) | {"log_history": []},
        "optimizer": values,
        "scheduler": lr_scheduler.state_dict(),
        "random": numbers,
    }
    return Snapshot(facts, weights | moments | generators)


class ResumableTrainer(Trainer):
    """The transformers Trainer, going on from a snapshot instead of from pickled files."""

    snapshot: Snapshot | None = None

    def train_from(self, snapshot: Snapshot | None) -> None:
        """Train from a snapshot to the end, or from the start where there is none.

        The Trainer skips the batches of the epoch that were seen; their order follows the seed.
        """
        if snapshot is None:
            self.train()
            return
        self.snapshot = snapshot
        with tempfile.TemporaryDirectory() as folder:
            state = json.dumps(snapshot.facts["trainer"])
            (Path(folder) / TRAINER_STATE_NAME).write_text(state, "utf-8")
            self.train(resume_from_checkpoint=folder)

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        if self.snapshot:
            self.model.load_state_dict(self.snapshot.part("model"), strict=False)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if self.snapshot:
            _set_optimizer(self.optimizer, self.snapshot)
            self.lr_scheduler.load_state_dict(self.snapshot.facts["scheduler"])

    def _load_scaler(self, checkpoint: str | None) -> None:
        """Load nothing: neither fp32 nor bf16 training scales its gradients."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if self.snapshot:
            _set_random_state(self.snapshot)
        self.snapshot = None  # it was the last part; its memory is free for training


def _optimizer_state(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an optimiser's tensors by name, and all else of its state as JSON-ready values."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, facts in state["state"].items():
        for name, value in facts.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            else:
                numbers.setdefault(str(index), {})[name] = value
    return tensors, {"groups": state["param_groups"], "numbers": numbers}


def _set_optimizer(optimizer: Optimizer, snapshot: Snapshot) -> None:
    values = snapshot.facts["optimizer"]
    state = {int(index): dict(facts) for index, facts in values["numbers"].items()}
    for name, tensor in snapshot.part("optimizer").items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    # JSON knows no tuples, such as AdamW's betas.
    groups = [
        {k: tuple(v) if isinstance(v, list) and k != "params" else v for k, v in group.items()}
        for group in values["groups"]
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _random_state() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return torch's generators as tensors, and those of Python and numpy as JSON-ready values."""
    numpy: Any = np.random.get_state(legacy=False)
    numpy["state"]["key"] = numpy["state"]["key"].tolist()
    tensors = {"random.torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    return tensors, {"python": random.getstate(), "numpy": numpy}


def _set_random_state(snapshot: Snapshot) -> None:
    values, tensors = snapshot.facts["random"], snapshot.part("random")
    version, numbers, gauss = values["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(values["numpy"])
    torch.set_rng_state(tensors["torch"])
    if "cuda" in tensors:
        torch.cuda.set_rng_state(tensors["cuda"])
