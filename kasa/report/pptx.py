"""The meeting pack as PowerPoint: at most ten slides, one idea each, the verdict first."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace

from kasa.report.options import PackOptions
from kasa.report.plots import Chart
from kasa.report.pptx_look import look_of, own_look
from kasa.report.pptx_pages import Painter, Slide
from kasa.report.pptx_text import clean
from kasa.report.sections import report_sections
from kasa.report.tree import Block, Bullets, Charts, Paragraph, Section, Table
from kasa.text import Translator, translator
from kasa.verdict.evidence import Evidence

# Sections of one slide stand together; those that a pack does not have are left out.
SLIDES: tuple[tuple[str, ...], ...] = (
    ("verdict",),
    ("decision",),
    ("gates",),
    ("arms",),
    ("differences",),
    ("tradeoff",),
    ("costs",),
    ("dependence",),
    ("stages",),
    ("handling", "limits"),
)
# Sections that are said beside a slide: their notes come before its own.
SPOKEN = {"verdict": "phrases", "decision": "questions"}


def slides(evidence: Evidence, options: PackOptions) -> tuple[Slide, ...]:
    """Return the slides in their order; the first always names the study."""
    text = translator(options.lang)
    found = {section.key: section for section in report_sections(evidence, text, options)}
    made = []
    for keys in SLIDES:
        together = [found[key] for key in keys if key in found]
        if together:
            spoken = found.get(SPOKEN.get(keys[0], ""))
            slide = _slide(together, text)
            made.append(replace(slide, notes=(*(spoken.notes if spoken else ()), *slide.notes)))
    first = made.pop(0) if made and made[0].key == "verdict" else Slide("verdict", "", ())
    return (Slide("verdict", evidence.study.title, first.blocks, first.notes), *made)


def _slide(sections: Sequence[Section], text: Translator) -> Slide:
    """Return one slide of sections that stand together."""
    first = sections[0]
    blocks: list[Block] = []
    notes: list[str] = []
    title = first.message or first.title if len(sections) == 1 else text("slides.care")
    tables = 0
    for section in sections:
        notes += section.notes
        if len(sections) > 1:
            blocks.append(Paragraph(section.title))
        for block in (_on_slide(block, text) for block in section.blocks):
            notes += _spoken(block)
            tables += isinstance(block, Table)
            again = isinstance(block, Paragraph) and block.text == title
            if not again and not _is_small(block) and not (isinstance(block, Table) and tables > 1):
                blocks.append(block)
    if tables > 1:
        notes.append(text("slides.more_tables"))
    return Slide(first.key, title, tuple(blocks), tuple(notes))


def _on_slide(block: Block, text: Translator) -> Block:
    """Return a block as a slide shows it: of charts the first one that has numbers."""
    if not isinstance(block, Charts):
        return block
    chart = next((chart for chart in block.charts if chart.data), None)
    if chart is not None:
        return Charts((_native(chart, text),))
    return block.tables[0] if block.tables else Bullets(())


def _native(chart: Chart, text: Translator) -> Chart:
    """Return a chart with words for how slides draw it: means with intervals, marks alone."""
    data = chart.data
    if data is None or not any(one.low for one in data.series):
        return chart
    if data.kind == "bars":
        title = text("slides.read.means", name=data.value_title)
        return replace(chart, title=title, note=text("slides.read.bars"))
    if data.kind == "points":
        return replace(chart, note=text("slides.read.points"))
    return chart


def _is_small(block: Block) -> bool:
    return (isinstance(block, Paragraph) and block.small) or block == Bullets(())


def _spoken(block: Block) -> Iterator[str]:
    """Return what is said and not shown: small print, and how to read a chart."""
    if isinstance(block, Paragraph) and block.small:
        yield block.text
    elif isinstance(block, Charts):
        yield from (chart.note for chart in block.charts if chart.note)


def render_pptx(evidence: Evidence, options: PackOptions) -> bytes:
    """Return the deck, well below a megabyte without a template.

    Raises `StudyError` for a logo that is no picture or a template that is no PowerPoint file.
    """
    text = translator(options.lang)
    look = look_of(options.template, text.lang) if options.template else own_look(text.lang)
    painter = Painter(look, text, evidence)
    for place, slide in enumerate(slides(evidence, options)):
        if place == 0:
            painter.first(slide, options)
        else:
            painter.usual(slide)
    properties = look.deck.core_properties
    properties.title, properties.author = (
        clean(evidence.study.title)[:255],
        clean(options.company)[:255],
    )
    properties.last_modified_by, properties.language = "KaSA PoC Studio", look.pen.lang
    properties.subject = properties.keywords = properties.comments = properties.category = ""
    properties.created = properties.modified = evidence.record.created_at
    target = io.BytesIO()
    look.deck.save(target)
    return target.getvalue()
