"""Settings checked where they are made: their type by the annotation, their range by a rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

from kasa.errors import StudyError


def check(*, condition: bool, name: str, got: object, wanted: str) -> None:
    """Raise `StudyError` with the setting's name, what was got and what is wanted."""
    if not condition:
        raise StudyError("bad_setting", name=name, got=repr(got), wanted=wanted)


def is_whole(value: object) -> bool:
    """Say whether a value is an integer, True and False not being numbers."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def is_real(value: object) -> bool:
    """Say whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_text(value: object) -> bool:
    """Say whether a value is text."""
    return isinstance(value, str)


def _or_none(rule: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or rule(value)


def _all(rule: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, tuple) and all(rule(item) for item in value)


TYPES: dict[str, tuple[Callable[[object], bool], str]] = {
    "str": (is_text, "text"),
    "str | None": (_or_none(is_text), "text"),
    "bool": (_is_bool, "true or false"),
    "bool | None": (_or_none(_is_bool), "true or false"),
    "int": (is_whole, "a whole number"),
    "int | None": (_or_none(is_whole), "a whole number"),
    "float": (is_real, "a number"),
    "float | None": (_or_none(is_real), "a number"),
    "tuple[int, ...]": (_all(is_whole), "a list of whole numbers"),
    "tuple[float, ...]": (_all(is_real), "a list of numbers"),
    "tuple[str, ...]": (_all(is_text), "a list of texts"),
    "tuple[str, ...] | None": (_or_none(_all(is_text)), "a list of texts"),
}


def check_types(record: Any, table: str) -> None:
    """Make lists of a frozen record tuples, and refuse a value that its annotation does not allow.

    `table` is the record's name in a study file. Fields of other types are left to their own rules.
    """
    for each in fields(record):
        if str(each.type) not in TYPES:
            continue
        good, wanted = TYPES[str(each.type)]
        value = getattr(record, each.name)
        if isinstance(value, list):
            value = tuple(value)
            object.__setattr__(record, each.name, value)
        name = f"{table}.{each.name}" if table else each.name
        check(condition=good(value), name=name, got=value, wanted=wanted)


def build(kind: type[Any], record: object, name: str) -> Any:
    """Return `kind(**record)`; a record that is no table, or lacks or invents a key, is named."""
    if not isinstance(record, dict):
        raise StudyError("bad_setting", name=name, got=repr(record), wanted="a table")
    refuse_unknown(record, kind, name)
    for each in fields(kind):
        needed = each.default is MISSING and each.default_factory is MISSING
        if needed and each.name not in record:
            raise StudyError("missing_setting", name=f"{name}.{each.name}")
    return kind(**record)


def refuse_unknown(record: dict[str, Any], kind: type[Any], name: str) -> None:
    """Raise `StudyError` for a key that `kind` does not have, naming those it has."""
    wanted = [each.name for each in fields(kind)]
    for key in record:
        if key not in wanted:
            full = f"{name}.{key}" if name else key
            raise StudyError("unknown_setting", name=full, wanted=", ".join(wanted))
