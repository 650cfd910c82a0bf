"""Which script each row is written in, and which rows are not in the column's own."""

from __future__ import annotations

import re

import pandas as pd

from kasa.model.fit import script_of

MAIN_SHARE_MIN = 0.8
WORD = re.compile(r"[^\W\d_]{3,}")
WORDS_MIN = 2


def row_scripts(column: pd.Series) -> pd.Series:
    """Return japanese, latin, other or none (no letters at all) for each row.

    A row is japanese if a tenth of its letters or more are kana or Han characters, latin if nine
    tenths are Latin, as `kasa.model.fit.script_of` counts them.
    """
    scripts = [_script(text) for text in column]
    return pd.Series(scripts, index=column.index, name=column.name, dtype="str")


def mixed_rows(column: pd.Series) -> pd.Series:
    """Return True for rows in another script than the one of at least 80 % of rows with letters.

    A Latin row needs two words of three letters to count: "NG", "OK" and part numbers are written
    in Latin letters in every language. Without such a main script no row is mixed.
    """
    scripts = row_scripts(column)
    lettered = scripts[scripts != "none"]
    shares = lettered.value_counts(normalize=True)
    if shares.empty or shares.iloc[0] < MAIN_SHARE_MIN:
        return pd.Series(data=False, index=column.index, name=column.name, dtype=bool)
    ordinary = ("none", shares.index[0])
    mixed = [
        script not in ordinary and (script != "latin" or len(WORD.findall(text)) >= WORDS_MIN)
        for script, text in zip(scripts, column, strict=True)
    ]
    return pd.Series(mixed, index=column.index, name=column.name, dtype=bool)


def _script(text: str) -> str:
    if text.isascii():
        return "latin" if any(map(str.isalpha, text)) else "none"
    return script_of((text,)) if any(map(str.isalpha, text)) else "none"
