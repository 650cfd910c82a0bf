from functools import partial

import streamlit as st

from app import state
from app.components import empty_state, page_header
from app.evidence import current_evidence, evidence_key, report_csv, report_html
from app.i18n import NAMES, current_lang, t
from app.verdicts import show_headline
from kasa.report.headline import headline
from kasa.text import LANGUAGES, translator
from kasa.verdict.evidence import Evidence


def show_downloads(evidence: Evidence, lang: str) -> None:
    """Offer the report and the tables; they are built when the person asks for them."""
    home, study_id = str(state.store().home), evidence.record.id
    key = evidence_key(study_id)
    with st.container(horizontal=True):
        st.download_button(
            t("report_page.download_html", language=NAMES[lang]),
            partial(report_html, home, study_id, key, lang),
            file_name=f"kasa-poc-{study_id}-{lang}.html",
            mime="text/html",
            type="primary",
            icon=":material/download:",
            on_click="ignore",
            key="download_html",
        )
        st.download_button(
            t("report_page.download_csv"),
            partial(report_csv, home, study_id, key),
            file_name=f"kasa-poc-{study_id}.zip",
            mime="application/zip",
            icon=":material/table:",
            on_click="ignore",
            key="download_csv",
        )
    st.caption(t("report_page.download_note"))


def main() -> None:
    page_header("report_page.title", "report_page.lead")
    evidence = current_evidence()
    if evidence is None or not evidence.summaries:
        started = evidence is not None
        name, page = ("no_results", "results") if started else ("not_started", "experiment")
        if state.current_study() is None:
            name, page = "no_study", "home"
        empty_state(t(f"report_page.{name}"), t(f"report_page.{name}_button"), f"pages/{page}.py")
        return
    if evidence.active:
        st.warning(t("report_page.partial"), icon=":material/info:")
    options = (current_lang(), *(lang for lang in LANGUAGES if lang != current_lang()))
    label = t("report_page.language")
    lang = str(
        st.radio(label, options, format_func=NAMES.__getitem__, horizontal=True, key="report_lang")
    )
    show_downloads(evidence, lang)
    st.subheader(t("report_page.preview"), anchor=False)
    show_headline(headline(evidence, translator(lang)))
    st.subheader(t("report_page.contents"), anchor=False)
    st.markdown(t("report_page.contents_html"))
    st.markdown(t("report_page.contents_csv"))


main()
