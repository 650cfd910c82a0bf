"""The look of a deck: the studio's own, or that of a company's PowerPoint file."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pptx import Presentation
from pptx.enum.shapes import PP_PLACEHOLDER as KIND
from pptx.exc import PythonPptxError
from pptx.opc.constants import RELATIONSHIP_TYPE as RT
from pptx.opc.oxml import serialize_part_xml
from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls, qn
from pptx.util import Pt

from kasa.errors import StudyError
from kasa.report.pptx_text import Box, Pen, child

WIDTH, HEIGHT, MARGIN = 960.0, 540.0, 48.0
MAX_BYTES, MAX_FILES, MAX_UNPACKED_BYTES = 50_000_000, 5_000, 50_000_000
EAST_ASIAN = "Yu Gothic"
LATIN = {"en": "Calibri", "ja": EAST_ASIAN}
# One accent; the others are for charts that people add.
COLORS = {
    "dk1": "1F2933",
    "lt1": "FFFFFF",
    "dk2": "0B3A5B",
    "lt2": "F5F7FA",
    "accent1": "0B5A8A",
    "accent2": "D55E00",
    "accent3": "009E73",
    "accent4": "E69F00",
    "accent5": "CC79A7",
    "accent6": "7F7F7F",
}
TITLE_BOX = Box(MARGIN, 28, WIDTH - 2 * MARGIN, 64)
FIRST_TITLE_BOX = Box(MARGIN, 60, WIDTH - 2 * MARGIN, 92)
OWN_BOXES = {
    KIND.TITLE: TITLE_BOX,
    KIND.BODY: Box(MARGIN, 114, WIDTH - 2 * MARGIN, 380),
    KIND.DATE: Box(620, 508, 120, 20),
    KIND.FOOTER: Box(MARGIN, 508, 560, 20),
    KIND.SLIDE_NUMBER: Box(WIDTH - MARGIN - 120, 508, 120, 20),
}
SMALL_PRINT = (KIND.DATE, KIND.FOOTER, KIND.SLIDE_NUMBER)
# Title Slide, Title and Content, Title Only, Blank of python-pptx's default file.
OWN_LAYOUTS = (0, 1, 5, 6)
PRESENTATION = "application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"
VARIANTS = re.compile(
    rb"application/vnd\.(?:openxmlformats-officedocument\.presentationml\.(?:template|slideshow)"
    rb"|ms-powerpoint\.(?:presentation|template|slideshow)\.macroEnabled)\.main\+xml"
)
# What a template would carry along: its old preview, titles, remarks, macros.
CARRIED = (
    "/thumbnail",
    "/extended-properties",
    "/custom-properties",
    "/commentAuthors",
    "/vbaProject",
)


@dataclass(frozen=True)
class Look:
    """An empty deck with the layouts to use, where their content goes, and how to write."""

    deck: Any
    first: Any
    usual: Any
    first_body: Box
    body: Box
    pen: Pen
    title_size: float
    first_title_size: float
    own: bool


def own_look(lang: str) -> Look:
    """Return the studio's own empty deck, 13.333 × 7.5 inches."""
    deck: Any = Presentation()
    deck.slide_width, deck.slide_height = Pt(WIDTH), Pt(HEIGHT)
    layouts = list(deck.slide_layouts)
    for place, layout in enumerate(layouts):
        if place not in OWN_LAYOUTS:
            deck.slide_layouts.remove(layout)
    master = deck.slide_master
    _own_theme(master, lang)
    _place(master)
    kept = [layouts[place] for place in OWN_LAYOUTS]
    for layout in kept:
        for shape in layout.placeholders:
            _inherit(shape)
    first = kept[0]
    for shape in list(first.placeholders):
        if shape.placeholder_format.type == KIND.SUBTITLE:
            _drop(shape)
        elif shape.placeholder_format.type not in SMALL_PRINT:
            _put(shape, FIRST_TITLE_BOX)
    _rule(first, Box(0, 0, 14, HEIGHT))
    for layout in kept[1:3]:
        _rule(layout, Box(MARGIN, 98, WIDTH - 2 * MARGIN, 1.5))
    _forget(deck)
    body = Box(MARGIN, 114, WIDTH - 2 * MARGIN, 384)
    first_body = Box(MARGIN, 176, WIDTH - 2 * MARGIN, 322)
    pen = Pen(_locale(lang), "+mn-lt", "+mn-ea", _leading(lang))
    return Look(deck, first, kept[2], first_body, body, pen, 24, 32, own=True)


def look_of(template: bytes, lang: str) -> Look:
    """Return the empty deck of a company's file: its master, layouts, fonts and slide size.

    Raises `StudyError` for a file that is no PowerPoint or that unpacks to too much.
    """
    content = _as_presentation(template)
    try:
        deck: Any = Presentation(io.BytesIO(content))
        _forget(deck)
        _remove_slides(deck)
        layout = _title_layout(deck)
        body, size = _body_of(deck, layout), _title_size(layout)
        pen = Pen(_locale(lang), "+mn-lt", _east_asian(deck), _leading(lang))
    # A stranger's file can fail anywhere in the reader: whatever it is, the file is not usable.
    except (
        *(PythonPptxError, SyntaxError, LookupError, ValueError, TypeError),
        *(AttributeError, AssertionError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error),
    ) as error:
        raise StudyError("not_a_template", detail=type(error).__name__) from error
    return Look(deck, layout, layout, body, body, pen, size, size, own=False)


def _locale(lang: str) -> str:
    return {"ja": "ja-JP"}.get(lang, "en-US")


def _leading(lang: str) -> float:
    return 1.35 if lang == "ja" else 1.22


# -- the studio's own -----------------------------------------------------------------------------


def _own_theme(master: Any, lang: str) -> None:
    part = master.part.part_related_by(RT.THEME)
    tree: Any = parse_xml(part.blob)
    scheme = tree.find(f".//{qn('a:clrScheme')}")
    for name, value in COLORS.items():
        slot = scheme.find(qn(f"a:{name}"))
        slot.clear()
        child(slot, "srgbClr", val=value)
    for kind in ("majorFont", "minorFont"):
        font = tree.find(f".//{qn(f'a:{kind}')}")
        font.find(qn("a:latin")).set("typeface", LATIN.get(lang, LATIN["en"]))
        font.find(qn("a:ea")).set("typeface", EAST_ASIAN)
    part.blob = serialize_part_xml(tree)


def _place(master: Any) -> None:
    for shape in master.placeholders:
        _put(shape, OWN_BOXES[shape.placeholder_format.type])
        frame = shape.text_frame
        frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = 0
        if shape.placeholder_format.type == KIND.TITLE:
            frame._txBody.bodyPr.set("anchor", "b")  # noqa: SLF001 - the enum cannot be set here
        for style in shape._element.iter(qn("a:lvl1pPr")):  # noqa: SLF001 - no public way to styles
            if shape.placeholder_format.type == KIND.FOOTER:
                style.set("algn", "l")
    title = master._element.find(f".//{qn('p:titleStyle')}/{qn('a:lvl1pPr')}")  # noqa: SLF001 - styles
    title.set("algn", "l")
    letters = title.find(qn("a:defRPr"))
    letters.set("sz", "2400")
    letters.set("b", "1")
    letters.find(f".//{qn('a:schemeClr')}").set("val", "tx2")


def _put(shape: Any, box: Box) -> None:
    shape.left, shape.top, shape.width, shape.height = box.emu


def _inherit(shape: Any) -> None:
    """Let a layout's placeholder stand where the master's stands."""
    place = shape._element.spPr.find(qn("a:xfrm"))  # noqa: SLF001 - only an element can be taken out
    if place is not None:
        place.getparent().remove(place)


def _drop(shape: Any) -> None:
    shape._element.getparent().remove(shape._element)  # noqa: SLF001 - python-pptx deletes no shapes


def _rule(layout: Any, box: Box) -> None:
    """Draw a bar in the accent colour; layouts have no `add_shape`."""
    left, top, width, height = box.emu
    shape: Any = parse_xml(
        f"<p:sp {nsdecls('p', 'a')}><p:nvSpPr>"
        '<p:cNvPr id="99" name="Accent"/><p:cNvSpPr/><p:nvPr userDrawn="1"/></p:nvSpPr><p:spPr>'
        f'<a:xfrm><a:off x="{left}" y="{top}"/><a:ext cx="{width}" cy="{height}"/></a:xfrm>'
        '<a:prstGeom prst="rect"><a:avLst/></a:prstGeom><a:solidFill><a:schemeClr val="accent1"/>'
        "</a:solidFill><a:ln><a:noFill/></a:ln></p:spPr></p:sp>"
    )
    layout.shapes._spTree.insert(2, shape)  # noqa: SLF001 - behind everything else


# -- a company's file -----------------------------------------------------------------------------


def _as_presentation(content: bytes) -> bytes:
    """Return a template, show or file with macros as a plain presentation, checked for size."""
    if len(content) > MAX_BYTES:
        raise StudyError("template_too_large", megabytes=f"{len(content) / 1e6:,.0f}")
    target = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as old:
            unpacked = sum(part.file_size for part in old.infolist())
            if unpacked > MAX_UNPACKED_BYTES or len(old.infolist()) > MAX_FILES:
                raise StudyError("template_too_large", megabytes=f"{unpacked / 1e6:,.0f}")
            with zipfile.ZipFile(target, "w") as new:
                for part in old.infolist():
                    # zipfile never unpacks more than the size a part declares.
                    data = old.read(part)
                    if part.filename == "[Content_Types].xml":
                        data = VARIANTS.sub(PRESENTATION.encode(), data)
                    new.writestr(part.filename, data)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
        raise StudyError("not_a_template", detail=type(error).__name__) from error
    return target.getvalue()


def _forget(deck: Any) -> None:
    """Drop what a file carries besides its look: preview, old titles, remarks, macros."""
    for part in (deck.part.package, deck.part):
        relations = part._rels  # noqa: SLF001 - implicit relationships have no public way out
        for name, relation in list(relations.items()):
            if relation.reltype.endswith(CARRIED):
                relations.pop(name)


def _remove_slides(deck: Any) -> None:
    """Remove the file's slides, and the shows and sections that name them."""
    element = deck.part._element  # noqa: SLF001 - python-pptx deletes no slides
    for slide in list(deck.slides._sldIdLst):  # noqa: SLF001
        deck.part.drop_rel(slide.rId)
        slide.getparent().remove(slide)
    for name in ("custShowLst", "extLst"):
        for old in element.findall(qn(f"p:{name}")):
            element.remove(old)


def _kinds(layout: Any) -> list[Any]:
    kinds = [shape.placeholder_format.type for shape in layout.placeholders]
    return [kind for kind in kinds if kind not in SMALL_PRINT]


def _title_layout(deck: Any) -> Any:
    """Return the layout with a title and the least besides, the title at the top."""

    def fitness(layout: Any) -> tuple[bool, bool, int]:
        kinds = _kinds(layout)
        titles = [s for s in layout.placeholders if s.placeholder_format.type == KIND.TITLE]
        low = bool(titles) and (titles[0].top or 0) > 0.3 * deck.slide_height
        return not titles, low, len(kinds)

    return min((layout for m in deck.slide_masters for layout in m.slide_layouts), key=fitness)


def _body_of(deck: Any, layout: Any) -> Box:
    """Return where content goes: below the title, above the small print, as wide as the title."""
    wide, high = deck.slide_width.pt, deck.slide_height.pt
    left, top, right, bottom = 0.05 * wide, 0.2 * high, 0.95 * wide, 0.92 * high
    for shape in layout.placeholders:
        kind, place = shape.placeholder_format.type, _box(shape)
        if kind in SMALL_PRINT and place.top > 0.75 * high:
            bottom = min(bottom, place.top - 4)
        elif kind == KIND.TITLE and place.top + place.height < 0.45 * high:
            top = place.top + place.height + 0.02 * high
            if place.width > 0.6 * wide:
                left, right = place.left + 7.2, place.left + place.width - 7.2
    return Box(left, top, right - left, bottom - top)


def _box(shape: Any) -> Box:
    left, top, width, height = (
        (length or 0) / 12700 for length in (shape.left, shape.top, shape.width, shape.height)
    )
    return Box(left, top, width, height)


def _title_size(layout: Any) -> float:
    """Return the size of a title in points: the layout's, else the master's."""
    master = layout.slide_master
    places: list[Callable[[], Any]] = [
        lambda: _size_in(layout),
        lambda: _size_in(master),
        lambda: master._element.find(f".//{qn('p:titleStyle')}//{qn('a:defRPr')}"),  # noqa: SLF001
    ]
    for place in places:
        found = place()
        if found is not None and found.get("sz"):
            return float(found.get("sz")) / 100
    return 28.0


def _size_in(holder: Any) -> Any:
    for shape in holder.placeholders:
        if shape.placeholder_format.type == KIND.TITLE:
            return shape._element.find(f".//{qn('a:lstStyle')}/{qn('a:lvl1pPr')}/{qn('a:defRPr')}")  # noqa: SLF001
    return None


def _east_asian(deck: Any) -> str:
    """Return the theme's East Asian font, or one by name where the theme leaves it open."""
    theme: Any = parse_xml(deck.slide_master.part.part_related_by(RT.THEME).blob)
    font = theme.find(f".//{qn('a:minorFont')}/{qn('a:ea')}")
    return "+mn-ea" if font is not None and font.get("typeface") else EAST_ASIAN
