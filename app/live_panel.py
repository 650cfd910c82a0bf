"""A started study's runs while they work: a line each, the loss curve, and the time left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.components import chart, plain, run_name, show_error, status_badge
from app.estimate_panel import known_estimate
from app.i18n import about_seconds, t, text
from app.progress import (
    overall_share,
    run_progress,
    seconds_left,
    signature,
    steps_of_piece,
)
from app.queue_panel import log_panel
from app.state import store
from kasa.report.labels import arm_labels
from kasa.report.live_plots import live_loss
from kasa.runs.local import ensure_dispatcher
from kasa.runs.records import RunRecord
from kasa.runs.schedule import is_paused


def live_runs(study_id: str, seen: str) -> None:
    """Draw every run's line and the working one's curve; a run that ends redraws the page.

    `seen` is the signature of the runs that the page was drawn for.
    """
    ensure_dispatcher(store())
    study, runs = store().study(study_id).study, store().runs(study_id)
    if signature(runs, is_paused(store(), study_id)) != seen:
        st.rerun()
    working = [run for run in runs if run.status in {"running", "stopping"}]
    events = {run.id: store().events(run.id) for run in working}
    progress = {run_id: run_progress(each) for run_id, each in events.items()}
    expected = {each.arm: each.run_seconds for each in known_estimate(study) or []}
    st.progress(
        overall_share(runs, progress, expected),
        text=overall_words(runs, seconds_left(runs, progress, expected, study.protocol.places)),
    )
    labels = arm_labels(study, text())
    for run in runs:
        label = plain(labels[str(run.arm)])
        run_line(run, label, events.get(run.id))
        if run in working or run.status in {"failed", "lost"}:
            log_panel(run, label)
    learning = [run for run in working if any("loss" in event for event in events[run.id])]
    if learning:
        names = [run_name(run, plain(labels[str(run.arm)])) for run in learning]
        with st.container(key="live_loss"):
            places = st.tabs(names) if len(names) > 1 else [st.container()]
            for run, place in zip(learning, places, strict=True):
                with place:
                    show_curve(run, events[run.id])
        st.caption(t("experiment.live.caption"))


def show_curve(run: RunRecord, events: list[dict[str, Any]]) -> None:
    """Draw the loss of one run at work."""
    figure = live_loss(events, str(run.method), text())
    chart(figure, key=f"loss_{run.id}", alt=t("experiment.live.caption"))


def overall_words(runs: Sequence[RunRecord], left: float | None) -> str:
    """Return "3 of 12 runs have ended", and while some work "about 4 min left"."""
    ended = sum(not run.active for run in runs)
    words = t("experiment.live.done", done=text().number(ended), all=text().number(len(runs)))
    if ended < len(runs) and left is not None:
        words += t("experiment.live.left", left=about_seconds(left))
    return words


def run_line(run: RunRecord, label: str, events: list[dict[str, Any]] | None) -> None:
    """Show one run: status, method, seed, and progress, its time, or the reason it ended.

    `events` are those of the run at work, None for every other run.
    """
    line = f"{status_badge(run.status)} {run_name(run, label)}"
    if events is not None:
        st.progress(run_progress(events).share, text=line + step_words(events))
    elif run.seconds is not None:
        st.markdown(f"{line} · {text().seconds(run.seconds)}")
    else:
        st.markdown(line)
    if run.error is not None:
        show_error(run.error)


def step_words(events: list[dict[str, Any]]) -> str:
    """Return " · step 34 of 176, learning rate 0.003 (2 of 2) · 912 MB · about 40 s left".

    Where seconds are the budget, they stand in place of the steps.
    """
    progress, speak = run_progress(events), text()
    steps = steps_of_piece(events)
    if not steps:
        return " · " + t("experiment.live.preparing")
    last = steps[-1]
    words = " · " + t(
        f"experiment.live.{last.get('unit', 'step')}",
        done=speak.number(last["done"]),
        all=speak.number(last["total"]),
        rate=f"{last['learning_rate']:g}",
        trial=speak.number(last["trial"]),
        trials=speak.number(last["trials"]),
    )
    if progress.memory_bytes:
        words += " · " + t("experiment.live.memory", memory=speak.bytes(progress.memory_bytes))
    if progress.seconds_left is not None:
        words += t("experiment.live.left", left=about_seconds(progress.seconds_left))
    return words
