"""The files of a meeting pack as a reader's program opens them: their words and their tables."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import nbformat
from lxml import html as lxml_html
from markdown_it import MarkdownIt
from openpyxl import load_workbook
from pptx import Presentation
from pptx.oxml.ns import qn
from pypdf import PdfReader

# What turns words around where they stand: marks, embeddings, overrides, isolates.
TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
CHART_VALUE = "{http://schemas.openxmlformats.org/drawingml/2006/chart}v"
Rows = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Opened:
    """A file's visible words, a paragraph or cell each, and its tables, header row first."""

    words: tuple[str, ...]
    tables: tuple[Rows, ...] = ()

    @property
    def text(self) -> str:
        return "\n".join(self.words)


def opened(kind: str, content: bytes) -> Opened:
    """Open a file of the pack by its format's name."""
    readers = {
        "pptx": open_pptx,
        "xlsx": open_xlsx,
        "pdf": open_pdf,
        "html": open_html,
        "ipynb": open_notebook,
    }
    return readers[kind](content)


def open_pptx(content: bytes) -> Opened:
    """Return the words of slides, tables, charts and notes, slide by slide."""
    words: list[str] = []
    tables: list[Rows] = []
    for slide in Presentation(io.BytesIO(content)).slides:
        for shape in slide.shapes:
            if shape.has_text_frame:
                words += [_line(p) for p in shape.text_frame.paragraphs]
            elif shape.has_table:
                rows = tuple(tuple(c.text_frame.text for c in r.cells) for r in shape.table.rows)
                tables.append(rows)
                words += [cell for row in rows for cell in row]
            elif shape.has_chart:
                words += _chart_words(shape.chart)
        notes = slide.notes_slide.notes_text_frame
        words += [_line(paragraph) for paragraph in notes.paragraphs]
    return Opened(tuple(filter(None, words)), tuple(tables))


def _line(paragraph: Any) -> str:
    """Return a paragraph's words with its fields, such as the slide's number, left out."""
    return str(paragraph.text).replace("\v", "\n")


def _chart_words(chart: Any) -> list[str]:
    """Return a chart's titles and names; its values are numbers and not words."""
    nodes = chart._chartSpace.iter(qn("a:t"), CHART_VALUE)
    found = [node for node in nodes if not _in_values(node)]
    return [node.text or "" for node in found]


def _in_values(node: Any) -> bool:
    return any("num" in str(parent.tag).rpartition("}")[2] for parent in node.iterancestors())


def open_xlsx(content: bytes) -> Opened:
    """Return the text cells, sheet by sheet; every sheet is a table of its rows' words."""
    words: list[str] = []
    tables: list[Rows] = []
    for sheet in load_workbook(io.BytesIO(content), data_only=True).worksheets:
        rows = [[cell for cell in row if cell is not None] for row in sheet.values]
        tables.append(tuple(tuple(map(str, row)) for row in rows if row))
        words += [cell for row in rows for cell in row if isinstance(cell, str)]
    return Opened(tuple(words), tuple(tables))


def pdf_reader(content: bytes) -> PdfReader:
    return PdfReader(io.BytesIO(content))


def squeezed(words: str) -> str:
    """Return words without what a line break may add or take."""
    return re.sub("[\\s\u200b\u00ad]", "", words)


def open_pdf(content: bytes) -> Opened:
    """Return the pages' words."""
    return Opened(tuple(page.extract_text() for page in pdf_reader(content).pages))


def open_html(content: bytes) -> Opened:
    """Return the words of title and body, without scripts, and the tables."""
    tree = lxml_html.document_fromstring(content.decode(), parser=lxml_html.HTMLParser())
    return _from_tree(tree)


def _from_tree(tree: Any) -> Opened:
    tables = tuple(
        tuple(
            tuple(cell.text_content() for cell in row.iter("th", "td")) for row in table.iter("tr")
        )
        for table in tree.iter("table")
    )
    words = [node for node in _text_nodes(tree) if node.strip()]
    return Opened(tuple(words), tables)


def _text_nodes(tree: Any) -> Iterator[str]:
    for node in tree.iter():
        if isinstance(node.tag, str) and node.tag not in {"script", "style"} and node.text:
            yield node.text
        if node.tail:
            yield node.tail


def read_notebook(content: bytes) -> Any:
    """Return the notebook, found valid."""
    found = nbformat.reads(content.decode(), as_version=4)
    nbformat.validate(found)
    return found


def sources(found: Any, kind: str) -> list[str]:
    """Return the sources of a notebook's cells of one kind."""
    return [cell.source for cell in found.cells if cell.cell_type == kind]


def notebook_pages(content: bytes) -> list[Any]:
    """Return each Markdown cell as Jupyter shows it: a tree of HTML."""
    cells = sources(read_notebook(content), "markdown")
    return [lxml_html.fromstring(f"<div>{MARKDOWN.render(cell)}</div>") for cell in cells]


def open_notebook(content: bytes) -> Opened:
    """Return the words and tables of the Markdown cells as Jupyter shows them."""
    pages = [_from_tree(page) for page in notebook_pages(content)]
    words = tuple(word for page in pages for word in page.words)
    return Opened(words, tuple(table for page in pages for table in page.tables))


def plain(words: str) -> str:
    """Return words as every format may show them: one space for any, without what is invisible.

    Control characters cannot be shown and marks of direction turn what follows; emoji are joined
    and coloured by invisible characters, which a format may drop. Pptx writes minus signs.
    """
    shown = (c for c in words if unicodedata.category(c) not in {"Cf", "Cs"} or c == "\u00ad")
    kept = "".join(c for c in shown if c.isspace() or unicodedata.category(c) != "Cc")
    return " ".join(kept.replace("\ufe0f", "").replace("−", "-").split())
