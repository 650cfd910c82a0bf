"""The report as a Jupyter notebook: its words, and code that computes and draws it again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from kasa.report import notebook_code as code
from kasa.report.fit import fit
from kasa.report.options import PackOptions
from kasa.report.sections import report_sections
from kasa.report.tree import Block, Bullets, Charts, Paragraph, Section, Table
from kasa.text import Translator, translator
from kasa.verdict.compare import CLASS_TASKS
from kasa.verdict.evidence import Evidence

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
# What Markdown, its tables and formulas read as more than a letter.
MARKUP = re.compile(r"([\\`*_\[\]#|~$])")
STARTS = re.compile(r"^(\d+(?=[.)])|(?=[-+]))")
LINKS = re.compile(r":(?=//)|(?<=www)\.|@", re.IGNORECASE)
Cell = tuple[str, str]


def render_notebook(evidence: Evidence, options: PackOptions) -> bytes:
    """Return the notebook as JSON (format 4.5), equal for equal evidence.

    Its cells have no outputs yet: words and tables stand in Markdown, so that it reads as a report
    before it is run; running it draws the charts and gives tables to go on with.
    """
    text = translator(options.lang)
    verdict, rest = _verdict_first(report_sections(evidence, text, options))
    cells = (
        ("markdown", _title(evidence, text, options)),
        *(cell for section in verdict for cell in _section(section, text)),
        *_finding(evidence, text),
        *(cell for section in rest for cell in _section(section, text)),
        *_own_analysis(evidence, text),
    )
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": KERNEL, "language_info": {"name": "python"}},
        "cells": [_cell(number, *cell) for number, cell in enumerate(cells)],
    }
    return json.dumps(notebook, ensure_ascii=False, indent=1).encode()


def _cell(number: int, kind: str, words: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"id": f"cell-{number}", "cell_type": kind, "metadata": {}}
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return cell | {"source": words.splitlines(keepends=True)}


def escaped(words: str) -> str:
    """Return words that Markdown shows letter by letter, in one line and without links."""
    return STARTS.sub(r"\1\\", _inline(words))


def _inline(words: str) -> str:
    line = (
        " ".join(fit(words).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    )
    line = MARKUP.sub(r"\\\1", line)
    return LINKS.sub(lambda match: f"&#{ord(match[0])};", line)


def _verdict_first(sections: Sequence[Section]) -> tuple[Sequence[Section], Sequence[Section]]:
    """Return the verdict, which needs no code, and the other sections."""
    split = 1 if sections and sections[0].key == "verdict" else 0
    return sections[:split], sections[split:]


def _title(evidence: Evidence, text: Translator, options: PackOptions) -> str:
    title = f"# {escaped(text('report.title', title=evidence.study.title))}"
    company = (escaped(options.company),) if options.company.strip() else ()
    return "\n\n".join((title, *company, escaped(text("notebook.made_with"))))


def _finding(evidence: Evidence, text: Translator) -> Iterator[Cell]:
    """Yield the cells that find the study and load its evidence."""
    steps = ("python", "workspace", "elsewhere")
    lines = (f"- {escaped(text(f'notebook.setup.{step}'))}" for step in steps)
    yield "markdown", "\n".join((f"## {escaped(text('notebook.setup.title'))}", "", *lines))
    yield "code", code.code_for(code.SETUP, study=evidence.record.id)
    yield "markdown", escaped(text("notebook.setup.load"))
    yield "code", code.code_for(code.LOAD, lang=text.lang)


def _section(section: Section, text: Translator) -> Iterator[Cell]:
    """Yield a section's words, then the cells that compute or draw it again."""
    yield "markdown", "\n".join(section_lines(section, text)).rstrip()
    sentence, cells = code.BY_SECTION.get(section.key, ("", ()))
    if not cells and any(isinstance(block, Charts) and block.charts for block in section.blocks):
        sentence, cells = "charts", (code.code_for(code.CHARTS, key=section.key),)
    if cells:
        yield "markdown", escaped(text(f"notebook.code.{sentence}"))
    yield from (("code", cell) for cell in cells)


def section_lines(section: Section, text: Translator) -> Iterator[str]:
    """Yield a section as lines of Markdown: every word that the report has."""
    yield from (f"## {escaped(section.title)}", "")
    for block in section.blocks:
        yield from (*_block_lines(block, text), "")


def _block_lines(block: Block, text: Translator) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield escaped(block.text)
    elif isinstance(block, Bullets):
        yield from (f"- {escaped(item)}" for item in block.items)
    elif isinstance(block, Table):
        yield _row(block.header)
        places = range(len(block.header))
        yield f"| {' | '.join('--:' if p in block.numeric else '---' for p in places)} |"
        yield from map(_row, block.rows)
    else:
        for place, chart in enumerate(block.charts):
            yield escaped(text("notebook.chart", title=chart.title, note=chart.note))
            yield ""
            if place < len(block.tables):
                yield from (*_block_lines(block.tables[place], text), "")


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(map(_inline, cells))} |"


def _own_analysis(evidence: Evidence, text: Translator) -> Iterator[Cell]:
    """Yield starting points for which this study has something to show."""
    if not evidence.summaries:
        return
    yield "markdown", f"## {text('notebook.own.title')}\n\n{text('notebook.own.intro')}"
    tuned = any("learning_rate" in trial for run in evidence.finished for trial in run.trials)
    readable = evidence.card.texts and evidence.study.task in CLASS_TASKS
    starters = (
        ("predictions", code.PREDICTIONS, True),
        ("classes", code.CLASSES, bool(evidence.classes)),
        ("length", code.LENGTH, readable),
        ("disagreements", code.DISAGREEMENTS, not evidence.disagreements.empty),
        ("rates", code.RATES, tuned),
    )
    for name, cell, possible in starters:
        if possible:
            yield "markdown", escaped(text(f"notebook.own.{name}"))
            yield "code", cell
