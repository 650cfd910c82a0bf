"""Words in print: which of them the embedded fonts can show, and how much room they take.

Both fonts come with packages that are installed anyway, so that a document looks the same on every
computer; neither package is imported for that.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

FAMILIES = ("IPAexGothic", "DejaVu Sans")
BREAK, JOINER = "\u200b", "\u2060"
MINUS = re.compile("-(?=[￥¥$€£])")
# A line may end before and after each full-width letter, else only at a space.
PIECE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]|[^\s\u2e80-\u9fff\uf900-\uffef]+|\s")
COMPOSED = re.compile(r"[^\s][\u0300-\u036f\u3099\u309a]+")
INVISIBLE = {"Cc", "Cf"}
SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
SHARES = (0.5, 0.75, 1.0)
SEAM = 0.25  # what typst leaves between Latin and Japanese letters


@cache
def font_files() -> tuple[Path, Path]:
    """Return the files of both fonts: Japanese with Latin, and Latin with many other letters."""
    return (
        _folder("matplotlib_fontja") / "fonts" / "ipaexg.ttf",
        _folder("matplotlib") / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf",
    )


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name=package)
    return Path(spec.origin).parent


@cache
def advances(number: int) -> dict[int, float]:
    """Return how wide each character of a font is, in em."""
    from fontTools.ttLib import TTFont

    with TTFont(font_files()[number], lazy=True) as font:
        widths, size = font["hmtx"].metrics, font["head"].unitsPerEm
        return {code: widths[name][0] / size for code, name in font.getBestCmap().items()}


def printable(words: str, fonts: int = len(FAMILIES)) -> str:
    """Return words as the first `fonts` fonts can show them, without what would hide or turn them.

    A character that none of them has, say a rocket, becomes [U+1F680].
    """
    words = words.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    words = COMPOSED.sub(lambda found: unicodedata.normalize("NFC", found[0]), words)
    known = [advances(number) for number in range(fonts)]
    return "".join(
        letter if letter == "\n" or any(ord(letter) in font for font in known) else _instead(letter)
        for letter in SELECTORS.sub("", words)
        if letter == "\n" or unicodedata.category(letter) not in INVISIBLE
    )


def _instead(letter: str) -> str:
    if letter.isspace():
        return "\u00a0" if letter == "\u202f" else " "
    return f"[U+{ord(letter):04X}]"


def width(words: str, size: float) -> float:
    """Return how wide words are on one line, in points."""
    first, second = advances(0), advances(1)
    ems = [first.get(ord(letter)) or second.get(ord(letter), 0.0) for letter in words]
    seams = sum(
        (ems[place] >= 1.0) != (ems[place + 1] >= 1.0)
        for place, pair in enumerate(pairwise(words))
        if " " not in pair
    )
    return size * (sum(ems) + SEAM * seams)


def widest(words: str, size: float) -> float:
    """Return the width of the longest line of words that are broken only where told."""
    return max(width(line, size) for line in words.split("\n"))


def longest_piece(words: str, size: float) -> float:
    """Return the width of the longest part that has no place to break at."""
    return max((width(piece, size) for piece in PIECE.findall(words)), default=0.0)


def breakable(words: str, size: float, room: float) -> str:
    """Return words with places to break inside every part that is longer than a line.

    A minus sign stays with its amount: a line may end behind a hyphen.
    """
    broken = "".join(
        piece if width(piece, size) <= room else BREAK.join(_chunks(piece, size, room))
        for piece in PIECE.findall(words)
    )
    return MINUS.sub(f"-{JOINER}", broken)


def _chunks(piece: str, size: float, room: float) -> Iterator[str]:
    chunk = ""
    for letter in piece:
        if chunk and width(chunk + letter, size) > 0.95 * room:
            yield chunk
            chunk = ""
        chunk += letter
    yield chunk


def wrapped(words: str, size: float, room: float, most: int) -> str:
    """Return words on at most `most` lines; what is left over is cut with an ellipsis."""
    broken = breakable(words.replace("\n", " "), size, room)
    pieces = PIECE.findall(broken.replace(BREAK, " ").replace(JOINER, ""))
    lines, line = [], ""
    for piece in pieces:
        if width((line + piece).rstrip(), size) <= room:
            line += piece
        else:
            lines.append(line.rstrip())
            line = piece.lstrip()
    lines.append(line.rstrip())
    if len(lines) <= most:
        return "\n".join(lines)
    last = lines[most - 1]
    while last and width(f"{last}…", size) > room:
        last = last[:-1]
    return "\n".join((*lines[: most - 1], f"{last.rstrip()}…"))


def shortened(words: str, most: int) -> str:
    """Return words on one line of at most `most` letters."""
    words = " ".join(words.split())
    return words if len(words) <= most else f"{words[: most - 1].rstrip()}…"


def column_widths(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    numeric: Sequence[int],
    size: float,
    room: float,
    *,
    broken: bool,
) -> tuple[float, ...] | None:
    """Return how wide columns become over `room` points; None where the cells do not fit.

    Without `broken` every cell has to stay on the lines it has.

    Numbers are not broken, and words not inside; what is left goes to the columns that need least
    to have their words on one line. A table of few short words is narrower than the page.
    """
    least, most = [], []
    for place, title in enumerate(header):
        cells = [row[place] for row in rows]
        natural = max((widest(cell, size) for cell in cells), default=0.0)
        piece = max((longest_piece(cell, size) for cell in cells), default=0.0)
        heading = max(
            min(width(title, size), 4.5 * size), min(longest_piece(title, size), 9 * size)
        )
        need = natural if place in numeric else min(max(piece, 7 * size), 0.3 * room)
        least.append(max(min(need, natural), heading))
        most.append(max(natural, min(width(title, size), 9 * size), least[-1]))
    spare = room - sum(least)
    if spare < 0 or (not broken and sum(most) > room):
        return None
    wishes = [wish - need for wish, need in zip(most, least, strict=True)]
    if sum(wishes) > spare:
        shares = _shared(wishes, spare)
        return tuple(need + share for need, share in zip(least, shares, strict=True))
    whole = next((share * room for share in SHARES if share * room > 1.15 * sum(most)), room)
    return tuple(wish * whole / sum(most) for wish in most)


def _shared(wishes: Sequence[float], spare: float) -> list[float]:
    """Return what each wish gets of too little: the small ones all, the large ones equal parts."""
    shares = [0.0] * len(wishes)
    places = sorted(range(len(wishes)), key=lambda place: wishes[place])
    for done, place in enumerate(places):
        shares[place] = min(wishes[place], spare / (len(places) - done))
        spare -= shares[place]
    return shares
