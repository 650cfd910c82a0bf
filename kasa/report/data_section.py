"""The report's dataset card: what the rows are, what was wrong with them and what was done."""

from __future__ import annotations

from kasa.report.tree import Block, Bullets, Paragraph, Section, Table
from kasa.text import Translator
from kasa.verdict.evidence import Evidence

MOST_LABELS = 30


def data_section(evidence: Evidence, text: Translator) -> Section:
    """Return the facts of the data, its problems with their treatment, and the labels."""
    card = evidence.card
    facts = [
        text("report.card.task", task=text(f"data.tasks.{card.task}")),
        text("report.card.rows", **_numbers(text, all=card.num_rows, used=card.num_used)),
        text("report.card.read", format=card.format.upper(), encoding=card.encoding),
        text(f"report.card.split_{card.split_by}", **_numbers(text, **card.sizes)),
        text(
            "report.card.lengths",
            **_numbers(text, median=card.median_length, longest=card.longest_length),
        ),
        _personal(evidence, text),
        text("report.card.hash", sha256=card.sha256),
    ]
    if card.score_range:
        low, high = (text.number(score, 2) for score in card.score_range)
        facts.insert(2, text("report.card.scores", low=low, high=high))
    blocks: list[Block] = [Bullets(tuple(facts))]
    if card.problems:
        header = tuple(text(f"report.column.{name}") for name in ("problem", "rows", "treatment"))
        rows = tuple(
            (
                text(f"data.problems.{problem.kind}.name"),
                text.number(problem.count),
                text(f"data.treatments.{problem.treatment}"),
            )
            for problem in card.problems
        )
        blocks.append(Table(header, rows, numeric=(1,)))
    else:
        blocks.append(Paragraph(text("report.card.clean")))
    if card.labels:
        shown = list(card.labels.items())[:MOST_LABELS]
        names = ("label", "rows")
        header = tuple(text(f"report.column.{name}") for name in names)
        counts = tuple((label, text.number(count)) for label, count in shown)
        blocks.append(Table(header, counts, numeric=(1,)))
        if len(card.labels) > MOST_LABELS:
            blocks.append(Paragraph(text("report.card.more_labels", shown=MOST_LABELS), small=True))
    return Section("data", text("report.section.data"), tuple(blocks))


def _numbers(text: Translator, **values: float) -> dict[str, str]:
    return {name: text.number(value) for name, value in values.items()}


def _personal(evidence: Evidence, text: Translator) -> str:
    """Say how much likely personal data was found, whether it is shown, and who learned from it."""
    card = evidence.card
    count = sum(card.personal.values())
    if not count:
        masked = any(p.kind == "personal_data" and p.treatment == "changed" for p in card.problems)
        return text("report.card.personal_masked" if masked else "report.card.personal_none")
    return text(
        f"report.card.personal_{'hidden' if card.masked else 'shown'}", count=text.number(count)
    )
