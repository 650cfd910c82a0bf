"""The current study's evidence, gathered anew only when a run ends or a setting changes."""

from __future__ import annotations

import streamlit as st

from app import state
from kasa.report.csv_files import csv_zip
from kasa.report.html import render_html
from kasa.report.options import PackOptions
from kasa.verdict.evidence import Evidence, gather


@st.cache_resource(max_entries=8, show_spinner=False)
def _gather(home: str, study_id: str, key: str) -> Evidence:
    del home, key
    return gather(state.store(), study_id)


def evidence_key(study_id: str) -> str:
    """Return what the evidence depends on: the settings, and each run with its status."""
    store = state.store()
    runs = [f"{run.id}={run.status}" for run in store.runs(study_id)]
    return "\n".join([store.study(study_id).study.to_toml(), *runs])


def current_evidence() -> Evidence | None:
    """Return the current study's evidence, or None before its runs were started."""
    record = state.current_study()
    if record is None or record.status == "draft":
        return None
    return _gather(str(state.store().home), record.id, evidence_key(record.id))


@st.cache_data(max_entries=4, show_spinner=False)
def report_html(home: str, study_id: str, key: str, lang: str) -> bytes:
    """Return the HTML report of one state of a study's evidence."""
    return render_html(_gather(home, study_id, key), PackOptions(lang)).encode()


@st.cache_data(max_entries=4, show_spinner=False)
def report_csv(home: str, study_id: str, key: str) -> bytes:
    """Return the zip archive of CSV files of one state of a study's evidence."""
    return csv_zip(_gather(home, study_id, key))
