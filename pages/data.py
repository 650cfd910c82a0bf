from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import drafts
from app.components import next_step, page_header, plain, show_error
from app.data_panels import show_fit, show_problems, show_reading, show_rows, show_split
from app.i18n import t, text
from app.state import current_study, store
from kasa.data.check import Problem, check_rows
from kasa.data.read import Table, describe_columns, guess_columns, read_table
from kasa.data.split import PreparedRows, prepare_rows, user_parts
from kasa.errors import KasaError
from kasa.study import DataSpec, Protocol, Study

OWN_PATH, OWN_UPLOAD = "data_own_path", "data_own_upload"
TYPES = ["csv", "tsv", "txt", "jsonl", "ndjson", "json", "xlsx"]
PREVIEW_ROWS = 8


@st.cache_data(max_entries=4, show_spinner=False)
def read(_path: Path, sha256: str) -> Table:
    del sha256
    return read_table(_path)


@st.cache_data(max_entries=4, show_spinner=False)
def prepare(_table: Table, spec: DataSpec, protocol: Protocol) -> PreparedRows:
    return prepare_rows(_table, spec, protocol)


@st.cache_data(max_entries=4, show_spinner=False)
def find_problems(
    _table: Table, spec: DataSpec, model: str, _lengths: NDArray[np.int64] | None, max_length: int
) -> list[Problem]:
    del model  # part of the key: the lengths are this model's
    parts = user_parts(_table, spec.split) if spec.split else None
    limit = None if _lengths is None else max_length
    return check_rows(_table, spec.text, spec.label, _lengths, limit, parts=parts)


def choose_file(study: Study) -> tuple[Path, str] | None:
    """Return (file, title to suggest) for a sample or the person's own file; None without one."""
    current = Path(study.data.path)
    samples = {Path(drafts.SAMPLE_STUDIES[lang]).stem: lang for lang in drafts.SAMPLE_STUDIES}
    start = samples.get(current.stem, "own") if current.is_file() else text().lang
    labels = {option: t(f"data_page.source_{option}") for option in (*samples.values(), "own")}
    options = list(labels)
    source = st.radio(
        t("data_page.source"),
        options,
        index=options.index(start),
        format_func=labels.__getitem__,
        key="data_source",
        horizontal=True,
    )
    if source in drafts.SAMPLE_STUDIES:
        sample = drafts.sample_study(source)
        return Path(sample.data.path), sample.title
    upload_file()
    kept = st.session_state.get(OWN_PATH) or (str(current) if start == "own" else None)
    if kept is None:
        st.info(t("data_page.no_file"), icon=":material/upload_file:")
        return None
    return Path(kept), t("data_page.title_own", name=Path(kept).stem)


def upload_file() -> None:
    """Keep an uploaded file that can be read; one that cannot is named and forgotten again."""
    file = st.file_uploader(
        t("data_page.upload"), type=TYPES, key="data_upload", help=t("data_page.upload_help")
    )
    if file is None or st.session_state.get(OWN_UPLOAD) == file.file_id:
        return
    path = store().add_dataset(file.name, file.getvalue())
    try:
        read(path, path.parent.name)
    except KasaError as error:
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()
        show_error(error)
    else:
        st.session_state[OWN_PATH], st.session_state[OWN_UPLOAD] = str(path), file.file_id


def choose_columns(table: Table, current: DataSpec, path: Path) -> DataSpec | None:
    """Return the columns, guessed or the study's own; None until two different ones are chosen."""
    st.subheader(t("data_page.columns"), anchor=False)
    guess = guess_columns(table.frame)
    names = list(table.frame.columns)
    infos = {info.name: info for info in describe_columns(table.frame, guess)}
    own = current if current.path == str(path) else None
    starts = {
        "text": own.text if own else guess.text,
        "label": own.label if own else guess.label,
        "split": own.split if own else None,
    }
    chosen: dict[str, str | None] = {}
    for place, (role, start) in zip(st.columns(3), starts.items(), strict=True):
        with place:
            chosen[role] = st.selectbox(
                t(f"data_page.column_{role}"),
                names,
                index=names.index(start) if start in names else None,
                placeholder=t("data_page.no_split") if role == "split" else "",
                key=f"data_{role}_{path.parent.name[:12]}",
            )
            info = infos.get(chosen[role] or "")
            if info:
                values, empty = text().number(info.num_values), text().number(info.num_empty)
                st.caption(t("data_page.column_info", values=values, empty=empty))
    used = [name for name in dict.fromkeys(chosen.values()) if name]
    ordered = [*used, *(name for name in names if name not in used)]
    show_rows(table.frame[ordered].head(PREVIEW_ROWS), "data_preview", t("data_page.preview"))
    if not chosen["text"] or not chosen["label"]:
        st.warning(t("data_page.no_column"))
        return None
    if chosen["text"] == chosen["label"]:
        st.warning(t("data_page.same_column"))
        return None
    return DataSpec(str(path), chosen["text"], chosen["label"], chosen["split"], path.parent.name)


def choose_shares(start: Protocol, spec: DataSpec) -> Protocol:
    """Return the protocol with the shares of the validation and test rows."""
    st.subheader(t("data_page.split"), anchor=False)
    st.markdown(t("data_page.split_lead"))
    if spec.split:
        st.info(plain(t("data_page.split_given", column=spec.split)))
    shares = {}
    for place, part in zip(st.columns(2), ("validation", "test"), strict=True):
        percent = min(40, max(5, round(100 * getattr(start, f"{part}_fraction"))))
        label = t(f"data_page.{part}_share")
        shares[part] = place.slider(label, 5, 40, percent, key=f"data_{part}_share") / 100
    return replace(start, validation_fraction=shares["validation"], test_fraction=shares["test"])


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
    elif study == replace(study, title=title, data=spec, protocol=protocol):
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
    table = read(path, path.parent.name)
    show_reading(table, path)
    spec = choose_columns(table, study.data, path)
    if spec is None:
        return
    lengths = show_fit(spec, table, study.model)
    max_length = study.protocol.max_length
    show_problems(table, spec, find_problems(table, spec, study.model, lengths, max_length))
    protocol = choose_shares(study.protocol, spec)
    show_split(prepare(table, spec, protocol))
    save(study, spec, protocol, title)


main()
