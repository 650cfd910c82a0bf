"""One run from rows to outcome: against plain torch, its fairness, its guard, what it leaves."""

from __future__ import annotations

import copy
import gc
import json
import math
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from kasa.arms import Arm
from kasa.errors import TrainingError
from kasa.model.source import ModelSource, resolve_model
from kasa.runs.job import JobCancelled
from kasa.study import Protocol
from kasa.tuning import adapters, heads, train
from kasa.tuning.adapters import ADAPTER
from kasa.tuning.answers import Answers, class_answers, preference, softmax
from kasa.tuning.heads import HeadModel, HeadTask
from kasa.tuning.outcome import Outcome, Part, Parts
from kasa.tuning.reader import load_encoder
from kasa.tuning.tasks import task_for
from kasa.tuning.train import run_frozen_head
from kasa.tuning.trial import Report, Tuning, silent, trained_weights
from tests.tiny_models import (
    relabelled,
    run_folder,
    small_runs,
)

ARMS = {"lora": Arm("lora", rank=4), "kasa": Arm("kasa", rank=4)}
RATES = (1e-3, 2e-2)
TINY = Protocol(profile="quick", epochs=2, learning_rates=RATES, max_length=32)
EMBEDDED = Protocol(profile="quick", epochs=1, learning_rates=(1e-3, 5e-3), max_length=32)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with small_runs():
        yield


@dataclass
class Done:
    """A finished run with what it was made of."""

    arm: Arm
    protocol: Protocol
    outcome: Outcome
    folder: Path


@pytest.fixture(scope="module", params=["lora", "kasa"])
def tiny(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    source: ModelSource,
    parts: Parts,
) -> Done:
    """Return a run of each arm over two learning rates on the tiny model."""
    folder = run_folder(tmp_path_factory.mktemp("home"), request.param)
    arm = ARMS[request.param]
    return Done(arm, TINY, run_tuned(source, parts, TINY, arm, 0, folder), folder)


def run_tuned(
    source: ModelSource,
    parts: Parts,
    protocol: Protocol,
    arm: Arm,
    seed: int,
    folder: Path,
    report: Report = silent,
) -> Outcome:
    """Run an arm over the study's own learning rates."""
    rates = protocol.learning_rates
    return train.run_tuned(source, parts, protocol, arm, rates, seed, folder, report)


def same_answers(one: Outcome, other: Outcome) -> bool:
    return one.answers.table.equals(other.answers.table)


def timeless(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the trials without their seconds, which differ from run to run."""
    return [{k: v for k, v in t.items() if not k.endswith("_seconds")} for t in trials]


def tuning_of(
    source: ModelSource, parts: Parts, protocol: Protocol, arm: Arm, folder: Path
) -> Tuning:
    task = task_for(source, parts, protocol)
    task.prepare()
    precision = train.choose_precision(train.precision_file(folder))
    return Tuning(task, arm, 0, folder, precision)


def head_task(tuning: Tuning) -> HeadTask:
    assert isinstance(tuning.task, HeadTask)
    return tuning.task


def probe_head(tuning: Tuning) -> Any:
    assert tuning.task.probe is not None
    return tuning.task.probe.head()


# --- KaSA in plain torch, from the paper's formulas alone --------------------------------------


class PlainKasa(nn.Module):
    """W'x + bias + (α/r)·B·diag(d)·A·x, W' being W without its smallest singular triplets."""

    def __init__(self, linear: nn.Linear, arm: Arm, A: Tensor, d: Tensor) -> None:
        super().__init__()
        U, S, Vh = torch.linalg.svd(linear.weight.detach().double(), full_matrices=False)
        kept = len(S) - arm.components_to_remove
        self.W = ((U[:, :kept] * S[:kept]) @ Vh[:kept]).float()
        self.bias = linear.bias.detach()
        self.scale = arm.scale_alpha / arm.rank
        self.A = nn.Parameter(A.detach().clone())
        self.B = nn.Parameter(torch.zeros(linear.out_features, arm.rank))
        self.d = nn.Parameter(d.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        change = self.B @ torch.diag(self.d) @ self.A
        return x @ (self.W + self.scale * change).T + self.bias

    def penalty(self, arm: Arm) -> Tensor:
        one = torch.eye(arm.rank)
        orthogonal = (self.B.T @ self.B - one).norm() + (self.A @ self.A.T - one).norm()
        return arm.beta * (self.d**2).sum() + arm.gamma * orthogonal


def train_plainly(
    model: HeadModel, batch: dict[str, Tensor], arm: Arm, rate: float, steps: int
) -> dict[str, PlainKasa]:
    """Train the head and every PlainKasa: AdamW, gradients clipped at 1, linear decay to zero."""
    layers = {n: m for n, m in model.base.named_modules() if isinstance(m, PlainKasa)}
    weights = [w for layer in layers.values() for w in layer.parameters()]
    weights += list(model.head.parameters())
    optimiser = torch.optim.AdamW(weights, weight_decay=0.0)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * (1 - step / steps)
        loss = model(**batch)["loss"]
        loss = loss + sum(layer.penalty(arm) for layer in layers.values()) / len(layers)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
    return layers


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("removed", [None, 0, 12])
def test_training_equals_kasa_in_plain_torch(
    tmp_path: Path, source: ModelSource, parts: Parts, steps: int, removed: int | None
) -> None:
    """Strong β and γ and a large rate, so that a lost or misweighted term would show."""
    arm = Arm("kasa", rank=4, alpha=6, removed_components=removed, beta=0.5, gamma=0.5)
    protocol = replace(TINY, epochs=steps, batch_size=len(parts.train.rows))
    tuning = tuning_of(source, parts, protocol, arm, run_folder(tmp_path, "plain"))
    start, _ = tuning.build()
    task = head_task(tuning)
    plain = HeadModel(load_encoder(source).requires_grad_(False), "mean", task.kind)
    plain.set_head(*probe_head(tuning))
    for name in adapters.target_modules(plain.base, arm):
        layer = start.base.base_model.model.get_submodule(name)
        A, d = layer.lora_A[ADAPTER].weight, layer.lora_diag[ADAPTER]
        linear = plain.base.get_submodule(name)
        plain.base.set_submodule(name, PlainKasa(linear, arm, A, d))
    batch = task.collate([task.train[i] for i in range(60)])
    wanted = train_plainly(plain, batch, arm, 0.01, steps)

    model, trial = tuning.trial(0.01, max_steps=steps)
    assert len(trial.record["curve"]) == steps
    assert len(wanted) == 4
    near = {"rtol": 1e-3, "atol": 2e-4}  # of steps of 0.01, and Adam divides by small gradients
    for name, layer in wanted.items():
        tuned = model.base.base_model.model.get_submodule(name)
        torch.testing.assert_close(tuned.lora_A[ADAPTER].weight, layer.A, **near)
        torch.testing.assert_close(tuned.lora_B[ADAPTER].weight, layer.B, **near)
        torch.testing.assert_close(tuned.lora_diag[ADAPTER], layer.d, **near)
        assert float(layer.B.detach().abs().max()) > 0.005
    torch.testing.assert_close(model.head.weight, plain.head.weight, **near)
    torch.testing.assert_close(model.head.bias, plain.head.bias, **near)


# --- What every run owes its judge --------------------------------------------------------------


def test_every_learning_rate_is_tried_and_the_best_on_validation_is_chosen(tiny: Done) -> None:
    trials = tiny.outcome.trials
    assert tuple(trial["learning_rate"] for trial in trials) == RATES
    best = min(trials, key=lambda trial: preference(trial["validation"]))
    assert tiny.outcome.selected == {"learning_rate": best["learning_rate"]}
    assert tiny.outcome.validation == best["validation"]
    assert tiny.outcome.train_seconds == best["train_seconds"]
    assert tiny.outcome.prepare_seconds == best["prepare_seconds"]


def test_every_trial_records_each_step_and_each_epoch(tiny: Done) -> None:
    for trial in tiny.outcome.trials:
        assert [point["step"] for point in trial["curve"]] == list(range(1, 9))  # 2 · ⌈60/16⌉
        assert all(math.isfinite(point["loss"]) for point in trial["curve"])
        assert [point["epoch"] for point in trial["validation_curve"]] == [1.0, 2.0]
        last = {k: trial["validation_curve"][-1][k] for k in trial["validation"]}
        assert last == trial["validation"]


def test_the_same_seed_gives_the_same_run_whatever_else_is_in_the_grid(
    tmp_path: Path, source: ModelSource, parts: Parts, tiny: Done
) -> None:
    for trial in tiny.outcome.trials:
        rate = trial["learning_rate"]
        protocol = replace(TINY, learning_rates=(rate,))
        folder = run_folder(tmp_path, f"rate{rate}")
        alone = run_tuned(source, parts, protocol, tiny.arm, 0, folder)
        assert timeless(alone.trials) == timeless([trial])
        if rate == tiny.outcome.selected["learning_rate"]:
            assert same_answers(alone, tiny.outcome)
            assert alone.answers.metrics == tiny.outcome.answers.metrics
            assert alone.answers.loss == tiny.outcome.answers.loss
            assert alone.guard == tiny.outcome.guard


def test_another_seed_gives_another_run(
    tmp_path: Path, source: ModelSource, parts: Parts, tiny: Done
) -> None:
    other = run_tuned(source, parts, TINY, tiny.arm, 1, run_folder(tmp_path, "other"))
    assert other.answers.loss != tiny.outcome.answers.loss
    assert not same_answers(other, tiny.outcome)


def test_the_test_rows_choose_nothing(
    tmp_path: Path, source: ModelSource, parts: Parts, tiny: Done
) -> None:
    """The test labels are turned so that the learning rate not chosen would be right on each."""
    chosen = tiny.outcome.selected["learning_rate"]
    (other,) = (rate for rate in RATES if rate != chosen)
    alone = run_tuned(
        source,
        parts,
        replace(TINY, learning_rates=(other,)),
        tiny.arm,
        0,
        run_folder(tmp_path, "other"),
    )
    said = list(alone.answers.table["predicted"])
    tempting = relabelled(parts, [parts.labels.index(label) for label in said])
    again = run_tuned(source, tempting, TINY, tiny.arm, 0, run_folder(tmp_path, "again"))
    assert list(again.answers.table["label"]) == said
    assert again.answers.metrics["accuracy"] < 1.0
    assert again.selected == tiny.outcome.selected
    assert timeless(again.trials) == timeless(tiny.outcome.trials)
    for column in ("predicted", "confidence"):
        assert again.answers.table[column].equals(tiny.outcome.answers.table[column])


def test_the_validation_rows_are_not_trained_on(
    tmp_path: Path, source: ModelSource, parts: Parts, tiny: Done
) -> None:
    validation = parts.validation
    turned = Part(validation.rows, validation.texts, tuple(2 - y for y in validation.labels))
    changed = Parts(parts.train, turned, parts.test, parts.labels)
    folder = run_folder(tmp_path, "turned")
    first = tuning_of(source, parts, TINY, tiny.arm, folder)
    second = tuning_of(source, changed, TINY, tiny.arm, folder)
    second.task.probe = first.task.probe  # validation may choose the probe's strength
    _, trial = second.trial(RATES[0])
    assert trial.record["curve"] == tiny.outcome.trials[0]["curve"]
    assert trial.record["validation"] != tiny.outcome.trials[0]["validation"]


def test_the_guards_figures_are_recorded(tiny: Done) -> None:
    if tiny.arm.method == "lora":
        assert tiny.outcome.guard is None
        return
    assert tiny.outcome.guard is not None
    assert tiny.outcome.guard["num_matrices"] == 4
    assert tiny.outcome.guard["regulariser"] > 0
    assert tiny.outcome.guard["largest_relative_deviation"] < 1e-6


def test_parameters_are_counted_beside_the_whole(tiny: Done, source: ModelSource) -> None:
    base = sum(weight.numel() for weight in load_encoder(source).parameters())
    adapter = 4 * 4 * (32 + 32) + (4 * 4 if tiny.arm.method == "kasa" else 0)
    assert tiny.outcome.num_trainable_params == adapter + 3 * 32 + 3
    assert tiny.outcome.num_total_params == base + adapter + 3 * 32 + 3


def test_only_safetensors_are_left(tiny: Done, parts: Parts) -> None:
    files = {file.relative_to(tiny.folder).as_posix() for file in tiny.folder.rglob("*.*")}
    assert {"adapter/adapter_model.safetensors", "head.safetensors", "labels.json"} <= files
    suffixes = {Path(file).suffix for file in files}
    assert suffixes <= {".safetensors", ".json", ".md"}
    saved = load_file(tiny.folder / "adapter" / "adapter_model.safetensors")
    diagonals = [value for name, value in saved.items() if "lora_diag" in name]
    assert len(diagonals) == (4 if tiny.arm.method == "kasa" else 0)
    assert load_file(tiny.folder / "head.safetensors")["weight"].shape == (3, 32)
    assert json.loads((tiny.folder / "labels.json").read_text("utf-8")) == list(parts.labels)


def test_conditions_say_how_it_was_measured(tiny: Done) -> None:
    found = tiny.outcome.conditions
    assert {key: found[key] for key in ("precision", "pooling", "max_length")} == {
        "precision": "fp32",
        "pooling": "mean",
        "max_length": 32,
    }
    assert found["threads"] == torch.get_num_threads()
    assert found["device"] == ("cuda" if torch.cuda.is_available() else "cpu")


def test_progress_counts_every_step_of_the_whole_grid(
    tmp_path: Path, source: ModelSource, parts: Parts
) -> None:
    heard: list[tuple[float, float, dict[str, Any]]] = []

    def report(done: float, total: float, **info: Any) -> None:
        heard.append((done, total, info))

    folder = run_folder(tmp_path, "heard")
    run_tuned(source, parts, TINY, ARMS["lora"], 0, folder, report)
    losses = [(done, info) for done, _, info in heard if "loss" in info]
    assert [done for done, _ in losses] == list(range(1, 17))
    assert {total for _, total, _ in heard} == {16}
    assert all(info["memory_bytes"] > 0 for _, info in losses)
    assert [info["trial"] for _, info in losses] == [1] * 8 + [2] * 8
    assert [info["learning_rate"] for _, info in losses] == [RATES[0]] * 8 + [RATES[1]] * 8
    validated = [info for _, _, info in heard if "validation" in info]
    assert len(validated) == 4
    assert {"accuracy", "macro_f1", "loss"} == set(validated[0]["validation"])


def test_a_stop_ends_training_at_the_next_step(
    tmp_path: Path, source: ModelSource, parts: Parts
) -> None:
    heard: list[float] = []

    def report(done: float, _total: float, **_info: Any) -> None:
        heard.append(done)
        if done == 3:
            raise JobCancelled

    folder = run_folder(tmp_path, "stopped")
    with pytest.raises(JobCancelled):
        run_tuned(source, parts, TINY, ARMS["kasa"], 0, folder, report)
    assert heard == [1, 2, 3]
    assert not (folder / "adapter").exists()
    assert not (folder / "labels.json").exists()


def test_a_kasa_run_whose_base_was_not_cut_never_trains(
    tmp_path: Path, source: ModelSource, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[float] = []

    def report(done: float, _total: float, **_info: Any) -> None:
        heard.append(done)

    monkeypatch.setattr(adapters, "subtract", lambda weight, _left, _right: weight)
    with pytest.raises(TrainingError) as caught:
        run_tuned(source, parts, TINY, ARMS["kasa"], 0, run_folder(tmp_path, "uncut"), report)
    assert caught.value.code == "guard_wrong_change"
    assert heard == []


def test_a_base_that_training_changes_is_noticed_after_the_first_step(
    tmp_path: Path, source: ModelSource, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[float] = []

    def report(done: float, _total: float, **_info: Any) -> None:
        heard.append(done)

    def leaky(
        base: nn.Module, arm: Arm, num_steps: int, start: adapters.Start
    ) -> tuple[nn.Module, dict[str, adapters.Expectation]]:
        adapted, expected = adapt(base, arm, num_steps, start)
        for name, weight in adapted.named_parameters():
            if name.endswith("base_layer.weight"):
                weight.requires_grad_(True)
        return adapted, expected

    adapt = adapters.adapt
    monkeypatch.setattr(adapters, "adapt", leaky)
    with pytest.raises(TrainingError) as caught:
        run_tuned(source, parts, TINY, ARMS["kasa"], 0, run_folder(tmp_path, "leaky"), report)
    assert caught.value.code == "guard_wrong_change"
    assert heard == []


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_memory_holds_one_model_and_the_originals_for_one_step(
    tmp_path: Path,
    source: ModelSource,
    parts: Parts,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    precision: str,
) -> None:
    """Peak memory is a result: it must not grow with the grid, nor with which rate wins."""
    bases: list[weakref.ref[nn.Module]] = []
    originals: list[weakref.ref[Tensor]] = []
    load, adapt = heads.load_encoder, adapters.adapt

    def watched_load(source: ModelSource) -> nn.Module:
        assert [ref for ref in bases if ref() is not None] == []
        base = load(source)
        bases.append(weakref.ref(base))
        return base

    def watched_adapt(base: nn.Module, arm: Arm, num_steps: int, start: adapters.Start) -> Any:
        adapted, expected = adapt(base, arm, num_steps, start)
        originals.extend(weakref.ref(e.original) for e in expected.values())
        return adapted, expected

    def report(done: float, _total: float, **_info: Any) -> None:
        assert [ref for ref in originals if ref() is not None] == []

    monkeypatch.setattr(heads, "load_encoder", watched_load)
    monkeypatch.setattr(adapters, "adapt", watched_adapt)
    gc.disable()  # what is freed must not hang on when Python happens to collect
    request.addfinalizer(gc.enable)
    protocol = replace(TINY, epochs=1, learning_rates=(2e-2, 1e-3, 5e-3))
    folder = run_folder(tmp_path, "lean", precision)
    run_tuned(source, parts, protocol, ARMS["kasa"], 0, folder, report)
    assert (len(bases), len(originals)) == (4, 12)


def test_bf16_trains_and_is_measured_in_fp32(
    tmp_path: Path, source: ModelSource, parts: Parts, tiny: Done
) -> None:
    folder = run_folder(tmp_path, "half", "bf16")
    tuning = tuning_of(source, parts, TINY, tiny.arm, folder)
    model, trial = tuning.trial(RATES[1])
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    losses = [point["loss"] for point in trial.record["curve"]]
    exact = [point["loss"] for point in tiny.outcome.trials[1]["curve"]]
    assert losses == pytest.approx(exact, abs=0.05)
    assert losses != exact
    task = head_task(tuning)
    fresh = HeadModel(copy.deepcopy(model.base), "mean", task.kind)
    fresh.head.load_state_dict(model.head.state_dict())
    assert np.array_equal(task.figures(model, parts.test), task.figures(fresh, parts.test))


# --- The embedded model -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def embedded() -> ModelSource:
    return resolve_model("embedded")


@pytest.fixture(scope="module")
def frozen(embedded: ModelSource, parts: Parts) -> Outcome:
    """Return the frozen head on the embedded model."""
    return run_frozen_head(embedded, parts, EMBEDDED)


@pytest.fixture(scope="module", params=["lora", "kasa"])
def big(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    embedded: ModelSource,
    parts: Parts,
) -> Done:
    """Return a run of each arm with rank 8 over two learning rates on the embedded model."""
    folder = run_folder(tmp_path_factory.mktemp("home"), request.param)
    arm = Arm(request.param)
    return Done(arm, EMBEDDED, run_tuned(embedded, parts, EMBEDDED, arm, 0, folder), folder)


@pytest.mark.slow
def test_both_arms_run_from_end_to_end_on_the_embedded_model(big: Done, parts: Parts) -> None:
    outcome = big.outcome
    table = outcome.answers.table
    assert tuple(table["row"]) == parts.test.rows
    assert set(table["predicted"]) <= set(parts.labels)
    assert table["confidence"].between(1 / 3, 1).all()
    assert outcome.answers.metrics["accuracy"] > 0.6  # chance is a third
    assert [len(trial["curve"]) for trial in outcome.trials] == [4, 4]
    assert all(math.isfinite(p["loss"]) for trial in outcome.trials for p in trial["curve"])
    assert min(outcome.prepare_seconds, outcome.train_seconds, outcome.evaluate_seconds) > 0
    assert outcome.num_total_params > 22_713_216 > 100 * outcome.num_trainable_params
    assert outcome.conditions["pooling"] == "mean"
    if big.arm.method == "kasa":
        assert outcome.guard is not None
        assert outcome.guard["num_matrices"] == 12
        assert outcome.guard["largest_relative_deviation"] < 1e-6


@pytest.mark.slow
def test_the_frozen_head_is_complete(frozen: Outcome, parts: Parts) -> None:
    assert len(frozen.answers.table) == 24
    assert frozen.answers.metrics["accuracy"] > 0.6
    assert frozen.num_trainable_params == 3 * 384 + 3
    assert frozen.num_total_params == 22_713_216 + 3 * 384 + 3
    assert set(frozen.selected) == {"C"}
    assert frozen.guard is None
    assert min(frozen.prepare_seconds, frozen.train_seconds, frozen.evaluate_seconds) > 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "kasa"])
def test_every_arm_starts_from_the_linear_probe_and_learns(
    tmp_path: Path, embedded: ModelSource, parts: Parts, frozen: Outcome, method: str
) -> None:
    """Before the first step LoRA answers as the frozen head; KaSA has the same head on W'."""
    folder = run_folder(tmp_path, method)
    tuning = tuning_of(embedded, parts, EMBEDDED, Arm(method), folder)
    start, _ = tuning.build()
    task = head_task(tuning)
    weight, bias = probe_head(tuning)
    np.testing.assert_allclose(start.head.weight.detach(), weight, rtol=1e-6)
    np.testing.assert_allclose(start.head.bias.detach(), bias, rtol=1e-6)
    before = softmax(task.figures(start, parts.test))
    probe = task.probe
    assert probe is not None
    plain = probe.model.predict_proba(task.features(task.model(), parts.test))
    said = class_answers(parts.test, parts.labels, plain)
    assert said.table["predicted"].equals(frozen.answers.table["predicted"])
    np.testing.assert_allclose(
        said.table["confidence"], frozen.answers.table["confidence"], atol=2e-6
    )
    far = float(np.abs(before - plain).max())
    if method == "lora":
        assert far < 1e-5
    else:
        assert 1e-4 < far < 0.3  # eight of 384 components are gone from twelve matrices

    model, _ = tuning.trial(5e-3)
    assert loss_on_train(model, tuning) < loss_on_train(start, tuning) - 0.02


def loss_on_train(model: HeadModel, tuning: Tuning) -> float:
    return head_task(tuning).answer(model, tuning.task.parts.train).loss


# --- Early stopping ------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [1, 2])
def test_with_a_patience_training_ends_early_and_the_best_epochs_weights_answer(
    tmp_path: Path,
    source: ModelSource,
    parts: Parts,
    monkeypatch: pytest.MonkeyPatch,
    patience: int,
) -> None:
    """Validation is told by hand: it is best after the second epoch."""
    told = iter([0.5, 0.9, 0.7, 0.8, 0.6, 0.4])
    weights: list[dict[str, Tensor]] = []
    answer = HeadTask.answer

    def scripted(self: HeadTask, model: Any, part: Part) -> Answers:
        found = answer(self, model, part)
        if part is not self.parts.validation:
            return found
        weights.append(trained_weights(model))
        return replace(found, metrics=found.metrics | {"accuracy": next(told)})

    monkeypatch.setattr(HeadTask, "answer", scripted)
    protocol = replace(TINY, epochs=6, patience=patience)
    tuning = tuning_of(source, parts, protocol, ARMS["kasa"], run_folder(tmp_path, "patient"))
    model, trial = tuning.trial(2e-2)
    seen = [point["accuracy"] for point in trial.record["validation_curve"]]
    assert seen == [0.5, 0.9, 0.7, 0.8][: 2 + patience]
    assert len(trial.record["curve"]) == 4 * (2 + patience)
    assert trial.record["validation"]["accuracy"] == 0.9
    now = trained_weights(model)
    assert set(now) == set(weights[1])
    assert all(torch.equal(now[name], weight) for name, weight in weights[1].items())
    assert any(not torch.equal(now[name], weight) for name, weight in weights[-1].items())


def test_with_a_patience_that_never_ends_it_the_best_epoch_still_counts(
    tmp_path: Path, source: ModelSource, parts: Parts
) -> None:
    folders = [run_folder(tmp_path / name, "run") for name in ("plain", "patient")]
    protocols = (replace(TINY, epochs=4), replace(TINY, epochs=4, patience=4))
    plain, patient = (
        run_tuned(source, parts, protocol, ARMS["lora"], 0, folder)
        for protocol, folder in zip(protocols, folders, strict=True)
    )
    for one, other in zip(plain.trials, patient.trials, strict=True):
        assert one["curve"] == other["curve"]
        assert one["validation_curve"] == other["validation_curve"]
        points = [
            {name: point[name] for name in one["validation"]} for point in one["validation_curve"]
        ]
        assert one["validation"] == points[-1]
        assert other["validation"] == min(points, key=preference)


def test_seconds_of_a_trial_do_not_count_what_validation_takes(
    tmp_path: Path, source: ModelSource, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = HeadTask.answer

    def slow(self: HeadTask, model: Any, part: Part) -> Answers:
        time.sleep(0.5)
        return answer(self, model, part)

    tuning = tuning_of(source, parts, TINY, ARMS["lora"], run_folder(tmp_path, "slow"))
    monkeypatch.setattr(HeadTask, "answer", slow)
    started = time.perf_counter()
    _, trial = tuning.trial(1e-3)
    assert trial.record["train_seconds"] < time.perf_counter() - started - 0.9
