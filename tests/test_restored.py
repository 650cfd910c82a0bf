"""A saved run of every method answers the test rows as it did when it was measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from kasa.arms import METHODS, Arm, kasa_parts
from kasa.dataspec import DataSpec
from kasa.errors import StoreError
from kasa.model.source import ModelSource
from kasa.study import Protocol, Study
from kasa.tuning.outcome import Outcome, Parts
from kasa.tuning.predict import load_tuned, predict_tuned
from kasa.tuning.train import run_tuned
from tests.tiny_models import (
    run_folder,
    small_parts,
    small_runs,
    task_texts,
    write_tiny_bert,
    write_tiny_llama,
)

PROTOCOL = Protocol(
    "quick", epochs=1, learning_rates=(3e-2,), batch_size=8, max_length=32, answer_tokens=4
)
OWN = (
    Arm("peft", config={"peft_type": "LOHA", "r": 4}),
    Arm("peft", config={"peft_type": "OFT", "r": 4, "oft_block_size": 0}),
    Arm(
        "peft", config={"peft_type": "LORA", "r": 2, "use_rslora": True, "target_modules": ["key"]}
    ),
)
PLANNED = Arm("kasa", rank=4, plan={"encoder.layer.0.attention.self.query": 9}, plan_name="mine")
TUNED = tuple(
    Arm(name, rank=4)
    for name, method in METHODS.items()
    if method.kind != "baseline" and name not in {"peft", "kasa", "lora"}
)
HEADS = (*TUNED, *kasa_parts(4), PLANNED, *OWN)
WRITERS = (*TUNED, Arm("kasa", rank=4), *OWN[:1])


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with small_runs():
        yield


@pytest.fixture(scope="module")
def reads(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    tasks = ("classification", "pair_classification", "multiple_choice")
    texts = [text for task in tasks for text in task_texts(small_parts(task))]
    return write_tiny_bert(tmp_path_factory.mktemp("bert"), texts)


@pytest.fixture(scope="module")
def writes(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    texts = task_texts(small_parts("generation"))
    return write_tiny_llama(tmp_path_factory.mktemp("llama"), texts)


def study_of(arm: Arm) -> Study:
    return Study("t", "m", DataSpec("x"), arms=(arm,), protocol=PROTOCOL)


def run(source: ModelSource, parts: Parts, arm: Arm, folder: Path) -> Outcome:
    rates = study_of(arm).learning_rates(arm)
    return run_tuned(source, parts, PROTOCOL, arm, rates, 0, folder)


def assert_restored(
    source: ModelSource, parts: Parts, arm: Arm, folder: Path, outcome: Outcome
) -> None:
    tuned = load_tuned(source, study_of(arm), parts, 0, folder)
    again, table = tuned.task.answer(tuned.model, parts.test), outcome.answers.table
    assert list(again.table.columns) == list(table.columns)
    for column in table.columns:
        if table[column].dtype.kind == "f":
            np.testing.assert_allclose(again.table[column], table[column], atol=2e-5)
        else:
            assert again.table[column].equals(table[column])
    assert again.loss == pytest.approx(outcome.answers.loss, rel=1e-4)


@pytest.mark.parametrize("arm", HEADS, ids=lambda arm: arm.slug)
def test_a_saved_head_run_answers_as_it_was_measured(
    tmp_path: Path, reads: ModelSource, arm: Arm
) -> None:
    parts, folder = small_parts("classification"), run_folder(tmp_path, "run")
    outcome = run(reads, parts, arm, folder)
    assert [len(trial["curve"]) for trial in outcome.trials] == [3]
    assert_restored(reads, parts, arm, folder, outcome)
    files = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert files <= {".safetensors", ".json", ".md"}
    assert (folder / "tuned.safetensors").exists() == (arm.method == "full")


@pytest.mark.parametrize("arm", WRITERS, ids=lambda arm: arm.slug)
def test_a_saved_writer_answers_as_it_was_measured(
    tmp_path: Path, writes: ModelSource, arm: Arm
) -> None:
    parts, folder = small_parts("generation"), run_folder(tmp_path, "run")
    outcome = run(writes, parts, arm, folder)
    assert_restored(writes, parts, arm, folder, outcome)


@pytest.mark.parametrize("task", ["pair_classification", "regression", "multiple_choice"])
def test_a_saved_run_of_every_task_answers_as_it_was_measured(
    tmp_path: Path, reads: ModelSource, task: str
) -> None:
    parts, folder, arm = small_parts(task), run_folder(tmp_path, "run"), Arm("kasa", rank=4)
    outcome = run(reads, parts, arm, folder)
    assert_restored(reads, parts, arm, folder, outcome)
    texts = list(parts.test.texts)
    if parts.test.seconds:
        texts = [f"{a} ||| {b}" for a, b in zip(texts, parts.test.seconds, strict=True)]
    if parts.test.choices:
        both = zip(texts, parts.test.choices, strict=True)
        texts = ["|||".join([text, *choices]) for text, choices in both]
    found = predict_tuned(reads, study_of(arm), parts, 0, folder, texts)
    wanted = list(outcome.answers.table["predicted"])
    if task == "regression":
        assert [each["label"] for each in found] == pytest.approx(wanted, abs=1e-4)
    else:
        assert [each["label"] for each in found] == wanted


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("pair_classification", "the pump leaks"),
        ("pair_classification", "the pump ||| leaks ||| again"),
        ("multiple_choice", "the pump leaks"),
    ],
)
def test_a_text_with_too_few_or_too_many_pieces_is_named(
    tmp_path: Path, reads: ModelSource, task: str, text: str
) -> None:
    parts, folder, arm = small_parts(task), run_folder(tmp_path, "run"), Arm("lora", rank=4)
    run(reads, parts, arm, folder)
    with pytest.raises(StoreError) as caught:
        predict_tuned(reads, study_of(arm), parts, 0, folder, [text])
    assert (caught.value.code, caught.value.values) == ("pieces_missing", {"text": text})


def test_bars_in_a_single_text_are_part_of_it(tmp_path: Path, reads: ModelSource) -> None:
    parts, folder, arm = small_parts("classification"), run_folder(tmp_path, "run"), Arm("lora", 4)
    run(reads, parts, arm, folder)
    (found,) = predict_tuned(reads, study_of(arm), parts, 0, folder, ["pump ||| leaks"])
    assert found["label"] in parts.labels


def test_an_adapter_of_other_layers_is_refused(tmp_path: Path, reads: ModelSource) -> None:
    parts, folder = small_parts("classification"), run_folder(tmp_path, "run")
    arm = Arm("lora", rank=4, target_modules=("query",))
    run(reads, parts, arm, folder)
    for other in (replace(arm, target_modules=("key",)), replace(arm, target_modules=())):
        with pytest.raises(StoreError) as caught:
            load_tuned(reads, study_of(other), parts, 0, folder)
        assert caught.value.code == "adapter_differs"


def test_an_adapter_that_lost_a_weight_is_refused(tmp_path: Path, reads: ModelSource) -> None:
    parts, folder, arm = small_parts("classification"), run_folder(tmp_path, "run"), Arm("kasa", 4)
    run(reads, parts, arm, folder)
    file = folder / "adapter" / "adapter_model.safetensors"
    state = load_file(file)
    lost = next(name for name in state if "lora_diag" in name)
    save_file({name: value for name, value in state.items() if name != lost}, file)
    with pytest.raises(StoreError) as caught:
        load_tuned(reads, study_of(arm), parts, 0, folder)
    assert caught.value.code == "adapter_differs"
    assert "lora_diag" in caught.value.values["detail"]


def test_full_tuning_keeps_every_weight_and_changes_the_base(
    tmp_path: Path, reads: ModelSource
) -> None:
    parts, folder, arm = small_parts("classification"), run_folder(tmp_path, "run"), Arm("full")
    outcome = run(reads, parts, arm, folder)
    saved = load_file(folder / "tuned.safetensors")
    untouched = load_tuned(reads, study_of(arm), parts, 0, folder).task.model().base.state_dict()
    named = {name for name in untouched if not name.endswith("position_ids")}
    assert set(saved) == named
    changed = [name for name in saved if not torch.equal(saved[name], untouched[name])]
    assert len(changed) > len(named) / 2
    assert outcome.num_trainable_params == outcome.num_total_params
    assert json.loads((folder / "labels.json").read_text("utf-8")) == list(parts.labels)
