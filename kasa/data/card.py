"""The dataset card: what the rows of a study are, what was found in them and what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

import pandas as pd

from kasa.data.check import fold, numbers
from kasa.data.personal import personal_counts
from kasa.data.problems import KINDS, active_kinds
from kasa.data.read import read_table
from kasa.data.rows import TARGETS, inputs_of
from kasa.data.split import PARTS, PreparedRows, prepare_rows
from kasa.data.table import Table
from kasa.dataspec import DataSpec
from kasa.study import Protocol


@dataclass(frozen=True)
class CardProblem:
    """A kind of problem, how many rows had it and how they were treated."""

    kind: str
    count: int
    treatment: str


@dataclass(frozen=True)
class DatasetCard:
    """What a study's data is, for its report.

    `file` and `test_file` are names without folders; `labels` holds the used rows of each label
    (empty for other tasks); lengths are characters of the used inputs; `score_range` is the lowest
    and highest score of a regression; `personal` counts likely personal data by kind;
    `fixes` are the kinds that were mended by choice or recommendation; `texts` is False in a
    workspace that was given the study without its rows' texts.
    """

    file: str
    sha256: str
    format: str
    encoding: str
    task: str
    columns: dict[str, list[str]]
    num_rows: int
    num_used: int
    num_left_out: int
    sizes: dict[str, int]
    split_by: str
    labels: dict[str, int]
    median_length: float
    longest_length: int
    problems: tuple[CardProblem, ...]
    personal: dict[str, int]
    masked: bool
    fixes: tuple[str, ...]
    test_file: str | None = None
    test_sha256: str | None = None
    score_range: tuple[float, float] | None = None
    texts: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the card as plain JSON-ready values."""
        return asdict(self)


def card_from_dict(record: Mapping[str, Any]) -> DatasetCard:
    """Rebuild the card that `to_dict` gave."""
    values = dict(record)
    values["problems"] = tuple(CardProblem(**problem) for problem in record["problems"])
    values["fixes"] = tuple(record["fixes"])
    values["score_range"] = tuple(record["score_range"]) if record["score_range"] else None
    return DatasetCard(**values)


def prepare_study(spec: DataSpec, protocol: Protocol) -> tuple[PreparedRows, DatasetCard]:
    """Return a study's rows from its files, and their card; raises `DataError` as they do."""
    table = read_table(Path(spec.path), spec.reading)
    test = read_table(Path(spec.test_path)) if spec.test_path else None
    prepared = prepare_rows(table, spec, protocol, test=test)
    return prepared, dataset_card(table, spec, prepared, test)


def dataset_card(
    table: Table, spec: DataSpec, prepared: PreparedRows, test: Table | None = None
) -> DatasetCard:
    """Return the card of a study's rows; its files are named by `spec`."""
    rows = prepared.rows
    inputs = [name for name in inputs_of(spec, prepared.task) if name != "choices"]
    texts = fold(rows[inputs].agg("\n".join, axis=1))
    lengths = texts.str.len()
    scores = numbers(rows["score"]) if prepared.task == "regression" else pd.Series(dtype="float64")
    roles: dict[str, list[str]] = {}
    for role, name in spec.roles():
        roles.setdefault(role, []).append(name)
    counts = rows["label"].value_counts() if TARGETS[prepared.task] == "label" else pd.Series()
    active = active_kinds(spec)
    return DatasetCard(
        file=_name(spec.path),
        sha256=spec.sha256 or "",
        format=table.format,
        encoding=table.encoding,
        task=prepared.task,
        columns=roles,
        num_rows=len(table.frame) + (0 if test is None else len(test.frame)),
        num_used=len(rows),
        num_left_out=prepared.num_left_out,
        sizes={part: prepared.sizes[part] for part in PARTS},
        split_by="file" if test is not None else "column" if spec.split else spec.split_by,
        labels={str(label): int(count) for label, count in counts.items()},
        median_length=float(lengths.median()),
        longest_length=int(lengths.max()),
        problems=tuple(CardProblem(p.kind, p.count, p.treatment) for p in prepared.problems),
        personal=personal_counts(texts),
        masked=spec.mask,
        fixes=tuple(k for k in KINDS if k in active and not KINDS[k].locked),
        test_file=_name(spec.test_path) if spec.test_path else None,
        test_sha256=spec.test_sha256,
        score_range=(float(scores.min()), float(scores.max())) if len(scores) else None,
    )


def _name(path: str) -> str:
    # A report must not tell where a file lay; a Windows path loses its folders on Linux too.
    return PurePath(path.replace("\\", "/")).name
