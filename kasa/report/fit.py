"""What people wrote, as every file may hold it: nothing that no file can hold, or that turns it.

Titles, labels and texts stand among other words: a mark of direction in one of them would show the
words and numbers after it the wrong way round.
"""

from __future__ import annotations

import re

# Marks, embeddings, overrides and isolates of Unicode's bidirectional algorithm (UAX #9).
TURNING = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# What XML 1.0 cannot hold, and the controls that it can and no reader can see.
UNFIT = re.compile(
    f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff{TURNING}]"
)


def fit(words: str) -> str:
    """Return words without control characters, lone surrogates and marks of direction.

    Every line end becomes a line feed; tabs stay.
    """
    return UNFIT.sub("", words.replace("\r\n", "\n").replace("\r", "\n"))
