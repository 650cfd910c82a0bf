"""Home: what the studio does, the sample study, and the studies so far."""

from __future__ import annotations

import streamlit as st

from app import drafts, state
from app.bundle_panel import bring_in
from app.components import go_to, plain, show_error, status_badge
from app.i18n import current_lang, t, text
from kasa.errors import KasaError
from kasa.runs.records import RunRecord, StudyRecord

# A long history must not slow the page down, nor hide what is new.
NEWEST = 10


def overall_status(study: StudyRecord, runs: list[RunRecord]) -> str:
    """Return one status for a study: draft, running, failed (some run), cancelled or finished."""
    if study.status == "draft":
        return "draft"
    if any(run.active for run in runs):
        return "running"
    statuses = {run.status for run in runs}
    for status in ("failed", "lost", "cancelled"):
        if status in statuses:
            return status
    return "finished"


def start_buttons() -> None:
    """Offer the sample studies, the one in the page's language first, and a study of one's own."""
    order = ("ja", "en") if current_lang() == "ja" else ("en", "ja")
    columns = st.columns(3)
    for column, lang in zip(columns, order, strict=False):
        with column, st.container(border=True, height="stretch"):
            st.markdown(t(f"home.sample.{lang}.what"))
            if st.button(
                t(f"home.sample.{lang}.button"),
                key=f"try_sample_{lang}",
                type="primary" if lang == order[0] else "secondary",
            ):
                drafts.make_current(drafts.sample_study(lang))
                go_to("pages/model.py")
    with columns[2], st.container(border=True, height="stretch"):
        st.markdown(t("home.own.what"))
        if st.button(t("home.own.button"), key="new_study"):
            drafts.make_current(drafts.blank_study())
            go_to("pages/model.py")


def study_row(study: StudyRecord) -> None:
    """Show one study: title, status, when it was made, and what can be done with it."""
    runs = state.store().runs(study.id)
    status = overall_status(study, runs)
    with st.container(border=True):
        words, actions = st.columns([3, 2], vertical_alignment="center")
    words.markdown(f"**{plain(study.study.title)}**")
    made = text().date(study.created_at.astimezone())
    facts = t("home.studies.made", when=made)
    if runs:
        done = sum(run.status == "finished" for run in runs)
        numbers = {"done": text().number(done), "all": text().number(len(runs))}
        facts += t("home.studies.runs", **numbers)
    words.caption(facts)
    # Streamlit stacks columns on a phone, where the buttons follow the words.
    with actions.container(
        horizontal=True, horizontal_alignment="right", vertical_alignment="center"
    ):
        st.markdown(status_badge(status), width="content")
        if st.button(t("home.studies.open"), key=f"open_{study.id}"):
            state.set_current_study(study.id)
            target = {"draft": "model", "running": "experiment"}.get(status, "results")
            go_to(f"pages/{target}.py")
        delete_button(study)


def delete_button(study: StudyRecord) -> None:
    """Delete a study after a second click that says what is deleted."""
    with st.popover(t("home.studies.delete"), key=f"delete_{study.id}"):
        st.markdown(t("home.studies.delete_what"))
        if st.button(t("home.studies.delete_sure"), key=f"delete_sure_{study.id}", type="primary"):
            try:
                state.store().delete_study(study.id)
            except KasaError as error:
                show_error(error)
            else:
                st.rerun()
            finally:
                state.forget()


st.title(t("home.title"), anchor=False)
st.markdown(t("home.lead"))
with st.container(border=True):
    st.markdown(t("home.steps"))
st.subheader(t("home.start"), anchor=False)
start_buttons()
st.subheader(t("home.studies.title"), anchor=False)
studies = state.store().studies()
if not studies:
    st.markdown(t("home.studies.none"))
if len(studies) > NEWEST:
    label = t("home.studies.all", count=text().number(len(studies)))
    if not st.toggle(label, key="all_studies"):
        studies = studies[:NEWEST]
for each in studies:
    study_row(each)
with st.expander(t("home.bundle.title"), key="bundle"):
    bring_in()
