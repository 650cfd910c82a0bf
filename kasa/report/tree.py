"""The parts a report is made of, and the report as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kasa.report.plots import Chart


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; `small` is for notes below tables."""

    text: str
    small: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table of finished words; `numeric` columns align right and break only where told."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()


@dataclass(frozen=True)
class Charts:
    """One chart, or several to pick from; `tables` stand below the chart of the same place."""

    charts: tuple[Chart, ...]
    choose: str = ""
    names: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()


Block = Paragraph | Bullets | Table | Charts


@dataclass(frozen=True)
class Section:
    """A heading with its blocks; `key` is the anchor.

    `message` is the section in one sentence, the heading of its slide; `notes` are what a speaker
    may say about it.
    """

    key: str
    title: str
    blocks: tuple[Block, ...]
    message: str = ""
    notes: tuple[str, ...] = ()


def to_text(sections: Sequence[Section]) -> str:
    """Return the words of a report as Markdown: what the golden files hold."""
    lines: list[str] = []
    for section in sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += [*_block_lines(block), ""]
    return "\n".join(lines)


def _block_lines(block: Block) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield block.text
    elif isinstance(block, Bullets):
        yield from (f"- {item}" for item in block.items)
    elif isinstance(block, Table):
        yield "| " + " | ".join(block.header) + " |"
        yield "|" + "---|" * len(block.header)
        for row in block.rows:
            yield "| " + " | ".join(cell.replace("\n", " ") for cell in row) + " |"
    else:
        for place, chart in enumerate(block.charts):
            yield f"[{chart.title}] {chart.note}"
            if place < len(block.tables):
                yield from _block_lines(block.tables[place])
