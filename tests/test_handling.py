"""What the report says about the handling of the data, and what it must not claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kasa.data.card import CardProblem
from kasa.report.handling import MOST_ENTRIES, handling_section, happened, log_table
from kasa.report.sections import report_sections
from kasa.report.tree import Bullets, Section, Table, to_text
from kasa.runs.ledger import Broken, Entry, Standing
from kasa.text import translator
from kasa.verdict.evidence import Evidence
from tests.study_runs import CONDITIONS, example_evidence, example_runs

EN, JA = translator("en"), translator("ja")
BEGAN = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SHA = "9f86d081884c7d659a2feaa0c55ad015"


def entry(number: int, event: str, program: str = "studio", **facts: Any) -> Entry:
    at = BEGAN + timedelta(minutes=number)
    return Entry(number, at, "tanaka", program, event, facts, "0" * 64, f"{number:064x}")


def log(num_jobs: int = 2, *, hub: bool = False) -> list[Entry]:
    entries = [
        entry(1, "dataset_added", name="notes.csv", sha256=SHA, bytes=4321),
        entry(2, "study_created", study="abc123"),
        entry(
            3,
            "study_started",
            study="abc123",
            data_sha256=SHA,
            rows=420,
            masked=True,
            personal_rows_replaced=0,
            personal_places_left=2,
        ),
    ]
    for job in range(num_jobs):
        facts = {"run": f"f{job}", "kind": "run", "arm": "kasa-r8", "seed": 0, "study": "abc123"}
        facts["hub_access"] = hub
        entries.append(entry(4 + 2 * job, "rows_read_began", "worker", **facts))
        entries.append(entry(5 + 2 * job, "rows_read_ended", "worker", **facts, whole=True))
    return entries


def evidence(
    entries: Sequence[Entry] = (), standing: Standing | None = None, **conditions: Any
) -> Evidence:
    """Return the example's evidence with a log; its runs were measured as `conditions` say."""
    runs = example_runs(["kasa-r8", "lora-r8"], [0, 1])
    found = example_evidence([replace(run, conditions=CONDITIONS | conditions) for run in runs])
    last = Standing(len(entries), "ab" * 32) if entries else Standing()
    return replace(found, handling=tuple(entries), ledger=standing or last)


def words(section: Section) -> str:
    return to_text([section])


def facts(section: Section) -> tuple[str, ...]:
    first = section.blocks[0]
    assert isinstance(first, Bullets)
    return first.items


def test_a_measured_and_logged_study() -> None:
    section = handling_section(evidence(log(), outside_connections=0), EN)
    text = words(section)
    assert section.key == "handling"
    assert "counted in 4 of 4 finished runs: there was none." in text
    assert "chain of hashes is intact" in text
    assert "hidden on screen and in reports" in text
    assert "neither the data file nor a study on it has been deleted" in text
    assert "in the studio's log: 7." in text
    assert "tanaka (studio)" in text
    assert "The file notes.csv was added (4,321 bytes, SHA-256 9f86d081884c…)." in text
    assert "The study “Which defect is it?” was started with 420 rows" in text
    assert "Run f0 (KaSA (r=8), seed 0) began to read the rows." in text
    assert f"number 7, SHA-256 {'ab' * 32}" in text
    assert section.message == "No attempt to reach another computer in 4 of 4 runs"
    assert section.notes
    assert "/some/folder" not in text


@pytest.mark.parametrize(("text", "none"), [(EN, "nothing about this study"), (JA, "ありません")])
def test_an_older_study_says_what_is_not_known(text: Any, none: str) -> None:
    section = handling_section(evidence(), text)
    assert none in facts(section)[-1]
    assert not [block for block in section.blocks if isinstance(block, Table)]
    said = words(section)
    assert text("handling.chain.intact") not in said
    assert text("handling.connections.unmeasured", all="4") in said
    assert text("handling.scope") not in said
    assert "0回" not in section.message
    assert section.message == text("handling.message.unmeasured")


def test_outside_connections_are_named_and_expected_with_the_hub() -> None:
    hosts = ["huggingface.co", "cdn.example"]
    found = evidence(log(hub=True), outside_connections=3, outside_hosts=hosts)
    said = words(handling_section(found, EN))
    assert "4 of 4 finished runs: 12, to cdn.example and huggingface.co." in said
    assert "with access to the model hub switched on: 2" in said
    message = handling_section(found, JA).message
    assert "12回" in message
    assert "huggingface.co" in message


def test_older_and_resumed_runs_are_told_apart() -> None:
    found = evidence(log(), outside_connections=0, resumed=1)
    old = [replace(run, conditions=CONDITIONS) for run in found.finished[:1]]
    said = words(handling_section(replace(found, finished=(*old, *found.finished[1:])), EN))
    assert "counted in 3 of 4 finished runs" in said
    assert "The other runs were made before" in said
    assert "3 of these runs were interrupted" in said


@pytest.mark.parametrize("kind", ["changed", "moved", "torn", "cut"])
def test_a_broken_chain_is_the_message(kind: str) -> None:
    standing = Standing(4, "ab" * 32, Broken(kind, 5), missed=2)
    for text in (EN, JA):
        section = handling_section(evidence(log(), standing, outside_connections=0), text)
        said = words(section)
        assert text(f"handling.chain.{kind}", number="5") in said
        assert text("handling.chain.intact") not in said
        assert text("handling.missed", count="2") in said
        assert section.message == text("handling.message.broken")


def test_the_newest_entries_are_kept() -> None:
    section = handling_section(evidence(log(30)), EN)
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    assert len(table.rows) == MOST_ENTRIES
    assert "f29" in table.rows[-1][2]
    assert "23 older ones" in words(section)


def test_a_log_that_begins_later_and_deletions_are_said() -> None:
    entries = [*log()[3:], entry(8, "dataset_deleted", files=["a.csv"], studies=["1"], runs=3)]
    said = words(handling_section(evidence(entries), EN))
    assert "The start of the study is not in it" in said
    assert "according to the log: 1." in said
    assert "a.csv was deleted" in said


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_masking_is_told_as_it_was(lang: str) -> None:
    text, found = translator(lang), evidence()
    replaced = (CardProblem("personal_data", 5, "changed"),)
    table = [
        ({"personal": {}, "problems": ()}, ["none"]),
        ({"personal": {"phone": 3}, "masked": False}, ["shown"]),
        ({"personal": {"phone": 3}, "problems": replaced, "masked": True}, ["replaced", "hidden"]),
    ]
    for changes, kinds in table:
        card = replace(found.card, **changes)
        said = facts(handling_section(replace(found, card=card), text))
        counts = {"replaced": "5", "hidden": "3", "shown": "3", "none": ""}
        for kind, count in counts.items():
            sentence = text(f"handling.masked.{kind}", count=count)
            assert (sentence in said) == (kind in kinds)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_every_event_has_a_sentence_and_a_strange_log_breaks_nothing(lang: str) -> None:
    text = translator(lang)
    names = ["dataset_added", "study_created", "study_started", "rows_read_began"]
    names += ["rows_read_ended", "report_written", "export_written", "study_deletion"]
    names += ["study_deleted", "dataset_deletion", "dataset_deleted", "hub_access", "line_torn"]
    names += ["bundle_written", "study_imported"]
    strange = {"bytes": "many", "files": 3, "studies": None, "rows": [], "kind": "../x", "arm": {}}
    for name in names:
        for given in ({}, strange):
            assert happened(entry(1, name, **given), text, {}, {}) != name
    assert happened(entry(1, "of_tomorrow"), text, {}, {}) == "of_tomorrow"
    assert log_table([entry(1, "hub_access", "toaster")], text, {}).rows[0][1] != ""


def test_it_stands_behind_the_data() -> None:
    keys = [section.key for section in report_sections(evidence(log()), EN)]
    assert keys[keys.index("data") + 1] == "handling"


@pytest.mark.parametrize("with_data", [False, True])
def test_a_study_from_elsewhere_does_not_say_that_it_was_made_here(with_data: bool) -> None:
    came = entry(1, "study_imported", study="abc123", runs=12, with_data=with_data)
    said = facts(handling_section(evidence([came]), EN))
    assert EN("handling.place_imported") in said
    assert EN("handling.place") not in said
    assert EN("handling.log.late") not in said
    # Another study on the same data, brought here, says nothing about this one.
    other = entry(9, "study_imported", study="other", runs=12, with_data=with_data)
    said = facts(handling_section(evidence([*log(), other]), EN))
    assert EN("handling.place") in said
    assert EN("handling.place_imported") not in said
    shown = happened(came, EN, {}, {})
    assert ("with its data" in shown, "without its data" in shown) == (with_data, not with_data)
