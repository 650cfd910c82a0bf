"""Report: the meeting pack in every format, seen before it is taken."""

from __future__ import annotations

import streamlit as st

from app import state
from app.bundle_panel import show_bundle
from app.components import empty_state, page_header, show_error
from app.evidence import current_evidence, logged, pack_file, pack_key
from app.i18n import t
from app.pack_form import pack_form
from app.pack_preview import show_preview
from kasa.errors import KasaError
from kasa.report.options import PackOptions
from kasa.report.pack import FORMATS, check_options, file_name, zipped
from kasa.verdict.evidence import Evidence

BUNDLE = "bundle"
ICONS = {
    "pptx": "slideshow",
    "pdf": "picture_as_pdf",
    "html": "language",
    "xlsx": "calculate",
    "csv": "table",
    "json": "data_object",
    "ipynb": "terminal",
    BUNDLE: "inventory_2",
}


def main() -> None:
    page_header("report_page.title", "report_page.lead")
    evidence = current_evidence()
    if evidence is None or not evidence.summaries:
        name, page = ("no_results", "results") if evidence else ("not_started", "experiment")
        if state.current_study() is None:
            name, page = "no_study", "home"
        empty_state(t(f"report_page.{name}"), t(f"report_page.{name}_button"), f"pages/{page}.py")
        return
    if evidence.active:
        st.warning(t("report_page.partial"), icon=":material/info:")
    options = pack_form(evidence)
    names = {
        name: f":material/{icon}: {t(f'report_page.format.{name}')}" for name, icon in ICONS.items()
    }
    chosen = st.segmented_control(
        t("report_page.format.label"),
        list(names),
        default="pptx",
        format_func=names.__getitem__,
        required=True,
        persist_state="session",
        key="report_format",
    )
    st.caption(t(f"report_page.about.{chosen}"))
    if chosen == BUNDLE:
        show_bundle(evidence)
        return
    show_file(str(chosen), evidence, options)


def show_file(name: str, evidence: Evidence, options: PackOptions) -> None:
    """Offer one format, and all of them as one file; show what the one holds."""
    place = (str(state.store().home), evidence.record.id, pack_key(evidence.record.id))

    def noted(content: bytes, *formats: str) -> bytes:
        names = ", ".join(formats)
        state.store().ledger.note("report_written", study=evidence.record.id, format=names)
        return content

    def one() -> bytes:
        return noted(pack_file(*place, name, options), name)

    def everything() -> bytes:
        files = {
            file_name(each, evidence, options): pack_file(*place, each, options) for each in FORMATS
        }
        return noted(zipped(files), *FORMATS)

    try:
        check_options(options)
    except KasaError as error:
        show_error(error)
        return
    study_id = evidence.record.id
    with st.container(horizontal=True):
        st.download_button(
            t("report_page.download", name=t(f"report_page.format.{name}")),
            one,
            file_name=file_name(name, evidence, options),
            mime=FORMATS[name].mime,
            type="primary",
            icon=":material/download:",
            on_click="ignore",
            key=f"download_{name}",
        )
        st.download_button(
            t("report_page.download_all"),
            everything,
            file_name=f"report-{study_id}-{options.lang}.zip",
            mime="application/zip",
            icon=":material/folder_zip:",
            on_click="ignore",
            key="download_all",
        )
    st.subheader(t("report_page.preview"), anchor=False)
    with st.spinner(t("report_page.making")):
        show_preview(name, logged(evidence.record.id), place, options)


main()
