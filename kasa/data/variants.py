"""Labels that are one word written in several ways: width, case, blanks and look-alike dashes."""

from __future__ import annotations

import re

import pandas as pd

from kasa.data.normalise import normalised

JAPANESE = "\u3005-\u3007\u3041-\u3096\u309b-\u30ff\u3400-\u9fff\uff66-\uff9f"
"""Iteration and closing marks, kana (no combining marks), Han: what is written without blanks."""
BLANK_BY_JAPANESE = re.compile(rf"(?<=[{JAPANESE}]) | (?=[{JAPANESE}])")
# After NFKC: hyphens, dashes, minus, box-drawing lines and the long-vowel mark itself.
DASH = "\\-\u2010-\u2015\u2212\u2500\u2501\u30fc"
LONG_VOWEL = re.compile(rf"(?<=[\u30a1-\u30fa\u30fc])(?: ?[{DASH}])+")
OTHER_DASH = re.compile("[\u2010-\u2015\u2212\u2500\u2501]")


def folded(text: str) -> str:
    """Return what all spellings of a word share.

    Invisible characters out, NFKC, case folded, runs of blanks as one, no blank beside a Japanese
    character (検 査 = 検査, but "N G" stays two words), and every dash that follows katakana is the
    long-vowel mark (ﾓｰﾀ- = モーター), every other one a hyphen.
    """
    if text.isascii():
        return normalised(text.casefold())
    # Case folding can undo NFKC (U+0390), hence twice.
    text = normalised(normalised(text).casefold())
    text = BLANK_BY_JAPANESE.sub("", LONG_VOWEL.sub(_long, text))
    return OTHER_DASH.sub("-", text)


def _long(dashes: re.Match[str]) -> str:
    return "ー" * len(dashes[0].replace(" ", ""))


def label_variants(column: pd.Series) -> dict[str, str]:
    """Return each rarer spelling with the most frequent one of the same word; {} if there are none.

    Two spellings are one word if `folded` makes them equal. Of equally frequent ones the first in
    the column stands. Blank labels are no spelling of anything.
    """
    counts = column.value_counts(sort=False)  # in the order of first appearance
    spellings: dict[str, list[str]] = {}
    for label in counts.index:
        if key := folded(label):
            spellings.setdefault(key, []).append(label)
    main = {key: max(labels, key=counts.__getitem__) for key, labels in spellings.items()}
    return {
        label: main[key] for key, labels in spellings.items() for label in labels
        if label != main[key]
    }  # fmt: skip
