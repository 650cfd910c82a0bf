"""How much decoded text looks like what people write: Japanese, or a Western language.

Bytes of one encoding that are read as another betray themselves: EUC-JP read as CP932 is a soup of
half-width katakana, accented letters read as CP932 are rare kanji glued to ASCII letters, and
Japanese read as CP1252 is a row of symbols.
"""

from __future__ import annotations

import re
from functools import cache

JUDGED_CHARACTERS = 20_000
RUN = re.compile(r"[^\x00-\x7f]+")
KANA = re.compile("[ぁ-ゟ゠-ヿ]")
HALF_RUN = re.compile("[\uff61-\uff9f]+")
# A voicing mark stands only behind a letter that can be voiced.
STRAY_MARK = re.compile("(?<![ｳｶ-ﾄﾊ-ﾎ])ﾞ|(?<![ﾊ-ﾎ])ﾟ")
WESTERN_LETTER = re.compile("[À-ÖØ-öø-ÿŒœŠšŽžŸ]")
WESTERN_SYMBOL = re.compile("[\u2018\u2019\u201c\u201d–—…•€£§©®°±²³µ·½¼¾«»¿¡×÷™ºª\u00a0]")
FACTORY_SYMBOL = re.compile("[①-⓿㈀-㏿℀-⅏Ⅰ-ⅿ←-⇿√∞∴∵≒≠≦≧■-◯★☆♀♂〒Ωφμαβγδθλ±×÷°′″…―‐－]")


def plausibility(text: str, encoding: str) -> float:
    """Return the mean score of the non-ASCII characters: 1 for ordinary text, below 0 for mojibake.

    `encoding` is the one the text was decoded with; only the first 20,000 characters are judged.
    """
    score, judged, kana = 0.0, 0, 0
    for run in RUN.finditer(text):
        before = text[run.start() - 1] if run.start() else " "
        after = text[run.end()] if run.end() < len(text) else " "
        if encoding == "cp1252":
            score += _western(run[0], before)
        else:
            score += _japanese(run[0], before, after)
            kana += len(KANA.findall(run[0])) + len(HALF_RUN.findall(run[0]))
        judged += len(run[0])
        if judged >= JUDGED_CHARACTERS:
            break
    if not judged:
        return 1.0
    if encoding != "cp1252" and not kana and judged >= 8:
        # Japanese sentences hardly do without kana; half-width pairs read as EUC-JP are all kanji.
        score *= 0.7
    return score / judged


def _western(run: str, before: str) -> float:
    score = 0.0
    for character in run:
        if WESTERN_LETTER.fullmatch(character):
            # A capital amid small letters is what UTF-8 and Cyrillic look like when misread.
            odd = len(run) > 3 or (character.isupper() and before.islower())
            score += -0.5 if odd else 1.0
        elif WESTERN_SYMBOL.fullmatch(character):
            score += 0.7 if len(run) <= 2 else -0.5
        else:
            score -= 1.0
        before = character
    return score


def _japanese(run: str, before: str, after: str) -> float:
    glued = _is_letter(before) or _is_letter(after)
    between = len(run) == 1 and _is_letter(before) and _is_letter(after)
    score = sum(_half_width(half[0]) for half in HALF_RUN.finditer(run))
    for character in run:
        each = _japanese_character(character)
        if "一" <= character <= "鿿" and (between or (glued and each < 0)):
            each = -1.0
        elif len(run) == 1 and _is_letter(before) and before.islower():
            each = min(each, 0.2)  # more often the apostrophe of "don’t" than a word like "mm幅"
        score += each
    return score


@cache
def _japanese_character(character: str) -> float:
    if "\uff61" <= character <= "\uff9f":
        return 0.0  # judged by their runs
    if KANA.fullmatch(character):
        return 1.0
    if "　" <= character <= "〿" or "！" <= character <= "｠" or "￠" <= character <= "￦":
        return 0.8
    if FACTORY_SYMBOL.fullmatch(character):
        return 0.6
    if "一" <= character <= "鿿":
        return 1.0 if _is_common(character) else -0.3
    return -2.0 if "\ue000" <= character <= "\uf8ff" else -0.3


def _is_common(kanji: str) -> bool:
    """Say whether a kanji is of JIS level 1, which holds nearly all that people write."""
    try:
        return 0xB0 <= kanji.encode("euc_jp")[0] <= 0xCF
    except UnicodeEncodeError:
        return False


def _half_width(run: str) -> float:
    if len(run) == 1:
        return -1.0
    marks = sum(run.count(mark) for mark in "､･｡｢｣")
    stray = len(STRAY_MARK.findall(run))
    return 0.6 * (len(run) - marks - stray) - 0.5 * marks - 1.0 * stray


def _is_letter(character: str) -> bool:
    return character.isascii() and character.isalpha()
