"""What the Try it page asks: typed lines, or the rows of a file, and which runs answer."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st

from app import state
from app.components import plain, run_name, show_error
from app.data_source import TYPES
from app.i18n import t, text
from kasa.data.questions import (
    MOST_QUESTIONS,
    Questions,
    file_questions,
    missing_inputs,
    typed_questions,
    with_columns,
)
from kasa.data.read import Table, read_table
from kasa.data.rows import inputs_of, required_task
from kasa.dataspec import DataSpec
from kasa.errors import KasaError
from kasa.report.labels import arm_labels
from kasa.runs.records import RunRecord, StudyRecord
from kasa.study import Study

# Session key: (the uploader's id of the file, its table). It goes with the session.
FILE = "try_table"
Ask = Callable[[], Questions]
# More columns than these, beside the methods that always answer, are for who asks for them.
FIRST_METHODS = 4


def tuned_runs(record: StudyRecord) -> list[RunRecord]:
    """Return the finished runs that hold a tuned model, in the order of the study's methods."""
    judged = record.study.named_arms(judged=True)
    order = {name: place for place, name in enumerate(judged)}
    runs = [
        run
        for run in state.store().runs(record.id)
        if run.status == "finished"
        and run.arm in judged
        and judged[run.arm].facts.kind != "baseline"
    ]
    return sorted(runs, key=lambda run: (order[str(run.arm)], run.seed or 0))


def choose_runs(study: Study, runs: Sequence[RunRecord]) -> list[str]:
    """Let the person say which runs answer: at first the first seed of the first few methods."""
    labels = arm_labels(study, text())
    names = {run.id: run_name(run, labels[str(run.arm)]) for run in runs}
    first = list({run.arm: run.id for run in reversed(runs)}.values())[::-1][:FIRST_METHODS]
    chosen: list[str] = st.multiselect(
        t("try_it_page.runs"),
        list(names),
        [run_id for run_id in names if run_id in first],
        format_func=names.__getitem__,
        key=f"try_runs_{state.current_study_id()}",
        help=t("try_it_page.runs_help"),
        placeholder=t("try_it_page.no_runs"),
    )
    return [run_id for run_id in names if run_id in chosen]


def choose_questions(study: Study) -> Ask | None:
    """Show the field for texts or for a file; returns what gives the questions when it is time."""
    ways = {way: t(f"try_it_page.way.{way}") for way in ("typed", "file")}
    way = st.radio(
        t("try_it_page.ways"),
        list(ways),
        format_func=ways.__getitem__,
        horizontal=True,
        key="try_way",
        label_visibility="collapsed",
    )
    return _typed(study) if way == "typed" else _from_file(study.data)


def _typed(study: Study) -> Ask:
    inputs = inputs_of(study.data, required_task(study.data))
    form = "choices" if "choices" in inputs else "pair" if len(inputs) > 1 else "one"
    lines = st.text_area(
        t(f"try_it_page.texts.{form}"),
        height=150,
        placeholder=t(f"try_it_page.example.{_example(study, form)}"),
        key="try_texts",
    )
    return lambda: typed_questions(str(lines or ""), inputs)


def _example(study: Study, form: str) -> str:
    return "pair" if form == "pair" else str(study.task)


def _from_file(spec: DataSpec) -> Ask | None:
    table = _uploaded()
    if table is None:
        return None
    chosen: dict[str, Sequence[str]] = {}
    missing = missing_inputs(table, spec)
    if missing:
        st.markdown(t("try_it_page.choose_columns"))
    for field in missing:
        names = _choose_columns(table, field)
        if not names:
            return None
        chosen[field] = names
    found = with_columns(spec, chosen)
    try:
        asked = file_questions(table, found)
    except KasaError as error:
        show_error(error)
        return None
    _say_what_was_read(asked)
    return lambda: asked


def _uploaded() -> Table | None:
    """Return the table of the uploaded file; nothing of it is kept but in this session."""
    file = st.file_uploader(
        t("try_it_page.upload"), type=TYPES, key="try_file", help=t("data_page.upload_help")
    )
    if file is None:
        st.session_state.pop(FILE, None)
        return None
    kept: tuple[str, Table] | None = st.session_state.get(FILE)
    if kept is not None and kept[0] == file.file_id:
        return kept[1]
    try:
        with tempfile.TemporaryDirectory(prefix="kasa-") as folder:
            path = Path(folder) / "questions"
            path.write_bytes(file.getvalue())
            table = read_table(path)
    except KasaError as error:
        show_error(error)
        return None
    st.session_state[FILE] = (file.file_id, table)
    return table


def _choose_columns(table: Table, field: str) -> Sequence[str]:
    """Let the person choose a column, or the columns of choices, that the file names otherwise."""
    label, names = t(f"data_page.column_{field}"), list(table.frame.columns)
    key = f"try_column_{field}"
    if field == "choices":
        return st.multiselect(label, names, key=key)
    found = st.selectbox(
        label, names, index=None, key=key, placeholder=t("try_it_page.choose_column")
    )
    return [found] if found is not None else []


def _say_what_was_read(asked: Questions) -> None:
    count = text().number
    words = t("try_it_page.read", rows=count(len(asked.pieces)))
    if asked.num_empty:
        words += t("try_it_page.read_empty", rows=count(asked.num_empty))
    st.caption(words)
    if asked.num_over:
        warn_of_more(asked.num_over)


def warn_of_more(num_over: int) -> None:
    """Say that so many more were given than are asked at a time."""
    facts = {"most": text().number(MOST_QUESTIONS), "rows": text().number(num_over)}
    st.warning(plain(t("try_it_page.too_many", **facts)), icon=":material/info:")
