"""The command line's contract: verbs, the last line's document, exit codes, and what errors say."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from threadpoolctl import threadpool_limits

from kasa import commands
from kasa.__main__ import VERBS, main, parser
from kasa.arms import Arm
from kasa.commands import CRITERION_NAMES
from kasa.data.check import check_file
from kasa.dataspec import Reading
from kasa.model.source import resolve_model
from kasa.model.weights import linear_weights, read_weight
from kasa.runs.process import alive
from kasa.runs.store import Store
from kasa.study import Gates, Protocol, study_from_dict
from kasa.text import translator
from tests.known_answers import bert_tensors, write_model
from tests.small_studies import ONE_THREAD, small_study

ROOT = Path(__file__).resolve().parent.parent
RUN_KEYS = {
    *("id", "arm", "method", "seed", "status", "metrics"),
    *("prepare_seconds", "train_seconds", "peak_memory_bytes"),
    *("num_trainable_params", "num_total_params"),
}
VERDICT_KEYS = {"a", "b", "metric", "difference", "interval", "verdict"}


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The last line on stdout, which is the JSON document."""
        document: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return document


def kasa(*arguments: str | Path) -> Answer:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Answer(code, out.getvalue(), err.getvalue())


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "kasa", *map(str, arguments)]


def end_dispatcher(store: Store) -> None:
    """End the dispatcher that a command of this test left waiting for more work."""
    with store.connect() as db:
        row = db.execute("SELECT pid, pid_created FROM dispatcher").fetchone()
    if row is not None and alive(row["pid"], row["pid_created"]):
        psutil.Process(row["pid"]).kill()


# -- the parser ---------------------------------------------------------------------------------


def test_every_verb_of_the_parser_does_something() -> None:
    (verbs,) = (a for a in parser()._subparsers._group_actions)  # type: ignore[union-attr]
    assert set(verbs.choices or ()) == set(VERBS)
    for sub in (verbs.choices or {}).values():
        assert {"--json", "--lang"} <= set(sub._option_string_actions)


@pytest.mark.parametrize(
    "wrong",
    [
        (),
        ("fly",),
        ("spectrum",),
        ("propose", "embedded"),
        ("propose", "embedded", "--criterion", "magic"),
        ("run", "study.toml", "--executor", "cloud"),
        ("compare", "x", "--lang", "fr"),
        ("predict", "some-run"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_done(
    wrong: tuple[str, ...], workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(list(wrong))
    assert caught.value.code == 2
    assert "usage: python -m kasa" in capsys.readouterr().err
    assert list(workspace.iterdir()) == []


def test_help_names_the_verbs() -> None:
    done = subprocess.run(command("--help"), cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(verb in done.stdout for verb in VERBS)


# -- check-data ---------------------------------------------------------------------------------


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Return a CP932 file with two empty cells, one duplicate and one conflict."""
    rows = [f"{i}号機で異音がする,{'機械' if i % 2 else '電気'}" for i in range(20)]
    rows += [",機械", "油漏れ,", "0号機で異音がする,電気", "同じ文,機械", "同じ文,電気"]
    path = tmp_path / "記録.csv"
    path.write_bytes("\r\n".join(["所見,担当", *rows]).encode("cp932"))
    return path


def test_check_data_ends_with_its_document(workspace: Path, notes: Path) -> None:
    answer = kasa("check-data", notes, "--json", "--lang", "ja")
    found = answer.document
    assert answer.code == 0
    assert (found["format"], found["encoding"], found["rows"]) == ("csv", "cp932", 25)
    roles = {column["name"]: column["role"] for column in found["columns"]}
    assert roles == {"所見": "text", "担当": "label"}
    assert found["task"] == "classification"
    problems = {p["kind"]: (p["count"], p["rows"]) for p in found["problems"]}
    assert problems == {
        "empty_text": (1, [22]),
        "empty_label": (1, [23]),
        "duplicate": (1, [24]),
        "conflicting_labels": (2, [25, 26]),
        "near_duplicate": (2, [3, 13]),
    }
    assert all(problem["fix"].endswith("。") for problem in found["problems"])


def test_check_data_for_people_is_in_their_language(workspace: Path, notes: Path) -> None:
    english, japanese = (kasa("check-data", notes, "--lang", lang) for lang in ("en", "ja"))
    assert "所見: Text" in english.out
    assert "Duplicate × 1 (Left out) [24]" in english.out
    assert "所見: 文章" in japanese.out
    assert "重複 × 1（使わない）[24]" in japanese.out
    assert not {"empty_text", "duplicate"} & set(japanese.out.replace(":", " ").split())
    assert not english.out.splitlines()[-1].startswith("{")


def test_check_data_takes_the_columns_that_are_named(workspace: Path, notes: Path) -> None:
    found = kasa("check-data", notes, "--text", "担当", "--label", "所見", "--json").document
    assert {c["name"]: c["role"] for c in found["columns"]} == {"所見": "label", "担当": "text"}
    wrong = kasa("check-data", notes, "--label", "部署", "--lang", "ja")
    assert wrong.code == 1
    values = {"name": "部署", "known": "所見, 担当"}
    for part in ("what", "cause", "do"):
        assert translator("ja")(f"errors.data_column_missing.{part}", **values) in wrong.err


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_check_data_says_what_the_library_says(workspace: Path, notes: Path, lang: str) -> None:
    plain = kasa("check-data", notes, "--json", "--lang", lang).document
    assert plain == json.loads(json.dumps(check_file(notes, lang)))
    options = ("--fixes", "width,duplicate", "--encoding", "cp932", "--header-row", "1")
    chosen = kasa("check-data", notes, "--json", "--lang", lang, *options).document
    reading = Reading(encoding="cp932", header_row=1)
    fixes = ("width", "duplicate")
    assert chosen == json.loads(json.dumps(check_file(notes, lang, reading=reading, fixes=fixes)))
    assert {p["kind"]: p["applied"] for p in chosen["problems"]} == {
        "empty_text": True,
        "empty_label": True,
        "conflicting_labels": False,
        "duplicate": True,
        "near_duplicate": False,
    }


def test_check_data_joins_columns_and_hides_personal_data(workspace: Path, tmp_path: Path) -> None:
    rows = [f"{word} stops,call 03-1234-5678,{'ab'[i % 2]}" for i, word in enumerate("cdefghij")]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["title,body,crew", *rows]), "utf-8")
    joined = kasa("check-data", path, "--template", "{title} / {body}", "--json")
    assert joined.code == 0
    assert "03-1234-5678" not in joined.out
    assert "[phone]" in joined.out
    wrong = kasa("check-data", path, "--template", "{title} / {nothing}")
    assert "nothing" in wrong.err


def on_a_narrow_console(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run a command whose stdout takes CP932 only, as a pipe on a Japanese Windows does."""
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "cp932"},
        check=False,
    )


def test_letters_that_the_console_lacks_do_not_end_a_command(
    workspace: Path, tmp_path: Path
) -> None:
    rows = [f"pump {i} 🔧,{'a' if i % 2 else 'b'}" for i in range(20)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows]), "utf-8")
    done = on_a_narrow_console("check-data", tmp_path / "a.csv", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout.decode("cp932").splitlines()[-1])
    assert document["columns"][0]["examples"][0] == "pump 0 🔧"


# -- spectrum and propose -----------------------------------------------------------------------


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return write_model(tmp_path / "bert", bert_tensors())


def test_spectrum_of_a_folder(workspace: Path, bert: Path, tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "spectra.npz"
    answer = kasa("spectrum", bert, "--out", out, "--json")
    document = answer.document
    assert answer.code == 0
    assert document["model_sha256"] == resolve_model(str(bert)).sha256
    assert {s["name"]: s["reason"] for s in document["skipped"]} == {
        "embeddings.word_embeddings.weight": "embedding"
    }
    query = "encoder.layer.0.attention.self.query"
    matrices = {m["module"]: m for m in document["matrices"]}
    assert matrices[query]["shape"] == [8, 8]
    assert (matrices[query]["largest"], matrices[query]["smallest"]) == pytest.approx((8, 1))
    assert matrices["pooler.dense"]["effective_rank"] == pytest.approx(8)
    assert matrices["encoder.layer.1.attention.self.value"]["stable_rank"] == pytest.approx(1)
    with np.load(out, allow_pickle=False) as arrays:
        assert set(arrays.files) == set(matrices)
        np.testing.assert_allclose(arrays[query], range(8, 0, -1), rtol=1e-6)
    assert query in answer.out
    assert "9 of 9" in answer.err
    assert str(out) in answer.err


@pytest.mark.slow
def test_spectrum_of_the_embedded_model_agrees_with_numpy(workspace: Path, tmp_path: Path) -> None:
    source = resolve_model("embedded")
    with threadpool_limits(1):
        answer = kasa("spectrum", "embedded", "--out", tmp_path / "s.npz", "--json")
        known = {
            weight.module: np.linalg.svd(
                read_weight(source, weight.name).numpy().astype(np.float64), compute_uv=False
            )
            for weight in linear_weights(source)
        }
    assert [m["module"] for m in answer.document["matrices"]] == list(known)
    with np.load(tmp_path / "s.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == set(known)
        assert all(arrays[module].shape == known[module].shape for module in known)
        worst = max(np.abs(arrays[m] - known[m]).max() / known[m][0] for m in known)
    assert worst < 1e-7


@pytest.mark.parametrize("criterion", CRITERION_NAMES)
def test_propose_writes_a_plan(workspace: Path, bert: Path, tmp_path: Path, criterion: str) -> None:
    out = tmp_path / "plan.toml"
    options = ["--rank", "3", "--tau", "0.9", "--out", str(out), "--json"]
    answer = kasa("propose", bert, "--criterion", criterion, *options)
    document = answer.document
    assert (answer.code, document["criterion"]) == (0, criterion)
    plan = tomllib.loads(out.read_text("utf-8"))
    assert (plan["model"], plan["criterion"]) == (str(bert), criterion)
    assert len(plan["weights"]) == len(document["weights"]) == 9
    for planned, told in zip(plan["weights"], document["weights"], strict=True):
        assert planned["module"] == told["module"]
        assert planned["removed_components"] == told["num_removed"]
        assert told["num_kept"] + told["num_removed"] == 8
    query = document["weights"][1]
    # The query's σ are 8…1: Σσ² = 204, of which 8, 7, 6 and 5 hold 85 % and 4 makes it 93 %.
    known = {"paper": 3, "energy": 3, "none": 0}
    if criterion in known:
        assert query["num_removed"] == known[criterion]


def test_a_plan_without_a_file_is_printed(workspace: Path, bert: Path) -> None:
    answer = kasa("propose", bert, "--criterion", "paper", "--rank", "1", "--json")
    plan = tomllib.loads(answer.out[: answer.out.rindex("\n{")])
    assert [weight["removed_components"] for weight in plan["weights"]] == [1] * 9


# -- what errors say ----------------------------------------------------------------------------


def write_toml(folder: Path, content: str) -> Path:
    path = folder / "study.toml"
    path.write_text(content, "utf-8")
    return path


@dataclass(frozen=True)
class Failure:
    """A call that must fail: its arguments ({folder} is the test's own), and the error's code."""

    arguments: tuple[str, ...]
    code: str

    def __str__(self) -> str:
        return f"{self.arguments[0]}-{self.code}"


FAILURES = [
    Failure(("spectrum", "{folder}/none"), "model_not_found"),
    Failure(("spectrum", "someone/some-model"), "hub_off"),
    Failure(("spectrum", "{folder}"), "model_no_config"),
    Failure(("propose", "{folder}/bert", "--criterion", "energy", "--tau", "2"), "bad_criterion"),
    Failure(
        ("propose", "{folder}/bert", "--criterion", "none", "--out", "{folder}"), "cannot_write"
    ),
    Failure(("spectrum", "{folder}/bert", "--out", "{folder}/file/x.npz"), "cannot_write"),
    Failure(("check-data", "{folder}/none.csv"), "file_not_found"),
    Failure(("check-data", "{folder}"), "file_not_found"),
    Failure(("check-data", "{folder}/empty.csv"), "data_empty"),
    Failure(("estimate", "{folder}/none.toml"), "file_not_found"),
    Failure(("run", "{folder}/none.toml"), "file_not_found"),
    Failure(("run", "{folder}/bad.toml"), "not_toml"),
    Failure(("run", "{folder}/unknown.toml"), "unknown_setting"),
    Failure(("run", "{folder}/wrong.toml"), "bad_setting"),
    Failure(("run", "{folder}/no_data.toml"), "data_not_found"),
    Failure(("compare", "00ff"), "no_such_study"),
    Failure(("compare", "../.."), "no_such_study"),
    Failure(("compare", "{folder}/not_run.toml"), "study_not_run"),
    Failure(("report", "00ff"), "no_such_study"),
    Failure(("report", "00ff", "--format", "html,docx"), "unknown_format"),
    Failure(("predict", "00ff", "text"), "no_such_run"),
]


@pytest.fixture
def folder(tmp_path: Path, bert: Path) -> Path:
    """Return a folder with files that are wrong in one way each."""
    data = '[data]\npath = "empty.csv"\ntext = "a"\nlabel = "b"\n'
    files = {
        "file": "",
        "empty.csv": "",
        "bad.toml": "title = ",
        "unknown.toml": f'title = "x"\nepochs = 3\n{data}',
        "wrong.toml": f'title = "x"\n{data}[protocol]\nprofile = "slow"\n',
        "no_data.toml": 'title = "x"\n[data]\npath = "none.csv"\ntext = "a"\nlabel = "b"\n',
        "not_run.toml": f'title = "x"\n{data}',
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content, "utf-8")
    return tmp_path


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_an_error_says_what_why_and_what_to_do(
    workspace: Path, folder: Path, failure: Failure, lang: str
) -> None:
    arguments = [argument.format(folder=folder) for argument in failure.arguments]
    answer = kasa(*arguments, "--lang", lang, "--json")
    assert answer.code == 1
    assert answer.out == ""
    last = answer.err.splitlines()[-1]
    for part in ("what", "cause", "do"):
        sentence = translator(lang)(f"errors.{failure.code}.{part}")
        for words in literal_words(sentence):
            assert words in last
    assert "Traceback" not in answer.err


def literal_words(sentence: str) -> list[str]:
    """Return what stands between the placeholders of a sentence."""
    pieces = sentence.replace("}", "{").split("{")[::2]
    return [piece for piece in pieces if piece.strip()]


def test_errors_leave_the_process_with_code_one(workspace: Path) -> None:
    done = subprocess.run(
        command("compare", "00ff", "--lang", "ja", "--json"),
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONUTF8": "1"},
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip() == (
        "検証 00ff は、この作業フォルダーにありません。 削除されたか、別のパソコンのリンクを開いた"
        "可能性があります。 ホーム画面で検証を選んでください。"
    )


def test_a_workspace_that_cannot_be_written_ends_every_verb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    monkeypatch.setenv("KASA_HOME", str(tmp_path / "file"))
    answer = kasa("compare", "00ff")
    assert answer.code == 1
    assert "KASA_HOME" in answer.err


# -- a whole study ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Done:
    """A study that was run by the command line, once for all tests below."""

    home: Path
    file: Path
    answer: Answer

    def run_of(self, arm: str) -> dict[str, Any]:
        """Return the run of an arm."""
        (run,) = (run for run in self.answer.document["runs"] if run["arm"] == arm)
        found: dict[str, Any] = run
        return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """Run a study of three arms for real: one epoch with one learning rate."""
    folder = tmp_path_factory.mktemp("study")
    protocol = Protocol("quick", learning_rates=(1e-3,), epochs=1, max_length=16)
    arms = (Arm("lora", rank=2), Arm("frozen_head"), Arm("tfidf"))
    study = small_study(folder, arms, protocol)
    file = folder / "study.toml"
    file.write_text(study.to_toml().replace(str(folder), "."), "utf-8")
    home = folder / "workspace"
    environment = os.environ | {"KASA_HOME": str(home), "PYTHONUTF8": "1"} | ONE_THREAD
    done = subprocess.run(
        command("run", file, "--json", "--lang", "en"),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    yield Done(home, file, Answer(done.returncode, done.stdout, done.stderr))
    end_dispatcher(Store(home))


@pytest.fixture
def done(finished: Done, monkeypatch: pytest.MonkeyPatch) -> Done:
    """Return the finished study; its workspace is the one in use."""
    monkeypatch.setenv("KASA_HOME", str(finished.home))
    return finished


@pytest.mark.slow
def test_run_ends_with_the_contracts_document(done: Done) -> None:
    document = done.answer.document
    arms = ["lora-r2", "frozen_head", "tfidf"]
    assert [(run["arm"], run["seed"]) for run in document["runs"]] == [(arm, 0) for arm in arms]
    assert [run["method"] for run in document["runs"]] == ["lora", "frozen_head", "tfidf"]
    for run in document["runs"]:
        assert run.keys() >= RUN_KEYS
        assert run["status"] == "finished"
        assert 0 <= run["metrics"]["accuracy"] <= 1
        assert run["peak_memory_bytes"] > 10_000_000
    assert done.run_of("frozen_head")["num_trainable_params"] == 2 * (384 + 1)
    lora = done.run_of("lora-r2")
    # Query and value of 6 layers get A (2 × 384) and B (384 × 2) each; the head as above.
    assert lora["num_trainable_params"] == 12 * 2 * (2 * 384) + 2 * 385
    assert lora["num_total_params"] > 22_713_216
    assert all(verdict.keys() >= VERDICT_KEYS for verdict in document["verdicts"])
    pairs = {(verdict["a"], verdict["b"]) for verdict in document["verdicts"]}
    assert pairs == {("lora-r2", "frozen_head"), ("lora-r2", "tfidf"), ("frozen_head", "tfidf")}
    assert {gate["gate"] for gate in document["gates"]} == {"metric_min"}
    assert "LoRA" in done.answer.out
    assert f"Study {document['study']}" in done.answer.err
    assert "lora-r2 seed 0: finished" in done.answer.err


@pytest.mark.slow
def test_a_finished_run_leaves_its_files(done: Done) -> None:
    folder = Store().run_folder(done.run_of("lora-r2")["id"])
    names = {path.name for path in folder.iterdir()}
    assert names >= {"config.json", "log.txt", "events.jsonl", "result.json", "predictions.csv"}
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    conditions = json.loads((folder / "result.json").read_text("utf-8"))["conditions"]
    assert conditions["model_sha256"] == resolve_model("embedded").sha256
    assert len(conditions["data_sha256"]) == 64
    assert conditions["versions"]["torch"]


@pytest.mark.slow
def test_running_again_makes_no_new_runs(done: Done) -> None:
    before = Store().result(done.run_of("tfidf")["id"])
    again = kasa("run", done.file, "--json")
    assert again.code == 0
    assert again.document == done.answer.document
    assert len(Store().studies()) == 1
    assert Store().result(done.run_of("tfidf")["id"]) == before


@pytest.mark.slow
def test_a_new_gate_judges_the_runs_that_are_there(done: Done, tmp_path: Path) -> None:
    record = tomllib.loads(done.file.read_text("utf-8"))
    record["data"]["path"] = str(done.file.parent / "orders.csv")
    study = study_from_dict(record)
    changed = study_from_dict(
        study.to_dict() | {"title": "Again", "gates": {"train_minutes_max": 1e-9}}
    )
    file = write_toml(tmp_path, changed.to_toml())
    document = kasa("run", file, "--json").document
    assert [run["id"] for run in document["runs"]] == [
        run["id"] for run in done.answer.document["runs"]
    ]
    assert {(gate["gate"], gate["status"]) for gate in document["gates"]} == {
        ("train_minutes_max", "not_met")
    }
    assert changed.gates == Gates(train_minutes_max=1e-9)
    assert kasa("run", done.file, "--json").document == done.answer.document


@pytest.mark.slow
def test_compare_by_id_and_by_file(done: Done) -> None:
    expected = done.answer.document
    by_id = kasa("compare", expected["study"], "--json", "--lang", "ja")
    by_file = kasa("compare", done.file, "--json")
    assert by_id.document == by_file.document == expected
    assert by_id.out != by_file.out  # the sentences before it are in another language
    assert by_id.code == by_file.code == 0


@pytest.mark.slow
def test_report_by_id_and_by_file(done: Done, tmp_path: Path) -> None:
    study_id = done.answer.document["study"]
    out = tmp_path / "new" / "pack"
    answer = kasa("report", study_id, "--lang", "ja", "--out", out, "--json")
    files = {Path(file) for file in answer.document["files"]}
    csv = {"runs.csv", "arms.csv", "verdicts.csv", "predictions.csv"}
    worded = {f"report-{study_id}-ja.{kind}" for kind in ("html", "pptx", "pdf", "xlsx", "ipynb")}
    assert {file.name for file in files} == {*worded, f"report-{study_id}.json", *csv}
    assert files == set(out.iterdir())
    assert '<html lang="ja"' in (out / f"report-{study_id}-ja.html").read_text("utf-8")
    assert answer.out.splitlines()[:-1] == answer.document["files"]
    logged = Store().ledger.entries()[-1]
    assert (logged.event, logged.facts["study"]) == ("report_written", study_id)
    page = kasa("report", done.file, "--format", "html", "--out", tmp_path / "page", "--json")
    assert [Path(file).name for file in page.document["files"]] == [f"report-{study_id}-en.html"]
    facts = json.loads((out / f"report-{study_id}.json").read_text("utf-8"))
    assert facts == done.answer.document
    table = kasa("report", done.file, "--format", "csv", "--out", tmp_path / "table", "--json")
    assert {Path(file).name for file in table.document["files"]} == csv
    (tmp_path / "file").write_text("in the way", "utf-8")
    refused = kasa("report", study_id, "--out", tmp_path / "file")
    assert refused.code == 1
    assert "cannot be written" in refused.err
    assert (tmp_path / "file").read_text("utf-8") == "in the way"


@pytest.mark.slow
def test_a_report_has_the_sections_company_and_look_that_were_asked_for(
    done: Done, tmp_path: Path
) -> None:
    logo, company = tmp_path / "logo.png", "Kotobuki Works"
    Image.new("RGB", (40, 20), "navy").save(logo)
    options = ("--sections", "verdict,costs", "--company", company, "--logo", logo)
    kasa("report", done.file, "--format", "html", *options, "--out", tmp_path / "out")
    (page,) = [file.read_text("utf-8") for file in (tmp_path / "out").iterdir()]
    assert re.findall(r'<section id="(\w+)"', page) == ["verdict", "costs"]
    assert company in page
    assert "data:image/png;base64," in page
    for option, value, said in (
        ("--sections", "verdict,weather", "The section weather is not in this study's report."),
        ("--logo", done.file, "The logo cannot be used"),
        ("--template", logo, "The slide template cannot be read"),
        ("--logo", tmp_path / "none.png", "none.png cannot be read"),
    ):
        refused = kasa("report", done.file, option, value, "--out", tmp_path / "refused")
        assert refused.code == 1
        assert said in refused.err
        assert not list((tmp_path / "refused").glob("*"))


@pytest.mark.slow
@pytest.mark.parametrize("with_data", [False, True])
def test_a_bundle_brings_the_study_to_another_workspace(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_data: bool
) -> None:
    study_id, file = done.answer.document["study"], tmp_path / "study.zip"
    told = kasa("bundle", done.file, "--out", file, *(["--with-data"] * with_data), "--json")
    assert told.document == {"study": study_id, "file": str(file), "with_data": with_data}
    monkeypatch.setenv("KASA_HOME", str(tmp_path / "elsewhere"))
    brought = kasa("import", file, "--json", "--lang", "ja").document
    assert (brought["study"], brought["new"], brought["with_data"]) == (study_id, True, with_data)
    assert kasa("import", file, "--json").document["new"] is False
    there = kasa("compare", study_id, "--json").document
    for name in ("runs", "arms", "verdicts", "gates", "decision", "costs"):
        assert there[name] == done.answer.document[name]


@pytest.mark.slow
def test_predict_shows_the_tuned_model_beside_its_base(done: Done) -> None:
    texts = ["fuse blown in panel 3", "oil leaks at the pump"]
    lora = done.run_of("lora-r2")
    answer = kasa("predict", lora["id"], *texts, "--json")
    document = answer.document
    assert (answer.code, document["run"], document["arm"]) == (0, lora["id"], "lora-r2")
    logged = [entry for entry in Store().ledger.entries() if entry.facts.get("kind") == "answers"]
    assert [entry.event for entry in logged] == ["rows_read_began", "rows_read_ended"]
    assert [prediction["text"] for prediction in document["predictions"]] == texts
    for prediction, label in zip(document["predictions"], ("electrical", "hydraulic"), strict=True):
        for side in ("tuned", "base"):
            assert prediction[side]["label"] == label
            assert 0.5 < prediction[side]["confidence"] <= 1
        assert prediction["tuned"] != prediction["base"]
        assert prediction["text"] in answer.out


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["tfidf", "frozen_head"])
def test_predict_needs_a_tuned_run(done: Done, arm: str) -> None:
    answer = kasa("predict", done.run_of(arm)["id"], "text")
    assert answer.code == 1
    assert translator("en")("errors.no_tuned_model.cause") in answer.err


@pytest.mark.slow
def test_a_failed_run_ends_with_code_one_and_its_reason(workspace: Path, tmp_path: Path) -> None:
    study = small_study(tmp_path, [Arm("tfidf")])
    file = write_toml(tmp_path, study.to_toml())
    store = Store()
    study_id = store.create_study(store.settled(study))
    (run,) = store.start_study(study_id)
    (run.folder / "config.json").unlink()
    answer = kasa("run", file, "--json", "--lang", "ja")
    end_dispatcher(store)
    assert answer.code == 1
    assert [each["status"] for each in answer.document["runs"]] == ["failed"]
    assert "失敗" in answer.err
    assert "config.json" in answer.err


def test_the_queue_is_told_paused_and_moved(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "ensure_dispatcher", lambda _: None)
    assert kasa("queue", "--lang", "ja").out == "実行中のものも、待機中のものもありません。\n"
    store, study = Store(), small_study(tmp_path)
    first = store.create_study(study)
    second = store.create_study(replace(study, title="Second"))
    (run,) = store.start_study(first)
    store.start_study(second)

    def order(*arguments: str) -> list[tuple[str, bool, int, int]]:
        answer = kasa("queue", *arguments, "--json")
        assert answer.code == 0
        names = ("study", "paused", "at_work", "waiting")
        return [tuple(each[name] for name in names) for each in answer.document["studies"]]

    assert order() == [(first, False, 0, 1), (second, False, 0, 1)]
    assert order("--later", first) == [(second, False, 0, 1), (first, False, 0, 1)]
    assert order("--front", first)[0][0] == first
    store.claim_run(run.id)
    assert order("--pause", first) == [(first, True, 1, 0), (second, False, 0, 1)]
    assert "paused" in kasa("queue").out
    assert order("--go-on", first)[0] == (first, False, 1, 0)
    assert order("--stop-after", second) == [(first, False, 1, 0)]
    store.retry(store.runs(second)[0].id)
    assert order("--stop", second) == [(first, False, 1, 0)]
    assert kasa("queue", "--pause", "00ff").code == 1


@pytest.mark.slow
def test_a_run_that_is_still_stopping_is_started_again(workspace: Path, tmp_path: Path) -> None:
    study = small_study(tmp_path)
    file = write_toml(tmp_path, study.to_toml())
    store = Store()
    (run,) = store.start_study(store.create_study(store.settled(study)))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    store.mark_started(run.id, gone.pid, 1.0)
    store.stop(run.id)
    answer = kasa("run", file, "--json")
    end_dispatcher(store)
    assert answer.code == 0
    assert [(each["id"], each["status"]) for each in answer.document["runs"]] == [
        (run.id, "finished")
    ]


@pytest.mark.slow
def test_estimate_foretells_time_memory_and_money(workspace: Path, tmp_path: Path) -> None:
    protocol = Protocol("quick", seeds=(0, 1, 2), parallel_runs=2)
    study = small_study(tmp_path, protocol=protocol)
    file = write_toml(tmp_path, study.to_toml())
    answer = kasa("estimate", file, "--json", "--lang", "ja")
    end_dispatcher(Store())
    document = answer.document
    (arm,) = document["arms"]
    assert (answer.code, arm["arm"], arm["num_runs"]) == (0, "tfidf", 3)
    assert document["currency"] == "JPY"
    assert arm["total_seconds"] == pytest.approx(3 * arm["run_seconds"])
    assert document["total_seconds"] == pytest.approx(2 * arm["run_seconds"])  # two, then one
    assert document["total_seconds"] > 0
    assert document["money"] == pytest.approx(arm["total_seconds"] / 2 / 3600 * 350)
    assert document["peak_memory_bytes"] == 2 * arm["peak_memory_bytes"] > 20_000_000
    assert document["memory_bytes"] > document["peak_memory_bytes"]
    assert document["change_to_fit"] is None
    assert "秒" in answer.out
    again = kasa("estimate", file, "--json")
    assert again.document == document  # measured once
    assert Store().active_runs() == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_an_interrupted_study_is_resumed(workspace: Path, tmp_path: Path) -> None:
    study = small_study(tmp_path, protocol=Protocol("quick", seeds=(0, 1)))
    file = write_toml(tmp_path, study.to_toml())
    child = subprocess.Popen(
        command("run", file, "--lang", "en"), cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    store = Store()
    try:
        until = time.monotonic() + 120
        while not any(run.status == "running" for run in store.active_runs()):
            assert time.monotonic() < until
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 130
    assert "goes on from there" in err
    (record,) = store.studies()
    interrupted = store.runs(record.id)
    assert "cancelled" in {run.status for run in interrupted}
    answer = kasa("run", file, "--json")
    end_dispatcher(store)
    assert answer.code == 0
    assert {run["status"] for run in answer.document["runs"]} == {"finished"}
    assert {run["id"] for run in answer.document["runs"]} == {run.id for run in interrupted}
