"""Text that was read in the wrong encoding: found, and put right where its bytes are all there.

Three roads lead back: UTF-8 that was read as CP932 (縺ｮ), CP932 that was read as Latin-1 or CP1252
(ƒ|ƒ“ƒv), and UTF-8 that was read as any single-byte encoding (Ã©), which `ftfy` knows. A repair is
taken only if it reads better. Nothing can be put right where characters were replaced (U+FFFD or
question marks).
"""

from __future__ import annotations

import re

import ftfy.bad_codecs
import pandas as pd
from ftfy import TextFixerConfig, fix_encoding


def _two_bytes(leads: range, trails: range) -> str:
    pairs = (bytes((lead, trail)).decode("cp932", "replace") for lead in leads for trail in trails)
    return "".join(char for char in pairs if len(char) == 1 and char != "\ufffd")


ftfy.bad_codecs.ok()  # registers sloppy-windows-1252, which leaves no byte undefined
# JIS level 1 and what stands before it (kana, signs, the 2965 common Han characters), half-width
# kana, and the signs of Western texts that CP932 lacks.
COMMON = frozenset(
    _two_bytes(range(0x81, 0x99), range(0x40, 0xFD))
    + "".join(map(chr, range(0xFF61, 0xFFA0)))
    + "€£¥–•™©®·µ²³¼½¾"
)
# A three-byte UTF-8 character begins with E2-EF and goes on with 80-BF: in CP932 a rare character.
MISREAD_UTF8 = re.compile(f"[{_two_bytes(range(0xE2, 0xF0), range(0x80, 0xC0))}]")
# CP932 holds these signs twice; Python writes the first place, which is not always what was read.
TWICE = {
    "≒": b"\x87\x90", "≡": b"\x87\x91", "∫": b"\x87\x92", "√": b"\x87\x95", "⊥": b"\x87\x96",
    "∠": b"\x87\x97", "∵": b"\x87\x9a",
}  # fmt: skip
# ± ° µ beside a digit, all that is not ASCII in many a measurement; in half-width kana ﾂ is a word.
MISREAD_SIGN = re.compile("(?:(?<=[0-9])|(?<=[0-9] ))ﾂ[｡-ｿ](?![｡-ﾟ])|(?<![｡-ﾟ])ﾂ[｡-ｿ](?=[0-9])")
# The four that kana turn into; two of them are proof even where the rest is lost.
MISREAD_KANA = re.compile("[縺繧繝縲]")
C1_READ = {code: bytes([code]).decode("sloppy-windows-1252") for code in range(0x80, 0xA0)}
MISREAD_CP932 = re.compile("[\x80-\x9f€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜]")
NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
SINGLE_BYTE = re.compile("[\x80-\u04ff]")
KANA = re.compile("[\u3041-\u30ff]")
HAN = re.compile("[\u3400-\u9fff]")
LETTER = re.compile("[A-Za-z｡-ﾟ]")  # half-width kana are what accented letters become
LOST_RUN = re.compile(r"(?:^|(?<=[\s\d(]))\?{2,}")
# All of a text or nothing: piece by piece, ftfy takes the healthy “MAÎ” for “MAΔ.
CONFIG = TextFixerConfig(
    decode_inconsistent_utf8=False,
    replace_lossy_sequences=False,
    fix_c1_controls=False,
    explain=False,
)


def is_mojibake(text: str) -> bool:
    """Say whether a text was clearly read in the wrong encoding or lost characters on the way.

    True if `repaired` changes it, if it holds U+FFFD or two of 縺繧繝縲, or if it is question marks
    for the most part: four or more, half of what is not blank, in runs that begin a word.
    """
    if text.isascii():
        return "??" in text and _is_lost(text)
    if "\ufffd" in text or len(MISREAD_KANA.findall(text)) >= 2:
        return True
    return repaired(text) != text


def repaired(text: str) -> str:
    """Return the text as it was meant, or the text itself where nothing is gained.

    A repair into Japanese needs two thirds of its characters outside ASCII to be kana, punctuation
    or common Han characters (JIS X 0208 level 1), and more than the text had.
    """
    if text.isascii():
        return text
    if MISREAD_UTF8.search(text):
        # Some readers put ・ for bytes they could not read; its own bytes would invent a letter.
        return text if "・" in text else _better(text, _as_utf8(text))
    if MISREAD_SIGN.search(text):
        return _as_utf8(text) or text
    # Latin-1 and CP1252 differ in these only, and both kinds of text come with either.
    latin = text.translate(C1_READ)
    if MISREAD_CP932.search(latin):
        again = _as_cp932(latin)
        if again and _better(text, again) == again:
            return again
    if not SINGLE_BYTE.search(latin):
        return text
    fixed = fix_encoding(latin, CONFIG)
    return text if fixed == latin else fixed


def mojibake_rows(column: pd.Series) -> pd.Series:
    """Return True for each row that `is_mojibake`."""
    return pd.Series([is_mojibake(text) for text in column], index=column.index, dtype=bool)


def repaired_column(column: pd.Series) -> pd.Series:
    """Return the column with `repaired` done to each row, index and name kept."""
    texts = [repaired(text) for text in column]
    return pd.Series(texts, index=column.index, name=column.name, dtype="str")


def _as_utf8(text: str) -> str | None:
    data = bytearray()
    try:
        for char in text:
            # After the first of three UTF-8 bytes come two of 80-BF; the first place has none.
            second = char in TWICE and data[-1:] >= b"\xe2"
            data += TWICE[char] if second else char.encode("cp932")
        return data.decode("utf-8")
    except UnicodeError:
        return None


def _as_cp932(latin: str) -> str | None:
    try:
        data = latin.encode("sloppy-windows-1252")
        again = data.decode("cp932")
    except UnicodeError:
        return None
    try:
        data.decode("utf-8")
    except UnicodeError:
        # Curly quotes beside letters can make a Han character (don’t), but no kana or whole text.
        han_only = not LETTER.search(again) and len(HAN.findall(again)) >= 3
        return again if KANA.search(again) or han_only else None
    return None  # nothing but UTF-8 is valid UTF-8


def _better(text: str, again: str | None) -> str:
    """Return `again` if it is the better Japanese of the two, else `text`."""
    if again is None:
        return text
    share, chars = _common_share(again)
    # A single Han character with a letter behind it is what a rare word of two would become.
    enough = chars >= 2 or len(again) == 1 or not HAN.search(again)
    return again if enough and 3 * share >= 2 and share > _common_share(text)[0] else text


def _common_share(text: str) -> tuple[float, int]:
    """Return the share of common characters among those outside ASCII, and their number."""
    chars = "".join(NOT_ASCII.findall(text))
    common = sum(char in COMMON for char in chars)
    return common / max(1, len(chars)), common


def _is_lost(text: str) -> bool:
    marks = text.count("?")
    return marks >= 4 and 2 * marks >= len("".join(text.split())) and bool(LOST_RUN.search(text))
