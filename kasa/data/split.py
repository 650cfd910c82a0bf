"""Train, validation and test: stratified by label, the same on every machine.

The rows of each label are put in an order that only the seed and the text decide (SHA-256), and
dealt to the parts by largest remainder. No random generator is involved, so neither a library
version nor the platform, nor the order of rows in the file, can change who is tested on what.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import pandas as pd

from kasa.data.check import Problem, check_rows, column, fold, left_out
from kasa.data.table import Table
from kasa.errors import DataError
from kasa.study import DataSpec, Protocol

PARTS = ("train", "validation", "test")
MIN_ROWS = 20
PART_NAMES = {
    "train": "train", "training": "train", "訓練": "train", "学習": "train",
    "validation": "validation", "dev": "validation", "val": "validation", "valid": "validation",
    "検証": "validation",
    "test": "test", "テスト": "test", "評価": "test",
}  # fmt: skip


@dataclass(frozen=True)
class PreparedRows:
    """The usable rows with their part, what was left out and why, and the parts' sizes.

    `rows` has the columns row (spreadsheet row), text, label and part; `labels` are sorted.
    """

    rows: pd.DataFrame
    labels: tuple[str, ...]
    problems: list[Problem]
    sizes: dict[str, int]


def prepare_rows(table: Table, spec: DataSpec, protocol: Protocol) -> PreparedRows:
    """Return the usable rows split into train, validation and test.

    Without `spec.split` the parts follow the protocol's fractions and seed. With it, the user's
    parts stand: of a text that is in several parts only one copy stays (test before validation
    before train, so that nothing tested was trained on), and where no row is marked for validation,
    the validation fraction of the *training* rows is cut from them, stratified.
    Raises `DataError` for a missing column, fewer than 20 usable rows or fewer than 2 labels.
    """
    parts = None if spec.split is None else user_parts(table, spec.split)
    problems = check_rows(table, spec.text, spec.label, parts=parts)
    rows = pd.DataFrame(
        {
            "row": table.frame.index.to_numpy(),
            "text": column(table, spec.text).str.strip().to_numpy(),
            "label": fold(column(table, spec.label)).to_numpy(),
            "part": "train" if parts is None else parts.to_numpy(),
        }
    )
    rows = rows[~rows["row"].isin(left_out(problems))].reset_index(drop=True)
    labels = tuple(sorted(rows["label"].unique()))
    if len(rows) < MIN_ROWS:
        raise DataError("data_few_rows", got=len(rows), wanted=MIN_ROWS, all=len(table.frame))
    if len(labels) < 2:
        raise DataError("data_one_label", column=spec.label, got=len(labels))
    rows["part"] = _assign(rows, protocol, given=parts is not None)
    sizes = {part: int((rows["part"] == part).sum()) for part in PARTS}
    for part in PARTS:
        if not sizes[part]:
            raise DataError("data_part_missing", part=part, column=str(spec.split))
    return PreparedRows(rows, labels, problems, sizes)


def user_parts(table: Table, name: str) -> pd.Series:
    """Return the part of every row from the user's column; `DataError` for other words in it."""
    given = column(table, name)
    parts = given.str.strip().str.lower().map(PART_NAMES)
    if parts.isna().any():
        unknown = parts.index[parts.isna()]
        raise DataError(
            "data_split_word", column=name, row=int(unknown[0]), word=str(given.loc[unknown[0]])
        )
    return parts


def class_balance(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the number of rows per label (index) and part (columns train, validation, test)."""
    counts = pd.crosstab(rows["label"], rows["part"])
    return counts.reindex(columns=list(PARTS), fill_value=0).rename_axis(columns=None)


def shares(counts: dict[str, int], fraction: float, *, most: dict[str, int]) -> dict[str, int]:
    """Return how many rows of each label go to a part: within one of `fraction`·count each.

    Largest remainder (Hamilton): the floors, then one more for the largest remainders until the
    total is round(fraction·total). A label gets at least one row, and never more than `most`.
    """
    quotas = {label: fraction * count for label, count in counts.items()}
    given = {label: math.floor(quota) for label, quota in quotas.items()}
    spare = round(fraction * sum(counts.values())) - sum(given.values())
    by_remainder = sorted(quotas, key=lambda label: (given[label] - quotas[label], label))
    for label in by_remainder[: max(0, spare)]:
        given[label] += 1
    return {label: min(max(1, given[label]), most[label]) for label in counts}


def _assign(rows: pd.DataFrame, protocol: Protocol, *, given: bool) -> pd.Series:
    parts = rows["part"].copy()
    if given and (parts == "validation").any():
        return parts
    free = rows[parts == "train"]
    counts = {str(label): int(count) for label, count in free["label"].value_counts().items()}
    test = dict.fromkeys(counts, 0)
    if not given:
        # One row of each label stays for training, and one for validation where there are three.
        most = {label: max(0, count - 2) for label, count in counts.items()}
        test = shares(counts, protocol.test_fraction, most=most)
    most = {label: count - test[label] - 1 for label, count in counts.items()}
    validation = shares(counts, protocol.validation_fraction, most=most)
    for label, group in free.groupby("label"):
        order = sorted(group.index, key=lambda place: _draw(protocol.split_seed, rows, place))
        cut = test[str(label)], test[str(label)] + validation[str(label)]
        parts.loc[order[: cut[0]]] = "test"
        parts.loc[order[cut[0] : cut[1]]] = "validation"
    return parts


def _draw(seed: int, rows: pd.DataFrame, place: int) -> str:
    words = " ".join(str(rows.at[place, "text"]).split())
    return hashlib.sha256(f"{seed}\n{words}".encode()).hexdigest()
