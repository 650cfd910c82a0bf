"""The words of the report that a manager may not know, each in a plain sentence."""

from __future__ import annotations

from collections.abc import Iterator

from kasa.arms import METHODS
from kasa.report.decision import tuning_verdict
from kasa.report.tree import Section, Table
from kasa.text import Translator
from kasa.verdict.business import case_of
from kasa.verdict.evidence import Evidence
from kasa.verdict.measures import METRIC_MEASURES

MOST_TERMS = 20
# Those that a report without room for all keeps: what the study is about, and what it is held to.
FIRST = ("kasa", "lora", "frozen_head", "zero_shot", "tfidf")

Term = tuple[str, str]


def glossary_section(evidence: Evidence, text: Translator) -> Section:
    """Return at most `MOST_TERMS` words of this report and their meaning; empty without results."""
    title = text("talk.section.glossary")
    if not evidence.summaries:
        return Section("glossary", title, ())
    header = (text("talk.column.term"), text("talk.column.meaning"))
    return Section("glossary", title, (Table(header, terms(evidence, text)),))


def terms(evidence: Evidence, text: Translator) -> tuple[Term, ...]:
    """Return the words in the order of the study: what was tried, measured, and decided."""
    begin = (_term("base_model", text), _term("tuning", text))
    end = (*_measured(evidence, text), *_decided(evidence, text))
    room = MOST_TERMS - len(begin) - len(end)
    return (*begin, *_methods(evidence, text)[:room], *end)


def _term(key: str, text: Translator, meaning: str = "", **values: str) -> Term:
    return text(f"talk.word.{key}", **values), text(f"talk.meaning.{meaning or key}", **values)


def _methods(evidence: Evidence, text: Translator) -> list[Term]:
    used = {summary.method for summary in evidence.summaries}
    order = (*FIRST, *(method for method in METHODS if method not in FIRST))
    return [
        (text(f"arms.name.{method}"), text(f"talk.meaning.{method}"))
        for method in order
        if method in used
    ]


def _measured(evidence: Evidence, text: Translator) -> Iterator[Term]:
    arms = evidence.study.named_arms()
    ranked = [arms[s.arm] for s in evidence.summaries if METHODS[s.method].ranked]
    if ranked:
        yield _term("rank", text, rank=str(ranked[0].rank))
    yield _term("seed", text)
    yield _term("test_rows", text)
    for metric in evidence.study.metrics:
        yield text(f"metrics.{metric}"), text(f"metrics.about.{metric}")
    if evidence.verdicts:
        correlation = METRIC_MEASURES[evidence.metric].unit == "correlation"
        yield _term("points", text, "points_correlation" if correlation else "")
    yield _term("interval", text)
    said = {
        verdict.verdict for verdict in (evidence.main_verdict, tuning_verdict(evidence)) if verdict
    }
    if "equivalent" in said:
        margin = text.number(100 * evidence.study.protocol.equivalence_margin, 1)
        yield _term("equivalent", text, margin=margin)
    if "cannot_tell" in said:
        yield _term("cannot_tell", text)


def _decided(evidence: Evidence, text: Translator) -> Iterator[Term]:
    for key in ("requirement", "poc", "pilot"):
        yield _term(key, text)
    if case_of(evidence, evidence.summaries[0].arm).priced:
        yield _term("net", text)
