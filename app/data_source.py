"""Which file the Data page works on, and how it is read where the studio's guess is not wanted."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import streamlit as st

from app import drafts
from app.components import show_error
from app.i18n import t, text
from app.state import current_study_id, store
from kasa.data.encoding import previews
from kasa.data.personal import mask_personal
from kasa.data.read import Table, read_table
from kasa.dataspec import DELIMITERS, ENCODINGS, DataSpec, Reading
from kasa.errors import KasaError
from kasa.study import Study

# Session keys: (whose it is, path, the uploader's id of the file).
OWN, TEST = "data_own", "data_own_test"
TYPES = ["csv", "tsv", "txt", "jsonl", "ndjson", "json", "xlsx", "xls", "parquet", "zip"]
DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
PREVIEW_BYTES = 200_000


@st.cache_data(max_entries=4, show_spinner=False)
def read(_path: Path, sha256: str, reading: Reading) -> Table:
    """Return a file's table, cached by its content and the way it is read."""
    del sha256
    return read_table(_path, reading)


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
    owner = current_study_id() or ""
    upload(t("data_page.upload"), "data_upload", OWN, owner)
    kept = _kept(OWN, owner) or (str(current) if start == "own" else None)
    if kept is None:
        st.info(t("data_page.no_file"), icon=":material/upload_file:")
        return None
    return Path(kept), t("data_page.title_own", name=Path(kept).stem)


def choose_test_file(study: Study, spec: DataSpec) -> Path | None:
    """Return the person's own test file, or None until there is one that can be read."""
    owner = str(spec.sha256)
    upload(t("data_page.test_upload"), "data_test_upload", TEST, owner)
    kept = _kept(TEST, owner) or (study.data.test_path if study.data.path == spec.path else None)
    if kept is None or not Path(kept).is_file():
        return None
    path = Path(kept)
    table = read(path, path.parent.name, Reading())
    rows = text().number(len(table.frame))
    st.caption(t("data_page.test_read", name=path.name, rows=rows))
    return path


def upload(label: str, key: str, slot: str, owner: str) -> None:
    """Keep an uploaded file that can be read; one that cannot is named and forgotten again.

    `owner` is the study, or the training file, that the upload belongs to: elsewhere it is not
    offered.
    """
    file = st.file_uploader(label, type=TYPES, key=key, help=t("data_page.upload_help"))
    if file is None or st.session_state.get(slot, ("", "", ""))[2] == file.file_id:
        return
    known = store().has_dataset(file.getvalue())
    path = store().add_dataset(file.name, file.getvalue())
    try:
        read(path, path.parent.name, Reading())
    except KasaError as error:
        if error.code != "data_encoding":  # the encoding can be chosen by hand
            if not known:
                path.unlink(missing_ok=True)
                with suppress(OSError):
                    path.parent.rmdir()
            show_error(error)
            return
    st.session_state[slot] = (owner, str(path), file.file_id)


def _kept(slot: str, owner: str) -> str | None:
    """Return the path uploaded for this owner, unless it was deleted meanwhile."""
    whose, path, _ = st.session_state.get(slot, ("", "", ""))
    return path if path and whose == owner and Path(path).is_file() else None


def choose_reading(path: Path, study: Study) -> tuple[Table | None, Reading]:
    """Return the table and the reading, which can be changed; None while it fits nothing."""
    start = study.data.reading if study.data.path == str(path) else Reading()
    key = path.parent.name[:12]
    chosen = Reading(
        encoding=st.session_state.get(f"data_encoding_{key}", start.encoding),
        delimiter=st.session_state.get(f"data_delimiter_{key}", start.delimiter),
        sheet=st.session_state.get(f"data_sheet_{key}", start.sheet),
        header_row=st.session_state.get(f"data_header_{key}", start.header_row),
    )
    table: Table | None = None
    try:
        table = read(path, path.parent.name, chosen)
    except KasaError as error:
        show_error(error)
    with st.expander(t("data_page.read_otherwise"), expanded=table is None, key="data_reading"):
        _reading_fields(path, chosen, table, key)
    return table, chosen


def _reading_fields(path: Path, chosen: Reading, table: Table | None, key: str) -> None:
    """Show the fields that change how the file is read; the next run of the page obeys them."""
    is_text = table is None or table.delimiter is not None or table.format in {"jsonl", "json"}
    automatic = t("data_page.automatic")
    # A box that begins with a choice cannot be emptied, so "automatic" is one of the options.
    encodings = {None: automatic} | {n: t(f"data_page.encodings.{n}") for n in ENCODINGS}
    delimiters = {None: automatic} | {m: t(f"data_page.{DELIMITER_NAMES[m]}") for m in DELIMITERS}
    with st.container(horizontal=True, key="data_reading_fields"):
        if is_text:
            st.selectbox(
                t("data_page.encoding"),
                list(encodings),
                index=list(encodings).index(chosen.encoding),
                format_func=encodings.__getitem__,
                key=f"data_encoding_{key}",
            )
        if table is None or table.delimiter is not None:
            st.selectbox(
                t("data_page.delimiter"),
                list(delimiters),
                index=list(delimiters).index(chosen.delimiter),
                format_func=delimiters.__getitem__,
                key=f"data_delimiter_{key}",
            )
        if table is not None and len(table.sheets) > 1:
            st.selectbox(
                t("data_page.sheet"),
                table.sheets,
                index=table.sheets.index(table.sheet) if table.sheet in table.sheets else 0,
                key=f"data_sheet_{key}",
            )
        if table is None or table.format in {"csv", "xlsx", "xls"}:
            st.number_input(
                t("data_page.header_row"),
                0,
                1000,
                chosen.header_row,
                key=f"data_header_{key}",
                placeholder=automatic,
                help=t("data_page.header_row_help"),
            )
    if is_text:
        with path.open("rb") as file:
            start = file.read(PREVIEW_BYTES)
        for encoding, lines in previews(start).items():
            st.caption(encodings[encoding])
            st.code(mask_personal("\n".join(lines)), language=None)
