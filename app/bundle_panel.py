"""The study bundle: taking a study to another computer, and bringing one in."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import state
from app.components import go_to, plain, show_error
from app.evidence import pack_key
from app.i18n import t, text
from kasa.errors import KasaError
from kasa.runs.bundle import bundle_bytes, bundle_files, read_bundle
from kasa.runs.bundle_archive import MOST_BYTES
from kasa.verdict.evidence import Evidence

BROUGHT = "bundle_brought"


@st.cache_data(max_entries=4, show_spinner=False)
def _files(home: str, study_id: str, key: str, with_data: bool) -> dict[str, int]:
    del home, key
    return bundle_files(state.store(), study_id, with_data=with_data)


def show_bundle(evidence: Evidence) -> None:
    """Offer a study as one file, and say what is in it."""
    store, study_id = state.store(), evidence.record.id
    with_data = st.toggle(t("report_page.bundle.with_data"), key="bundle_with_data")
    kind = "with_data" if with_data else "without_data"
    st.markdown(t(f"bundle.about.{kind}"))
    try:
        files = _files(str(store.home), study_id, pack_key(study_id), with_data)
    except KasaError as error:
        show_error(error)
        return

    def taken() -> bytes:
        # Made when it is asked for: it may be large, and the study may be gone by then.
        content = bundle_bytes(store, study_id, with_data=with_data)
        store.ledger.note("bundle_written", study=study_id, with_data=with_data)
        return content

    st.download_button(
        t("report_page.bundle.download"),
        taken,
        file_name=f"study-{study_id}.zip",
        mime="application/zip",
        type="primary",
        icon=":material/download:",
        on_click="ignore",
        key="download_bundle",
    )
    columns = [t("report_page.bundle.file"), t("report_page.bundle.size")]
    shown = [(name, text().number(size)) for name, size in files.items()]
    st.dataframe(pd.DataFrame(shown, columns=columns), hide_index=True, width="stretch")


def bring_in() -> None:
    """Let the person bring a study in from a bundle, and say what came."""
    st.markdown(t("home.bundle.what"))
    sent = st.file_uploader(
        t("home.bundle.label"), ["zip"], key="bundle_file", max_upload_size=MOST_BYTES // 10**6
    )
    if sent is None:
        return
    if st.button(t("home.bundle.button"), key="bundle_import", icon=":material/unarchive:"):
        try:
            found = read_bundle(state.store(), sent.getvalue())
        except KasaError as error:
            show_error(error)
            return
        facts = {"study": found.study, "runs": text().number(found.num_runs)}
        told = [t(f"bundle.{'imported' if found.new else 'known'}", title=found.title, **facts)]
        if found.left_out:
            told.append(t("bundle.left_out", count=text().number(len(found.left_out))))
        st.session_state[BROUGHT] = [plain(sentence) for sentence in told]
        state.set_current_study(found.study)
        go_to("pages/results.py")


def say_what_came() -> None:
    """Say once, on the page of its results, what came with a bundle."""
    for sentence in st.session_state.pop(BROUGHT, []):
        st.success(sentence, icon=":material/unarchive:")
