from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import drafts
from app.components import next_step, page_header, show_error
from app.data_columns import choose_columns
from app.data_panels import show_fit, show_reading, show_rows
from app.data_problems import choose_fixes, show_problems
from app.data_source import choose_file, choose_reading, read
from app.data_split import choose_split, show_split
from app.i18n import t
from app.state import current_study
from kasa.data.check import Examined, TokenFacts, examine
from kasa.data.read import Table
from kasa.data.split import PreparedRows, divide
from kasa.dataspec import DataSpec, Reading
from kasa.errors import KasaError
from kasa.study import Protocol, Study

PREVIEW_ROWS = 8


@st.cache_data(max_entries=4, show_spinner=False)
def find_problems(
    _table: Table,
    _test: Table | None,
    spec: DataSpec,
    reader: tuple[object, ...],
    _tokens: TokenFacts | None,
) -> Examined:
    del reader  # part of the key: the tokens are this model's, and this many are read
    return examine(_table, spec, test=_test, tokens=_tokens)


@st.cache_data(max_entries=4, show_spinner=False)
def divided(_found: Examined, spec: DataSpec, protocol: Protocol) -> PreparedRows:
    return divide(_found, spec, protocol)


def examined(
    table: Table,
    spec: DataSpec,
    protocol: Protocol,
    model: str,
    tokens: TokenFacts | None,
    place: DeltaGenerator,
) -> PreparedRows:
    """Return the rows divided, once their problems are shown; rows that cannot be: `KasaError`."""
    test = read(Path(spec.test_path), str(spec.test_sha256), Reading()) if spec.test_path else None
    reader = (model, *((tokens.max_tokens, int(tokens.unknown.sum())) if tokens else ()))
    with st.spinner(t("data_page.checking")):
        found = find_problems(table, test, spec, reader, tokens)
    try:
        prepared = divided(found, spec, protocol)
    except KasaError:
        with place:
            show_problems(table, spec, found.problems, found.num_rows, len(found.rows))
        raise
    with place:
        show_problems(table, spec, prepared.problems, found.num_rows, len(prepared.rows))
    return prepared


def save(study: Study, spec: DataSpec, protocol: Protocol, suggested: str) -> None:
    """Make the data part of the draft; a started study keeps its own and a new draft is made."""
    st.divider()
    title = st.text_input(
        t("data_page.study_title"),
        study.title if study.data.path == spec.path else suggested,
        key=f"data_title_{str(spec.sha256)[:12]}",
    ).strip()
    if not title:
        st.warning(t("data_page.no_title"))
    elif study.title == title and study.data == spec and study.protocol == protocol:
        st.success(t("data_page.saved"), icon=":material/check_circle:")
        next_step("shell.next.experiment", "pages/experiment.py")
    else:
        st.caption(t("data_page.unsaved"))
        if st.button(t("data_page.save"), key="data_save", type="primary"):
            drafts.edit(title=title, data=spec, protocol=protocol)
            st.rerun()


def main() -> None:
    page_header("data_page.title", "data_page.lead")
    record = current_study()
    study = drafts.current_settings()
    if record and record.status != "draft":
        st.info(t("data_page.started"), icon=":material/lock:")
    chosen = choose_file(study)
    if chosen is None:
        return
    path, title = chosen
    table, reading = choose_reading(path, study)
    if table is None:
        return
    show_reading(table, path)
    preview = st.container()
    spec = choose_columns(table, study.data, path, reading)
    mask = spec is None or choose_fixes(study, spec).mask
    with preview:
        used = spec.columns() if spec else []
        ordered = [*used, *(name for name in table.frame.columns if name not in used)]
        rows = table.frame[ordered].head(PREVIEW_ROWS)
        show_rows(rows, "data_preview", t("data_page.preview"), mask=mask)
    if spec is None:
        return
    tokens = show_fit(spec, table, study.model, study.protocol.max_length)
    problems = st.container()
    try:
        spec, protocol = choose_split(study, choose_fixes(study, spec))
        prepared = examined(table, spec, protocol, study.model, tokens, problems)
        show_split(prepared, study.gates.metric_min, mask=spec.mask)
    except KasaError as error:
        show_error(error)
        return
    save(study, spec, protocol, title)


main()
