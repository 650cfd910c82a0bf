"""DataSpec: where the rows are, how the file is read, and what each column is for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from kasa.checks import build, check, check_types

ENCODINGS = (
    "utf-8",
    "utf-8-sig",
    "cp932",
    "euc-jp",
    "iso-2022-jp",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "cp1252",
    "iso-8859-1",
)
DELIMITERS = (",", "\t", ";", "|")
LAST_ROW = 1_048_576
ROLES = (
    *("text", "second_text", "label", "score", "prompt", "answer", "choices"),
    *("group", "date", "part", "ignore"),
)
# The roles that a task needs, the most demanding first: a file's task is the first that it fills.
TASKS: dict[str, tuple[str, ...]] = {
    "multiple_choice": ("prompt", "choices", "answer"),
    "generation": ("prompt", "answer"),
    "pair_classification": ("text", "second_text", "label"),
    "regression": ("text", "score"),
    "classification": ("text", "label"),
}
SPLITS = ("label", "group", "date")
PLACE = re.compile(r"\{([^{}]+)\}")


def task_of(roles: Collection[str]) -> str | None:
    """Return the first of `TASKS` whose roles are all there; None where no task is possible."""
    return next((task for task, needed in TASKS.items() if set(needed) <= set(roles)), None)


@dataclass(frozen=True)
class Reading:
    """How a file is read where the studio's own guess is not wanted; None leaves it to the guess.

    `encoding` and `delimiter` are for text, `sheet` for workbooks; `header_row` is the spreadsheet
    row of the (last) header line, 0 where the file has none. Raises `StudyError` for other values.
    """

    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    header_row: int | None = None

    def __post_init__(self) -> None:
        """Check every setting."""
        check_types(self, table="data.reading")
        rules = [
            ("encoding", ENCODINGS, " | ".join(ENCODINGS)),
            ("delimiter", DELIMITERS, " | ".join(map(repr, DELIMITERS))),
        ]
        for name, known, wanted in rules:
            value = getattr(self, name)
            good = value is None or value in known
            check(condition=good, name=f"data.reading.{name}", got=value, wanted=wanted)
        good = self.sheet is None or bool(self.sheet)
        check(condition=good, name="data.reading.sheet", got=self.sheet, wanted="a sheet's name")
        check(
            condition=self.header_row is None or 0 <= self.header_row <= LAST_ROW,
            name="data.reading.header_row",
            got=self.header_row,
            wanted=f"0 … {LAST_ROW:,}",
        )


@dataclass(frozen=True)
class DataSpec:
    """Where the rows are, which column has which role, and what is done to the rows.

    `split` names the user's own column of parts; without it rows are divided by `split_by` (label,
    group or date), or `test_path` names a file of the user's own that is the test part. `template`
    makes the text of several columns: `{column}` stands for a cell. `fixes` names what is done to
    the rows; None stands for what the studio recommends. `mask` hides likely personal data wherever
    rows are shown. The SHA-256 are of the files' content.
    """

    path: str
    text: str = ""
    label: str = ""
    split: str | None = None
    sha256: str | None = None
    second_text: str | None = None
    score: str | None = None
    prompt: str | None = None
    answer: str | None = None
    choices: tuple[str, ...] = ()
    group: str | None = None
    date: str | None = None
    template: str | None = None
    split_by: str = "label"
    test_path: str | None = None
    test_sha256: str | None = None
    fixes: tuple[str, ...] | None = None
    mask: bool = True
    reading: Reading = field(default_factory=Reading)

    def __post_init__(self) -> None:
        """Check every setting; a table of reading settings becomes a `Reading`."""
        check_types(self, "data")
        if isinstance(self.reading, dict):
            object.__setattr__(self, "reading", build(Reading, self.reading, name="data.reading"))
        known = " | ".join(SPLITS)
        check(
            condition=self.split_by in SPLITS, name="data.split_by", got=self.split_by, wanted=known
        )
        needed = None if self.split_by == "label" else getattr(self, self.split_by)
        good = self.split_by == "label" or bool(needed)
        check(condition=good, name=f"data.{self.split_by}", got=needed, wanted="a column")

        both = self.split is not None and self.test_path is not None
        check(
            condition=not both, name="data.split", got=self.split, wanted="no test_path beside it"
        )

    @property
    def chosen(self) -> bool:
        """Whether a file has been chosen; a draft begins without one."""
        return bool(self.path)

    @property
    def task(self) -> str | None:
        """What the roles make of the rows: one of `TASKS`, or None where a column is missing."""
        return task_of([role for role, _ in self.roles()])

    def roles(self) -> Iterator[tuple[str, str]]:
        """Yield (role, column) for every column that has a role."""
        names = ("text", "second_text", "label", "score", "prompt", "answer", "group", "date")
        yield from ((role, getattr(self, role)) for role in names if getattr(self, role))
        yield from (("choices", name) for name in self.choices)
        if self.split:
            yield "part", self.split

    def columns(self) -> list[str]:
        """Return the columns that are used, each once."""
        joined = PLACE.findall(self.template or "")
        return list(dict.fromkeys([*(column for _, column in self.roles()), *joined]))
