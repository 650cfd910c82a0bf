"""Which column is the text and which is the label: a guess the user can change with one click."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

TEXT_NAMES = re.compile(
    r"text|sentence|sent$|description|comment|note|message|question|query|observation|remark|detail"
    r"|テキスト|本文|内容|所見|記述|備考|コメント|説明|文章|質問|詳細|状況|現象",
    re.IGNORECASE,
)
LABEL_NAMES = re.compile(
    r"label|categor|class|intent|type|crew|target|mode|tag|code|verdict"
    r"|ラベル|分類|区分|種別|種類|カテゴリ|クラス|判定|不良|担当|モード",
    re.IGNORECASE,
)
NUMBER_OR_DATE = re.compile(r"[-+]?[\d.,]+%?|\d{2,4}[-/.年]\d{1,2}([-/.月]\d{1,2})?日?([ T].*)?")
SHOWN_EXAMPLES = 3


@dataclass(frozen=True)
class ColumnGuess:
    """The columns that look like the text and the label; None where nothing fits."""

    text: str | None
    label: str | None


@dataclass(frozen=True)
class ColumnInfo:
    """One column: its role (text, label or other), distinct values, empty cells and examples."""

    name: str
    role: str
    num_values: int
    num_empty: int
    examples: tuple[str, ...]


def guess_columns(frame: pd.DataFrame) -> ColumnGuess:
    """Return the likely text column (long, varied) and label column (short, often repeated).

    Scores: text by mean length, share of distinct values and name; label by repetition, name and
    position, among columns with at least two values and at least two rows a value.
    """
    values = {name: column[column.str.strip() != ""] for name, column in frame.items()}
    texts = {str(name): score for name, col in values.items() if (score := _text_score(name, col))}
    text = max(texts, key=texts.__getitem__, default=None)
    labels = {
        str(name): score + 0.1 * place / len(values)
        for place, (name, col) in enumerate(values.items())
        if name != text and (score := _label_score(name, col))
    }
    return ColumnGuess(text, max(labels, key=labels.__getitem__, default=None))


def describe_columns(frame: pd.DataFrame, guess: ColumnGuess) -> list[ColumnInfo]:
    """Return one `ColumnInfo` per column, in the file's order."""
    infos = []
    for name in frame.columns:
        role = "text" if name == guess.text else "label" if name == guess.label else "other"
        filled = frame[name][frame[name].str.strip() != ""]
        distinct = filled.unique()
        examples = tuple(str(value) for value in distinct[:SHOWN_EXAMPLES])
        empty = len(frame) - len(filled)
        infos.append(ColumnInfo(str(name), role, len(distinct), empty, examples))
    return infos


def _text_score(name: object, column: pd.Series) -> float:
    if column.empty:
        return 0.0
    sample = column.iloc[:1000]
    plain = sample.str.fullmatch(NUMBER_OR_DATE).mean()
    distinct = sample.nunique() / len(sample)
    length = min(float(sample.str.len().mean()), 200.0)
    named = 3.0 if TEXT_NAMES.search(str(name)) else 1.0
    # Identifiers vary but have neither blanks nor length; sentences of any language outgrow them.
    return named * length * (0.1 + distinct) * (1.0 - plain)


def _label_score(name: object, column: pd.Series) -> float:
    distinct = column.nunique()
    sample = column.iloc[:1000]
    # Numbers with decimals are scores or measurements, and classes hardly ever.
    scores = bool(sample.str.fullmatch(r"\s*[-+]?\d+[.,]\d+\s*").mean() > 0.5)
    if distinct < 2 or 2 * distinct > len(column) or scores:
        return 0.0
    plain = sample.str.fullmatch(NUMBER_OR_DATE).mean()
    named = 2.0 if LABEL_NAMES.search(str(name)) else 0.0
    short = 1.0 / (1.0 + float(sample.str.len().mean()) / 40.0)
    return named + short + (1.0 - distinct / len(column)) * (1.0 - 0.5 * plain)
