"""Plain characters for a text: invisible ones out, blanks as one space, full and half width alike.

Nothing here is done behind the user's back: the page shows what each step would change first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import pandas as pd

STEPS = ("control", "whitespace", "width")
# CR, form feed, NEL and their like end a line; dropping them would glue two words together.
LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # C0 and C1
    "\u00ad\ufeff"  # soft hyphen, byte order mark
    "\u200b-\u200d\u2060-\u2064"  # zero width, invisible operators
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # direction marks
    "]"
)


def normalised(text: str, steps: Iterable[str] = STEPS) -> str:
    """Return `text` after the named steps; the order in which they are named makes no difference.

    control: C0 and C1 controls except tab and line feed, zero-width characters, byte order marks,
    direction marks and soft hyphens go; every line end becomes a line feed. width: Unicode NFKC
    (UAX #15). whitespace: each run of blanks of any kind becomes one space, none at either end.
    Doing it twice changes nothing more. Raises ValueError for a step that is not in `STEPS`.
    """
    wanted = set(steps)
    if unknown := wanted - set(STEPS):
        raise ValueError(f"got steps {sorted(unknown)}, wanted some of {STEPS}")
    if "control" in wanted:
        text = INVISIBLE.sub("", LINE_ENDS.sub("\n", text))
    if "width" in wanted:
        text = unicodedata.normalize("NFKC", text)
    if "whitespace" in wanted:  # last, because NFKC makes spaces of its own (of U+3000, U+00A8)
        text = " ".join(text.split())
    return text


def normalised_column(column: pd.Series, steps: Iterable[str] = STEPS) -> pd.Series:
    """Return a column of strings with `normalised` done to each, index and name kept."""
    wanted = tuple(steps)
    texts = [normalised(text, wanted) for text in column]
    return pd.Series(texts, index=column.index, name=column.name, dtype="str")
