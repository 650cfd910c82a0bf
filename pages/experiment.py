"""Experiment: arms and settings, the estimate, Start, live progress, Stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import streamlit as st

from app import drafts, state
from app.components import (
    empty_state,
    model_name,
    next_step,
    page_header,
    plain,
    refresh,
    show_error,
)
from app.estimate_panel import estimate_panel, stop_estimate
from app.experiment_form import profile_words, study_form
from app.i18n import t, text
from app.live_panel import live_runs
from app.progress import signature
from app.queue_panel import control_buttons, go_on, order_panel
from app.requirements_form import requirements_form
from kasa.data.rows import INPUTS, TARGETS
from kasa.errors import KasaError
from kasa.model.source import resolve_model
from kasa.report.labels import arm_labels
from kasa.runs.local import ensure_dispatcher
from kasa.runs.records import RunRecord, StudyRecord
from kasa.runs.schedule import is_paused
from kasa.study import Study
from kasa.tuning.room import settled

UNFINISHED = {"failed", "cancelled", "lost"}


def material(study: Study) -> str:
    """Return the base model, the data file and its columns in one line."""
    columns: dict[str, list[str]] = {}
    for role, column in study.data.roles():
        columns.setdefault(role, []).append(column)
    read = [name for role in INPUTS[study.task] for name in columns.get(role, ())]
    return t(
        "experiment.material",
        model=model_name(study.model),
        file=plain(Path(study.data.path).name),
        text=plain(" + ".join(read)),
        label=plain("".join(columns.get(TARGETS[study.task], ()))),
    )


def draft_page(record: StudyRecord) -> None:
    """Show the settings, the requirements, the estimate and Start."""
    st.subheader(t("experiment.step.compare"), anchor=False)
    try:
        study = study_form(record.study)
    except KasaError as error:
        show_error(error)
        return
    if study is None:
        return
    st.subheader(t("experiment.step.gates"), anchor=False)
    study = requirements_form(study)
    if study != record.study:
        state.store().update_study(record.id, study)
    st.subheader(t("experiment.step.estimate"), anchor=False)
    estimate_panel(study)
    st.subheader(t("experiment.step.start"), anchor=False)
    runs = len(study.arms) * len(study.protocol.seeds)
    places = settled(study).protocol.places
    lead = "lead_parallel" if places > 1 else "lead"
    facts = {"runs": text().number(runs), "places": text().number(places)}
    st.markdown(t(f"experiment.start.{lead}", **facts))
    if st.button(
        t("experiment.start.button"), key="start", type="primary", icon=":material/play_arrow:"
    ):
        start(record.id, study)
    elif study.title != record.study.title:
        st.rerun()  # the head of the page still shows the old title


def start(study_id: str, study: Study) -> None:
    """Queue the study's runs; what would make all of them fail is said at once."""
    try:
        with st.spinner(t("experiment.start.checking")):
            resolve_model(study.model, hub_access=state.store().hub_access())
            stop_estimate(study)
            state.store().start_study(study_id)
    except KasaError as error:
        show_error(error)
        return
    ensure_dispatcher(state.store())
    st.rerun()


def started_page(record: StudyRecord) -> None:
    """Show the runs, live while some are at work, and what can be done with the study."""
    runs = state.store().runs(record.id)
    paused = is_paused(state.store(), record.id)
    active = any(run.active and not (paused and run.status == "queued") for run in runs)
    if active:
        st.info(t("experiment.live.background"), icon=":material/info:")
    elif paused:
        st.info(t("experiment.queue.paused"), icon=":material/pause_circle:")
    refresh(live_runs, 1.0 if active else None, record.id, signature(runs, paused))
    with st.container(horizontal=True):
        buttons(record, runs)
    order_panel(record.id)
    with st.expander(t("experiment.settings.title"), key="settings"):
        show_settings(record.study)
    with st.expander(t("experiment.gates.title"), key="requirements"):
        changed = requirements_form(record.study)
        if changed != record.study:
            state.store().update_study(record.id, changed)
    if any(run.status == "finished" for run in runs):
        next_step("shell.next.results", "pages/results.py")


def buttons(record: StudyRecord, runs: list[RunRecord]) -> None:
    """Offer the queue's while runs are active, Start again for those without a result, Copy."""
    store = state.store()
    if any(run.active for run in runs):
        control_buttons(record.id, runs)
    unfinished = [run for run in runs if run.status in UNFINISHED]
    if unfinished and st.button(
        t("experiment.retry", count=text().number(len(unfinished))),
        key="retry",
        icon=":material/replay:",
        help=t("experiment.retry_help"),
    ):
        for run in unfinished:
            store.retry(run.id)
        go_on(record.id)
    if st.button(
        t("experiment.copy"),
        key="copy_study",
        icon=":material/content_copy:",
        help=t("experiment.copy_help"),
    ):
        title = t("experiment.copy_title", title=record.study.title)
        drafts.make_current(replace(record.study, title=title[:120]))
        st.rerun()


def show_settings(study: Study) -> None:
    """Show what was started: methods, profile, learning rates and seeds."""
    protocol = study.protocol
    labels = arm_labels(study, text()).values()
    st.markdown("\n".join(f"- {plain(label)}" for label in labels))
    name = t(f"report.profile.{protocol.profile}").capitalize()
    st.markdown(t("experiment.settings.profile", name=name, words=profile_words(protocol)))
    rates = ", ".join(f"{rate:g}" for rate in protocol.learning_rates)
    seeds = ", ".join(str(seed) for seed in protocol.seeds)
    places = text().number(protocol.places)
    st.markdown(t("experiment.settings.details", rates=rates, seeds=seeds, places=places))


page_header("experiment.title", "experiment.lead")
current = state.current_study()
if current is None or not current.study.data.chosen:
    empty_state(t("experiment.no_data"), t("experiment.to_data"), "pages/data.py")
else:
    st.caption(material(current.study))
    if current.status == "draft":
        draft_page(current)
    else:
        started_page(current)
