"""A worker's job on a page: how far it is, with Stop, and the page drawn anew at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app import state
from app.components import refresh
from app.i18n import t
from kasa.runs import local
from kasa.runs.records import RunRecord

# What a job's last event means: the share that is done, and the words for it.
Told = Callable[[RunRecord, dict[str, Any]], tuple[float, str]]
BEGINNING: dict[str, Any] = {"done": 0, "total": 1, "phase": "prepare"}


def follow(job: RunRecord, key: str, told: Told) -> None:
    """Show an active job until it ends; `key` names its Stop."""
    refresh(_follow, 1.0, job.id, key, told)


def share_of(event: dict[str, Any]) -> float:
    """Return the share of its steps that an event says is done."""
    return float(event["done"]) / max(1.0, float(event["total"]))


def _follow(job_id: str, key: str, told: Told) -> None:
    store = state.store()
    record = store.run(job_id)
    if not record.active:
        st.rerun()
    local.ensure_dispatcher(store)
    events = store.events(job_id)
    share, words = told(record, events[-1] if events else BEGINNING)
    st.progress(min(1.0, share), text=words)
    if st.button(t("shell.stop_job"), key=key, icon=":material/stop:"):
        store.stop(job_id)
        st.rerun()
