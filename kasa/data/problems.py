"""The kinds of problems that rows can have, and what the studio does about each."""

from __future__ import annotations

from dataclasses import dataclass

from kasa.dataspec import DataSpec
from kasa.errors import StudyError
from kasa.text import Translator


@dataclass(frozen=True)
class Kind:
    """What mends a kind of problem: left_out, changed, kept_together, or none.

    `recommended` kinds are mended unless somebody decides otherwise; `locked` ones always, because
    nothing can be trained or tested with such rows.
    """

    fix: str
    recommended: bool = True
    locked: bool = False


KINDS: dict[str, Kind] = {
    "mojibake": Kind("changed"),
    "control": Kind("changed"),
    "whitespace": Kind("changed"),
    "width": Kind("changed", recommended=False),
    "personal_data": Kind("changed", recommended=False),
    "label_variants": Kind("changed"),
    "empty_text": Kind("left_out", locked=True),
    "empty_label": Kind("left_out", locked=True),
    "not_a_number": Kind("left_out", locked=True),
    "answer_not_offered": Kind("left_out", locked=True),
    "no_date": Kind("left_out", locked=True),
    "lost_text": Kind("left_out", recommended=False),
    "other_language": Kind("left_out", recommended=False),
    "conflicting_labels": Kind("left_out"),
    "duplicate": Kind("left_out"),
    "leak": Kind("left_out"),
    "group_leak": Kind("left_out", recommended=False),
    "rare_label": Kind("left_out", locked=True),
    "near_duplicate": Kind("kept_together"),
    "pattern": Kind("none", recommended=False),
    "unseen_label": Kind("left_out", locked=True),
    "too_long": Kind("none", recommended=False),
    "unknown_tokens": Kind("none", recommended=False),
}
"""In the order in which rows are mended: a row that is left out counts for the first kind only."""

LOCKED = tuple(name for name, kind in KINDS.items() if kind.locked)
RECOMMENDED = tuple(name for name, kind in KINDS.items() if kind.recommended and not kind.locked)


@dataclass(frozen=True)
class Problem:
    """One kind of problem and the spreadsheet rows that have it.

    `test_rows` are those of the user's own test file; `applied` says whether it is mended;
    `examples` of a change are (row, before, after).
    """

    kind: str
    rows: tuple[int, ...]
    applied: bool
    test_rows: tuple[int, ...] = ()
    examples: tuple[tuple[int, str, str], ...] = ()

    @property
    def count(self) -> int:
        """Number of rows with this problem."""
        return len(self.rows) + len(self.test_rows)

    @property
    def treatment(self) -> str:
        """What happens to the rows: left_out, changed, kept_together, truncated or kept."""
        if self.kind == "too_long":
            return "truncated"
        return KINDS[self.kind].fix if self.applied and KINDS[self.kind].fix != "none" else "kept"

    def sentences(self, text: Translator) -> tuple[str, str, str]:
        """Return (name, reason, fix) in the translator's language."""
        name, reason, fix = (
            text(f"data.problems.{self.kind}.{part}") for part in ("name", "reason", "fix")
        )
        return name, reason, fix


def active_kinds(spec: DataSpec) -> frozenset[str]:
    """Return the kinds that are mended: the person's choice, else what is recommended."""
    chosen = RECOMMENDED if spec.fixes is None else spec.fixes
    for name in chosen:
        if name not in KINDS:
            wanted = ", ".join(kind for kind in KINDS if not KINDS[kind].locked)
            raise StudyError("bad_setting", name="data.fixes", got=repr(name), wanted=wanted)
    return frozenset(chosen) | frozenset(LOCKED)
