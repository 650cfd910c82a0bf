"""Row-level problems: what is wrong, in which rows, and what the studio does about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kasa.data.columns import ColumnGuess, describe_columns, guess_columns
from kasa.data.read import read_table
from kasa.data.table import Table
from kasa.errors import DataError
from kasa.text import Translator, translator

KINDS = (
    "empty_text",
    "empty_label",
    "conflicting_labels",
    "duplicate",
    "rare_label",
    "too_long",
)
MIN_ROWS_PER_LABEL = 4
# Of copies in different parts the one in the test part stays: taking it from training ends the leak
# and keeps the user's own test complete.
PART_ORDER = {"test": 0, "validation": 1, "train": 2}


@dataclass(frozen=True)
class Problem:
    """One kind of problem and the spreadsheet rows that have it.

    `treatment` is left_out (not used), kept, or truncated (the model reads only the beginning).
    """

    kind: str
    rows: tuple[int, ...]
    treatment: str

    @property
    def count(self) -> int:
        """Number of rows with this problem."""
        return len(self.rows)

    def sentences(self, text: Translator) -> tuple[str, str, str]:
        """Return (name, reason, fix) in the translator's language."""
        name, reason, fix = (
            text(f"data.problems.{self.kind}.{part}") for part in ("name", "reason", "fix")
        )
        return name, reason, fix


def fold(column: pd.Series) -> pd.Series:
    """Return texts without outer blanks and with every run of white space as one space."""
    return column.map(lambda value: " ".join(value.split())).astype("str")


def check_rows(
    table: Table,
    text: str,
    label: str,
    token_counts: np.ndarray | None = None,
    max_tokens: int | None = None,
    *,
    parts: pd.Series | None = None,
) -> list[Problem]:
    """Return the problems found, in the order of `KINDS`; a row left out counts for the first only.

    `token_counts` holds one count per row of the table, `max_tokens` what the model reads; `parts`
    is the user's own split (train, validation, test per row), which decides which copy of a
    duplicate stays and whether a label can be learned. Raises `DataError` for a missing column.
    """
    rows = pd.DataFrame(
        {"text": fold(column(table, text)), "label": fold(column(table, label))},
        index=table.frame.index,
    )
    rows["part"] = "train" if parts is None else parts
    rows["tokens"] = 0 if token_counts is None else np.asarray(token_counts)
    rules: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
        "empty_text": lambda rest: rest["text"] == "",
        "empty_label": lambda rest: rest["label"] == "",
        "conflicting_labels": lambda rest: rest.groupby("text")["label"].transform("nunique") > 1,
        "duplicate": _later_copies,
        "rare_label": _rare_labels,
    }
    problems: list[Problem] = []
    for kind, rule in rules.items():
        bad = rule(rows)
        problems += _problem(kind, rows.index[bad], "left_out")
        rows = rows[~bad]
    if max_tokens is not None:
        problems += _problem("too_long", rows.index[rows["tokens"] > max_tokens], "truncated")
    return problems


def left_out(problems: Iterable[Problem]) -> set[int]:
    """Return the numbers of all rows that are not used."""
    return {row for p in problems if p.treatment == "left_out" for row in p.rows}


def column(table: Table, name: str) -> pd.Series:
    """Return a column by its name; raises `DataError` with the names there are."""
    if name not in table.frame.columns:
        raise DataError("data_column_missing", name=name, known=", ".join(table.frame.columns[:20]))
    return table.frame[name]


def check_file(
    path: Path, text: str | None = None, label: str | None = None, lang: str = "en"
) -> dict[str, Any]:
    """Return what `check-data --json` prints: format, encoding, rows, columns, task and problems.

    Columns that are not given are guessed; `task` is None where no label column was found, and then
    there are no row-level problems to report.
    """
    table = read_table(path)
    guess = guess_columns(table.frame)
    chosen = ColumnGuess(text or guess.text, label or guess.label)
    for name in (text, label):
        if name is not None:
            column(table, name)
    problems: list[Problem] = []
    if chosen.text and chosen.label:
        problems = check_rows(table, chosen.text, chosen.label)
    speak = translator(lang)
    return {
        "format": table.format,
        "encoding": table.encoding,
        "rows": len(table.frame),
        "columns": [
            {
                "name": info.name,
                "role": info.role,
                "num_values": info.num_values,
                "num_empty": info.num_empty,
                "examples": list(info.examples),
            }
            for info in describe_columns(table.frame, chosen)
        ],
        "task": "classification" if chosen.text and chosen.label else None,
        "problems": [
            {
                "kind": problem.kind,
                "count": problem.count,
                "rows": list(problem.rows),
                "treatment": problem.treatment,
                "reason": problem.sentences(speak)[1],
                "fix": problem.sentences(speak)[2],
            }
            for problem in problems
        ],
        "notes": [note.sentence(speak) for note in table.notes],
    }


def _later_copies(rest: pd.DataFrame) -> pd.Series:
    ordered = rest.assign(order=rest["part"].map(PART_ORDER)).sort_values("order", kind="stable")
    return ordered.duplicated("text").reindex(rest.index)


def _rare_labels(rest: pd.DataFrame) -> pd.Series:
    groups = rest.groupby("label")["part"]
    few = groups.transform("size") < MIN_ROWS_PER_LABEL
    unseen = groups.transform(lambda parts: (parts == "train").sum()) == 0
    return few | unseen.astype(bool)


def _problem(kind: str, rows: pd.Index, treatment: str) -> list[Problem]:
    numbers = tuple(int(row) for row in rows)
    return [Problem(kind, numbers, treatment)] if numbers else []
