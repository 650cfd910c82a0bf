"""A killed run goes on where it was: every result equals that of a run nobody disturbed."""

from __future__ import annotations

import importlib.metadata
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kasa.model.source import ModelSource
from kasa.study import Arm, Protocol
from kasa.tuning import checkpoint, resume, train
from kasa.tuning.checkpoint import TRIAL, TRIALS, Checkpoints, Snapshot, read, run_key, write
from kasa.tuning.heads import HeadTask
from kasa.tuning.outcome import Outcome, Parts
from kasa.tuning.train import run_tuned
from tests.tiny_models import all_texts, run_folder, small_runs, work_orders, write_tiny_bert

ARMS = {"lora": Arm("lora", rank=4), "kasa": Arm("kasa", rank=4)}
# Two trials of two epochs of four steps; the later rate is the better one.
TINY = Protocol(profile="quick", epochs=2, learning_rates=(1e-3, 2e-2), max_length=32)
# Step: in the 1st epoch; after it; in the 2nd trial; at the very last step of all.
MOMENTS = (2, 6, 12, 16)


class Killed(BaseException):
    """Nothing of the studio catches it, so what is on the disk is all that is left, as after -9."""


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Prepare the same rows once; what a run prepares is no part of what is resumed."""
    prepared: dict[str, Any] = {}
    original = HeadTask.probed

    def probed_once(task: HeadTask) -> Any:
        asked = repr((task.source, task.parts, task.protocol))
        if asked not in prepared:
            original(task)
            prepared[asked] = task.probe
        task.probe = prepared[asked]
        return task.model(), task.probe

    with small_runs(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(HeadTask, "probed", probed_once)
        yield


@pytest.fixture(scope="module")
def parts() -> Parts:
    return work_orders()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> ModelSource:
    """Return a tiny BERT with dropout, so that a random state that was lost would show."""
    folder = tmp_path_factory.mktemp("model")
    return write_tiny_bert(folder, all_texts(parts), hidden_dropout_prob=0.2)


class Run:
    """One run in a folder of its own, whose process can be killed at a step and started again."""

    def __init__(self, home: Path, source: ModelSource, parts: Parts, arm: Arm) -> None:
        self.folder = run_folder(home, "run")
        self.source, self.parts, self.arm = source, parts, arm
        self.steps: list[int] = []

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def go(
        self,
        kill_at: int | None = None,
        seed: int = 0,
        protocol: Protocol = TINY,
        pause: float = 0.0,
    ) -> Outcome:
        """Work on, as a new process would: with no memory of what came before."""
        random.seed(99)
        np.random.seed(99)
        torch.manual_seed(99)
        self.steps = []

        def report(done: float, _total: float, **info: Any) -> None:
            if "loss" in info:
                self.steps.append(int(done))
                time.sleep(pause)
                if done == kill_at:
                    raise Killed

        return run_tuned(
            self.source,
            self.parts,
            protocol,
            self.arm,
            protocol.learning_rates,
            seed,
            self.folder,
            report,
            self.checkpoints,
        )

    def killed(self, kill_at: int, **changes: Any) -> None:
        with pytest.raises(Killed):
            self.go(kill_at, **changes)

    def adapter(self) -> dict[str, torch.Tensor]:
        adapter = load_file(self.folder / "adapter" / "adapter_model.safetensors")
        return adapter | load_file(self.folder / "head.safetensors")


@pytest.fixture(scope="module")
def kasa(tmp_path_factory: pytest.TempPathFactory, source: ModelSource, parts: Parts) -> Done:
    """Return a run of KaSA that nobody disturbed."""
    run = Run(tmp_path_factory.mktemp("home"), source, parts, ARMS["kasa"])
    return run, run.go()


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory, source: ModelSource, parts: Parts) -> Done:
    """Return a run of LoRA that nobody disturbed."""
    run = Run(tmp_path_factory.mktemp("home"), source, parts, ARMS["lora"])
    return run, run.go()


Done = tuple[Run, Outcome]


def timeless(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in t.items() if not k.endswith("_seconds")} for t in trials]


def assert_same(run: Run, outcome: Outcome, whole: Done) -> None:
    wanted_run, wanted = whole
    assert outcome.answers.table.equals(wanted.answers.table)
    assert outcome.answers.loss == pytest.approx(wanted.answers.loss, abs=1e-6)
    assert timeless(outcome.trials) == timeless(wanted.trials)
    assert outcome.selected == wanted.selected
    assert outcome.validation == wanted.validation
    assert outcome.guard == wanted.guard
    assert outcome.num_trainable_params == wanted.num_trainable_params
    found, expected = run.adapter(), wanted_run.adapter()
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-6)


# -- the same end, wherever it was killed --------------------------------------------------------


def test_a_run_that_was_never_killed_says_so(kasa: Done) -> None:
    run, outcome = kasa
    assert outcome.conditions["resumed"] == 0
    assert "earlier_seconds" not in outcome.conditions
    assert {file.name for file in run.checkpoints.iterdir()} == {TRIALS}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_ends_as_if_nothing_had_happened(
    tmp_path: Path, source: ModelSource, parts: Parts, kasa: Done, moment: int
) -> None:
    run = Run(tmp_path, source, parts, ARMS["kasa"])
    run.killed(moment)
    outcome = run.go()
    first = (moment - 1) // 4 * 4 + 1  # the start of the epoch in which it was killed
    assert run.steps == list(range(first, 17))
    assert_same(run, outcome, kasa)
    assert outcome.conditions["resumed"] == (0 if moment < 4 else 1)


def test_a_run_may_be_killed_again_and_again(
    tmp_path: Path, source: ModelSource, parts: Parts, lora: Done
) -> None:
    run = Run(tmp_path, source, parts, ARMS["lora"])
    for moment in (5, 7, 9, 14):
        run.killed(moment)
    outcome = run.go()
    assert run.steps == [13, 14, 15, 16]
    assert_same(run, outcome, lora)
    # The second process kept nothing, so the result builds on three others.
    assert outcome.conditions["resumed"] == 3


def test_a_run_killed_after_its_last_trial_only_measures_the_test_rows(
    tmp_path: Path,
    source: ModelSource,
    parts: Parts,
    kasa: Done,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(tmp_path, source, parts, ARMS["kasa"])
    with monkeypatch.context() as patched:
        patched.setattr(train, "save_tuned", raising(Killed))
        run.killed(99)
    outcome = run.go()
    assert run.steps == []
    assert_same(run, outcome, kasa)


def test_a_long_epoch_is_kept_at_its_steps_too(
    tmp_path: Path,
    source: ModelSource,
    parts: Parts,
    kasa: Done,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.0)
    run = Run(tmp_path, source, parts, ARMS["kasa"])
    run.killed(3)
    run.killed(4)  # the epoch's validation is still to come
    outcome = run.go()
    assert run.steps == list(range(4, 17))
    assert_same(run, outcome, kasa)


def raising(error: type[BaseException]) -> Callable[..., None]:
    def raise_it(*_: Any) -> None:
        raise error

    return raise_it


# -- what is measured ----------------------------------------------------------------------------


def test_time_is_the_sum_of_the_pieces_and_memory_their_peak(
    tmp_path: Path, source: ModelSource, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = replace(TINY, learning_rates=(1e-3,))
    run = Run(tmp_path, source, parts, ARMS["lora"])
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "peak_memory_bytes", lambda: 7_000)
        run.killed(6, protocol=protocol, pause=0.3)
    left = read(run.checkpoints / TRIAL)
    assert left is not None
    first = left.facts["record"]["train_seconds"]
    assert 1.2 <= first < left.facts["pieces"]["seconds"] < 1.8 + 2  # steps 5 and 6 are made again
    outcome = run.go(protocol=protocol)
    assert first < outcome.train_seconds < first + 1.2
    assert outcome.prepare_seconds == left.facts["record"]["prepare_seconds"]
    assert outcome.conditions["earlier_seconds"] == left.facts["pieces"]["seconds"]
    assert outcome.conditions["earlier_peak_memory_bytes"] == 7_000


# -- what is not used ----------------------------------------------------------------------------


def test_whatever_decides_a_run_is_in_its_key(
    tmp_path: Path, source: ModelSource, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []

    def take_key(_folder: Path, key: str) -> None:
        keys.append(key)
        raise Killed

    monkeypatch.setattr(train, "Checkpoints", take_key)
    run = Run(tmp_path, source, parts, ARMS["lora"])
    run.killed(1)
    run.killed(1, seed=1)
    run.killed(1, protocol=replace(TINY, batch_size=15))
    run.arm = replace(run.arm, alpha=9)
    run.killed(1)
    run.parts = replace(parts, train=replace(parts.train, texts=parts.train.texts[::-1]))
    run.killed(1)
    run.source = replace(source, sha256="0" * 64)
    run.killed(1)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.0.1")
    run.killed(1)
    assert len(set(keys)) == len(keys) == 7


def test_another_runs_checkpoint_is_not_used(
    tmp_path: Path, source: ModelSource, parts: Parts
) -> None:
    run = Run(tmp_path, source, parts, ARMS["lora"])
    run.killed(14)
    run.killed(1, seed=1)
    assert run.steps == [1]


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-50] ^= 1
    file.write_bytes(content)


def change_the_record(file: Path) -> None:
    content = file.read_bytes()
    changed = content.replace(b"validation_curve", b"validation_CURVE", 1)
    assert changed != content
    file.write_bytes(changed)


class Trap:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def pickle_a_trap(file: Path) -> None:
    torch.save({"trainer": Trap(file.parent / "mark")}, file)


@pytest.mark.parametrize(
    "damage", [cut_short, flip_a_bit, change_the_record, pickle_a_trap, Path.unlink]
)
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    file = tmp_path / "file"
    write(file, Snapshot({"validation_curve": [1.0]}, {"w": torch.zeros(100)}))
    assert read(file) is not None
    damage(file)
    assert read(file) is None
    assert not (tmp_path / "mark").exists()


def test_a_damaged_checkpoint_costs_its_trial_and_no_more(
    tmp_path: Path, source: ModelSource, parts: Parts
) -> None:
    run = Run(tmp_path, source, parts, ARMS["lora"])
    run.killed(14)
    flip_a_bit(run.checkpoints / TRIAL)
    run.killed(9)
    assert run.steps == [9]  # the first trial's eight steps stay
    flip_a_bit(run.checkpoints / TRIALS)
    run.killed(1)
    assert run.steps == [1]


def test_the_state_of_a_trial_that_has_finished_since_is_not_used(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 1)
    state = Snapshot({}, {f"model.{name}": w for name, w in model.named_parameters()})
    kept = Checkpoints(tmp_path, "key")
    kept.keep_working({"curve": []}, state)
    left = (tmp_path / TRIAL).read_bytes()
    assert Checkpoints(tmp_path, "key").take_working(model) is not None
    assert Checkpoints(tmp_path, "key").take_working(torch.nn.Linear(3, 1)) is None
    kept.keep_trials([{"record": 1}], {})
    (tmp_path / TRIAL).write_bytes(left)  # killed before it could be deleted
    assert Checkpoints(tmp_path, "key").take_working(model) is None


def test_half_written_files_are_swept(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    kept = Checkpoints(folder, "key")
    kept.keep_trials([{"record": 1}], {"w": torch.ones(2)})
    (folder / ".trial.safetensors.123").write_bytes(b"half")
    again = Checkpoints(folder, "key")
    assert [file.name for file in folder.iterdir()] == [TRIALS]
    assert again.trials == [{"record": 1}]
    torch.testing.assert_close(again.weights, {"w": torch.ones(2)})


# -- the file ------------------------------------------------------------------------------------


def test_a_snapshot_comes_back_as_it_was(tmp_path: Path) -> None:
    tensors = {
        "a.number": torch.tensor(3.5),
        "a.half": torch.arange(6).reshape(2, 3).bfloat16(),
        "b.turned": torch.arange(6.0).reshape(2, 3).T,
        "b.bytes": torch.tensor([0, 255], dtype=torch.uint8),
        "b.none": torch.zeros(0),
    }
    facts = {"title": "現場の記録", "loss": float("inf"), "list": [1, 2.5, None]}
    write(tmp_path / "new" / "file", Snapshot(facts, tensors))
    found = read(tmp_path / "new" / "file")
    assert found is not None
    assert found.facts == facts
    assert set(found.part("a")) == {"number", "half"}
    for name, tensor in tensors.items():
        assert torch.equal(found.tensors[name], tensor)
        assert found.tensors[name].dtype == tensor.dtype
    assert read(tmp_path / "nothing") is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    import resource

    file = tmp_path / "file"
    write(file, Snapshot({"step": 1}, {"w": torch.zeros(10)}))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(file, Snapshot({"step": 2}, {"w": torch.zeros(10_000)}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    found = read(file)
    assert found is not None
    assert found.facts == {"step": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_every_random_generator_goes_on_where_it_was() -> None:
    def draw() -> list[Any]:
        own = (random.random(), random.gauss(0, 1))
        return [own, np.random.standard_normal(3).tolist(), torch.rand(3).tolist()]

    draw()  # Gaussian numbers come in pairs: one is now in store
    tensors, numbers = resume._random_state()
    wanted = draw()
    resume._set_random_state(Snapshot(json.loads(json.dumps({"random": numbers})), tensors))
    assert draw() == wanted


def test_a_key_tells_every_fact_apart() -> None:
    facts = [("a", 1), ("a", 2), ("a", 1, None), ("a", "1"), (("a", 1),)]
    assert len({run_key(*each) for each in facts}) == len(facts)
    assert run_key("a", Arm("lora")) == run_key("a", Arm("lora"))
    assert json.dumps(run_key()).isascii()
