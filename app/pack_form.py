"""The choices for a meeting pack: language, audience, company, logo, sections, template."""

from __future__ import annotations

import hashlib

import streamlit as st

from app import state
from app.i18n import NAMES, current_lang, t
from kasa.report.options import AUDIENCES, Audience, PackOptions
from kasa.report.sections import report_sections
from kasa.text import LANGUAGES, translator
from kasa.verdict.evidence import Evidence

COMPANY = "report_company"


def pack_form(evidence: Evidence) -> PackOptions:
    """Let the person choose what the pack looks like and holds; return the choices."""
    left, middle, right = st.columns(3)
    own = current_lang()
    langs = (own, *(lang for lang in LANGUAGES if lang != own))
    lang = left.radio(
        t("report_page.language"),
        langs,
        format_func=NAMES.__getitem__,
        horizontal=True,
        key="report_lang",
        persist_state="session",
    )
    names = {name: t(f"report_page.audience.{name}") for name in AUDIENCES}
    audience: Audience = middle.radio(
        t("report_page.audience.label"),
        AUDIENCES,
        format_func=names.__getitem__,
        horizontal=True,
        key="report_audience",
        persist_state="session",
        help=t("report_page.audience.help"),
    )
    company = right.text_input(
        t("report_page.company"),
        str(state.store().settings().get("company", "")),
        max_chars=200,
        key=COMPANY,
        on_change=_keep_company,
    )
    with st.expander(t("report_page.more"), key="report_more"):
        logo, template, sections = _further(evidence, str(lang), audience)
    return PackOptions(str(lang), audience, sections, company, logo, template)


def _keep_company() -> None:
    """Keep the company's name for the next report; only where the person changed it here."""
    state.store().save_settings(company=st.session_state[COMPANY])


def _further(
    evidence: Evidence, lang: str, audience: Audience
) -> tuple[bytes, bytes, tuple[str, ...]]:
    """Return logo, template and sections; no sections where they are the audience's usual ones."""
    left, right = st.columns(2)
    logo = left.file_uploader(
        t("report_page.logo"), ["png", "jpg", "jpeg"], key="report_logo", max_upload_size=5
    )
    template = right.file_uploader(
        t("report_page.template"),
        ["pptx", "potx"],
        key="report_template",
        help=t("report_page.template_help"),
        max_upload_size=50,
    )
    there = report_sections(evidence, translator(lang))
    titles = {section.key: section.title for section in there}
    usual = [key for key in titles if PackOptions(audience=audience).shows(key)]
    # What was chosen for one study, audience or state of the runs is no choice for another.
    place = (evidence.record.id, audience, *titles)
    key = f"report_sections_{hashlib.sha256(repr(place).encode()).hexdigest()[:12]}"
    chosen = st.multiselect(
        t("report_page.sections"),
        list(titles),
        usual,
        format_func=titles.__getitem__,
        key=key,
        persist_state="session",
    )
    if not chosen:
        st.caption(t("report_page.sections_none"))
    own = () if not chosen or chosen == usual else tuple(key for key in titles if key in chosen)
    return (
        logo.getvalue() if logo else b"",
        template.getvalue() if template else b"",
        own,
    )
