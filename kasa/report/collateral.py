"""What tuning did to text unlike the task, as a table, sentences and a section of the report."""

from __future__ import annotations

import math
from collections.abc import Iterator

from kasa.report.labels import arm_labels
from kasa.report.tree import Block, Bullets, Paragraph, Section, Table
from kasa.text import Translator
from kasa.verdict.collateral import LANGUAGES, Harm, HarmGap
from kasa.verdict.evidence import Evidence


def figure_words(value: float, kind: str, text: Translator) -> str:
    """Return a likeness as a number, a rise in loss as what it does to the perplexity."""
    if kind == "likeness":
        return text.number(value, 3)
    return text("report.collateral.factor", factor=text.number(math.exp(value), 2))


def collateral_table(evidence: Evidence, text: Translator) -> Table:
    """Return one row per tuned arm, a column per language, each with its 95 % interval."""
    labels = arm_labels(evidence.study, text)
    by_arm: dict[str, dict[str, Harm]] = {}
    for harm in evidence.harms:
        by_arm.setdefault(harm.arm, {})[harm.language] = harm
    rows = tuple(
        (labels[arm], *(_cell(own.get(language), text) for language in LANGUAGES))
        for arm, own in by_arm.items()
    )
    kind = evidence.harms[0].kind
    untouched = figure_words(1.0 if kind == "likeness" else 0.0, kind, text)
    rows = ((text("report.collateral.untouched"), untouched, untouched), *rows)
    names = (text(f"report.collateral.text_{language}") for language in LANGUAGES)
    return Table((text("report.column.arm"), *names), rows, numeric=(1, 2))


def _cell(harm: Harm | None, text: Translator) -> str:
    if harm is None:
        return "–"
    ends = (harm.value, *harm.interval)
    value, low, high = (figure_words(figure, harm.kind, text) for figure in ends)
    return f"{value}\n({text('report.interval', low=low, high=high)})"


def collateral_sentences(evidence: Evidence, text: Translator) -> Iterator[str]:
    """Say by language whether the first two tuned arms differ in their side effects."""
    labels = arm_labels(evidence.study, text)
    for gap in evidence.harm_gaps:
        a, b = (labels[arm] for arm in gap.pair)
        yield text(
            f"report.collateral.word.{gap.verdict}",
            a=a,
            b=b,
            language=text(f"report.collateral.text_{gap.language}"),
            difference=_gap_words(gap, text),
        )


def _gap_words(gap: HarmGap, text: Translator) -> str:
    """Return a difference of likenesses, or by what factor the perplexities differ."""
    ends = (gap.value, *gap.interval)
    value, low, high = (
        text.points(end / 100, 3) if gap.kind == "likeness" else figure_words(end, gap.kind, text)
        for end in ends
    )
    return f"{value}, {text('report.interval', low=low, high=high)}"


def collateral_note(evidence: Evidence, text: Translator) -> str:
    """Return what the figures are and where untouched lies."""
    kind = evidence.harms[0].kind
    return text(f"report.collateral.note_{kind}")


def collateral_section(evidence: Evidence, text: Translator) -> Section:
    """Return the table with what it says; nothing where no run measured it."""
    title = text("report.section.collateral")
    if not evidence.harms:
        return Section("collateral", title, ())
    blocks: list[Block] = [collateral_table(evidence, text)]
    sentences = tuple(collateral_sentences(evidence, text))
    if sentences:
        blocks.append(Bullets(sentences))
    blocks.append(Paragraph(collateral_note(evidence, text), small=True))
    return Section("collateral", title, tuple(blocks))
