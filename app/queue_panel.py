"""What can be done with a study's runs while they wait or work: pause, stop, order; their logs."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components import plain, run_name
from app.i18n import t, text
from app.state import store
from kasa.runs import schedule
from kasa.runs.job import log_tail
from kasa.runs.local import ensure_dispatcher
from kasa.runs.records import RunRecord

MOVE_ICONS = {"front": "vertical_align_top", "earlier": "arrow_upward", "later": "arrow_downward"}


def control_buttons(study_id: str, runs: Sequence[RunRecord]) -> None:
    """Offer Pause or Go on, Stop after this run, and Stop now, as far as each has an effect."""
    works = any(run.status == "running" for run in runs)
    waits = any(run.status == "queued" for run in runs)
    if schedule.is_paused(store(), study_id):
        if control("go_on", "play_arrow", main=True):
            go_on(study_id)
    elif works or waits:
        if control("pause", "pause"):
            schedule.pause(store(), study_id)
            st.rerun()
        if works and waits and control("stop_after", "skip_next"):
            schedule.stop_waiting(store(), study_id)
            st.rerun()
    stoppable = works or waits
    if st.button(t("experiment.stop"), key="stop", icon=":material/stop:", disabled=not stoppable):
        store().stop_study(study_id)
        st.rerun()


def control(name: str, icon: str, *, main: bool = False) -> bool:
    """Show one button of the queue; say whether it was pressed."""
    return st.button(
        t(f"experiment.queue.{name}"),
        key=name,
        icon=f":material/{icon}:",
        help=t(f"experiment.queue.{name}_help"),
        type="primary" if main else "secondary",
    )


def go_on(study_id: str) -> None:
    """Let a paused study work again and draw the page anew."""
    schedule.go_on(store(), study_id)
    ensure_dispatcher(store())
    st.rerun()


def order_panel(study_id: str) -> None:
    """Say whom the study waits for, and offer another place where several studies wait."""
    at_work = next(
        (r for r in store().due_runs() if r.kind == "run" and r.status != "queued"), None
    )
    waiting = schedule.waiting_studies(store())
    if study_id not in waiting:
        return
    if at_work is not None and at_work.study_id not in (None, study_id):
        title = store().study(str(at_work.study_id)).study.title
        st.caption(t("experiment.queue.other", title=plain(title)))
    if len(waiting) < 2:
        return
    place = waiting.index(study_id)
    titles = [plain(store().study(each).study.title) for each in waiting]
    titles[place] = f"**{titles[place]}**"
    st.caption(
        t(
            "experiment.queue.place",
            place=text().number(place + 1),
            all=text().number(len(waiting)),
            titles=" → ".join(titles),
        )
    )
    with st.container(horizontal=True):
        for name, places in schedule.MOVES.items():
            at_the_end = place == len(waiting) - 1 if places > 0 else place == 0
            if st.button(
                t(f"experiment.queue.{name}"),
                key=f"queue_{name}",
                icon=f":material/{MOVE_ICONS[name]}:",
                disabled=at_the_end,
            ):
                schedule.move(store(), study_id, places)
                st.rerun()


def log_panel(run: RunRecord, label: str) -> None:
    """Show the last lines of a run's log, folded away."""
    name = run_name(run, label)
    with st.expander(t("experiment.queue.log", run=name), key=f"log_{run.id}"):
        lines = log_tail(run.folder)
        if lines:
            st.code(lines, language=None, wrap_lines=True)
        else:
            st.caption(t("experiment.queue.log_empty"))
