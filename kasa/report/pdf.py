"""The meeting pack as a PDF of two to six A4 pages, typeset by typst with its fonts embedded.

The words of the report go to the template as data, never as source. The HTML report and the sheet
hold everything; this document is for reading in the meeting.
"""

from __future__ import annotations

import base64
import io
import json
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kasa.report.headline import headline
from kasa.report.logo import logo_size
from kasa.report.options import PackOptions
from kasa.report.palette import NO_VERDICT_COLOR, VERDICT_COLORS, WORD_COLORS
from kasa.report.plots import Chart
from kasa.report.print_charts import chart_svg, left_out
from kasa.report.print_text import (
    FAMILIES,
    breakable,
    column_widths,
    font_files,
    printable,
    shortened,
    wrapped,
)
from kasa.report.sections import report_sections
from kasa.report.series import ChartData
from kasa.report.tree import Block, Bullets, Charts, Paragraph, Section, Table
from kasa.text import Translator, translator
from kasa.verdict.evidence import Evidence

TEMPLATES = Path(__file__).parent / "templates"
MOST_PAGES = 6
# Long lists and what only a screen shows well: not printed unless the options name them.
NOT_PRINTED = ("training", "confusion", "never_right", "examples", "runs")
# What goes first where six pages are not enough; verdict and decision always stay.
LEAST_FIRST = (
    *("runs", "examples", "never_right", "confusion", "training", "conditions", "collateral"),
    *("glossary", "curves", "classes", "robustness", "questions", "method", "ablation", "phrases"),
    *("data", "dependence", "stages", "handling", "differences", "limits", "costs", "tradeoff"),
    *("arms", "gates"),
)
ALWAYS = ("verdict", "decision")
WIDTH, MARGIN, INSET = 595.28, 51.0, 5.0
ROOM = WIDTH - 2 * MARGIN
SIZES = (8.5, 8.0, 7.5, 7.0, 6.5)
MOST_ROWS, MOST_COLUMNS, MOST_ITEMS = 12, 11, 24
NARROW = 3  # tables of so few columns may have twice the rows
MOST_WORDS, MOST_CELL = 700, 200
TITLE_SIZES = ((20.0, 2), (14.0, 4))  # the usual one, and that of a title of many lines
LOGO_BOX, LOGO_PIXELS = (150.0, 46.0), (900, 280)


def render_pdf(evidence: Evidence, options: PackOptions) -> bytes:
    """Return the PDF; equal evidence gives equal bytes. `StudyError` for a logo that is none."""
    return bytes(_typeset(evidence, options).compile(format="pdf"))


def page_pictures(evidence: Evidence, options: PackOptions, width: int) -> tuple[bytes, ...]:
    """Return each page as a PNG, `width` pixels wide."""
    pages = _typeset(evidence, options).compile(format="png", ppi=72 * width / WIDTH)
    return (pages,) if isinstance(pages, bytes) else tuple(pages)


@dataclass(frozen=True)
class Draft:
    """How much is printed: which sections are dropped, and how many rows a table has at most."""

    dropped: frozenset[str] = frozenset()
    most_rows: int = MOST_ROWS


def drafts(keys: tuple[str, ...]) -> list[Draft]:
    """Return ever shorter drafts: the least important section goes first, then rows of tables."""
    known = [key for key in LEAST_FIRST if key in keys]
    others = [key for key in reversed(keys) if key not in (*known, *ALWAYS)]
    order = (*known[: len(known) // 2], *others, *known[len(known) // 2 :])
    made = [Draft(frozenset(order[:count])) for count in range(len(order) + 1)]
    return [*made, Draft(frozenset(order), MOST_ROWS // 3)]


def _typeset(evidence: Evidence, options: PackOptions) -> Any:
    """Return a typst compiler that holds the longest draft of at most six pages."""
    import typst

    document = _Document(evidence, options)
    folders = sorted({file.parent for file in font_files()})
    fonts = typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=False, font_paths=folders
    )

    def compiler(draft: Draft) -> Any:
        return typst.Compiler(
            TEMPLATES / "report.typ",
            root=TEMPLATES,
            font_paths=fonts,
            ignore_system_fonts=True,
            sys_inputs={"pack": document.data(draft)},
        )

    def fits(draft: Draft) -> bool:
        pages = compiler(draft).query("<pages>", field="value", one=True)
        return int(pages) <= MOST_PAGES

    found = drafts(tuple(section.key for section in document.sections))
    # The last one is taken untried: it is little more than the verdict.
    place = 0 if fits(found[0]) else bisect_left(found, 1, 1, len(found) - 1, key=fits)
    return compiler(found[place])


@dataclass(frozen=True)
class _Document:
    """What the template is given, for one study and one choice of options."""

    evidence: Evidence
    options: PackOptions
    _drawn: dict[str, str] = field(default_factory=dict)

    @cached_property
    def text(self) -> Translator:
        return translator(self.options.lang)

    @cached_property
    def tree(self) -> tuple[Section, ...]:
        return report_sections(self.evidence, self.text, self.options)

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The sections that may be printed; charts that only a screen can draw are left out."""
        wanted = self.options.sections
        found = (s for s in self.tree if s.key in wanted or s.key not in NOT_PRINTED)
        return tuple(section for section in found if any(map(_prints, section.blocks)))

    def data(self, draft: Draft) -> str:
        """Return a draft as JSON."""
        printed = [section for section in self.sections if section.key not in draft.dropped]
        return json.dumps(
            self._frame(printed)
            | {"sections": [self._section(section, draft) for section in printed]},
            ensure_ascii=False,
        )

    def _frame(self, printed: list[Section]) -> dict[str, Any]:
        """Return what stands around the sections."""
        evidence, options, text = self.evidence, self.options, self.text
        title, company = printable(evidence.study.title), printable(options.company)
        created = evidence.record.created_at.astimezone()
        begun = text("print.study_of", date=f"{created:%Y-%m-%d}")
        company = shortened(company, 60)
        keys = {section.key for section in printed}
        names = [section.title for section in self.tree if section.key not in keys]
        verdict = headline(evidence, text).verdict or ""
        size, words = _title(title, ROOM - (LOGO_BOX[0] + 18 if options.logo else 0))
        return {
            "lang": text.lang,
            "fonts": FAMILIES,
            "margin": MARGIN,
            "title": shortened(title, 255),
            "title_words": words,
            "title_size": size,
            "short_title": wrapped(title, 8, 0.6 * ROOM, 1),
            "author": [company] if company else [],
            "company": wrapped(company, 8, 0.38 * ROOM, 1),
            "subtitle": printable(" | ".join(filter(None, (company, begun)))),
            "made_with": text("print.made_with"),
            "color": VERDICT_COLORS.get(verdict, NO_VERDICT_COLOR),
            "tones": {text(key): color for key, color in WORD_COLORS.items()},
            "logo": _logo(options.logo) if options.logo else "",
            "left_out": text("print.left_out", names=text.listed(names)) if names else "",
        }

    def _section(self, section: Section, draft: Draft) -> dict[str, Any]:
        parts: list[dict[str, Any]] = []
        for block in section.blocks:
            again = isinstance(block, Paragraph) and block.text == section.message
            for part in () if again else self._parts(block, draft):
                if part.get("small") and parts and parts[-1]["kind"] == "table":
                    parts[-1]["notes"].append(part["text"])  # so that no page comes between
                else:
                    parts.append(part)
        return {
            "key": section.key,
            "title": self._words(section.title),
            "message": self._words(section.message),
            "parts": parts,
        }

    def _parts(self, block: Block, draft: Draft) -> Iterator[dict[str, Any]]:
        if isinstance(block, Paragraph):
            yield {"kind": "paragraph", "text": self._words(block.text), "small": block.small}
        elif isinstance(block, Bullets):
            items = [self._words(item) for item in block.items[:MOST_ITEMS]]
            more = len(block.items) - MOST_ITEMS
            if more > 0:
                items.append(self.text("print.more_items", count=self.text.number(more)))
            yield {"kind": "bullets", "items": items}
        elif isinstance(block, Table):
            yield self._table(block, draft)
        else:
            for place, chart in enumerate(block.charts):
                if chart.data and _has_numbers(chart):
                    yield self._chart(chart, chart.data)
                    yield from (self._table(t, draft) for t in block.tables[place : place + 1])
                    break

    def _words(self, words: str) -> str:
        """Return words with places to break, cut where they would fill a page."""
        words = printable(words)
        if len(words) > MOST_WORDS:
            words = self.text("print.cut", words=words[:MOST_WORDS].rstrip())
        return breakable(words, 9.5, 0.8 * ROOM)

    def _table(self, table: Table, draft: Draft) -> dict[str, Any]:
        """Return a table with its columns' widths, in the largest size in which numbers fit."""
        few = len(table.header) <= NARROW
        most = draft.most_rows * (2 if few else 1)
        most += len(table.rows) == most + 1  # the row takes no more room than saying so
        columns = min(len(table.header), MOST_COLUMNS)
        header = [_cell(words) for words in table.header[:columns]]
        numeric = [place for place in table.numeric if place < columns]
        joined = set(range(columns)) - set(numeric) if few else set()
        rows = [
            [_cell(row[place], joined=place in joined) for place in range(columns)]
            for row in table.rows[:most]
        ]
        room = ROOM - 2 * INSET * columns
        size, widths = _laid_out(header, rows, numeric, room)
        return {
            "kind": "table",
            "header": [breakable(w, size, r) for w, r in zip(header, widths, strict=True)],
            "rows": [[breakable(w, size, r) for w, r in zip(c, widths, strict=True)] for c in rows],
            "numeric": numeric,
            "widths": [width + 2 * INSET for width in widths],
            "inset": INSET,
            "size": size,
            "notes": self._more(len(table.rows) - most, len(table.header) - columns),
        }

    def _more(self, rows: int, columns: int) -> list[str]:
        """Say how many rows and columns of a table are not printed."""
        counts = {"rows": rows, "columns": columns}
        return [
            self.text(f"print.more_{name}", count=self.text.number(count))
            for name, count in counts.items()
            if count > 0
        ]

    def _chart(self, chart: Chart, data: ChartData) -> dict[str, Any]:
        """Return a chart as SVG; where print draws less than the screen, with words of its own."""
        text, title, note = self.text, chart.title, chart.note
        if chart.key not in self._drawn:
            self._drawn[chart.key] = chart_svg(data, text, ROOM)
        if data.kind == "bars" and data.series[0].low:
            title = text("print.chart.bars_title", name=data.value_title)
            note = text("print.chart.bars_note")
        elif data.kind == "points":
            note = text("print.chart.points_note")
        more = left_out(data)
        if more:
            key = "print.more_bars" if data.categories else "print.more_names"
            note = f"{note} {text(key, count=text.number(more))}"
        svg = self._drawn[chart.key]
        return {"kind": "chart", "title": self._words(title), "svg": svg, "note": self._words(note)}


def _prints(block: Block) -> bool:
    """Say whether a block can be printed: charts only where one of them has numbers."""
    return not isinstance(block, Charts) or any(map(_has_numbers, block.charts))


def _has_numbers(chart: Chart) -> bool:
    return chart.data is not None and any(one.values for one in chart.data.series)


def _cell(words: str, *, joined: bool = False) -> str:
    """Return a cell's words, cut where they are long; `joined` is without their line breaks."""
    words = printable(words.replace("\n", " ") if joined else words)
    return words if len(words) <= MOST_CELL else f"{words[: MOST_CELL - 1].rstrip()}…"


def _title(title: str, room: float) -> tuple[float, str]:
    """Return the size of the title and its lines; a very long one is cut."""
    for size, most in TITLE_SIZES:
        words = wrapped(title, size, 0.97 * room, most)
        if not words.endswith("…"):
            break
    return size, words


def _laid_out(
    header: list[str], rows: list[list[str]], numeric: list[int], room: float
) -> tuple[float, tuple[float, ...]]:
    """Return a table's size of type and its columns' widths.

    That is the largest size in which every cell is one line, else the largest in which numbers fit.
    """
    smallest = 3 if len(header) > NARROW else 1
    for sizes, broken in ((SIZES[:smallest], False), (SIZES, True)):
        for size in sizes:
            widths = column_widths(header, rows, numeric, size, room, broken=broken)
            if widths:
                return size, widths
    return SIZES[-1], (room / len(header),) * len(header)


def _logo(content: bytes) -> str:
    """Return a logo as SVG in its box, with no more pixels than print can show."""
    from PIL import Image, ImageOps

    logo_size(content)
    with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
        small = ImageOps.exif_transpose(picture).convert("RGBA")
    small.thumbnail(LOGO_PIXELS)
    target = io.BytesIO()
    small.save(target, "PNG", optimize=True)
    scale = min(side / pixels for side, pixels in zip(LOGO_BOX, small.size, strict=True))
    width, height = (round(scale * pixels, 2) for pixels in small.size)
    picture64 = base64.b64encode(target.getvalue()).decode()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}pt" height="{height}pt" '
        f'viewBox="0 0 {width} {height}"><image width="{width}" height="{height}" '
        f'href="data:image/png;base64,{picture64}"/></svg>'
    )
