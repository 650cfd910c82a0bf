"""The rows of a study: from a table's columns and their roles to inputs, target, part and group."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pandas as pd

from kasa.data.columns import PART_WORDS
from kasa.data.table import Table
from kasa.dataspec import PLACE, TASKS, DataSpec
from kasa.errors import DataError

# Per task, what the model reads and what it should answer.
INPUTS = {
    "classification": ("text",),
    "pair_classification": ("text", "second_text"),
    "regression": ("text", "second_text"),
    "multiple_choice": ("prompt", "choices"),
    "generation": ("prompt",),
}
TARGETS = {
    "classification": "label",
    "pair_classification": "label",
    "regression": "score",
    "multiple_choice": "answer",
    "generation": "answer",
}
CHOICE_SEPARATORS = re.compile(r"\s*[|\n]\s*")
LETTERS = "ABCDEFGH"


def raw_rows(table: Table, spec: DataSpec, test: Table | None = None) -> pd.DataFrame:
    """Return one line per row of the file, and of the user's own test file after them.

    Columns: row (spreadsheet row), in_test_file, the task's inputs and target as text (choices as a
    JSON list), part (train, validation, test; train where nothing is given), group and date ("" if
    none). Raises `DataError` for roles that make no task, a missing column, and an unknown word in
    the user's own column of parts.
    """
    task = required_task(spec)
    frames = [_rows_of(table, spec, task)]
    if test is not None:
        frames.append(_rows_of(test, spec, task).assign(part="test", in_test_file=True))
    return pd.concat(frames, ignore_index=True)


def required_task(spec: DataSpec) -> str:
    """Return the task that the roles make; raises `DataError` with what each task needs."""
    if spec.task is None:
        needed = " / ".join("+".join(roles) for roles in TASKS.values())
        chosen = ", ".join(role for role, _ in spec.roles()) or "-"
        raise DataError("data_no_task", chosen=chosen, wanted=needed)
    return spec.task


def inputs_of(spec: DataSpec, task: str) -> tuple[str, ...]:
    """Return the input fields that this study has: a regression may have one text or two."""
    return tuple(name for name in INPUTS[task] if name != "second_text" or spec.second_text)


def column(table: Table, name: str) -> pd.Series:
    """Return a column by its name; raises `DataError` with the names there are."""
    if name not in table.frame.columns:
        raise DataError("data_column_missing", name=name, known=", ".join(table.frame.columns[:20]))
    return table.frame[name]


def joined_text(table: Table, spec: DataSpec) -> pd.Series:
    """Return the text column, or the template with each row's cells in the place of `{column}`."""
    if not spec.template:
        return column(table, spec.text)
    parts = PLACE.split(spec.template)  # literal, name, literal, name, …
    joined = pd.Series(parts[0], index=table.frame.index, dtype="str")
    for name, literal in zip(parts[1::2], parts[2::2], strict=True):
        joined = joined + column(table, name).str.strip() + literal
    # A template around empty cells is no text.
    names = PLACE.findall(spec.template) or [spec.text]
    empty = (table.frame[names].apply(lambda cells: cells.str.strip()) == "").all(axis=1)
    return joined.mask(empty, "")


def user_parts(table: Table, name: str) -> pd.Series:
    """Return the part of every row from the user's column; `DataError` for other words in it."""
    given = column(table, name)
    parts = given.str.strip().str.lower().map(PART_WORDS)
    if parts.isna().any():
        unknown = parts.index[parts.isna()]
        raise DataError(
            "data_split_word", column=name, row=int(unknown[0]), word=str(given.loc[unknown[0]])
        )
    return parts


def input_columns(table: Table, spec: DataSpec, task: str) -> dict[str, pd.Series]:
    """Return what a model reads of every row, by input field; choices as a JSON list, "" if none.

    Raises `DataError` for a missing column.
    """
    fields: dict[str, pd.Series] = {}
    for name in inputs_of(spec, task):
        if name == "text":
            fields[name] = joined_text(table, spec)
        elif name == "choices":
            fields[name] = _choices(table, spec.choices)
        else:
            fields[name] = column(table, str(getattr(spec, name)))
    return fields


def _rows_of(table: Table, spec: DataSpec, task: str) -> pd.DataFrame:
    fields = input_columns(table, spec, task)
    fields[TARGETS[task]] = column(table, str(getattr(spec, TARGETS[task])))
    if task == "multiple_choice":
        pairs = zip(fields["choices"], fields["answer"], strict=True)
        answers = [_chosen(choices, answer) for choices, answer in pairs]
        fields["answer"] = pd.Series(answers, index=table.frame.index, dtype="str")
    empty = pd.Series("", index=table.frame.index, dtype="str")
    rows = pd.DataFrame(
        {
            "row": table.frame.index,
            "in_test_file": False,
            **{name: values.to_numpy() for name, values in fields.items()},
            "part": (user_parts(table, spec.split) if spec.split else empty + "train").to_numpy(),
            "group": (column(table, spec.group) if spec.group else empty).str.strip().to_numpy(),
            "date": (column(table, spec.date) if spec.date else empty).str.strip().to_numpy(),
        }
    )
    text = [name for name in rows.columns if name not in {"row", "in_test_file"}]
    return rows.astype(dict.fromkeys(text, "str"))


def _choices(table: Table, names: Sequence[str]) -> pd.Series:
    """Return each row's choices as a JSON list: of several columns, or of one that lists them."""
    if len(names) > 1:
        cells = pd.concat([column(table, name) for name in names], axis=1)
        lists = [[cell.strip() for cell in row if cell.strip()] for row in cells.to_numpy()]
    else:
        lists = [_listed(cell) for cell in column(table, names[0])]
    written = [json.dumps(choices, ensure_ascii=False) if choices else "" for choices in lists]
    return pd.Series(written, index=table.frame.index, dtype="str")


def _listed(cell: str) -> list[str]:
    try:
        found = json.loads(cell)
    except ValueError:
        found = None
    if isinstance(found, dict):  # the form {"text": [...], "label": [...]} that many data sets use
        found = found.get("text")
    values = found if isinstance(found, list) else CHOICE_SEPARATORS.split(cell.strip())
    return [str(value).strip() for value in values if str(value).strip()]


def _chosen(choices: str, answer: str) -> str:
    """Return the choice that an answer names by its words, letter or number from 1; else "?"."""
    offered: list[str] = json.loads(choices) if choices else []
    word = answer.strip()
    if word in offered or not word:
        return word
    number = LETTERS.find(word.upper()) if len(word) == 1 and word.isalpha() else -1
    if word.isdecimal():
        number = int(word) - 1
    return offered[number] if 0 <= number < len(offered) else f"? {word}"
