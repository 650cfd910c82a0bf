"""What each column is for: the guess with its reasons, and the fields that change it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app.components import plain
from app.data_problems import masked
from app.i18n import t, text
from kasa.data.check import guessed_spec
from kasa.data.columns import ColumnInfo, guess_columns, guessed_task
from kasa.data.personal import mask_personal
from kasa.data.read import Table
from kasa.dataspec import PLACE, TASKS, DataSpec, Reading

OPTIONAL = {"regression": ("second_text",)}
EXTRA = ("split", "group", "date")


@st.cache_data(max_entries=4, show_spinner=False)
def guess(_table: Table, sha256: str, reading: Reading) -> list[ColumnInfo]:
    """Return the guessed roles of a file's columns, cached by content and reading."""
    del sha256, reading
    return guess_columns(_table.frame)


def choose_columns(
    table: Table, current: DataSpec, path: Path, reading: Reading
) -> DataSpec | None:
    """Return the spec with its columns, guessed or the study's own; None until a task is whole."""
    st.subheader(t("data_page.columns"), anchor=False)
    digest = path.parent.name
    infos = guess(table, digest, reading)
    own = current if current.path == str(path) else guessed_spec(infos, str(path))
    names = [info.name for info in infos]
    key = digest[:12]
    tasks = {name: t(f"data.tasks.{name}") for name in reversed(TASKS)}
    task = st.selectbox(
        t("data_page.task"),
        list(tasks),
        index=list(tasks).index(own.task or guessed_task(infos) or "classification"),
        format_func=tasks.__getitem__,
        key=f"data_task_{key}",
        help=t("data_page.task_help"),
    )
    roles = [*TASKS[task], *OPTIONAL.get(task, ())]
    chosen: dict[str, Any] = {}
    for place, role in zip(st.columns(len(roles)), roles, strict=True):
        with place:
            chosen[role] = _column_field(role, names, infos, own, key)
    with st.expander(t("data_page.more_columns"), key="data_more"):
        for place, role in zip(st.columns(3), EXTRA, strict=True):
            with place:
                chosen[role] = _column_field(role, names, infos, own, key)
        if "text" in roles:
            chosen["template"] = _template(names, chosen["text"], own, key)
        show_columns(infos, mask=masked(digest))
    missing = [role for role in TASKS[task] if not chosen[role]]
    if missing:
        lacking = ", ".join(t(f"data.roles.{role}") for role in missing)
        st.warning(t("data_page.no_column", roles=lacking))
        return None
    places = PLACE.findall(chosen.get("template") or "")
    if chosen.get("template") and not (places and set(places) <= set(names)):
        wrong = ", ".join(f"{{{name}}}" for name in places if name not in names)
        st.warning(plain(t("data_page.bad_template", wrong=wrong or str(chosen["template"]))))
        return None
    main = [name for role in roles for name in _listed(chosen[role])]
    if len(set(main)) < len(main):
        st.warning(t("data_page.same_column"))
        return None
    values = {role: value for role, value in chosen.items() if value}
    return DataSpec(str(path), sha256=digest, reading=reading, **values)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _column_field(
    role: str, names: list[str], infos: Sequence[ColumnInfo], own: DataSpec, key: str
) -> Any:
    """Show the field for one role, with what its column looks like below; returns the choice."""
    start = getattr(own, role)
    label = t(f"data_page.column_{role}")
    if role == "choices":
        known = [name for name in start if name in names]
        return tuple(st.multiselect(label, names, known, key=f"data_{role}_{key}"))
    # A box that begins with a choice cannot be emptied, so "none" is one of the options.
    options: dict[str | None, str] = {name: name for name in names}
    if role in {*EXTRA, "second_text"}:
        options = {None: t("data_page.none"), **options}
    chosen = st.selectbox(
        label,
        list(options),
        index=list(options).index(start) if start in options else None,
        format_func=options.__getitem__,
        placeholder="",
        key=f"data_{role}_{key}",
    )
    info = next((info for info in infos if info.name == chosen), None)
    if info is not None:
        values, empty = text().number(info.num_values), text().number(info.num_empty)
        st.caption(t("data_page.column_info", values=values, empty=empty))
    return chosen


def _template(names: list[str], column: str | None, own: DataSpec, key: str) -> str | None:
    """Show the field that joins several columns into the text; None where only one is used."""
    start = own.template or ""
    written = st.text_area(
        t("data_page.template"),
        start,
        key=f"data_template_{key}",
        help=t("data_page.template_help", example=" / ".join(f"{{{n}}}" for n in names[:2])),
        height=80,
    ).strip()
    return written if written and written != f"{{{column}}}" else None


def show_columns(infos: Sequence[ColumnInfo], *, mask: bool) -> None:
    """Show every column with what it looks like and why."""
    hide = mask_personal if mask else str
    words = text()
    rows = [
        (
            info.name,
            info.reason.sentence(words),
            words.number(info.num_values),
            words.number(info.num_empty),
            " / ".join(hide(example)[:60] for example in info.examples),
        )
        for info in infos
    ]
    titles = [t(f"data_page.columns_{name}") for name in ("name", "reason", "values", "empty")]
    frame = pd.DataFrame(rows, columns=[*titles, t("data_page.columns_examples")])
    st.caption(t("data_page.columns_lead"))
    st.dataframe(frame, hide_index=True, width="stretch", key="data_columns")
