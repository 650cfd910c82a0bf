"""Experiment: arms and settings, the estimate, Start, live progress, Stop."""

from __future__ import annotations

import streamlit as st

from app import drafts, state
from app.components import (
    chart,
    empty_state,
    next_step,
    page_header,
    show_error,
    status_badge,
)
from app.experiment_form import study_form
from app.i18n import t, text
from app.progress import run_progress, seconds_left
from kasa.errors import KasaError
from kasa.report.labels import arm_labels
from kasa.report.live_plots import live_loss
from kasa.runs.local import ensure_dispatcher
from kasa.runs.records import RunRecord, StudyRecord
from kasa.study import Study
from kasa.tuning.estimate import Estimate, extrapolate, probe_key
from kasa.verdict.costs import run_cost


def known_estimate(study: Study) -> list[Estimate] | None:
    """Return the estimate from the newest finished probe of this study, if there is one."""
    record = state.store().latest(probe_key(study))
    if record is None or record.status != "finished":
        return None
    result = state.store().result(record.id)
    return extrapolate(study, result["measured"]) if result else None


def estimate_panel(study: Study) -> None:
    """Offer the estimate, show its progress, then minutes, memory and money per arm."""
    st.subheader(t("experiment.estimate.title"), anchor=False)
    key = probe_key(study)
    record = state.store().latest(key)
    estimates = known_estimate(study)
    if estimates is not None:
        estimate_table(study, estimates)
        return
    st.markdown(t("experiment.estimate.lead"))
    if record is not None and record.error is not None:
        show_error(record.error)
    if record is not None and record.active:
        st.fragment(waiting_estimate, run_every=1.0)(record.id)
    elif st.button(t("experiment.estimate.button"), key="estimate", icon=":material/timer:"):
        state.store().enqueue("estimate", {"study": study.to_dict()}, key)
        st.rerun()


def waiting_estimate(run_id: str) -> None:
    """Show how far the probe is; redraw the page when it has ended."""
    record = state.store().run(run_id)
    if not record.active:
        st.rerun()
    ensure_dispatcher(state.store())
    events = state.store().events(run_id)
    share = events[-1]["done"] / events[-1]["total"] if events else 0.0
    st.progress(share, text=t("experiment.estimate.measuring"))


def estimate_table(study: Study, estimates: list[Estimate]) -> None:
    """Show the expected time, memory and money of every arm and of the whole study."""
    speak, labels = text(), arm_labels(study, text())
    total = sum(estimate.total_seconds for estimate in estimates)
    peak = max(estimate.peak_memory_bytes for estimate in estimates)
    columns = st.columns(3)
    money = speak.money(run_cost(total, study.prices), study.prices.currency)
    columns[0].metric(t("experiment.estimate.time"), t("experiment.estimate.about", value=speak.seconds(total)))
    columns[1].metric(t("experiment.estimate.memory"), t("experiment.estimate.about", value=speak.bytes(peak)))
    columns[2].metric(t("experiment.estimate.money"), t("experiment.estimate.about", value=money))
    st.dataframe(
        {
            t("experiment.estimate.arm"): [labels[e.arm] for e in estimates],
            t("experiment.estimate.per_run"): [speak.seconds(e.run_seconds) for e in estimates],
            t("experiment.estimate.all_runs"): [speak.seconds(e.total_seconds) for e in estimates],
            t("experiment.estimate.memory"): [speak.bytes(e.peak_memory_bytes) for e in estimates],
        },
        hide_index=True,
        key="estimate_table",
    )
    st.caption(t("experiment.estimate.how"))


def draft_page(record: StudyRecord) -> None:
    """Show the settings, the estimate and Start."""
    try:
        study = study_form(record.study)
    except KasaError as error:
        show_error(error)
        return
    if study != record.study:
        state.store().update_study(record.id, study)
        st.rerun()
    estimate_panel(study)
    st.divider()
    runs = len(study.arms) * len(study.protocol.seeds)
    st.markdown(t("experiment.start.lead", runs=text().number(runs)))
    if st.button(t("experiment.start.button"), key="start", type="primary", icon=":material/play_arrow:"):
        try:
            state.store().start_study(record.id)
        except KasaError as error:
            show_error(error)
            return
        ensure_dispatcher(state.store())
        st.rerun()


def started_page(record: StudyRecord) -> None:
    """Show the runs, live while some are at work, with Stop, Start again and Copy."""
    runs = state.store().runs(record.id)
    active = any(run.active for run in runs)
    st.fragment(live_runs, run_every=1.0 if active else None)(record.id, active)
    with st.container(horizontal=True):
        if active and st.button(t("experiment.stop"), key="stop", icon=":material/stop:"):
            state.store().stop_study(record.id)
            st.rerun()
        unfinished = [run for run in runs if run.status in {"failed", "cancelled", "lost"}]
        if unfinished and st.button(
            t("experiment.retry", count=len(unfinished)), key="retry", icon=":material/replay:"
        ):
            for run in unfinished:
                state.store().retry(run.id)
            ensure_dispatcher(state.store())
            st.rerun()
        if st.button(t("experiment.copy"), key="copy_study", icon=":material/content_copy:"):
            drafts.make_current(record.study)
            st.rerun()
    if any(run.status == "finished" for run in runs):
        next_step("shell.next.results", "pages/results.py")


def live_runs(study_id: str, was_active: bool) -> None:  # noqa: FBT001 - a fragment's own argument
    """Draw every run's line and the running one's curve; redraw the page when the last has ended."""
    store = state.store()
    ensure_dispatcher(store)
    record, runs = store.study(study_id), store.runs(study_id)
    if was_active and not any(run.active for run in runs):
        st.rerun()
    working = next((run for run in runs if run.status in {"running", "stopping"}), None)
    events = store.events(working.id) if working else []
    current = run_progress(events) if working else None
    estimates = known_estimate(record.study) or []
    left = seconds_left(runs, current, {e.arm: e.run_seconds for e in estimates})
    done = sum(not run.active for run in runs)
    st.progress(done / len(runs), text=overall_text(done, len(runs), left, was_active))
    labels = arm_labels(record.study, text())
    for run in runs:
        run_line(run, labels[run.arm or ""], run is working)
    if working and any("loss" in event for event in events):
        chart(live_loss(events, working.method or "", text()), key=f"live_{working.id}")
        st.caption(t("experiment.live.caption"))


def overall_text(done: int, count: int, left: float | None, active: bool) -> str:  # noqa: FBT001
    """Return "3 of 12 runs ended, about 4 min left"."""
    words = t("experiment.live.done", done=text().number(done), all=text().number(count))
    if active and left is not None:
        words += t("experiment.live.left", left=text().seconds(left))
    return words


def run_line(run: RunRecord, label: str, at_work: bool) -> None:  # noqa: FBT001
    """Show one run: status, arm, seed, and progress, figures or the reason it ended."""
    store, speak = state.store(), text()
    line = f"{status_badge(run.status)} {label} · {t('experiment.live.seed', seed=run.seed)}"
    if at_work:
        progress = run_progress(store.events(run.id))
        if progress.memory_bytes:
            line += " · " + speak.bytes(progress.memory_bytes)
        if progress.seconds_left is not None:
            line += t("experiment.live.left", left=speak.seconds(progress.seconds_left))
        st.progress(min(1.0, progress.share), text=line)
    elif run.started_at and run.finished_at:
        spent = (run.finished_at - run.started_at).total_seconds()
        st.markdown(f"{line} · {speak.seconds(spent)}")
    else:
        st.markdown(line)
    if run.error is not None:
        show_error(run.error)


page_header("experiment.title", "experiment.lead")
current = state.current_study()
if current is None or not current.study.data.chosen:
    empty_state(t("experiment.no_data"), t("experiment.to_data"), "pages/data.py")
elif current.status == "draft":
    draft_page(current)
else:
    started_page(current)
