"""The estimate on the experiment page: a short measurement, then time, memory and money."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import streamlit as st

from app.components import plain, refresh, show_error
from app.i18n import about_seconds, t, text
from app.state import store
from kasa.report.labels import arm_labels
from kasa.runs.local import ensure_dispatcher
from kasa.runs.records import RunRecord
from kasa.study import Study
from kasa.tuning.estimate import (
    Estimate,
    extrapolate,
    probe_key,
    study_memory_bytes,
    study_seconds,
)
from kasa.tuning.measure import machine
from kasa.tuning.room import fits, fitting_change, settled
from kasa.verdict.costs import run_cost


def known_figures(study: Study) -> dict[str, Any] | None:
    """Return what the newest finished probe of this study measured, if there is one."""
    record = store().latest(probe_key(study))
    if record is None or record.status != "finished":
        return None
    result = store().result(record.id)
    return result["measured"] if result else None


def known_estimate(study: Study) -> list[Estimate] | None:
    """Return the estimate from the newest finished probe of this study, if there is one."""
    measured = known_figures(study)
    return extrapolate(study, measured) if measured else None


def estimate_panel(study: Study) -> None:
    """Offer the estimate, show its progress, then minutes, memory and money per method."""
    study = settled(study)
    measured = known_figures(study)
    if measured is not None:
        show_estimate(study, measured)
        return
    record = store().latest(probe_key(study))
    if record is not None and record.active:
        refresh(waiting_estimate, 1.0, record.id)
        return
    st.markdown(t("experiment.estimate.lead"))
    if record is not None and record.error is not None:
        show_error(record.error)
    if st.button(t("experiment.estimate.button"), key="estimate", icon=":material/timer:"):
        store().enqueue("estimate", {"study": study.to_dict()}, probe_key(study))
        st.rerun()


def waiting_estimate(run_id: str) -> None:
    """Show how far the probe is, with Stop; redraw the page when it has ended."""
    record = store().run(run_id)
    if not record.active:
        st.rerun()
    ensure_dispatcher(store())
    st.progress(probe_share(record), text=t("experiment.estimate.measuring"))
    if st.button(
        t("experiment.estimate.stop"),
        key="estimate_stop",
        icon=":material/stop:",
        disabled=record.status == "stopping",
    ):
        store().stop(run_id)
        st.rerun()


def probe_share(record: RunRecord) -> float:
    """Return how much of a probe is done, from 0 to 1."""
    events = store().events(record.id)
    return min(1.0, events[-1]["done"] / events[-1]["total"]) if events else 0.0


def stop_estimate(study: Study) -> None:
    """Stop a probe that still works, so that it takes no time from the runs that are measured."""
    record = store().latest(probe_key(settled(study)))
    if record is not None and record.active:
        store().stop(record.id)


def tight_words(study: Study, measured: dict[str, Any], available: int) -> str:
    """Return that memory may not suffice, and what would make the comparison fit."""
    speak, change = text(), fitting_change(study, measured, available)
    words = [t("experiment.estimate.tight", memory=speak.bytes(available))]
    if change is None:
        words.append(t("experiment.estimate.fit.none"))
    else:
        for name, value in change.settings.items():
            words.append(t(f"experiment.estimate.fit.{name}", value=speak.number(value)))
        need = speak.bytes(change.peak_memory_bytes)
        words.append(t("experiment.estimate.fit.then", memory=need))
    return " ".join(words)


def show_estimate(study: Study, measured: dict[str, Any]) -> None:
    """Show the expected time, memory and money of the whole study, and time per method."""
    speak = text()
    estimates = extrapolate(study, measured)
    peak = study_memory_bytes(estimates, study)
    spent = sum(estimate.total_seconds for estimate in estimates)
    money = speak.money(run_cost(spent, study), study.prices.currency)
    shown = {
        "time": about_seconds(study_seconds(estimates, study)),
        "memory": speak.bytes(peak),
        "money": money,
    }
    with st.container(horizontal=True, gap="large"):
        for name, value in shown.items():
            words = t("experiment.estimate.about", value=value)
            st.metric(t(f"experiment.estimate.{name}"), words, width="content")
    available = int(machine()["memory_bytes"])
    if not fits(peak, available):
        st.warning(tight_words(study, measured, available), icon=":material/warning:")
    columns = _per_arm(study, estimates)
    titles = {name: t(f"experiment.estimate.{name}") for name in columns}
    st.table({titles[name]: values for name, values in columns.items()}, hide_index=True)
    places = study.protocol.places
    how = "how_parallel" if places > 1 else "how"
    st.caption(t(f"experiment.estimate.{how}", places=speak.number(places)))


def _per_arm(study: Study, estimates: list[Estimate]) -> dict[str, list[str]]:
    """Return a column per figure: a row per judged arm, and one for all points of curves."""
    speak, labels = text(), arm_labels(study, text())
    judged_arms = study.named_arms(judged=True)
    points = [each for each in estimates if each.arm not in judged_arms]
    groups = [(labels[each.arm], [each]) for each in estimates if each.arm in judged_arms]
    groups += [(t("experiment.curves.title"), points)] if points else []
    columns = {
        "arm": [plain(name) for name, _ in groups],
        "per_run": [about_seconds(fmean(each.run_seconds for each in own)) for _, own in groups],
        "all_runs": [about_seconds(sum(each.total_seconds for each in own)) for _, own in groups],
        "memory": [speak.bytes(max(each.peak_memory_bytes for each in own)) for _, own in groups],
    }
    if len(study.protocol.seeds) == 1 and not points:
        del columns["all_runs"]
    return columns
