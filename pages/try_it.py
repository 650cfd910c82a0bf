"""Try it: texts of one's own, answered by the base, the tuned runs and TF-IDF side by side."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from app import state
from app.components import (
    empty_state,
    next_step,
    page_header,
    plain,
    show_error,
)
from app.i18n import t, text
from app.job_panel import follow, share_of
from app.questions_form import Ask, choose_questions, choose_runs, tuned_runs, warn_of_more
from app.take_away import take_away
from app.verdicts import show_table
from kasa.errors import KasaError
from kasa.report.answers import (
    Asked,
    answers_sentence,
    answers_sheet,
    answers_table,
    asked_of,
    spoke_table,
)
from kasa.report.labels import arm_labels
from kasa.runs.records import RunRecord, StudyRecord
from kasa.study import Study
from kasa.tuning.keys import answers_key

# More rows than this are for the sheet; the page would become slow.
MOST_SHOWN = 100
OTHER_PHASES = {"queued": "waiting", "stopping": "stopping"}
SHEET_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def forget(study_id: str) -> None:
    """Delete the last questions and their answers."""
    store = state.store()
    while (job := store.latest(answers_key(study_id))) is not None and not job.active:
        store.delete_job(job.id)


def start(record: StudyRecord, runs: list[str], ask: Ask) -> None:
    """Put the questions to the methods; the questions before them are deleted."""
    try:
        asked = ask()
    except KasaError as error:
        show_error(error)
        return
    forget(record.id)
    config = {
        "study": record.study.to_dict(),
        "study_id": record.id,
        "runs": runs,
        "questions": [list(pieces) for pieces in asked.pieces],
        "rows": list(asked.rows),
        "num_over": asked.num_over,
        "hub_access": state.store().hub_access(),
    }
    state.store().enqueue("answers", config, answers_key(record.id))
    st.rerun()


def told(study: Study, job: RunRecord, event: dict[str, Any]) -> tuple[float, str]:
    """Say which method is answering."""
    phase = OTHER_PHASES.get(job.status, event["phase"])
    facts = {}
    if phase == "run":
        facts["name"] = plain(arm_labels(study, text())[event["arm"]])
    return share_of(event), t(f"try_it_page.phase.{phase}", **facts)


def ask_form(record: StudyRecord, runs: list[RunRecord], job: RunRecord | None) -> None:
    """Show who answers, what is asked, and the button or the progress."""
    with st.container(border=True, key="try_form"):
        chosen = choose_runs(record.study, runs)
        st.caption(t("try_it_page.always"))
        ask = choose_questions(record.study)
        st.caption(t("try_it_page.privacy"))
        if job is not None and job.active:
            follow(job, "try_stop", partial(told, record.study))
        elif st.button(
            t("try_it_page.ask"),
            key="try_ask",
            type="primary",
            icon=":material/forum:",
            disabled=ask is None,
        ):
            start(record, chosen, ask)  # type: ignore[arg-type]  # disabled without one


def show_answers(record: StudyRecord, asked: Asked) -> None:
    """Show every method's answers side by side, and offer them as a sheet."""
    st.subheader(t("try_it_page.answers"), anchor=False)
    st.markdown(plain(answers_sentence(asked, text())))
    places = list(range(len(asked.questions)))
    if asked.different and st.toggle(t("try_it_page.only_different"), key="try_different"):
        places = asked.different
    table = answers_table(asked, text(), places[:MOST_SHOWN])
    show_table(table, "try_answers", {text()("answers.differs"): "orange"})
    if len(places) > MOST_SHOWN:
        st.caption(t("try_it_page.first_shown", count=text().number(MOST_SHOWN)))
    if any("confidence" in answers[0] for answers in asked.answers):
        st.caption(t("try_it_page.confidence"))
    show_speakers(asked, places[:MOST_SHOWN])
    if asked.hidden:
        st.caption(t("try_it_page.hidden"))
    with st.container(horizontal=True):
        st.download_button(
            t("try_it_page.download"),
            partial(answers_sheet, asked, text()),
            file_name=f"kasa-answers-{record.id}.xlsx",
            mime=SHEET_TYPE,
            icon=":material/download:",
            on_click="ignore",
            key="try_download",
        )
        if st.button(t("try_it_page.forget"), key="try_forget", icon=":material/delete:"):
            forget(record.id)
            st.rerun()


def show_speakers(asked: Asked, places: list[int]) -> None:
    """Show which components of the tuned methods spoke on a text of the person's choice."""
    tables = {place: spoke_table(asked, place, text()) for place in places}
    told = {place: asked.questions[place] for place, table in tables.items() if table is not None}
    if not told:
        return
    with st.expander(t("try_it_page.spoke"), key="try_spoke", icon=":material/biotech:"):
        chosen = st.selectbox(
            t("try_it_page.spoke_text"), list(told), format_func=told.__getitem__, key="try_place"
        )
        table = tables[chosen]
        if table is not None:
            show_table(table, "try_speakers")
        st.caption(t("try_it_page.spoke_note"))


def show_page(record: StudyRecord, runs: list[RunRecord]) -> None:
    """Show the form and below it the answers to the last questions."""
    store = state.store()
    job = store.latest(answers_key(record.id))
    ask_form(record, runs, job)
    if job is None or job.active:
        return
    if job.error is not None:
        show_error(job.error)
    if job.status == "cancelled":
        st.info(t("try_it_page.stopped"))
    result = store.result(job.id) if job.status == "finished" else None
    if result is not None:
        if result["asked"]["num_over"]:
            warn_of_more(result["asked"]["num_over"])
        show_answers(record, asked_of(result, record.study, text()))


def main() -> None:
    page_header("try_it_page.title", "try_it_page.lead")
    record = state.current_study()
    runs = tuned_runs(record) if record is not None else []
    if record is None or not runs:
        name = "no_study" if record is None else "no_runs_yet"
        empty_state(t(f"try_it_page.{name}"), t("try_it_page.to_experiment"), "pages/experiment.py")
        return
    show_page(record, runs)
    take_away(record, runs)
    next_step("shell.next.decide", "pages/decide.py")


main()
