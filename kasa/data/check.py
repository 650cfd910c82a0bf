"""Row-level problems: what is wrong, in which rows, and the rows as they are once mended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kasa.data.columns import ColumnInfo, columns_with, guess_columns
from kasa.data.dates import parsed_dates
from kasa.data.language import mixed_rows
from kasa.data.mojibake import mojibake_rows, repaired_column
from kasa.data.normalise import normalised_column
from kasa.data.personal import mask_personal, rows_with_personal
from kasa.data.problems import KINDS, Problem, active_kinds
from kasa.data.read import read_table
from kasa.data.rows import TARGETS, column, inputs_of, raw_rows, required_task
from kasa.data.similar import near_duplicates
from kasa.data.table import Table
from kasa.data.variants import label_variants
from kasa.dataspec import DataSpec, Reading
from kasa.text import Translator, translator

MIN_ROWS_PER_LABEL = 4
# A row of which the model does not know this share of tokens is one it cannot read.
MANY_UNKNOWN = 0.5
EXAMPLES = 5
# Keeps ("a b", "c") apart from ("a", "b c"); no text holds it.
BETWEEN = " ␟ "
TOGETHER_MAX = 5
# Of copies in different parts the one in the test part stays: taking it from training ends the leak
# and keeps the user's own test complete.
PART_ORDER = {"test": 0, "validation": 1, "train": 2}


@dataclass(frozen=True)
class TokenFacts:
    """Per row of the file: its length in tokens and how many of them the model does not know."""

    lengths: NDArray[np.int64]
    unknown: NDArray[np.int64]
    max_tokens: int


@dataclass(frozen=True)
class Examined:
    """The usable rows as they are once mended, and every problem found on the way.

    `rows` has the columns of `raw_rows`, `key` (the inputs, blanks folded) and `cluster`: rows with
    the same number stay in one part.
    """

    task: str
    rows: pd.DataFrame
    num_rows: int
    problems: list[Problem]


def fold(values: pd.Series) -> pd.Series:
    """Return texts without outer blanks and with every run of white space as one space."""
    return values.map(lambda value: " ".join(value.split())).astype("str")


def examine(
    table: Table, spec: DataSpec, *, test: Table | None = None, tokens: TokenFacts | None = None
) -> Examined:
    """Return the rows as the study uses them, with the problems in the order of `KINDS`.

    Each kind is looked for in what the kinds before it left. Raises `DataError` as `raw_rows` does.
    """
    task = required_task(spec)
    check = _Check(task, spec, raw_rows(table, spec, test))
    check.change_texts()
    check.leave_out()
    check.keep_together()
    if tokens is not None:
        check.count_tokens(tokens)
    total = len(table.frame) + (0 if test is None else len(test.frame))
    return Examined(task, check.rows.reset_index(drop=True), total, check.problems)


class _Check:
    """The rows on their way through every kind of problem."""

    def __init__(self, task: str, spec: DataSpec, rows: pd.DataFrame) -> None:
        self.spec = spec
        self.inputs = inputs_of(spec, task)
        self.target = TARGETS[task]
        self.classes = self.target == "label"
        self.task = task
        self.active = active_kinds(spec)
        self.rows = rows
        self.problems: list[Problem] = []
        self.parted = bool(spec.split or spec.test_path)

    def found(
        self, kind: str, bad: pd.Series, examples: Sequence[tuple[int, str, str]] = ()
    ) -> bool:
        """Record the rows that have a problem; says whether they are to be mended."""
        applied = kind in self.active
        if bad.any():
            rows = self.rows[bad]
            own = rows["in_test_file"]
            self.problems.append(
                Problem(
                    kind,
                    tuple(int(row) for row in rows.loc[~own, "row"]),
                    applied,
                    tuple(int(row) for row in rows.loc[own, "row"]),
                    tuple(examples),
                )
            )
        return applied

    # -- what changes a cell -------------------------------------------------------------------

    def change_texts(self) -> None:
        """Repair and normalise texts and targets, and bring labels to one spelling."""
        for kind, step in TEXT_CHANGES.items():
            # Blanks and width of a label are a matter of its spelling, below.
            names = [*self.inputs, *([self.target] if kind in {"mojibake", "control"} else [])]
            names = [name for name in names if name != "choices"]
            self.change(kind, {name: step(self.rows[name]) for name in names})
        if self.classes:
            self.rows["label"] = fold(self.rows["label"])
            spellings = label_variants(self.rows["label"])
            self.change("label_variants", {"label": self.rows["label"].replace(spellings)})
        texts = [fold(self.rows[name]) for name in self.inputs]
        self.rows["key"] = pd.concat(texts, axis=1).agg(BETWEEN.join, axis=1).astype("str")
        self.empty = pd.concat([each == "" for each in texts], axis=1).any(axis=1)

    def change(self, kind: str, after: dict[str, pd.Series]) -> None:
        """Record where cells would change, with examples, and change them if that is wanted."""
        bad = pd.Series(data=False, index=self.rows.index)
        examples: list[tuple[int, str, str]] = []
        for name, values in after.items():
            differs = values != self.rows[name]
            bad |= differs
            for place in differs.index[differs][: EXAMPLES - len(examples)]:
                before = str(self.rows.at[place, name])
                examples.append((int(str(self.rows.at[place, "row"])), before, str(values[place])))
        if self.found(kind, bad, examples):
            self.rows = self.rows.assign(**after)

    # -- what takes a row out ------------------------------------------------------------------

    def leave_out(self) -> None:
        """Take out, kind by kind, the rows that are not to be used."""
        rules: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
            "empty_text": lambda rest: self.empty.loc[rest.index],
            "empty_label": lambda rest: rest[self.target].str.strip() == "",
            "lost_text": lambda rest: mojibake_rows(rest["key"]),
            "other_language": lambda rest: mixed_rows(rest["key"]),
        }
        if self.task == "regression":
            rules["not_a_number"] = lambda rest: numbers(rest["score"]).isna()
        if self.task == "multiple_choice":
            rules["answer_not_offered"] = lambda rest: rest["answer"].str.startswith("? ")
        if self.spec.split_by == "date" and not self.parted:
            rules["no_date"] = lambda rest: parsed_dates(rest["date"]).isna()
        if self.classes:
            rules["conflicting_labels"] = _conflicts
        rules["duplicate"] = lambda rest: _later_copies(rest, self.target)
        if self.parted:
            rules["leak"] = _leaks
        if self.parted and self.spec.group:
            rules["group_leak"] = _group_leaks
        if self.classes:
            rules["rare_label"] = _rare_labels
        for kind in KINDS:
            if kind in rules and len(self.rows):
                bad = rules[kind](self.rows).astype(bool)
                if self.found(kind, bad):
                    self.rows = self.rows[~bad]

    def keep_together(self) -> None:
        """Number the rows that stay in one part: near copies, unless that is switched off."""
        clusters = near_duplicates(self.rows["key"])
        few = _few(clusters)
        wanted = self.found("near_duplicate", few & (not self.parted))
        self.found("pattern", (clusters >= 0) & ~few)
        alone = pd.Series(np.arange(len(self.rows)), index=self.rows.index) + len(self.rows)
        self.rows["cluster"] = clusters.where(few & wanted, alone).astype("int64")

    def count_tokens(self, tokens: TokenFacts) -> None:
        """Record the rows that the model reads in part only, or hardly at all."""
        # Facts are per row of the file, whose rows come first and in order.
        place = self.rows.index[~self.rows["in_test_file"]]
        lengths, unknown = tokens.lengths[place], tokens.unknown[place]
        for kind, bad in {
            "too_long": lengths > tokens.max_tokens,
            "unknown_tokens": unknown > MANY_UNKNOWN * np.maximum(lengths, 1),
        }.items():
            self.found(kind, pd.Series(bad, index=place).reindex(self.rows.index, fill_value=False))


def _masked(cells: pd.Series) -> pd.Series:
    return cells.where(~rows_with_personal(cells), cells.map(mask_personal)).astype("str")


# What changes a text, by kind, in the order in which it is done.
TEXT_CHANGES: dict[str, Callable[[pd.Series], pd.Series]] = {
    "mojibake": repaired_column,
    "control": lambda cells: normalised_column(cells, ("control",)),
    "whitespace": lambda cells: normalised_column(cells, ("whitespace",)),
    "width": lambda cells: normalised_column(cells, ("width",)),
    "personal_data": _masked,
}


def mended_texts(texts: Sequence[str], spec: DataSpec) -> list[str]:
    """Return new texts with what is changed in the texts of a study's rows."""
    cells = pd.Series(list(texts), dtype="str")
    for kind, change in TEXT_CHANGES.items():
        if kind in active_kinds(spec):
            cells = change(cells)
    return list(cells)


def numbers(cells: pd.Series) -> pd.Series:
    """Return cells as floats, full-width digits and decimal commas included; NaN for other text."""
    plain = normalised_column(cells, ("width", "whitespace"))
    thousands = plain.str.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")
    bare = plain.str.replace(",", "").where(thousands, plain.str.replace(",", "."))
    found = pd.to_numeric(bare, errors="coerce")
    return found.astype("float64").replace([np.inf, -np.inf], np.nan)


def _conflicts(rest: pd.DataFrame) -> pd.Series:
    return rest.groupby("key")["label"].transform("nunique") > 1


def _later_copies(rest: pd.DataFrame, target: str) -> pd.Series:
    ordered = rest.assign(order=rest["part"].map(PART_ORDER)).sort_values("order", kind="stable")
    return ordered.duplicated(["key", target]).reindex(rest.index)


def _leaks(rest: pd.DataFrame) -> pd.Series:
    """Return the training and validation rows that have an exact or near copy in the test part."""
    clusters = near_duplicates(rest["key"])
    tested = rest["part"] == "test"
    near = _few(clusters) & clusters.isin(clusters[tested].unique())
    return ~tested & (near | rest["key"].isin(rest.loc[tested, "key"]))


def _few(clusters: pd.Series) -> pd.Series:
    """Return which rows have near copies, but only a few.

    Many are a pattern that people fill in: kept in one part, it would leave nothing to test.
    """
    return (clusters >= 0) & (clusters.map(clusters.value_counts()) <= TOGETHER_MAX)


def _group_leaks(rest: pd.DataFrame) -> pd.Series:
    tested = rest["part"] == "test"
    return ~tested & (rest["group"] != "") & rest["group"].isin(rest.loc[tested, "group"].unique())


def _rare_labels(rest: pd.DataFrame) -> pd.Series:
    groups = rest.groupby("label")["part"]
    few = groups.transform("size") < MIN_ROWS_PER_LABEL
    unseen = groups.transform(lambda parts: (parts == "train").sum()) == 0
    return few | unseen.astype(bool)


# -- a file on its own -------------------------------------------------------------------------


def guessed_spec(infos: Sequence[ColumnInfo], path: str = "", **chosen: Any) -> DataSpec:
    """Return the spec that the columns' roles suggest, with what was chosen in their place."""
    single = ("text", "second_text", "label", "score", "prompt", "answer", "group", "date")
    found: dict[str, Any] = {
        role: names[0] for role in single if (names := columns_with(infos, role))
    }
    found["choices"] = columns_with(infos, "choices")
    parts = columns_with(infos, "part")
    found["split"] = parts[0] if parts else None
    given = {name: value for name, value in chosen.items() if value is not None}
    if "text" in given and given["text"] == found.get("label"):
        del found["label"]
    return DataSpec(path, **(found | given))


def with_roles(infos: Sequence[ColumnInfo], spec: DataSpec) -> list[ColumnInfo]:
    """Return the columns with the roles that a spec gives them."""
    roles = {name: role for role, name in spec.roles()}
    return [replace(info, role=roles.get(info.name, "ignore")) for info in infos]


def check_file(
    path: Path, lang: str = "en", *, reading: Reading | None = None, **chosen: Any
) -> dict[str, Any]:
    """Return what `check-data --json` prints: format, encoding, rows, columns, task and problems.

    `chosen` are settings of `DataSpec` (text, label, fixes, …); roles that are not given are
    guessed. `task` is None where the roles make none, and then there are no problems to report.
    """
    table = read_table(path, reading)
    spec = guessed_spec(guess_columns(table.frame), str(path), **chosen)
    for name in spec.columns():
        column(table, name)
    problems = examine(table, spec).problems if spec.task else []
    speak = translator(lang)
    infos = with_roles(guess_columns(table.frame), spec)
    return {
        "format": table.format,
        "encoding": table.encoding,
        "rows": len(table.frame),
        "columns": [
            {
                "name": info.name,
                "role": info.role,
                "reason": info.reason.sentence(speak),
                "num_values": info.num_values,
                "num_empty": info.num_empty,
                "examples": [mask_personal(example) for example in info.examples],
            }
            for info in infos
        ],
        "task": spec.task,
        "problems": [_document(problem, spec, speak) for problem in problems],
        "notes": [note.sentence(speak) for note in table.notes],
    }


def _document(problem: Problem, spec: DataSpec, speak: Translator) -> dict[str, Any]:
    _, reason, fix = problem.sentences(speak)
    hide = mask_personal if spec.mask else str
    return {
        "kind": problem.kind,
        "count": problem.count,
        "rows": list(problem.rows),
        "treatment": problem.treatment,
        "applied": problem.applied,
        "reason": reason,
        "fix": fix,
        "examples": [[row, *map(hide, cells)] for row, *cells in problem.examples],
    }
