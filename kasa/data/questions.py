"""Questions to a study's methods: typed or in a file, each in the pieces that its task reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kasa.data.rows import input_columns, inputs_of, required_task
from kasa.data.table import Table
from kasa.dataspec import PLACE, DataSpec
from kasa.errors import DataError, StoreError

SEPARATOR = "|||"
# So many are a batch to look at; with more the answers belong into a program of their own.
MOST_QUESTIONS = 2000


@dataclass(frozen=True)
class Questions:
    """What is asked, each question in its pieces: a text, two texts, or a prompt and its choices.

    `rows` are the spreadsheet rows that the questions stand in, () where they were typed;
    `num_empty` rows had nothing to ask, `num_over` more came after the last that is asked.
    """

    pieces: tuple[tuple[str, ...], ...]
    rows: tuple[int, ...] = ()
    num_empty: int = 0
    num_over: int = 0


def pieces_of(text: str, inputs: Sequence[str]) -> tuple[str, ...]:
    """Return a typed text in its pieces, between which `|||` stands where the task has several.

    `inputs` are the fields of the task (`inputs_of`). Raises `StoreError` for too few or too many.
    """
    if len(inputs) == 1:
        return (text,)
    found = tuple(piece.strip() for piece in text.split(SEPARATOR))
    good = len(found) >= 2 if "choices" in inputs else len(found) == 2
    if not good:
        raise StoreError("pieces_missing", text=text[:80])
    return found


def typed_questions(lines: str, inputs: Sequence[str]) -> Questions:
    """Return the questions of a text, one per line; raises as `pieces_of`, and where none is."""
    texts = [line.strip() for line in lines.splitlines() if line.strip()]
    return _questions([pieces_of(text, inputs) for text in texts])


def missing_inputs(table: Table, spec: DataSpec) -> tuple[str, ...]:
    """Return the input fields of a study whose columns a file does not have."""
    names = table.frame.columns
    needed = {name: _columns(spec, name) for name in inputs_of(spec, required_task(spec))}
    return tuple(field for field, own in needed.items() if not set(own) <= set(names))


def _columns(spec: DataSpec, field: str) -> list[str]:
    if field == "choices":
        return list(spec.choices)
    if field == "text" and spec.template:
        return PLACE.findall(spec.template)
    return [str(getattr(spec, field))]


def with_columns(spec: DataSpec, chosen: dict[str, Sequence[str]]) -> DataSpec:
    """Return the spec with other columns for some of its input fields."""
    given: dict[str, object] = {
        field: tuple(names) if field == "choices" else names[0] for field, names in chosen.items()
    }
    if "text" in given:
        given["template"] = None
    return replace(spec, **given)  # type: ignore[arg-type]


def file_questions(table: Table, spec: DataSpec) -> Questions:
    """Return the questions in a file's rows; rows with an empty piece are left out.

    Raises `DataError` for a missing column and where no row is left.
    """
    fields = input_columns(table, spec, required_task(spec))
    found, rows = [], []
    for row, *cells in zip(table.frame.index, *fields.values(), strict=True):
        pieces = [cell.strip() for cell in cells]
        if "choices" in fields and pieces[-1]:
            pieces = [*pieces[:-1], *json.loads(pieces[-1])]
        if all(pieces):
            found.append(tuple(pieces))
            rows.append(int(row))
    return _questions(found, rows, num_empty=len(table.frame) - len(found))


def _questions(
    found: Sequence[tuple[str, ...]], rows: Sequence[int] = (), num_empty: int = 0
) -> Questions:
    if not found:
        raise DataError("nothing_asked")
    asked = tuple(found[:MOST_QUESTIONS])
    over = len(found) - len(asked)
    return Questions(asked, tuple(rows[:MOST_QUESTIONS]), num_empty, over)
