"""The log of data handling: its chain finds every later edit, no process loses an entry."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kasa.errors import StoreError
from kasa.runs.datasets import delete_dataset
from kasa.runs.ledger import (
    GENESIS,
    Broken,
    Entry,
    Ledger,
    _readable,
    _walk,
    concerning,
    job_facts,
)
from kasa.runs.store import Store
from kasa.worker import work
from tests.result_files import draft, finish
from tests.small_studies import small_study, start_small_study

ROOT = Path(__file__).resolve().parent.parent
ADD = """
import sys
from pathlib import Path
from kasa.runs.store import Store
ledger = Store(Path(sys.argv[1])).ledger
for number in range(int(sys.argv[3])):
    ledger.append("report_written", format=sys.argv[2], copy=number)
"""


@pytest.fixture
def store(workspace: Path) -> Store:
    return Store()


@pytest.fixture
def ledger(store: Store) -> Ledger:
    """Return a log of six entries."""
    for number in range(6):
        store.ledger.append("report_written", format="pptx", study=f"00{number}", name="日本語")
    return store.ledger


def events(store: Store) -> list[str]:
    return [entry.event for entry in store.ledger.entries()]


def refuse(number: int) -> Callable[[int], None]:
    def fsync(_handle: int) -> None:
        raise OSError(number, os.strerror(number))

    return fsync


# -- the chain ----------------------------------------------------------------------------------


def test_every_entry_says_who_when_what_and_holds_the_hash_of_the_one_before(
    ledger: Ledger,
) -> None:
    entries = ledger.entries()
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert [entry.previous for entry in entries] == [GENESIS, *(e.hash for e in entries[:-1])]
    first = entries[0]
    assert first.event == "report_written"
    assert first.program in {"other", "studio"}  # tests of pages may have imported Streamlit
    assert first.facts == {"format": "pptx", "study": "000", "name": "日本語"}
    assert first.user
    assert first.at.utcoffset() is not None
    assert ledger.standing().broken is None
    standing = ledger.standing()
    assert (standing.number, standing.hash, standing.missed) == (6, entries[-1].hash, 0)


def test_no_log_is_no_broken_log(store: Store) -> None:
    assert (store.ledger.entries(), store.ledger.standing().broken) == ([], None)
    assert store.ledger.content() == b""


@pytest.mark.parametrize(
    ("program", "wanted"),
    [
        (("-m", "kasa.worker"), "worker"),
        (("-m", "kasa.runs.local"), "worker"),
        (("-m", "kasa"), "command_line"),
        (("-c", ""), "other"),
        (("streamlit", ""), "studio"),
    ],
)
def test_the_program_is_named(program: tuple[str, ...], wanted: str, tmp_path: Path) -> None:
    spec = f"importlib.machinery.ModuleSpec('{program[1]}', None)" if program[0] == "-m" else "None"
    spec = spec.replace("'kasa'", "'kasa.__main__'")
    code = (
        "import importlib.machinery, sys\n"
        f"sys.modules['__main__'].__spec__ = {spec}\n"
        f"sys.modules.update({{{program[0]!r}: sys}})\n"
        "from kasa.runs.ledger import program\nprint(program())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == wanted


edit = st.tuples(st.integers(0, 10**6), st.integers(0, 255))


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(way=st.sampled_from(["change", "insert", "remove"]), where=edit)
def test_one_byte_changed_anywhere_is_found(ledger: Ledger, way: str, where: edit) -> None:
    content, last = ledger.content(), ledger.entries()[-1]
    place, byte = where[0] % len(content), bytes([where[1]])
    other = {
        "change": content[:place] + byte + content[place + 1 :],
        "insert": content[:place] + byte + content[place:],
        "remove": content[:place] + content[place + 1 :],
    }[way]
    _, broken = _walk(other.split(b"\n"), (last.number, last.hash))
    assert (broken is None) == (other == content)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)), length=st.integers(0, 6))
def test_lines_moved_or_taken_out_are_found(ledger: Ledger, order: list[int], length: int) -> None:
    lines, last = ledger.content().splitlines(), ledger.entries()[-1]
    chosen = order[:length]
    found = [*(lines[each] for each in chosen), b""]
    _, broken = _walk(found, (last.number, last.hash))
    assert (broken is None) == (chosen == list(range(6)))


@pytest.mark.parametrize(
    ("damage", "wanted"),
    [
        (lambda lines: [lines[0], lines[1].replace(b"pptx", b"html"), *lines[2:]], "changed 2"),
        (lambda lines: [*lines[:2], b"nonsense", *lines[3:]], "changed 3"),
        (lambda lines: [*lines[:2], b"", *lines[2:]], "changed 3"),
        (lambda lines: [*lines[:3], *lines[4:]], "moved 4"),
        (lambda lines: lines[1:], "moved 1"),
        (lambda lines: lines[:4], "cut 5"),
        (lambda lines: lines[:0], "cut 1"),
        (lambda lines: [*lines[:5], lines[5][:-1]], "changed 6"),
        (lambda lines: [line + b"\r" for line in lines], "changed 1"),
    ],
)
def test_what_is_wrong_and_where(
    ledger: Ledger, damage: Callable[[list[bytes]], list[bytes]], wanted: str
) -> None:
    lines = damage(ledger.content().splitlines())
    ledger.path.write_bytes(b"".join(line + b"\n" for line in lines))
    kind, number = wanted.split()
    assert ledger.standing().broken == Broken(kind, int(number))
    ledger.append("report_written", format="html")
    # What comes later does not cover it up.
    later = ledger.standing().broken
    assert later is not None
    assert later.number == int(number)


def test_a_log_made_anew_is_found_by_the_database(ledger: Ledger, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = Store(elsewhere).ledger
    for _ in range(6):
        other.append("report_written", format="pptx")
    assert other.standing().broken is None
    ledger.path.write_bytes(other.content())
    assert ledger.standing().broken == Broken("changed", 6)


# -- killed, full, protected --------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 20, -1])
def test_a_torn_line_is_told_and_the_chain_goes_on(ledger: Ledger, length: int) -> None:
    whole = ledger.content()
    part = whole.splitlines()[-1].replace(b'"number":6', b'"number":7')[:length]
    ledger.path.write_bytes(whole + part)
    assert ledger.standing().broken == Broken("torn", 7)
    assert len(ledger.entries()) == 6
    ledger.append("report_written", format="html")
    *_, torn, entry = ledger.entries()
    assert (torn.event, torn.facts["bytes"], torn.number) == ("line_torn", len(part), 7)
    assert (entry.event, entry.number) == ("report_written", 8)
    assert part + b"\n" in ledger.content()
    assert ledger.standing().broken is None
    ledger.path.write_bytes(ledger.content().replace(whole + part, whole + part[:-1] + b"?"))
    assert ledger.standing().broken == Broken("changed", 7)
    ledger.path.write_bytes(ledger.content().replace(part[:-1] + b"?\n", b""))
    assert ledger.standing().broken == Broken("changed", 7)


def test_killed_between_file_and_database_nothing_is_lost(ledger: Ledger) -> None:
    with ledger._connect() as db:
        before = db.execute("SELECT * FROM ledger_end").fetchone()
    ledger.append("report_written", format="html")
    with ledger._connect() as db:
        db.execute("UPDATE ledger_end SET number = ?, hash = ?", (before[1], before[2]))
    assert ledger.standing().broken is None
    ledger.append("report_written", format="html")
    assert [entry.number for entry in ledger.entries()] == list(range(1, 9))
    assert ledger.standing().broken is None


def test_a_line_longer_than_what_is_read_of_the_end(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.append("dataset_deleted", files=["x" * 50_000, "y" * 50_000])
    ledger.append("report_written", format="html")
    assert ledger.standing().broken is None
    assert [entry.number for entry in ledger.entries()] == list(range(1, 10))


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "disk_full"), (errno.EACCES, "cannot_write")]
)
def test_what_cannot_be_logged_costs_nobody_the_work_and_is_counted(
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
    code: str,
) -> None:
    before = ledger.content()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse(number))
        with pytest.raises(StoreError) as caught:
            ledger.append("report_written", format="html")
        assert caught.value.code == code
        with caplog.at_level(logging.WARNING):
            assert not ledger.note("report_written", format="html")
    assert "misses report_written" in caplog.text
    assert ledger.content() == before
    standing = ledger.standing()
    assert (standing.number, standing.broken, standing.missed) == (6, None, 1)
    assert ledger.note("report_written", format="html")
    assert ledger.standing().missed == 1


def test_a_deletion_that_cannot_be_logged_is_done_and_said(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = draft(store, tmp_path)
    finish(store, study_id)
    sha256 = str(store.study(study_id).study.data.sha256)
    second = store.create_study(store.study(study_id).study)
    monkeypatch.setattr(os, "fsync", refuse(errno.ENOSPC))
    for delete in (
        lambda: store.delete_study(second),
        lambda: delete_dataset(store, sha256),
    ):
        with pytest.raises(StoreError) as caught:
            delete()
        assert caught.value.code == "deletion_not_logged"
        assert caught.value.message("ja") != caught.value.message("en")
    assert store.studies() == []
    assert not (store.home / "datasets" / sha256).exists()


def test_several_processes_lose_nothing(store: Store) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", ADD, str(store.home), name, "40"], cwd=ROOT)
        for name in "abc"
    ]
    assert [child.wait(120) for child in children] == [0, 0, 0]
    entries = store.ledger.entries()
    assert [entry.number for entry in entries] == list(range(1, 121))
    for name in "abc":
        own = [entry.facts["copy"] for entry in entries if entry.facts["format"] == name]
        assert own == list(range(40))
    assert store.ledger.standing().broken is None


def test_processes_killed_amid_their_work_leave_a_chain(store: Store) -> None:
    for pause in (0.0, 0.013, 0.029, 0.041):
        begun, ends = len(store.ledger.content()), time.monotonic() + 60
        child = subprocess.Popen(
            [sys.executable, "-c", ADD, str(store.home), "a", "100000"], cwd=ROOT
        )
        while len(store.ledger.content()) <= begun and time.monotonic() < ends:
            time.sleep(0.001)
        time.sleep(pause)
        child.kill()
        child.wait(10)
        assert len(store.ledger.content()) > begun
    store.ledger.append("report_written", format="end")
    assert store.ledger.standing().broken is None


# -- what is written ----------------------------------------------------------------------------


def test_the_way_of_a_study_is_logged_without_a_word_of_its_rows(
    store: Store, tmp_path: Path
) -> None:
    (run_id,) = start_small_study(store, tmp_path)
    (study,) = store.studies()
    store.claim_run(run_id)
    assert work(store, run_id)
    store.save_settings(hub_access=True)
    store.save_settings(language="ja", hub_access=True)
    entries = store.ledger_entries(study.id)
    found = {entry.event: entry.facts for entry in entries}
    sha256 = study.study.data.sha256
    assert events(store) == [
        "study_created",
        "dataset_added",
        "study_started",
        "rows_read_began",
        "rows_read_ended",
        "hub_access",
    ]
    assert [entry.event for entry in entries] == events(store)
    assert found["dataset_added"]["name"] == "orders.csv"
    assert found["dataset_added"]["sha256"] == sha256
    assert found["study_started"] == {
        "study": study.id,
        "data_sha256": sha256,
        "rows": 60,
        "rows_left_out": 0,
        "masked": True,
        "personal_fix": False,
        "personal_rows_replaced": 0,
        "personal_places_left": 0,
    }
    job = {"run": run_id, "kind": "run", "arm": "tfidf", "seed": 0, "hub_access": False}
    assert found["rows_read_began"] == job | {"study": study.id}
    assert found["rows_read_ended"]["whole"]
    assert found["hub_access"] == {"on": True}
    content = store.ledger.content().decode()
    for word in ("fuse", "breaker", "hydraulic", "Which crew", str(tmp_path)):
        assert word not in content
    store.delete_study(study.id)
    gone = store.ledger.entries()[-1]
    assert (gone.event, gone.facts["runs"]) == ("study_deleted", 1)
    assert store.ledger.standing().broken is None


def test_masking_before_training_is_logged_as_counts(store: Store, tmp_path: Path) -> None:
    rows = [
        f"call {90 + row}0-1234-56{row:02d} about the {'pump' if row % 2 else 'fuse'} {row},"
        f"{'a' if row % 2 else 'b'}"
        for row in range(40)
    ]
    path = tmp_path / "calls.csv"
    path.write_text("\n".join(["text,label", *rows, "mail taro@example.com,a"]), "utf-8")
    study = small_study(tmp_path)
    for fixes, wanted in ((("personal_data",), (True, 0)), ((), (False, 1))):
        data = type(study.data)(str(path), "text", "label", fixes=fixes)
        study_id = store.create_study(type(study)("Calls", "embedded", data, arms=study.arms))
        store.start_study(study_id)
        facts = store.ledger.entries()[-1].facts
        assert (facts["personal_fix"], min(facts["personal_places_left"], 1)) == wanted
        assert (facts["personal_rows_replaced"] > 0) == facts["personal_fix"]
    assert "taro" not in store.ledger.content().decode()


def test_a_failed_run_ends_in_the_log_too(store: Store, tmp_path: Path) -> None:
    (run_id,) = start_small_study(store, tmp_path)
    (store.study_folder(store.studies()[0].id) / "rows.jsonl").unlink()
    store.claim_run(run_id)
    assert not work(store, run_id)
    assert store.ledger.entries()[-1].facts["whole"] is False


def test_a_deleted_dataset_leaves_names_and_numbers(store: Store, tmp_path: Path) -> None:
    study_id = draft(store, tmp_path)
    finish(store, study_id)
    sha256 = str(store.study(study_id).study.data.sha256)
    done = delete_dataset(store, sha256)
    assert store.ledger.entries()[-1].facts == {
        "sha256": sha256,
        "files": ["notes.csv"],
        "studies": [study_id],
        "runs": done.num_runs,
        "bytes": done.num_bytes,
    }
    again = draft(store, tmp_path)
    store.start_study(again)
    found = [entry.event for entry in store.ledger_entries(again)]
    assert "dataset_deleted" in found  # the same content came back
    assert found[-1] == "study_started"


def test_a_job_names_its_study_or_its_data() -> None:
    def study_of(run_id: str) -> str | None:
        if run_id == "b2":
            raise StoreError("no_such_run", run=run_id)
        return "5a"

    data: dict[str, Any] = {"study": {"data": {"sha256": "ab"}}}
    table: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (data | {"study_id": "7c"}, {"study": "7c"}),
        (data, {"data_sha256": "ab"}),
        ({"run": "b1", "hub_access": True}, {"study": "5a", "hub_access": True}),
        ({"run": "b2"}, {}),
        ({"study": 3}, {}),
    ]
    for config, wanted in table:
        usual = {"run": "r", "kind": "explain", "hub_access": False}
        assert job_facts("r", "explain", config, study_of) == usual | wanted


def test_what_concerns_a_study() -> None:
    def entry(number: int, event: str, **facts: Any) -> Entry:
        moment = "2026-11-20T09:00:00+00:00"
        record = {"number": number, "at": moment, "by": {"user": "a", "program": "studio"}}
        record |= {"event": event, "facts": facts, "previous": "", "hash": ""}
        found = _readable(json.dumps(record).encode())
        assert found is not None
        return found

    entries = [
        entry(1, "hub_access", on=True),
        entry(2, "dataset_added", sha256="ab"),
        entry(3, "dataset_added", sha256="cd"),
        entry(4, "hub_access", on=False),
        entry(5, "study_started", study="1", data_sha256="ab"),
        entry(6, "rows_read_began", study="2"),
        entry(7, "line_torn", sha256="cd", bytes=3),
    ]
    assert [e.number for e in concerning(entries, "1", {"ab"})] == [2, 4, 5, 7]
    assert concerning(entries, "9", {"ef"}) == []
