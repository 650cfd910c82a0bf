"""Words on a slide: how much room they take, the size at which they fit, and how they are written.

Every line has an exact height and every letter an assumed width (a full-width one counts double),
so that the estimate holds whatever font the reader's computer has.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pptx.dml.color import RGBColor
from pptx.enum.text import MSO_AUTO_SIZE, PP_ALIGN
from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls
from pptx.util import Pt

from kasa.report.fit import fit

SMALLEST = 10
# A line may end after each: a word, or a full-width letter, with the marks that stay beside it.
PIECES = re.compile(
    r"[（「『【￥＄]*(?:[^\s\u2e80-\uffff\U00010000-\U0010ffff]+|\S)[）」』】、。，．：；！？]*[^\S\n]*|\s"
)
MINUS = re.compile(r"(?<![\w-])-(?=\d)")
NARROW, WIDE = frozenset("iljtfrI.,:;'|!()[]{} "), frozenset("mwMW@%‐‑–−")

SPACE, SEAM = 0.38, 0.25


@dataclass(frozen=True)
class Box:
    """A place on a slide, in points."""

    left: float
    top: float
    width: float
    height: float

    def columns(self, share: float, gap: float) -> tuple[Box, Box]:
        """Return the left part, which takes `share` of the width, and the right part."""
        first = (self.width - gap) * share
        rest = Box(self.left + first + gap, self.top, self.width - gap - first, self.height)
        return Box(self.left, self.top, first, self.height), rest

    def below(self, used: float) -> Box:
        """Return what is left below the first `used` points."""
        return Box(self.left, self.top + used, self.width, self.height - used)

    def first(self, height: float) -> Box:
        """Return the first `height` points."""
        return Box(self.left, self.top, self.width, height)

    @property
    def emu(self) -> tuple[int, int, int, int]:
        """Left, top, width and height as PowerPoint counts them."""
        left, top, width, height = self.left, self.top, self.width, self.height
        return int(Pt(left)), int(Pt(top)), int(Pt(width)), int(Pt(height))


@dataclass(frozen=True)
class Line:
    """One paragraph; `color` is #RRGGBB, empty for the slide's own colour of text."""

    words: str
    bullet: bool = False
    bold: bool = False
    color: str = ""
    align: str = "left"


@dataclass(frozen=True)
class Pen:
    """How words are written: their language, their fonts, and the height of a line of size 1."""

    lang: str
    latin: str
    east_asian: str
    leading: float

    def write(self, frame: Any, lines: Sequence[Line], size: float, gap: float = 0.0) -> None:
        """Write paragraphs into an empty text frame; `gap` points stand between them."""
        frame.word_wrap, frame.auto_size = True, MSO_AUTO_SIZE.NONE
        for place, line in enumerate(lines):
            paragraph = frame.paragraphs[0] if place == 0 else frame.add_paragraph()
            paragraph.line_spacing = Pt(size * self.leading)
            paragraph.space_before = Pt(gap if place else 0)
            paragraph.space_after = Pt(0)
            paragraph.alignment = {"left": PP_ALIGN.LEFT, "right": PP_ALIGN.RIGHT}.get(
                line.align, PP_ALIGN.CENTER
            )
            _bullet(paragraph, size if line.bullet else 0)
            self.run(paragraph, line.words, size, bold=line.bold, color=line.color)

    def run(
        self, paragraph: Any, words: str, size: float | None, *, bold: bool, color: str = ""
    ) -> None:
        """Add words to a paragraph, with line breaks where they have them."""
        for place, part in enumerate(clean(words).split("\n")):
            if place:
                paragraph.add_line_break()
            run = paragraph.add_run()
            run.text = part
            if size is not None:
                run.font.size, run.font.bold = Pt(size), bold
            if color:
                run.font.color.rgb = rgb(color)
            self.mark(run.font._element)  # noqa: SLF001 - python-pptx sets no language or East Asian font

    def mark(self, properties: Any) -> None:
        """Give a run's properties their language and both fonts, in the order the schema asks."""
        properties.set("lang", self.lang)
        for name, face in (("latin", self.latin), ("ea", self.east_asian)):
            child(properties, name, typeface=face)

    def height(self, lines: Sequence[Line], size: float, room: float, gap: float = 0.0) -> float:
        """Return the height of paragraphs in a column `room` points wide."""
        count = sum(
            count_lines(line.words, size, room - (indent(size) if line.bullet else 0), line.bold)
            for line in lines
        )
        return count * size * self.leading + gap * max(0, len(lines) - 1)


def indent(size: float) -> float:
    return 1.2 * size


def _bullet(paragraph: Any, size: float) -> None:
    properties = paragraph._p.get_or_add_pPr()  # noqa: SLF001 - python-pptx knows no bullets
    if not size:
        child(properties, "buNone")
        return
    margin = int(Pt(indent(size)))
    properties.set("marL", str(margin))
    properties.set("indent", str(-margin))
    child(properties, "buFont", typeface="Arial")
    child(properties, "buChar", char="•")


def child(parent: Any, name: str, **attributes: str) -> Any:
    """Append a DrawingML element, for what python-pptx has no words."""
    element: Any = parse_xml(f"<a:{name} {nsdecls('a')}/>")
    for attribute, value in attributes.items():
        element.set(attribute, value)
    parent.append(element)
    return element


def rgb(color: str) -> Any:
    """Return #RRGGBB as python-pptx counts colours."""
    make: Any = RGBColor
    return make.from_string(color.lstrip("#"))


def clean(words: str) -> str:
    """Return words without what XML cannot hold or what would turn them around.

    A hyphen before a number becomes a minus sign: a line may end after a hyphen, and the number
    would then read as positive.
    """
    return MINUS.sub("−", fit(words).replace("\t", " "))


def width(words: str, size: float, bold: bool = False) -> float:
    """Return how wide words are at most, in points."""
    ems = [_em(letter) for letter in words]
    # Some programs set Latin and Japanese letters apart.
    seams = sum(
        (one == 1.0) != (other == 1.0) for one, other in pairwise(ems) if SPACE not in (one, other)
    )
    return size * (1.13 if bold else 1.0) * (sum(ems) + SEAM * seams)


def _em(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0.0
    if letter in NARROW:
        return SPACE
    if letter in WIDE:
        return 0.9
    if unicodedata.east_asian_width(letter) in "WFA":
        return 1.0 if ord(letter) < 0x10000 else 1.35
    return 0.72 if letter.isupper() else 0.64


def count_lines(words: str, size: float, room: float, bold: bool = False) -> int:
    """Return over how many lines words are broken in a column `room` points wide."""
    room = max(room, 1.4 * size)
    return sum(_lines_of(part, size, room, bold) for part in clean(words).split("\n"))


def _lines_of(words: str, size: float, room: float, bold: bool) -> int:
    lines, used = 1, 0.0
    for piece in PIECES.findall(words):
        wide, seen = width(piece, size, bold), width(piece.rstrip(), size, bold)
        if used + seen <= room:
            used += wide
        elif seen <= room:
            lines, used = lines + 1, wide
        else:  # a word longer than a line is broken where the line ends
            extra = math.ceil(seen / (room - size)) - (0 if used else 1)
            lines, used = lines + max(1, extra), seen % room
    return lines


def shortened(words: str, size: float, room: float, most: int, bold: bool = False) -> str:
    """Return words as they are, or cut to `most` lines with an ellipsis."""
    words = clean(words)
    if count_lines(words, size, room, bold) <= most:
        return words
    low, high = 0, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        fits = count_lines(words[:middle].rstrip() + "…", size, room, bold) <= most
        low, high = (middle, high) if fits else (low, middle - 1)
    return words[:low].rstrip() + "…"


def squeezed(words: str, most: float) -> str:
    """Return words of at most `most` em: cut in the middle, for names differ at both ends."""
    words = clean(words)
    if width(words, 1) <= most:
        return words
    head, tail = len(words) * 6 // 10, len(words) * 6 // 10
    while head and width(words[:head], 1) > 0.6 * most:
        head -= 1
    while tail < len(words) and width(words[tail:], 1) > 0.4 * most - 1:
        tail += 1
    return f"{words[:head].rstrip()}…{words[tail:].lstrip()}"
