"""Exports say what their run says: factors in this process, whole models in a fresh one."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from kasa.__main__ import main
from kasa.arms import Arm
from kasa.errors import StoreError
from kasa.model.source import ModelSource
from kasa.report.explain import sentences
from kasa.runs.store import Store
from kasa.text import translator
from kasa.tuning import export as exporting
from kasa.tuning import loads_alone
from kasa.tuning.adapters import saved_start
from kasa.tuning.export import export
from kasa.tuning.keys import check_kind, export_key, possible_exports
from kasa.tuning.outcome import Parts
from kasa.tuning.reader import load_encoder
from kasa.worker import work
from tests.tiny_models import (
    small_parts,
    small_runs,
    task_texts,
    write_tiny_bert,
    write_tiny_llama,
)
from tests.tuned_runs import tuned_run, worked_run

QUERY = "encoder.layer.0.attention.self.query"
LOW_RANK = (
    Arm("lora", 3),
    Arm("rslora", 3, alpha=5),
    Arm("kasa", 2),
    Arm("kasa", 2, removed_components=0),
    Arm("kasa", 3, removed_components=7, alpha=3),
    Arm("kasa", 2, plan={QUERY: [0, 4, 9]}),
    Arm("kasa", 2, plan={QUERY: 5}, diagonal=False, beta=0.0, gamma=0.0),
    Arm("kasa", 2, target_modules=("query", "intermediate.dense")),
    Arm("kasa", 3, start="gradient", spread=True),
)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with small_runs():
        yield


@pytest.fixture(scope="module")
def parts() -> Parts:
    return small_parts("classification")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> ModelSource:
    return write_tiny_bert(tmp_path_factory.mktemp("bert"), task_texts(parts))


@pytest.mark.parametrize("arm", LOW_RANK, ids=lambda arm: arm.slug)
def test_a_portable_lora_is_the_run_on_the_untouched_base(
    source: ModelSource,
    parts: Parts,
    tmp_path: Path,
    arm: Arm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a fresh process, but in this one: plain PEFT on a base read anew."""
    tuned, own = tuned_run(source, parts, arm, tmp_path)
    monkeypatch.setattr(exporting, "_verified", lambda *_: 0.0)
    found = export(tuned, source, arm, own, "lora", tmp_path / "out")
    base = load_encoder(source).eval()
    tokens = tuned.task.reader.tokenizer(
        list(parts.test.texts), padding=True, truncation=True, max_length=32, return_tensors="pt"
    )
    batch = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        untouched = base(**batch).last_hidden_state
        plain = PeftModel.from_pretrained(base, str(found.folder)).eval()
        away = plain(**batch).last_hidden_state
        with plain.disable_adapter():
            off = plain(**batch).last_hidden_state
        model = tuned.model.eval()
        here = model.get_submodule("base")(**batch).last_hidden_state
    assert torch.equal(off, untouched)
    assert away == pytest.approx(here, abs=1e-4)
    assert (away - untouched).abs().max() > 1e-3
    state = load_file(found.folder / "adapter_model.safetensors")
    assert {value.shape[0] for key, value in state.items() if "lora_A" in key} == {found.rank}
    most = 0
    if arm.method == "kasa":
        most = arm.components_to_remove if arm.plan is None else arm.planned_removals
    ranks = saved_start(own / "adapter").ranks
    assert bool(ranks) == bool(arm.spread)
    assert found.rank == max(ranks.values(), default=arm.rank) + most


@pytest.mark.parametrize(
    ("kind", "arm", "task"),
    [
        ("lora", Arm("kasa", 2, removed_components=5), "generation"),
        ("peft", Arm("kasa", 2), "classification"),
        ("merged", Arm("kasa", 2, plan={QUERY: [0, 4]}), "classification"),
        ("merged", Arm("full"), "classification"),
    ],
)
def test_the_script_on_its_own_says_what_the_run_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, arm: Arm, task: str
) -> None:
    """The same script in this process; the last test starts it in one of its own."""

    def here(record: dict[str, Any]) -> Any:
        asked, answer = tmp_path / "asked.json", tmp_path / "answer.npy"
        asked.write_text(json.dumps(record | {"answer": str(answer)}), "utf-8")
        loads_alone.main(str(asked))
        return np.load(answer, allow_pickle=False)

    monkeypatch.setattr(exporting, "_asked_again", here)
    parts = small_parts(task)
    write = write_tiny_llama if task == "generation" else write_tiny_bert
    source = write(tmp_path / "model", task_texts(parts))
    tuned, own = tuned_run(source, parts, arm, tmp_path)
    found = export(tuned, source, arm, own, kind, tmp_path / "out")
    assert 0 <= found.deviation <= 1e-4
    names = {path.name for path in found.folder.iterdir()}
    assert "model.safetensors" in names if kind == "merged" else "adapter_config.json" in names
    assert ("head.safetensors" in names) == (task == "classification")
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in names)


def test_an_export_that_says_something_else_is_taken_back(
    source: ModelSource, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = Arm("lora", 2)
    tuned, own = tuned_run(source, parts, arm, tmp_path)
    right = exporting.base_outputs(tuned.task, tuned.model, parts.test.texts[:8])
    monkeypatch.setattr(exporting, "_asked_again", lambda _: right + 0.1)
    with pytest.raises(StoreError) as error:
        export(tuned, source, arm, own, "lora", tmp_path / "out")
    assert error.value.code == "export_differs"
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(
    source: ModelSource, parts: Parts, tmp_path: Path
) -> None:
    arm = Arm("lora", 2)
    tuned, own = tuned_run(source, parts, arm, tmp_path)
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    with pytest.raises(StoreError) as error:
        export(tuned, source, arm, own, "lora", full)
    assert error.value.code == "export_folder_full"
    assert (full / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("arm", "kind", "code"),
    [
        (Arm("lora"), "zip", "unknown_export"),
        (Arm("dora"), "lora", "export_not_low_rank"),
        (Arm("full"), "peft", "export_no_adapter"),
        (Arm("kasa", 8, removed_components=0), "peft", "export_own_cut"),
        (Arm("kasa", 8, plan={QUERY: [1]}), "peft", "export_own_cut"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_loaded(arm: Arm, kind: str, code: str) -> None:
    with pytest.raises(StoreError) as error:
        check_kind(arm, kind, "abc")
    assert error.value.code == code


def test_the_command_asks_a_fresh_process_and_writes_a_card(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store()
    run, model = worked_run(store, tmp_path, Arm("lora", 2))
    out = tmp_path / "away"
    assert main(["export", run.id, "--as", "merged", "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["run"], told["kind"], told["rank"]) == (run.id, "merged", None)
    card = (out / "README.md").read_text("utf-8")
    assert "Which crew?" in card
    assert model.sha256 in card
    assert "AutoModel.from_pretrained" in card
    names = {path.name for path in out.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "head.safetensors"} <= names
    assert main(["export", run.id, "--as", "merged", "--out", str(out)]) == 1
    assert "something in" in capsys.readouterr().err
    assert main(["explain", run.id, "--json"]) == 0
    *said, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert found["run"] == run.id
    assert [each for each in said if each in sentences(found, translator("en"), masked=True)]


def test_the_job_leaves_an_archive_with_a_card_and_no_place_of_this_machine(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    run, _ = worked_run(store, tmp_path, Arm("kasa", 2))
    monkeypatch.setattr(exporting, "_verified", lambda *_: 1e-7)
    for kind in possible_exports(Arm("kasa", 2)):
        config = {"run": run.id, "kind": kind, "lang": "ja"}
        job = store.enqueue("export", config, export_key(run.id, kind))
        assert work(store, job.id), store.run(job.id).error
        result = store.result(job.id)
        assert result is not None
        archive = job.folder / result["measured"]["archive"]
        assert archive.stat().st_size == result["measured"]["num_bytes"]
        assert not (job.folder / "model").exists()
        with zipfile.ZipFile(archive) as opened:
            names = set(opened.namelist())
            written = [opened.read(n).decode() for n in names if n.endswith((".md", ".json"))]
        assert {"README.md", "head.safetensors", "labels.json"} <= names
        assert not any(str(tmp_path) in each for each in written)
    store.delete_study(str(run.study_id))
    assert not job.folder.exists(), "what was made of a deleted study goes with it"
    assert store.latest(export_key(run.id, "lora")) is None
