"""Drawing slides: the title slide, and charts, words and tables in their places."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pptx.enum.shapes import MSO_SHAPE
from pptx.enum.shapes import PP_PLACEHOLDER as KIND
from pptx.enum.text import MSO_ANCHOR
from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls, qn
from pptx.util import Pt

from kasa.report.headline import headline
from kasa.report.logo import logo_size
from kasa.report.options import PackOptions
from kasa.report.palette import NO_VERDICT_COLOR, VERDICT_COLORS, WORD_COLORS
from kasa.report.plots import Chart
from kasa.report.pptx_chart_fit import best_height, fitting
from kasa.report.pptx_charts import NativeChart
from kasa.report.pptx_look import Look
from kasa.report.pptx_tables import cut_to, draw_table, laid_out
from kasa.report.pptx_text import (
    SMALLEST,
    Box,
    Line,
    child,
    clean,
    count_lines,
    rgb,
    shortened,
    width,
)
from kasa.report.tree import Block, Bullets, Charts, Paragraph, Table
from kasa.text import Translator
from kasa.verdict.evidence import Evidence

LOGO_BOX = (170.0, 50.0)
GAP = 12.0
SIZES = range(20, SMALLEST - 1, -1)
LEAST_CHART = 190.0
# A table with less room than this for each column stands above its chart, not beside it.
LEAST_COLUMN = 85.0


@dataclass(frozen=True)
class Slide:
    """One slide: its title, the blocks on it and what the speaker may say."""

    key: str
    title: str
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Painter:
    """Draws slides into a deck."""

    look: Look
    text: Translator
    evidence: Evidence

    def first(self, slide: Slide, options: PackOptions) -> None:
        """Draw the title slide: verdict as a badge, its sentence, the others, the company."""
        look, pen = self.look, self.look.pen
        page = self._page(slide, look.first, look.first_title_size)
        body = look.first_body
        if options.company or options.logo:
            body = Box(body.left, body.top, body.width, body.height - LOGO_BOX[1] - GAP)
            self._company(page, options, look.first_body.below(body.height + GAP))
        if not slide.blocks:
            return
        verdict = headline(self.evidence, self.text).verdict
        self._badge(page, self.text(f"verdict.word.{verdict}"), VERDICT_COLORS.get(verdict), body)
        body = body.below(34 + GAP)
        main, *rest = list(_lines(slide.blocks))
        main, rest = replace(main, bold=True), [replace(line, bold=False) for line in rest]

        def heights(size: float) -> tuple[float, float]:
            first = pen.height([main], size, body.width)
            return first, pen.height(rest, _second(size), body.width, 0.5 * _second(size))

        size = next((s for s in SIZES if sum(heights(s)) + GAP <= body.height), SMALLEST)
        if size == SMALLEST:
            main = self._short([main], size, body.first(0.5 * body.height))[0]
        self._write(page, [main], size, body)
        lower = body.below(pen.height([main], size, body.width) + GAP)
        self._write(page, self._short(rest, _second(size), lower), _second(size), lower)

    def usual(self, slide: Slide) -> None:
        """Draw a slide of the pack: charts and words side by side, wide tables above charts."""
        look = self.look
        page, body = self._page(slide, look.usual, look.title_size), look.body
        charts = [b.charts[0] for b in slide.blocks if isinstance(b, Charts)]
        flow = [block for block in slide.blocks if not isinstance(block, Charts)]
        widest = max((len(b.header) for b in flow if isinstance(b, Table)), default=0)
        left, beside = body.columns(0.58, 2 * GAP)
        if not charts:
            self._flow(page, flow, body)
        elif not flow:
            places = [body] if len(charts) == 1 else body.columns(0.5, 2 * GAP)
            for chart, place in zip(charts, places, strict=False):
                self._chart(page, chart, place)
        elif widest * LEAST_COLUMN > beside.width:
            used = self._flow(page, flow, body.first(body.height - LEAST_CHART - GAP))
            self._chart(page, charts[0], body.below(used + GAP))
        else:
            self._chart(page, charts[0], left)
            self._flow(page, flow, beside)

    # -- what stands on every slide -------------------------------------------------------------

    def _page(self, slide: Slide, layout: Any, size: float) -> Any:
        """Add a slide with its title, small print and notes; no empty placeholder stays."""
        page = self.look.deck.slides.add_slide(layout)
        for shape in list(page.placeholders):
            if shape.placeholder_format.type not in {KIND.TITLE, KIND.CENTER_TITLE}:
                shape._element.getparent().remove(shape._element)  # noqa: SLF001 - no public way
        title = page.shapes.title
        if title is None:
            title = page.shapes.add_textbox(*Box(48, 20, self.look.body.width, 60).emu)
        self._title(title, " ".join(clean(slide.title).split()), size)
        self._small_print(page, layout)
        notes = page.notes_slide.notes_text_frame
        for place, note in enumerate(slide.notes):
            paragraph = notes.paragraphs[0] if place == 0 else notes.add_paragraph()
            self.look.pen.run(paragraph, note, None, bold=False)
        return page

    def _title(self, shape: Any, words: str, usual: float) -> None:
        """Write the title at its usual size, or smaller where it would not fit."""
        pen, frame = self.look.pen, shape.text_frame
        room, height = shape.width.pt - 15, shape.height.pt
        sizes = [usual, *(s for s in (28, 24, 22, 20, 18) if s < usual)]

        def most(size: float) -> int:
            return max(1, int(height / (size * pen.leading)))

        fits = (size for size in sizes if count_lines(words, size, room, bold=True) <= most(size))
        size = next(fits, sizes[-1])
        words = shortened(words, size, room, most(size), bold=True)
        frame.word_wrap = True
        pen.run(frame.paragraphs[0], words, None, bold=True)
        # The layout's own size needs no saying.
        if size != self.look.title_size:
            for run in frame.paragraphs[0].runs:
                run.font.size = Pt(size)

    def _small_print(self, page: Any, layout: Any) -> None:
        """Fill in the layout's footer and slide number, which python-pptx leaves behind."""
        number = len(self.look.deck.slides)
        for shape in layout.placeholders:
            kind = shape.placeholder_format.type
            if kind == KIND.FOOTER and number > 1:
                line = _placeholder(page, shape, "ftr")
                words = self._footer(shape.width.pt - 15)
                self.look.pen.run(line, words, SMALLEST, bold=False)
            elif kind == KIND.SLIDE_NUMBER:
                _number(_placeholder(page, shape, "sldNum"), number, self.look.pen.lang)

    def _footer(self, room: float) -> str:
        """Return the study's title, cut to what one line has room for, and who made the slides."""
        rest = width(self.text("slides.made_with", title=""), SMALLEST)
        title = " ".join(clean(self.evidence.study.title).split())
        return self.text("slides.made_with", title=shortened(title, SMALLEST, room - rest, 1))

    def _badge(self, page: Any, word: str, color: str | None, body: Box) -> None:
        word = shortened(word[:1].upper() + word[1:], 18, body.width - 60, 1, bold=True)
        box = Box(body.left, body.top, width(word, 18, bold=True) + 40, 34)
        shape = page.shapes.add_shape(MSO_SHAPE.ROUNDED_RECTANGLE, *box.emu)
        shape.name, shape.shadow.inherit = "Verdict", False
        shape.fill.solid()
        shape.fill.fore_color.rgb = rgb(color or NO_VERDICT_COLOR)
        shape.line.fill.background()
        frame = shape.text_frame
        frame.margin_top = frame.margin_bottom = 0
        frame.vertical_anchor = MSO_ANCHOR.MIDDLE
        dark = color == VERDICT_COLORS["cannot_tell"]
        ink = "#1F2933" if dark else "#FFFFFF"
        self.look.pen.write(frame, [Line(word, bold=True, color=ink, align="center")], 18)

    def _company(self, page: Any, options: PackOptions, row: Box) -> None:
        """Draw the company's name at the left, and its logo at the right, of the lowest row."""
        company = " ".join(clean(options.company).split())
        room = row.width - (LOGO_BOX[0] + GAP if options.logo else 0)
        if company:
            words = [Line(shortened(company, 14, room - 10, 2))]
            self._write(
                page, words, 14, Box(row.left, row.top, room, LOGO_BOX[1]), MSO_ANCHOR.BOTTOM
            )
        if options.logo:
            size = logo_size(options.logo)
            scale = min(LOGO_BOX[0] / size[0], LOGO_BOX[1] / size[1])
            wide, high = (max(1.0, pixels * scale) for pixels in size)
            left, top = row.left + row.width - wide, row.top + LOGO_BOX[1] - high
            picture = page.shapes.add_picture(
                io.BytesIO(options.logo), *Box(left, top, wide, high).emu
            )
            picture._element.find(f".//{qn('p:cNvPr')}").set("descr", company)  # noqa: SLF001

    # -- blocks ---------------------------------------------------------------------------------

    def _flow(self, page: Any, blocks: Sequence[Block], box: Box) -> float:
        """Draw words and tables below each other at the largest size that fits; return the height.

        Where none fits, words keep at most half of the place and the table loses rows.
        """
        parts = list(_parts(blocks))
        has_table = any(isinstance(part, Table) for part in parts)
        heights = {size: [self._height(p, size, box.width) for p in parts] for size in SIZES}
        room = box.height - GAP * (len(parts) - 1)
        usual = 16 if has_table else 20
        size = next((s for s in SIZES if s <= usual and sum(heights[s]) <= room), None)
        words = sum(
            high
            for part, high in zip(parts, heights[SMALLEST], strict=True)
            if not isinstance(part, Table)
        )
        share = min(1.0, 0.5 * room / words) if has_table and words else 1.0
        used = 0.0
        for part, high in zip(parts, heights[size or SMALLEST], strict=True):
            place = box.below(used)
            if isinstance(part, Table):
                after = 0.0 if size else words * share + GAP
                used += self._table(page, part, size, place.first(place.height - after)) + GAP
            else:
                words -= 0 if size else high
                most = place if size or not has_table else place.first(high * share)
                lines = self._short(part, size or SMALLEST, most)
                used += self._write(page, lines, size or SMALLEST, place) + GAP
        return max(0.0, used - GAP)

    def _height(self, part: list[Line] | Table, size: int, room: float) -> float:
        """Return the height of words or a table; a table that would break words fits only small."""
        if not isinstance(part, Table):
            return self.look.pen.height(part, size, room, 0.45 * size)
        grid = laid_out(part, min(13, size), room, self.look.pen)
        return grid.height if grid.whole or size == SMALLEST else math.inf

    def _table(self, page: Any, table: Table, size: float | None, box: Box) -> float:
        pen, text = self.look.pen, self.text
        grid = laid_out(table, min(13, size or SMALLEST), box.width, pen)
        line = SMALLEST * pen.leading
        if size is None:
            grid = cut_to(grid, box.height - line - 4)
        colors = {text(key): color for key, color in WORD_COLORS.items()}
        if not self.look.own:  # these may not read on a company's background
            colors = dict.fromkeys(colors, "")
        draw_table(page.shapes, grid, box, pen, colors)
        if not grid.num_left_out:
            return grid.height
        more = Line(text("slides.more_rows", count=text.number(grid.num_left_out)))
        self._write(page, [more], SMALLEST, box.below(grid.height + 4).first(line))
        return grid.height + 4 + line

    def _chart(self, page: Any, chart: Chart, box: Box) -> None:
        """Draw a native chart under its title; what it has no room for is said below it."""
        pen, data = self.look.pen, chart.data
        if data is None:
            return
        title = Line(shortened(chart.title, 13, box.width - 10, 2, bold=True), bold=True)
        box = box.below(self._write(page, [title], 13, box) + 4)
        line = SMALLEST * pen.leading
        shown, left_out = fitting(data, box.height - line, box.width)
        if left_out:
            more = Line(self.text("slides.more_bars", count=self.text.number(left_out)))
            self._write(page, [more], SMALLEST, box.below(box.height - line))
            box = box.first(box.height - line)
        box = box.first(best_height(shown, box.height, box.width))
        native = NativeChart(shown, self.text, pen, (box.width, box.height))
        frame = page.shapes.add_chart(None, *box.emu, native)
        frame._element.find(f".//{qn('p:cNvPr')}").set("descr", clean(chart.title))  # noqa: SLF001

    def _write(
        self,
        page: Any,
        lines: Sequence[Line],
        size: float,
        box: Box,
        anchor: Any = MSO_ANCHOR.TOP,
    ) -> float:
        """Write paragraphs in a text box of their height and return that."""
        if not lines:
            return 0.0
        gap = 0.45 * size
        high = self.look.pen.height(lines, size, box.width, gap)
        place = box if anchor == MSO_ANCHOR.BOTTOM else box.first(high)
        frame = page.shapes.add_textbox(*place.emu).text_frame
        frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = 0
        frame.vertical_anchor = anchor
        self.look.pen.write(frame, lines, size, gap)
        return high

    def _short(self, lines: Sequence[Line], size: float, box: Box) -> list[Line]:
        """Return the lines that a place has room for; a note says where some were left out."""
        pen, gap = self.look.pen, 0.45 * size
        if pen.height(lines, size, box.width, gap) <= box.height:
            return list(lines)
        note = Line(self.text("slides.more_words"))
        kept: list[Line] = []
        for line in lines:
            spare = box.height - pen.height([*kept, note], size, box.width, gap) - gap
            most = int(spare / (size * pen.leading))
            if most < 1:
                break
            room = box.width - (1.2 * size if line.bullet else 0)
            words = shortened(line.words, size, room, most, line.bold)
            kept.append(Line(words, line.bullet, line.bold, line.color))
        return [*kept, note]


def _second(size: float) -> float:
    return max(SMALLEST, round(0.7 * size))


def _lines(blocks: Sequence[Block]) -> Iterator[Line]:
    """Return words as lines; a paragraph that leads into bullets is bold."""
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        if isinstance(block, Paragraph):
            yield Line(block.text, bold=isinstance(after, Bullets))
        elif isinstance(block, Bullets):
            yield from (Line(item, bullet=True) for item in block.items)


def _parts(blocks: Sequence[Block]) -> Iterator[list[Line] | Table]:
    """Return runs of words and single tables, in their order."""
    words: list[Block] = []
    for block in blocks:
        if not isinstance(block, Table):
            words.append(block)
            continue
        if words:
            yield list(_lines(words))
            words = []
        yield block
    if words:
        yield list(_lines(words))


def _placeholder(page: Any, shape: Any, kind: str) -> Any:
    """Add the slide's own copy of a layout's placeholder and return its empty paragraph."""
    tree = page.shapes._spTree  # noqa: SLF001 - python-pptx adds no placeholders
    number = 1 + max(int(each.get("id")) for each in tree.iter(qn("p:cNvPr")))
    place = shape.placeholder_format.idx
    tree.append(
        parse_xml(
            f'<p:sp {nsdecls("p", "a")}><p:nvSpPr><p:cNvPr id="{number}" name="{kind} {number}"/>'
            f'<p:cNvSpPr/><p:nvPr><p:ph type="{kind}" idx="{place}"/></p:nvPr></p:nvSpPr>'
            "<p:spPr/><p:txBody><a:bodyPr/><a:lstStyle/><a:p/></p:txBody></p:sp>"
        )
    )
    return page.shapes[-1].text_frame.paragraphs[0]


def _number(paragraph: Any, number: int, lang: str) -> None:
    """Write the slide's number as a field, which follows when slides are moved."""
    line = paragraph._p  # noqa: SLF001 - python-pptx has no fields
    field = child(line, "fld", id="{B6F15528-21DE-4FAA-801E-634DDDAF4B2B}", type="slidenum")
    child(field, "rPr", lang=lang, sz="1000")
    child(field, "t").text = str(number)
