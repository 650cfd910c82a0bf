"""A study travels as one file: nothing is lost on the way, nothing leaves that should stay."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import pickle
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from kasa.arms import Arm
from kasa.dataspec import DataSpec
from kasa.errors import KasaError, StoreError
from kasa.report.sections import report_sections
from kasa.report.tree import to_text
from kasa.runs import bundle_archive, bundle_arrival
from kasa.runs import files as writing
from kasa.runs.bundle import Imported, bundle_bytes, read_bundle, write_bundle
from kasa.runs.files import read_json, write_json
from kasa.runs.store import Store
from kasa.study import Protocol, Study, load_study
from kasa.text import translator
from kasa.verdict.evidence import gather
from kasa.verdict.facts import evidence_to_dict
from tests.result_files import draft, finish, write_result
from tests.study_runs import finished_run

EN = translator("en")
SECRET = b"note 1 about"
MAIL = "tanaka@example.com"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "first")


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return make_store(tmp_path / "second")


@pytest.fixture
def study_id(store: Store, tmp_path: Path) -> str:
    """Return a finished study whose tuned runs have their weights."""
    found = draft(store, tmp_path)
    finish(store, found)
    for run in store.runs(found):
        (run.folder / "log.txt").write_text("note 1 about oil leak in the log", "utf-8")
        if run.method in {"kasa", "lora"}:
            write_weights(run.folder)
    return found


def make_store(home: Path) -> Store:
    home.mkdir()
    return Store(home)


def write_weights(folder: Path) -> None:
    (folder / "adapter").mkdir()
    tensors = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
    save_file(tensors, folder / "adapter" / "adapter_model.safetensors")
    save_file(tensors, folder / "head.safetensors")
    config = {"peft_type": "LORA", "base_model_name_or_path": "/home/taro/models/base"}
    write_json(folder / "adapter" / "adapter_config.json", config)
    write_json(folder / "labels.json", ["a", "b"])


def told(store: Store, study_id: str) -> dict[str, Any]:
    return evidence_to_dict(gather(store, study_id))


def report(store: Store, study_id: str) -> str:
    return to_text(report_sections(gather(store, study_id), EN))


def names_in(content: bytes) -> set[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return set(archive.namelist())


def unpacked(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def relisted(files: dict[str, bytes], **changes: Any) -> bytes:
    """Pack files with a manifest that fits them, as somebody who means harm would."""
    manifest = json.loads(files["manifest.json"]) | changes
    manifest["files"] = [
        {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name, content in files.items()
        if name != "manifest.json"
    ]
    return packed(files | {"manifest.json": json.dumps(manifest).encode()})


def state(store: Store) -> tuple[set[str], list[str], int]:
    """Return everything that an import could leave: files, studies, rows of runs."""
    files = {
        path.relative_to(store.home).as_posix()
        for path in store.home.rglob("*")
        if not path.name.startswith("kasa.db") and path.name not in {"studies", "runs", "datasets"}
    }
    with store.connect() as db:
        (runs,) = db.execute("SELECT COUNT(*) FROM runs").fetchone()
    return files, [record.id for record in store.studies()], runs


def refused(store: Store, content: bytes | Path) -> str:
    """Return the code with which a bundle is refused, having left nothing."""
    before = state(store)
    with pytest.raises(KasaError) as caught:
        read_bundle(store, content)
    assert state(store) == before
    assert caught.value.message("ja") != caught.value.message("en")
    return caught.value.code


# -- there and back -----------------------------------------------------------------------------


@pytest.mark.parametrize("with_data", [True, False])
def test_what_the_study_says_comes_through_unchanged(
    store: Store, other: Store, study_id: str, with_data: bool
) -> None:
    content = bundle_bytes(store, study_id, with_data=with_data)
    came = read_bundle(other, content)
    assert came == Imported(study_id, "Which *defect*?", with_data, 4, ())
    assert told(other, study_id) == told(store, study_id)
    assert other.study(study_id).created_at == store.study(study_id).created_at
    assert {run.id: run.finished_at for run in other.runs(study_id)} == {
        run.id: run.finished_at for run in store.runs(study_id)
    }
    assert all(other.has_result(run.id) for run in other.runs(study_id))
    assert bundle_bytes(other, study_id, with_data=with_data) == content


def test_with_its_data_a_study_has_its_rows_file_and_weights(
    store: Store, other: Store, study_id: str
) -> None:
    read_bundle(other, bundle_bytes(store, study_id, with_data=True))
    pd.testing.assert_frame_equal(other.rows(study_id), store.rows(study_id))
    study = other.study(study_id).study
    assert (
        Path(study.data.path).read_bytes()
        == Path(store.study(study_id).study.data.path).read_bytes()
    )
    assert Path(study.data.path).is_relative_to(other.home)
    assert other.settled(study) == study
    (run, *_) = other.runs(study_id)
    weights = ("head.safetensors", "adapter/adapter_model.safetensors", "labels.json")
    for name in weights:
        assert (run.folder / name).read_bytes() == (store.run_folder(run.id) / name).read_bytes()
    assert read_json(run.folder / "adapter/adapter_config.json") == {
        "peft_type": "LORA",
        "base_model_name_or_path": None,
    }
    asked = read_json(run.folder / "result.json")["asked"]
    assert asked == read_json(run.folder / "config.json")
    assert asked["study"]["data"]["path"] == study.data.path


def test_without_its_data_no_text_of_a_row_is_inside(store: Store, study_id: str) -> None:
    files = unpacked(bundle_bytes(store, study_id, with_data=False))
    assert {name.rpartition("/")[2] for name in files} == {
        *("manifest.json", "study.toml", "card.json", "rows_without_texts.jsonl"),
        *("result.json", "predictions.csv"),
    }
    for name, content in files.items():
        for text in store.rows(study_id)["text"]:
            assert text.encode() not in content, name
        assert str(store.home).encode() not in content
        assert b"/home/taro" not in content
    assert SECRET in bundle_bytes_unpacked(store, study_id)


def bundle_bytes_unpacked(store: Store, study_id: str) -> bytes:
    return b"".join(unpacked(bundle_bytes(store, study_id, with_data=True)).values())


def test_with_data_no_folder_of_this_computer_is_inside(store: Store, study_id: str) -> None:
    everything = bundle_bytes_unpacked(store, study_id)
    assert str(store.home).encode() not in everything
    assert b"/home/taro" not in everything
    assert b"in the log" not in everything


def test_without_texts_the_report_says_so_and_its_numbers_stay(
    store: Store, other: Store, study_id: str
) -> None:
    read_bundle(other, bundle_bytes(store, study_id, with_data=False))
    here, there = gather(store, study_id), gather(other, study_id)
    assert set(there.disagreements["text"]) == {""}
    assert list(there.disagreements["row"]) == list(here.disagreements["row"])
    assert there.card == replace(here.card, texts=False)
    note = EN("bundle.no_texts")
    assert note in report(other, study_id)
    assert note not in report(store, study_id)
    with pytest.raises(StoreError) as caught:
        other.rows(study_id)
    assert caught.value.code == "texts_elsewhere"
    assert refused_to_bundle(other, study_id) == "texts_elsewhere"


def refused_to_bundle(store: Store, study_id: str) -> str:
    with pytest.raises(StoreError) as caught:
        bundle_bytes(store, study_id, with_data=True)
    return caught.value.code


def test_the_data_is_found_by_its_content_under_any_name(
    store: Store, other: Store, study_id: str
) -> None:
    read_bundle(other, bundle_bytes(store, study_id, with_data=False))
    study = other.study(study_id).study
    with pytest.raises(StoreError) as caught:
        other.start_study(other.create_study(study))
    assert caught.value.code == "dataset_gone"
    source = Path(store.study(study_id).study.data.path)
    kept = other.add_dataset("under another name.csv", source.read_bytes())
    assert other.settled(study).data.path == str(kept)
    assert other.settled(study).fingerprint() == store.study(study_id).study.fingerprint()
    assert len(other.start_study(other.create_study(study))) == 4


def test_data_that_is_here_already_is_used(store: Store, other: Store, study_id: str) -> None:
    source = Path(store.study(study_id).study.data.path)
    kept = other.add_dataset("mine.csv", source.read_bytes())
    read_bundle(other, bundle_bytes(store, study_id, with_data=True))
    assert other.study(study_id).study.data.path == str(kept)
    assert list(kept.parent.iterdir()) == [kept]


def test_the_unpacked_study_file_finds_its_data(
    store: Store, study_id: str, tmp_path: Path
) -> None:
    path = write_bundle(store, study_id, tmp_path / "out" / "study.zip", with_data=True)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "by hand")
    study = load_study(tmp_path / "by hand" / "study.toml")
    assert study.fingerprint() == store.study(study_id).study.fingerprint()
    assert Path(study.data.path).read_bytes().startswith(b"text,label")


def test_it_may_be_read_from_a_file_and_is_written_in_the_log(
    store: Store, other: Store, study_id: str, tmp_path: Path
) -> None:
    path = write_bundle(store, study_id, tmp_path / "study.zip", with_data=True)
    assert read_bundle(other, path).study == study_id
    assert store.ledger.entries()[-1].event == "bundle_written"
    events = [entry.event for entry in other.ledger.entries()]
    assert events == ["dataset_added", "study_imported"]
    assert other.ledger.entries()[-1].facts["study"] == study_id
    assert refused(other, tmp_path / "nothing.zip") == "file_not_found"


def test_runs_without_a_result_are_left_out_and_told(
    store: Store, other: Store, tmp_path: Path
) -> None:
    study_id = draft(store, tmp_path)
    finish(store, study_id, failed=["lora-r8"], left=["tfidf"])
    came = read_bundle(other, bundle_bytes(store, study_id, with_data=False))
    assert {(run.arm, run.status) for run in came.left_out} == {
        ("lora-r8", "failed"),
        ("tfidf", "queued"),
    }
    assert {run.arm for run in other.runs(study_id)} == {"kasa-r8", "frozen_head"}
    assert told(other, study_id)["verdicts"] == told(store, study_id)["verdicts"]
    assert other.active_runs() == []


def test_a_study_that_was_not_started_has_no_bundle(store: Store, tmp_path: Path) -> None:
    for study_id, code in ((draft(store, tmp_path), "no_rows"), ("00ff", "no_such_study")):
        with pytest.raises(StoreError) as caught:
            bundle_bytes(store, study_id, with_data=False)
        assert caught.value.code == code


# -- twice, and beside another ------------------------------------------------------------------


@pytest.mark.parametrize("with_data", [True, False])
def test_an_equal_study_is_here_already(
    store: Store, other: Store, study_id: str, with_data: bool
) -> None:
    content = bundle_bytes(store, study_id, with_data=with_data)
    assert not read_bundle(store, content).new
    assert read_bundle(other, content).new
    before = state(other)
    again = read_bundle(other, content)
    assert (again.new, again.study) == (False, study_id)
    assert state(other) == before


def test_where_an_id_is_taken_study_and_runs_get_new_ones(store: Store, study_id: str) -> None:
    content = bundle_bytes(store, study_id, with_data=True)
    study = store.study(study_id).study
    store.update_study(study_id, replace(study, title="Renamed since"))
    came = read_bundle(store, content)
    assert came.new
    assert came.study != study_id
    mine, theirs = store.runs(study_id), store.runs(came.study)
    assert not {run.id for run in mine} & {run.id for run in theirs}
    found, known = told(store, came.study), told(store, study_id)
    names = {theirs.id: mine.id for mine, theirs in zip(mine, theirs, strict=True)}
    words = json.dumps(found["verdicts"])
    for new, old in names.items():
        words = words.replace(new, old)
    assert json.loads(words) == json.loads(json.dumps(known["verdicts"]))
    assert (found["title"], known["title"]) == ("Which *defect*?", "Renamed since")
    assert read_json(theirs[0].folder / "config.json")["study_id"] == came.study
    assert read_bundle(store, content) == replace(came, new=False)


def test_with_the_data_it_is_another_study_than_without(
    store: Store, other: Store, study_id: str
) -> None:
    read_bundle(other, bundle_bytes(store, study_id, with_data=False))
    came = read_bundle(other, bundle_bytes(store, study_id, with_data=True))
    assert came.new
    assert len(other.rows(came.study)) == 240


# -- other tasks: answers in words --------------------------------------------------------------


def word_study(store: Store, folder: Path, task: str) -> str:
    """Return a finished study whose answers are words, some with personal data."""
    folder.mkdir(exist_ok=True)
    rows = [
        {
            "ask": f"question {row} from {MAIL}",
            "say": f"answer words {row % 5} to {MAIL}",
            "one": f"answer words {row % 5} to {MAIL}",
            "two": f"something else {row % 7}",
        }
        for row in range(80)
    ]
    pd.DataFrame(rows).to_csv(folder / "asked.csv", index=False)
    choices = ("one", "two") if task == "multiple_choice" else ()
    data = DataSpec(str(folder / "asked.csv"), prompt="ask", answer="say", choices=choices)
    arms = (Arm("lora", 4), Arm("zero_shot"))
    study = Study("Words", "embedded", data, arms, Protocol("quick"))
    study_id = store.create_study(study)
    for run in store.start_study(study_id):
        table = store.rows(study_id)
        test = table[table["part"] == "test"]
        labels = list(test["answer"])
        wrong = 3 if run.method == "lora" else 2
        said = [
            f"something else {i % 7}" if i % wrong == 0 else label for i, label in enumerate(labels)
        ]
        done = finished_run(str(run.arm), int(run.seed or 0), labels, said, rows=list(test["row"]))
        write_result(run.folder, done)
        result = read_json(run.folder / "result.json")
        if task == "generation":
            right = [float(a == b) for a, b in zip(labels, said, strict=True)]
            frame = done.predictions.drop(columns="confidence")
            frame = frame.assign(exact_match=right, chrf=[0.3 + 0.5 * x for x in right])
            frame.to_csv(run.folder / "predictions.csv", index=False)
            share = float(np.mean(right))
            result["measured"]["metrics"] = {"chrf": 0.3 + 0.5 * share, "exact_match": share}
        result["measured"]["labels"] = []
        write_json(run.folder / "result.json", result)
        store.mark(run.id, "finished")
    return study_id


@pytest.mark.parametrize("task", ["multiple_choice", "generation"])
def test_answers_in_words_become_numbers_and_the_verdicts_stay(
    store: Store, other: Store, tmp_path: Path, task: str
) -> None:
    study_id = word_study(store, tmp_path / "words", task)
    content = bundle_bytes(store, study_id, with_data=False)
    for name, found in unpacked(content).items():
        for text in (b"answer words", b"something else", MAIL.encode(), b"question 1"):
            assert text not in found, name
    read_bundle(other, content)
    assert told(other, study_id) == told(store, study_id)
    here, there = (gather(each, study_id).disagreements for each in (store, other))
    assert list(there["row"]) == list(here["row"])
    assert len(there) > 3
    assert set(there["label"]) == {"#1"}
    assert set(there["lora-r4"]) <= {"#1", "#2"}
    assert bundle_bytes(other, study_id, with_data=False) == content


def test_class_names_with_personal_data_are_masked_where_the_study_masks(
    store: Store, other: Store, tmp_path: Path
) -> None:
    names = ("a@example.com", "b@example.com")
    lines = [f"text number {row},{names[row % 2]},line{row % 3}@example.com" for row in range(80)]
    (tmp_path / "names.csv").write_text("\n".join(["text,who,line", *lines]), "utf-8")
    data = DataSpec(str(tmp_path / "names.csv"), "text", "who", group="line", split_by="label")
    arms = (Arm("tfidf"), Arm("majority"))
    study_id = store.create_study(Study("Who?", "embedded", data, arms, Protocol("quick")))
    for run in store.start_study(study_id):
        rows = store.rows(study_id)
        test = rows[rows["part"] == "test"]
        labels = list(test["label"])
        said = labels if run.method == "tfidf" else [names[0]] * len(labels)
        done = finished_run(str(run.arm), 0, labels, said, rows=list(test["row"]))
        write_result(run.folder, done)
        store.mark(run.id, "finished")
    content = bundle_bytes(store, study_id, with_data=False)
    assert not any(b"@example.com" in found for found in unpacked(content).values())
    read_bundle(other, content)
    assert told(other, study_id) == told(store, study_id)
    here, there = gather(store, study_id), gather(other, study_id)
    assert there.card.labels == here.card.labels
    assert (there.classes, there.groups) == (here.classes, here.groups)
    assert here.groups


# -- hostile and damaged bundles ----------------------------------------------------------------


@pytest.fixture
def files(store: Store, study_id: str) -> dict[str, bytes]:
    return unpacked(bundle_bytes(store, study_id, with_data=True))


Change = Callable[[dict[str, bytes]], bytes]


def with_file(name: str, content: bytes = b"x") -> Change:
    return lambda files: relisted(files | {name: content})


def any_of(files: dict[str, bytes], ending: str) -> str:
    return next(name for name in files if name.endswith(ending))


def replaced(ending: str, content: bytes) -> Change:
    """Put other content into a file of the bundle, with a manifest that fits."""
    return lambda files: relisted(files | {any_of(files, ending): content})


def edited(ending: str, edit: Callable[[Any], object]) -> Change:
    """Change a JSON file of the bundle in place, with a manifest that fits."""

    def change(files: dict[str, bytes]) -> bytes:
        name = any_of(files, ending)
        record = json.loads(files[name])
        edit(record)
        return relisted(files | {name: json.dumps(record).encode()})

    return change


def manifest_says(**changes: Any) -> Change:
    return lambda files: relisted(files, **changes)


def toml(old: bytes, new: bytes) -> Change:
    def change(files: dict[str, bytes]) -> bytes:
        assert old in files["study.toml"]
        return relisted(files | {"study.toml": files["study.toml"].replace(old, new)})

    return change


def without(ending: str, *, listed: bool) -> Change:
    def change(files: dict[str, bytes]) -> bytes:
        name = any_of(files, ending)
        rest = {each: content for each, content in files.items() if each != name}
        return packed(rest) if listed else relisted(rest)

    return change


def not_as_listed(files: dict[str, bytes]) -> bytes:
    """Change a byte of a file and not its size."""
    name = any_of(files, "predictions.csv")
    return packed(files | {name: files[name].replace(b"0.9", b"0.8")})


def doubled(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO(packed(files))
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(buffer, "a") as archive,
    ):
        archive.writestr("study.toml", files["study.toml"])
    return buffer.getvalue()


def linked(files: dict[str, bytes]) -> bytes:
    name = any_of(files, "result.json")
    rest = {each: content for each, content in files.items() if each != name}
    buffer = io.BytesIO(packed(rest))
    with zipfile.ZipFile(buffer, "a") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, files[name])
    return buffer.getvalue()


def bomb(files: dict[str, bytes]) -> bytes:
    return with_file("data/zeros.csv", bytes(bundle_archive.MOST_FILE_BYTES + 1))(files)


def lying_size(files: dict[str, bytes]) -> bytes:
    """Say in the zip's own list that a file is small which unpacks to more."""
    name, size = any_of(files, "card.json"), len(files[any_of(files, "card.json")])
    content = packed(files | {name: files[name] + b" " * 5_000_000})
    return content.replace((size + 5_000_000).to_bytes(4, "little"), size.to_bytes(4, "little"))


def many_names(files: dict[str, bytes]) -> bytes:
    return packed(files | {f"runs/{number}": b"" for number in range(10_001)})


HOSTILE: dict[str, tuple[Change, str]] = {
    "up": (with_file("../up.json"), "bundle_foreign"),
    "up within": (with_file("runs/../../up.json"), "bundle_foreign"),
    "absolute": (with_file("/tmp/evil.json"), "bundle_foreign"),  # noqa: S108
    "drive": (with_file("C:\\evil.json"), "bundle_foreign"),
    "backslashes": (with_file("data/..\\..\\evil.csv"), "bundle_foreign"),
    "device": (with_file("data/con"), "bundle_foreign"),
    "folder": (with_file("data/"), "bundle_foreign"),
    "double": (doubled, "bundle_foreign"),
    "link": (linked, "bundle_foreign"),
    "not listed": (lambda files: packed(files | {"card2.json": b"{}"}), "bundle_foreign"),
    "pickle": (with_file("head.bin", pickle.dumps({})), "bundle_foreign"),
    "script": (with_file("sitecustomize.py"), "bundle_foreign"),
    "run of nobody": (with_file("runs/00ff/result.json", b"{}"), "bundle_foreign"),
    "own config": (with_file("runs/00ff/config.json", b"{}"), "bundle_foreign"),
    "bomb": (bomb, "bundle_too_large"),
    "lying size": (lying_size, "bundle_unreadable"),
    "many names": (many_names, "bundle_unreadable"),
    "wrong hash": (not_as_listed, "bundle_incomplete"),
    "missing": (without("result.json", listed=True), "bundle_incomplete"),
    "missing and not listed": (without("result.json", listed=False), "bundle_incomplete"),
    "no rows": (without("rows.jsonl", listed=False), "bundle_incomplete"),
    "no data": (without("notes.csv", listed=False), "bundle_incomplete"),
    "no manifest": (without("manifest.json", listed=True), "bundle_unreadable"),
    "other data": (replaced("notes.csv", b"text,label\n"), "bundle_incomplete"),
    "newer": (manifest_says(format=2), "bundle_newer"),
    "another kind": (manifest_says(kind="photos"), "bundle_unreadable"),
    "no id": (manifest_says(study=".."), "bundle_unreadable"),
    "no time": (manifest_says(created_at="yesterday"), "bundle_unreadable"),
    "runs that are none": (manifest_says(runs=[{"id": "../x"}]), "bundle_unreadable"),
    "data that is not announced": (manifest_says(with_data=False), "bundle_foreign"),
    "data that is elsewhere": (toml(b"sha256 = ", b"test_sha256 = "), "bundle_unreadable"),
    "hash that is a path": (toml(b'sha256 = "', b'sha256 = "../../'), "bundle_unreadable"),
    "settings of later": (toml(b"[data]", b"[data]\nlater = 1"), "unknown_setting"),
    "settings that are none": (replaced("study.toml", b"\xff"), "bundle_unreadable"),
    "pickled weights": (replaced("head.safetensors", pickle.dumps({})), "bundle_unreadable"),
    "half the weights": (replaced("head.safetensors", b"\x08"), "bundle_unreadable"),
    "deep": (replaced("result.json", b"[" * 200_000), "bundle_unreadable"),
    "no numbers": (
        edited("result.json", lambda r: r["measured"].update(total_seconds="x")),
        "bundle_unreadable",
    ),
    "no metrics": (
        edited("result.json", lambda r: r["measured"].update(metrics={})),
        "bundle_unreadable",
    ),
    "invented facts": (
        edited("result.json", lambda r: r["measured"].update(later=1)),
        "bundle_unreadable",
    ),
    **{
        f"measured {name}": (
            edited("result.json", lambda r, facts=facts: r["measured"].update(facts)),
            "bundle_unreadable",
        )
        for name, facts in {
            "selected as a list": {"selected": [1]},
            "selected in words": {"selected": {"C": "x"}},
            "trials in words": {"trials": ["x"]},
            "a trial in words": {"trials": [{"learning_rate": "x", "validation": {}}]},
            "labels as numbers": {"labels": [1, 2, 3]},
            "validation as a list": {"validation": []},
            "collateral in words": {"collateral": "x"},
            "a cost below zero": {"total_seconds": -1},
            "a cost beyond all": {"train_seconds": 1e300},
        }.items()
    },
    "condition hosts": (
        edited("result.json", lambda r: r["conditions"].update(outside_hosts=5)),
        "bundle_unreadable",
    ),
    **{
        f"card {name}": (
            edited("card.json", lambda card, facts=facts: card.update(facts)),
            "bundle_unreadable",
        )
        for name, facts in {
            "no sizes": {"sizes": {}},
            "counts in words": {"labels": {"oil": "x"}},
            "personal in words": {"personal": {"phone": "x"}},
            "a strange problem": {"problems": [{"kind": "x", "count": 1, "treatment": "kept"}]},
            "a strange split": {"split_by": "moon"},
            "a hash that is a number": {"sha256": 5},
            "a length in words": {"median_length": "x"},
            "no file": {"file": None},
        }.items()
    },
    "long ago": (manifest_says(created_at="0001-01-01T00:00:00+14:00"), "bundle_unreadable"),
    "no predictions": (replaced("predictions.csv", b"row\n1\n"), "bundle_unreadable"),
    "no card": (replaced("card.json", b"{}"), "bundle_unreadable"),
    "rows of another kind": (replaced("rows.jsonl", b'{"row": 1}\n'), "bundle_unreadable"),
    "no zip": (lambda _: b"PK" + bytes(200), "bundle_unreadable"),
    "half a zip": (lambda files: packed(files)[:-200], "bundle_unreadable"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_damaged_bundle_is_refused_and_leaves_nothing(
    other: Store, files: dict[str, bytes], name: str
) -> None:
    change, code = HOSTILE[name]
    assert refused(other, change(files)) == code
    assert not (other.home.parent / "up.json").exists()


def test_the_untouched_files_are_accepted(other: Store, files: dict[str, bytes]) -> None:
    assert read_bundle(other, relisted(files)).new


def failing(after: int) -> Callable[[Path, bytes], None]:
    """Return a write that fails once the disk has taken so many files."""
    left = iter(range(after))

    def write(path: Path, content: bytes) -> None:
        if next(left, None) is None:
            raise StoreError("disk_full", path=str(path), detail="full")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return write


@pytest.mark.parametrize("after", [0, 1, 3, 6, 10])
def test_a_full_disk_half_way_leaves_nothing(
    store: Store, other: Store, study_id: str, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    content = bundle_bytes(store, study_id, with_data=True)
    with monkeypatch.context() as patch:
        write = failing(after)
        patch.setattr(bundle_arrival, "write_bytes", write)
        patch.setattr(writing, "write_bytes", write)
        assert refused(other, content) == "disk_full"
    assert read_bundle(other, content).new


def test_folders_of_an_import_that_was_killed_are_left_alone(
    store: Store, other: Store, study_id: str
) -> None:
    left = other.study_folder(study_id)
    left.mkdir(parents=True)
    (left / "study.toml").write_text("half", "utf-8")
    came = read_bundle(other, bundle_bytes(store, study_id, with_data=False))
    assert came.study != study_id
    assert (left / "study.toml").read_text("utf-8") == "half"


def test_hub_access_does_not_travel(store: Store, other: Store, study_id: str) -> None:
    for run in store.runs(study_id):
        result = read_json(run.folder / "result.json")
        write_json(run.folder / "result.json", result | {"asked": {"hub_access": True}})
    read_bundle(other, bundle_bytes(store, study_id, with_data=True))
    for run in other.runs(study_id):
        assert read_json(run.folder / "config.json")["hub_access"] is False
        assert read_json(run.folder / "result.json")["asked"]["hub_access"] is False


def test_a_bundle_that_would_be_too_large_is_not_made(
    store: Store, study_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_archive, "MOST_BYTES", 5_000)
    assert refused_to_bundle(store, study_id) == "bundle_too_large"


def test_predictions_keep_every_digit(store: Store, study_id: str) -> None:
    (run, *_) = store.runs(study_id)
    files = unpacked(bundle_bytes(store, study_id, with_data=False))
    kept = list(csv.reader(io.StringIO(files[f"runs/{run.id}/predictions.csv"].decode())))
    table = run.folder / "predictions.csv"
    assert kept == list(csv.reader(io.StringIO(table.read_text("utf-8"))))
