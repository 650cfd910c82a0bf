"""One trial: an arm trained once, with one learning rate, from a fresh base to its validation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import (
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.pytorch_utils import Conv1D

from kasa.arms import Arm
from kasa.errors import TrainingError
from kasa.study import Protocol
from kasa.tuning import adapters
from kasa.tuning.answers import preference
from kasa.tuning.budget import ENDLESS_EPOCHS, WARMUP_SHARE, by_share
from kasa.tuning.checkpoint import Checkpoints, Snapshot, trainable
from kasa.tuning.masks import quick_masks
from kasa.tuning.measure import Precision, memory_bytes, stopwatch
from kasa.tuning.order import ByLength
from kasa.tuning.resume import ResumableTrainer, take_state
from kasa.tuning.starts import find_start
from kasa.tuning.tasks import Task, device

# Called at every step with (done, total, **info); it may raise JobCancelled.
Report = Callable[..., None]


def silent(done: float, total: float, **info: Any) -> None:
    """Report nothing."""


@dataclass
class Trial:
    """One grid point: its record for result.json, the guard's figures, memory before its steps."""

    record: dict[str, Any]
    guard: dict[str, Any] | None
    start_memory_bytes: int = 0

    @property
    def preference(self) -> tuple[float, float]:
        """Sort key, best first, from validation alone."""
        return preference(self.record["validation"])


@dataclass
class Tuning:
    """Everything that the trials of one run share."""

    task: Task
    arm: Arm
    seed: int
    folder: Path
    precision: Precision

    @property
    def protocol(self) -> Protocol:
        """The study's protocol."""
        return self.task.protocol

    @property
    def num_epochs(self) -> int:
        """Epochs of a trial; where seconds are its budget, more than they ever suffice for."""
        return ENDLESS_EPOCHS if self.protocol.trial_seconds else self.protocol.epochs

    @property
    def num_steps(self) -> int:
        """Optimiser steps of all epochs."""
        rows = len(self.task.parts.train.rows)
        return -(-rows // self.protocol.batch_size) * self.num_epochs

    def matmul_share(self, model: Any, record: dict[str, Any]) -> float | None:
        """Return the share of this machine's measured matrix-product speed that training reached.

        Operations: 2 per weight of a linear layer and token forward, 2 back through it, and 2 more
        where the weight itself is trained; padding does not count as work done.
        """
        if not self.precision.matmul_flops or not record["train_seconds"]:
            return None
        layers = [each for each in model.base.modules() if isinstance(each, (nn.Linear, Conv1D))]
        weights = sum(layer.weight.numel() for layer in layers)
        operations = (6 if self.arm.method == "full" else 4) * weights * record["tokens"]
        return float(operations / record["train_seconds"] / self.precision.matmul_flops)

    @cached_property
    def start(self) -> tuple[adapters.Start, float]:
        """What an informed arm's adapter begins with, and the seconds that finding it took."""
        if not self.arm.informed:
            return adapters.RANDOM_START, 0.0
        with stopwatch() as finding:
            found = find_start(self.task, self.arm)
        return found, finding.seconds

    def build(self, num_steps: int = -1) -> tuple[Any, dict[str, adapters.Expectation]]:
        """Return a fresh base with fresh adapters, its head set from the linear probe."""
        start, _ = self.start
        set_seed(self.seed)
        model: Any = self.task.model()
        steps = self.num_steps if num_steps < 0 else num_steps
        model.base, expected = adapters.adapt(model.base, self.arm, steps, start)
        return model, expected

    def trial(
        self,
        rate: float,
        report: Report = silent,
        max_steps: int = -1,
        kept: Checkpoints | None = None,
    ) -> tuple[nn.Module, Trial]:
        """Train once with one learning rate.

        The last epoch's weights are the trial's result, or with a patience the best epoch's.
        """
        # Every trial pays for what the first one found out.
        _, start_seconds = self.start
        with stopwatch() as preparing:
            model, expected = self.build(max_steps)
        start_memory = memory_bytes()
        penalty = adapters.penalty_of(model.base, self.arm, len(expected))
        if self.arm.method == "adalora":
            kept = None  # its ranks' history is no part of a snapshot; the trial starts anew
        snapshot = kept.take_working(model) if kept else None
        # A probe counts its steps, whatever the study's budget is.
        budget = self.protocol.trial_seconds if max_steps < 0 else 0.0
        watch = Watcher(self, model, expected, report, kept, budget)
        # The watcher alone keeps the original weights, and drops them after the first step.
        del expected
        trainer = PenalisedTrainer(
            model=model,
            args=self.arguments(rate, max_steps),
            train_dataset=self.task.train,
            data_collator=self.task.collate,
            callbacks=[watch],
            penalty=penalty,
            share=watch.share if budget else None,
        )
        trainer.remove_callback(PrinterCallback)
        watch.prepare_seconds = start_seconds + preparing.seconds
        if snapshot:
            watch.go_on(snapshot.facts["record"], snapshot.part("best"))
        if budget and watch.prepare_seconds >= budget:
            raise TrainingError(
                "no_seconds_left", needed=round(watch.prepare_seconds, 1), seconds=budget
            )
        with stopwatch() as training, quick_masks():
            trainer.train_from(snapshot)
        watch.keep_best()
        validation = watch.validation
        if validation is None:  # a probe ends before its first epoch does
            validation = self.task.answer(model, self.task.parts.validation).validation
        record = {
            "learning_rate": rate,
            "validation": validation,
            "prepare_seconds": watch.prepare_seconds,
            "train_seconds": training.seconds - watch.aside_seconds,
            "tokens": round(sum(self.task.train["length"]) * float(trainer.state.epoch or 0)),
            "curve": watch.curve,
            "validation_curve": watch.validation_curve,
        }
        return model, Trial(record, watch.guard_figures, start_memory)

    def arguments(self, rate: float, max_steps: int) -> TrainingArguments:
        """Return the Trainer's settings: AdamW, linear decay after a warm-up, no weight decay."""
        return TrainingArguments(
            output_dir=str(self.folder / "trainer"),
            learning_rate=rate,
            num_train_epochs=self.num_epochs,
            max_steps=max_steps,
            per_device_train_batch_size=self.protocol.batch_size,
            warmup_steps=round(WARMUP_SHARE * self.num_steps),
            lr_scheduler_type="linear",
            weight_decay=0.0,
            seed=self.seed,
            bf16=self.precision.name == "bf16",
            use_cpu=device() == "cpu",
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
        )


class PenalisedTrainer(ResumableTrainer):
    """The Trainer with KaSA's regulariser added to the task loss, and a schedule by seconds."""

    def __init__(
        self,
        *args: Any,
        penalty: Callable[[], Tensor] | None,
        share: Callable[[], float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep the penalty (None: the task loss alone) and the share of the budget that is spent.

        Without `share` the learning rate follows the steps.
        """
        super().__init__(*args, **kwargs)
        self.penalty = penalty
        self.share = share

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Return the Trainer's own schedule, or the one that follows the seconds."""
        if self.share is None:
            return super().create_scheduler(num_training_steps, optimizer)
        self.lr_scheduler = by_share(optimizer or self.optimizer, self.share)
        return self.lr_scheduler

    def _get_train_sampler(self, train_dataset: Any = None) -> ByLength:
        return ByLength(self.train_dataset["length"], self.args.train_batch_size, self.args.seed)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """Return task loss + penalty."""
        outputs = model(**inputs)
        loss = outputs["loss"]
        if self.penalty is not None:
            loss = loss + self.penalty()
        return (loss, outputs) if return_outputs else loss


class Watcher(TrainerCallback):
    """Guards the first step, follows the loss, validates after every epoch, and hears "stop".

    With a `budget` of seconds it ends the training when they are spent.
    """

    def __init__(
        self,
        tuning: Tuning,
        model: Any,
        expected: dict[str, adapters.Expectation],
        report: Report,
        kept: Checkpoints | None = None,
        budget: float = 0.0,
    ) -> None:
        """Check the fresh model at once; its first step is checked when it has been made."""
        self.tuning = tuning
        self.model = model
        self.expected = expected
        self.report = report
        self.kept = kept
        self.budget = budget
        self.curve: list[dict[str, float]] = []
        self.validation_curve: list[dict[str, float]] = []
        self.validation: dict[str, float] | None = None
        self.best: dict[str, float] | None = None
        self.best_weights: dict[str, Tensor] = {}
        self.epochs_without = 0
        self.prepare_seconds = self.aside_seconds = 0.0
        self.began = time.perf_counter()
        self.guard_figures = self._guard()

    def go_on(self, record: dict[str, Any], best_weights: dict[str, Tensor]) -> None:
        """Take up the record of a trial that was interrupted; its first step was guarded then."""
        self.curve, self.validation_curve = record["curve"], record["validation_curve"]
        self.validation, self.guard_figures = record["validation"], record["guard"]
        self.best, self.epochs_without = record["best"], record["epochs_without"]
        self.best_weights = best_weights
        self.prepare_seconds = record["prepare_seconds"]
        self.aside_seconds = -record["train_seconds"]
        self.expected = {}

    def _keep(self, state: TrainerState, parts: dict[str, Any]) -> None:
        if self.kept is None:
            return
        record = {
            "curve": self.curve,
            "validation_curve": self.validation_curve,
            "validation": self.validation,
            "guard": self.guard_figures,
            "best": self.best,
            "epochs_without": self.epochs_without,
            "prepare_seconds": self.prepare_seconds,
            "train_seconds": self.train_seconds,
        }
        with stopwatch() as aside:
            names = ("model", "optimizer", "lr_scheduler")
            parts = {name: parts[name] for name in names}
            snapshot = take_state(state, **parts)
            best = {f"best.{name}": weight for name, weight in self.best_weights.items()}
            self.kept.keep_working(record, Snapshot(snapshot.facts, snapshot.tensors | best))
        self.aside_seconds += aside.seconds

    @property
    def train_seconds(self) -> float:
        """Seconds of training so far, without what was done aside."""
        return time.perf_counter() - self.began - self.aside_seconds

    def share(self) -> float:
        """Return which share of the budget preparation and training have spent so far."""
        return (self.prepare_seconds + self.train_seconds) / self.budget

    def _tell(self, state: TrainerState, **info: Any) -> None:
        """Report how far the trial is, in steps or in the seconds that are its budget."""
        if self.budget:
            spent = round(min(1.0, self.share()) * self.budget, 2)
            self.report(spent, self.budget, unit="seconds", **info)
        else:
            self.report(state.global_step, state.max_steps, **info)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin to measure."""
        self.began = time.perf_counter()

    def _guard(self) -> dict[str, Any] | None:
        if not self.expected:
            return None
        return adapters.guard(self.model.base, self.tuning.arm, self.expected)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Do what the arm does between a step and the next one's gradients."""
        adapters.after_step(self.model.base, self.tuning.arm, state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Guard again once the first optimiser step has been made; end where no time is left."""
        if state.global_step == 1:
            with stopwatch() as aside:
                self.guard_figures = self._guard()
                # The kept originals served their purpose; free them before memory peaks.
                self.expected = {}
            self.aside_seconds += aside.seconds
        if self.budget and self.share() >= 1:
            control.should_training_stop = True

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report the step's loss and memory."""
        loss = (kwargs.get("logs") or {}).get("loss")
        if loss is not None:
            step = state.global_step
            self.curve.append({"step": step, "loss": float(loss)})
            memory = memory_bytes()
            # An epoch's end is kept once its validation is measured.
            if self.kept and self.kept.due() and not float(state.epoch or 0).is_integer():
                self._keep(state, kwargs)
            self._tell(state, loss=float(loss), memory_bytes=memory)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure validation; its seconds are not training seconds."""
        with stopwatch() as aside:
            task = self.tuning.task
            self.validation = task.answer(self.model, task.parts.validation).validation
            self.model.train()
            self._judge(control)
        self.aside_seconds += aside.seconds
        point = {"step": state.global_step, "epoch": round(state.epoch or 0, 3), **self.validation}
        self.validation_curve.append(point)
        if not control.should_training_stop:
            self._keep(state, kwargs)
        self._tell(state, validation=self.validation)

    def _judge(self, control: TrainerControl) -> None:
        """With a patience, keep the best epoch and end where it stays the best for long enough."""
        patience = self.tuning.protocol.patience
        if not patience or self.validation is None:
            return
        better = self.best is None or preference(self.validation) < preference(self.best)
        if better:
            self.best, self.best_weights = self.validation, trained_weights(self.model)
        self.epochs_without = 0 if better else self.epochs_without + 1
        control.should_training_stop |= self.epochs_without >= patience

    def keep_best(self) -> None:
        """Give the model the weights of the best epoch, where those were kept."""
        if self.best is not None:
            self.model.load_state_dict(self.best_weights, strict=False)
            self.validation = self.best


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of the weights that training changes: the adapters' and the head's."""
    return {name: weight.detach().clone() for name, weight in trainable(model)}
