"""One run of a tuned arm or of the frozen head, from rows to outcome.

Read top to bottom: load the base, fit the linear probe, then for every learning rate of the grid a
fresh base with fresh adapters whose head starts from that probe, judged on validation; the best one
is measured once on the test rows.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging as transformers_logging

from kasa.errors import TrainingError
from kasa.model.source import ModelSource
from kasa.study import Arm, Protocol
from kasa.tuning import adapters
from kasa.tuning.baselines import Probe, fit_probe
from kasa.tuning.checkpoint import Checkpoints, run_key, trainable
from kasa.tuning.measure import Precision, choose_precision, memory_bytes, precision_file, stopwatch
from kasa.tuning.metrics import preference, score
from kasa.tuning.outcome import Outcome, Parts, cross_entropy, softmax
from kasa.tuning.resume import ResumableTrainer, take_state
from kasa.tuning.tasks import (
    Classifier,
    Reader,
    embeddings_of,
    load_encoder,
    load_reader,
    logits_of,
    pad_batch,
    tokenise,
)

EVALUATE_BATCH = 64
WARMUP_SHARE = 0.06
# Called at every step with (done, total, **info); it may raise JobCancelled.
Report = Callable[..., None]


def silent(done: float, total: float, **info: Any) -> None:
    """Report nothing."""


@dataclass
class Prepared:
    """What every run starts from: tokenised parts and the linear probe on the untouched base."""

    reader: Reader
    train: Dataset
    validation: Dataset
    test: Dataset
    probe: Probe
    embed_seconds: float


def prepare(source: ModelSource, parts: Parts, protocol: Protocol) -> tuple[Prepared, Classifier]:
    """Tokenise the rows once and fit the linear probe on the pooled states of the untouched base.

    The base is returned beside it; a tuned run drops it, so that memory holds one model at a time.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    reader = load_reader(source, protocol.max_length)
    model = Classifier(load_encoder(source), reader.pooling, len(parts.labels)).to(device())
    train, validation, test = (
        tokenise(reader, part.texts, part.labels)
        for part in (parts.train, parts.validation, parts.test)
    )
    with stopwatch() as embedding:
        train_x = embeddings_of(model, reader, train, EVALUATE_BATCH)
    val_x = embeddings_of(model, reader, validation, EVALUATE_BATCH)
    probe = fit_probe(train_x, parts.train.labels, val_x, parts.validation.labels)
    return Prepared(reader, train, validation, test, probe, embedding.seconds), model


def device() -> str:
    """Return cuda where there is a GPU, else cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def run_frozen_head(source: ModelSource, parts: Parts, protocol: Protocol) -> Outcome:
    """Fit logistic regression on the pooled states of the untouched base."""
    before = memory_bytes()
    with stopwatch() as preparing:
        ready, model = prepare(source, parts, protocol)
    train_seconds = ready.embed_seconds + ready.probe.train_seconds
    with stopwatch() as evaluating:
        test_x = embeddings_of(model, ready.reader, ready.test, EVALUATE_BATCH)
        probabilities = ready.probe.model.predict_proba(test_x)
    return Outcome(
        probabilities=probabilities,
        selected={"C": ready.probe.strength},
        validation=ready.probe.validation,
        trials=ready.probe.trials,
        prepare_seconds=preparing.seconds - train_seconds,
        train_seconds=train_seconds,
        evaluate_seconds=evaluating.seconds,
        num_trainable_params=_count(model.head),
        num_total_params=_count(model),
        baseline_memory_bytes=before,
        conditions=_conditions("fp32", ready.reader),
    )


def run_tuned(
    source: ModelSource,
    parts: Parts,
    protocol: Protocol,
    arm: Arm,
    seed: int,
    folder: Path,
    report: Report = silent,
    checkpoints: Path | None = None,
) -> Outcome:
    """Tune one arm with one seed over the learning-rate grid and measure the best on test.

    `folder` is the run's own and takes adapter and head. Memory holds one model at a time.
    A run that was killed goes on from what it left in the folder `checkpoints`.
    """
    before = memory_bytes()
    ready = prepare(source, parts, protocol)[0]
    precision = choose_precision(precision_file(folder))
    tuning = Tuning(source, parts, protocol, arm, seed, folder, ready, precision)
    key = run_key(source.sha256, parts, protocol, arm, seed, precision.name, device())
    kept = Checkpoints(checkpoints, key)
    trials, trained = [Trial(**facts) for facts in kept.trials], kept.weights
    model: Classifier | None = None
    rates = protocol.learning_rates
    for index, rate in enumerate(rates):
        if index < len(trials):
            continue
        # bf16 training leaves a model that refers to itself: only the collector frees it.
        model = None
        gc.collect()
        step_report = _shifted(report, index, len(rates), learning_rate=rate)
        model, trial = tuning.trial(rate, step_report, kept=kept)
        if all(trial.preference < other.preference for other in trials):
            trained = trained_weights(model)
        trials.append(trial)
        kept.keep_trials([asdict(each) for each in trials], trained)
    if not trials:
        raise TrainingError("no_learning_rate")
    best = min(trials, key=lambda each: each.preference)
    if model is None:  # killed after its last trial, the run has none yet
        model, _ = tuning.build()
    # What is frozen is the same in every trial, so this makes the last model the best one.
    model.load_state_dict(trained, strict=False)
    with stopwatch() as evaluating:
        logits = logits_of(model, ready.reader, ready.test, EVALUATE_BATCH)
    save_tuned(model, parts.labels, folder)
    return Outcome(
        probabilities=softmax(logits),
        selected={"learning_rate": best.record["learning_rate"]},
        validation=best.record["validation"],
        trials=[each.record for each in trials],
        prepare_seconds=best.record["prepare_seconds"],
        train_seconds=best.record["train_seconds"],
        evaluate_seconds=evaluating.seconds,
        num_trainable_params=sum(weight.numel() for weight in trained.values()),
        num_total_params=_count(model),
        baseline_memory_bytes=before,
        guard=best.guard,
        conditions=_conditions(precision.name, ready.reader)
        | {"bf16_speedup": precision.bf16_speedup}
        | kept.conditions(),
    )


def _shifted(report: Report, index: int, count: int, **fixed: Any) -> Report:
    def shifted(done: float, total: float, **info: Any) -> None:
        report(index * total + done, count * total, trial=index + 1, trials=count, **fixed, **info)

    return shifted


@dataclass
class Trial:
    """One grid point: its record for result.json and the guard's figures."""

    record: dict[str, Any]
    guard: dict[str, Any] | None

    @property
    def preference(self) -> tuple[float, float]:
        """Sort key, best first, from validation alone."""
        return preference(self.record["validation"])


@dataclass
class Tuning:
    """Everything that the trials of one run share."""

    source: ModelSource
    parts: Parts
    protocol: Protocol
    arm: Arm
    seed: int
    folder: Path
    ready: Prepared
    precision: Precision

    def build(self) -> tuple[Classifier, dict[str, adapters.Expectation]]:
        """Return a fresh base with fresh adapters, its head set from the linear probe."""
        set_seed(self.seed)
        encoder = load_encoder(self.source)
        model = Classifier(encoder, self.ready.reader.pooling, len(self.parts.labels)).to(device())
        model.set_head(*self.ready.probe.head(len(self.parts.labels)))
        model.encoder, expected = adapters.adapt(model.encoder, self.arm)
        return model, expected

    def trial(
        self,
        rate: float,
        report: Report = silent,
        max_steps: int = -1,
        kept: Checkpoints | None = None,
    ) -> tuple[Classifier, Trial]:
        """Train once with one learning rate; the last epoch's weights are the trial's result."""
        with stopwatch() as preparing:
            model, expected = self.build()
        num_matrices = len(expected)
        snapshot = kept.take_working(model) if kept else None
        watch = Watcher(self, model, expected, report, kept)
        # The watcher alone keeps the original weights, and drops them after the first step.
        del expected
        trainer = PenalisedTrainer(
            model=model,
            args=self.arguments(rate, max_steps),
            train_dataset=self.ready.train,
            data_collator=lambda rows: pad_batch(self.ready.reader, rows),
            callbacks=[watch],
            penalty=(lambda: adapters.regulariser(model.encoder, num_matrices))
            if num_matrices
            else None,
        )
        trainer.remove_callback(PrinterCallback)
        watch.prepare_seconds = preparing.seconds
        if snapshot:
            watch.go_on(snapshot.facts["record"])
        with stopwatch() as training:
            trainer.train_from(snapshot)
        validation = watch.validation or self.validate(model)
        record = {
            "learning_rate": rate,
            "validation": validation,
            "prepare_seconds": watch.prepare_seconds,
            "train_seconds": training.seconds - watch.aside_seconds,
            "curve": watch.curve,
            "validation_curve": watch.validation_curve,
        }
        return model, Trial(record, watch.guard_figures)

    def validate(self, model: Classifier) -> dict[str, float]:
        """Return accuracy, macro-F1 and mean cross-entropy on the validation rows."""
        logits = logits_of(model, self.ready.reader, self.ready.validation, EVALUATE_BATCH)
        labels = self.parts.validation.labels
        return {**score(labels, logits.argmax(1).tolist()), "loss": cross_entropy(logits, labels)}

    def arguments(self, rate: float, max_steps: int) -> TrainingArguments:
        """Return the Trainer's settings: AdamW, linear decay after a warm-up, no weight decay."""
        steps = -(-len(self.ready.train) // self.protocol.batch_size) * self.protocol.epochs
        return TrainingArguments(
            output_dir=str(self.folder / "trainer"),
            learning_rate=rate,
            num_train_epochs=self.protocol.epochs,
            max_steps=max_steps,
            per_device_train_batch_size=self.protocol.batch_size,
            warmup_steps=round(WARMUP_SHARE * steps),
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
    """The Trainer with KaSA's regulariser added to the task loss."""

    def __init__(self, *args: Any, penalty: Callable[[], Tensor] | None, **kwargs: Any) -> None:
        """Keep the penalty; None trains on the task loss alone."""
        super().__init__(*args, **kwargs)
        self.penalty = penalty

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
    """Guards the first step, follows the loss, validates after every epoch, and hears "stop"."""

    def __init__(
        self,
        tuning: Tuning,
        model: Classifier,
        expected: dict[str, adapters.Expectation],
        report: Report,
        kept: Checkpoints | None = None,
    ) -> None:
        """Check the fresh model at once; its first step is checked when it has been made."""
        self.tuning = tuning
        self.model = model
        self.expected = expected
        self.report = report
        self.kept = kept
        self.curve: list[dict[str, float]] = []
        self.validation_curve: list[dict[str, float]] = []
        self.validation: dict[str, float] | None = None
        self.prepare_seconds = self.aside_seconds = 0.0
        self.began = time.perf_counter()
        self.guard_figures = self._guard()

    def go_on(self, record: dict[str, Any]) -> None:
        """Take up the record of a trial that was interrupted; its first step was guarded then."""
        self.curve, self.validation_curve = record["curve"], record["validation_curve"]
        self.validation, self.guard_figures = record["validation"], record["guard"]
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
            "prepare_seconds": self.prepare_seconds,
            "train_seconds": time.perf_counter() - self.began - self.aside_seconds,
        }
        with stopwatch() as aside:
            names = ("model", "optimizer", "lr_scheduler")
            parts = {name: parts[name] for name in names}
            self.kept.keep_working(record, take_state(state, **parts))
        self.aside_seconds += aside.seconds

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin to measure."""
        self.began = time.perf_counter()

    def _guard(self) -> dict[str, Any] | None:
        if not self.expected:
            return None
        return adapters.guard(self.model.encoder, self.tuning.arm, self.expected)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Guard again once the first optimiser step has been made."""
        if state.global_step == 1:
            with stopwatch() as aside:
                self.guard_figures = self._guard()
                # The kept originals served their purpose; free them before memory peaks.
                self.expected = {}
            self.aside_seconds += aside.seconds

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
            self.report(step, state.max_steps, loss=float(loss), memory_bytes=memory)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure validation; its seconds are not training seconds."""
        with stopwatch() as aside:
            self.validation = self.tuning.validate(self.model)
            self.model.train()
        self.aside_seconds += aside.seconds
        point = {"step": state.global_step, "epoch": round(state.epoch or 0, 3), **self.validation}
        self.validation_curve.append(point)
        self._keep(state, kwargs)
        self.report(state.global_step, state.max_steps, validation=self.validation)


def trained_weights(model: Classifier) -> dict[str, Tensor]:
    """Return copies of the weights that training changes: the adapters' and the head's."""
    return {name: weight.detach().clone() for name, weight in trainable(model)}


def save_tuned(model: Classifier, labels: tuple[str, ...], folder: Path) -> None:
    """Save adapter and head as safetensors, and the labels that the head's rows stand for."""
    model.encoder.save_pretrained(str(folder / "adapter"))  # type: ignore[operator]
    head = {
        name: value.detach().cpu().contiguous() for name, value in model.head.named_parameters()
    }
    save_file(head, folder / "head.safetensors")
    (folder / "labels.json").write_text(json.dumps(labels, ensure_ascii=False), "utf-8")


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _conditions(precision: str, reader: Reader) -> dict[str, Any]:
    return {
        "precision": precision,
        "threads": torch.get_num_threads(),
        "device": device(),
        "pooling": reader.pooling,
        "max_length": reader.max_length,
    }
