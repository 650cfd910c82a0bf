"""The report's account of the data: where it was, who did what with it, and who was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from kasa.report.labels import arm_labels
from kasa.report.tree import Block, Bullets, Paragraph, Section, Table
from kasa.runs.ledger import Entry, Standing
from kasa.runs.records import FinishedRun
from kasa.text import Translator
from kasa.verdict.evidence import Evidence

MOST_ENTRIES = 40
PROGRAMS = ("studio", "worker", "command_line")
SHORT_HASH = 12
IMPORTED = "study_imported"
# Events whose sentence says whether the data went along.
CARRIED = {"bundle_written": "bundle", IMPORTED: "imported"}


def handling_section(evidence: Evidence, text: Translator) -> Section:
    """Return where the data was, what was masked and deleted, the connections, and the log."""
    facts = (
        place_sentence(evidence, text),
        *_masked(evidence, text),
        *_deleted(evidence, text),
        *connection_sentences(evidence, text),
        *_log(evidence, text),
    )
    # What counting does not see matters only where something was counted.
    scope = (text("handling.scope"),) if measured_runs(evidence) else ()
    blocks: list[Block] = [Bullets(facts), *(Paragraph(each, small=True) for each in scope)]
    if evidence.handling:
        newest = evidence.handling[-MOST_ENTRIES:]
        studies = {evidence.record.id: evidence.study.title}
        blocks.append(log_table(newest, text, studies, arm_labels(evidence.study, text)))
        more = len(evidence.handling) - len(newest)
        if more:
            shown = {"shown": text.number(len(newest)), "more": text.number(more)}
            blocks.append(Paragraph(text("handling.more", **shown), small=True))
        blocks.append(Paragraph(_seal(evidence.ledger, text), small=True))
    notes = (*scope, text("handling.chain.proof"))
    title = text("handling.section.title")
    return Section("handling", title, tuple(blocks), _message(evidence, text), notes)


def log_table(
    entries: Sequence[Entry],
    text: Translator,
    studies: Mapping[str, str],
    arms: Mapping[str, str] | None = None,
) -> Table:
    """Return the entries as when, who and what; `studies` and `arms` map names to titles."""
    header = tuple(text(f"handling.column.{name}") for name in ("when", "who", "what"))
    rows = tuple(
        (_when(entry.at, text), _who(entry, text), happened(entry, text, studies, arms or {}))
        for entry in entries
    )
    return Table(header, rows)


def happened(
    entry: Entry, text: Translator, studies: Mapping[str, str], arms: Mapping[str, str]
) -> str:
    """Return one entry in a sentence; an event that the catalogue does not know by its name."""
    key = f"handling.event.{_event(entry)}"
    if not text.has(key):
        return entry.event
    facts = entry.facts
    files, gone = _list(facts.get("files")), _list(facts.get("studies"))
    size = max(_number(facts, "bytes"), 1)
    return text(
        key,
        name=str(facts.get("name", "–")),
        files=", ".join(files) or "–",
        hash=str(facts.get("sha256") or facts.get("data_sha256") or "–")[:SHORT_HASH],
        size=text.bytes(size) if size >= 1e5 else text("handling.bytes", count=text.number(size)),
        study=_study(str(facts.get("study", "–")), text, studies),
        studies=text.number(len(gone)),
        runs=text.number(_number(facts, "runs")),
        rows=text.number(_number(facts, "rows")),
        personal=_personal(facts, text),
        job=_job(facts, text, arms),
        run=str(facts.get("run", "–")),
        format=str(facts.get("format", "–")),
    )


def chain_sentence(standing: Standing, text: Translator) -> str:
    """Say whether the log's chain of hashes holds, and where it first does not."""
    if standing.broken is None:
        return text("handling.chain.intact")
    number = text.number(standing.broken.number)
    return text(f"handling.chain.{standing.broken.kind}", number=number)


def missed_sentences(standing: Standing, text: Translator) -> Iterator[str]:
    """Say how many events could not be written when they happened, if there were any."""
    if standing.missed:
        yield text("handling.missed", count=text.number(standing.missed))


def _event(entry: Entry) -> str:
    if entry.event == "hub_access":
        return "hub_on" if entry.facts.get("on") else "hub_off"
    if entry.event == "rows_read_ended" and not entry.facts.get("whole"):
        return "rows_read_stopped"
    if entry.event in CARRIED:
        with_data = "with_data" if entry.facts.get("with_data") else "without_data"
        return f"{CARRIED[entry.event]}_{with_data}"
    return entry.event


def _when(moment: datetime, text: Translator) -> str:
    return text.date(moment.astimezone())


def _who(entry: Entry, text: Translator) -> str:
    known = entry.program if entry.program in PROGRAMS else "other"
    return text("handling.who", user=entry.user, program=text(f"handling.program.{known}"))


def _study(study_id: str, text: Translator, studies: Mapping[str, str]) -> str:
    if study_id in studies:
        return text("handling.study", title=studies[study_id])
    return text("handling.study_gone", id=study_id)


def _job(facts: Mapping[str, Any], text: Translator, arms: Mapping[str, str]) -> str:
    kind = str(facts.get("kind", ""))
    key = f"handling.job.{kind}"
    arm = str(facts.get("arm", "–"))
    return text(
        key if text.has(key) else "handling.job.other",
        run=str(facts.get("run", "–")),
        arm=arms.get(arm, arm),
        seed=str(facts.get("seed", "–")),
    )


def _personal(facts: Mapping[str, Any], text: Translator) -> str:
    replaced, left = (
        _number(facts, name) for name in ("personal_rows_replaced", "personal_places_left")
    )
    parts = [text("handling.personal.replaced", count=text.number(replaced))] if replaced else []
    if left:
        way = "hidden" if facts.get("masked") else "shown"
        parts.append(text(f"handling.personal.{way}", count=text.number(left)))
    return text.listed(parts or [text("handling.personal.none")])


def _number(facts: Mapping[str, Any], name: str) -> int:
    value = facts.get(name)
    return value if isinstance(value, int) else 0


def _list(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _masked(evidence: Evidence, text: Translator) -> Iterator[str]:
    card = evidence.card
    replaced = sum(
        problem.count
        for problem in card.problems
        if problem.kind == "personal_data" and problem.treatment == "changed"
    )
    left = sum(card.personal.values())
    if replaced:
        yield text("handling.masked.replaced", count=text.number(replaced))
    if left:
        way = "hidden" if card.masked else "shown"
        yield text(f"handling.masked.{way}", count=text.number(left))
    if not replaced and not left:
        yield text("handling.masked.none")


def _deleted(evidence: Evidence, text: Translator) -> Iterator[str]:
    if not evidence.handling:
        return
    events = ("study_deleted", "dataset_deleted")
    count = sum(entry.event in events for entry in evidence.handling)
    key = "handling.deleted.some" if count else "handling.deleted.none"
    yield text(key, count=text.number(count))


def place_sentence(evidence: Evidence, text: Translator) -> str:
    """Say where data, training and results were; runs of a bundle were made elsewhere."""
    return text("handling.place_imported" if _imported(evidence) else "handling.place")


def _imported(evidence: Evidence) -> bool:
    return any(
        entry.event == IMPORTED and entry.facts.get("study") == evidence.record.id
        for entry in evidence.handling
    )


def measured_runs(evidence: Evidence) -> list[FinishedRun]:
    """Return the runs whose attempts to reach another computer were counted."""
    return [
        run
        for run in evidence.all_finished
        if isinstance(run.conditions.get("outside_connections"), int)
    ]


def _asked(evidence: Evidence, text: Translator) -> dict[str, str]:
    """Return how often the measured runs asked for another computer, and for which."""
    runs = measured_runs(evidence)
    hosts = {str(host): 1 for run in runs for host in run.conditions.get("outside_hosts", [])}
    count = sum(run.conditions["outside_connections"] for run in runs)
    return {
        "measured": text.number(len(runs)),
        "all": text.number(len(evidence.all_finished)),
        "count": text.number(count),
        "hosts": text.listed(sorted(hosts)) or "–",
        "kind": "some" if count else "none",
    }


def connection_sentences(evidence: Evidence, text: Translator) -> Iterator[str]:
    """Say how often the runs asked for another computer, as far as that was counted."""
    runs = measured_runs(evidence)
    asked = _asked(evidence, text)
    if not evidence.all_finished:
        return
    yield text(f"handling.connections.{asked['kind'] if runs else 'unmeasured'}", **asked)
    if runs and len(runs) < len(evidence.all_finished):
        yield text("handling.connections.older", **asked)
    resumed = sum(bool(run.conditions.get("resumed")) for run in runs)
    if resumed:
        yield text("handling.connections.resumed", count=text.number(resumed))
    hub = {
        entry.facts.get("run")
        for entry in evidence.handling
        if entry.event == "rows_read_began" and entry.facts.get("hub_access")
    }
    if hub:
        yield text("handling.connections.hub", count=text.number(len(hub)))


def _log(evidence: Evidence, text: Translator) -> Iterator[str]:
    if not evidence.handling:
        yield text("handling.log.empty")
        if evidence.ledger.number or evidence.ledger.broken:
            yield chain_sentence(evidence.ledger, text)
        return
    count = text.number(len(evidence.handling))
    yield text("handling.log.entries", count=count)
    started = {e.facts.get("study") for e in evidence.handling if e.event == "study_started"}
    if evidence.record.id not in started and not _imported(evidence):
        yield text("handling.log.late")
    yield chain_sentence(evidence.ledger, text)
    yield from missed_sentences(evidence.ledger, text)


def _seal(standing: Standing, text: Translator) -> str:
    return text("handling.chain.seal", number=text.number(standing.number), hash=standing.hash)


def _message(evidence: Evidence, text: Translator) -> str:
    if evidence.ledger.broken is not None:
        return text("handling.message.broken")
    asked = _asked(evidence, text)
    without = "unmeasured" if evidence.all_finished else "no_runs"
    kind = asked["kind"] if measured_runs(evidence) else without
    return text(f"handling.message.{kind}", **asked)
