"""The current study's evidence, gathered anew only when a run ends or a setting changes."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app import state
from kasa.report.options import PackOptions
from kasa.report.pack import render
from kasa.verdict.evidence import Evidence, gather

# What was made of a study changes nothing that is said of it.
TAKEN_AWAY = ("report_written", "bundle_written")
PAGE_PIXELS = 1400


@st.cache_resource(max_entries=8, show_spinner=False)
def _gather(home: str, study_id: str, key: str) -> Evidence:
    del home, key
    return gather(state.store(), study_id)


def evidence_key(study_id: str) -> str:
    """Return what the evidence depends on: the settings, the rows, and each run with its status."""
    store = state.store()
    runs = [f"{run.id}={run.status}" for run in store.runs(study_id)]
    settings = store.study(study_id).study.to_toml()
    return "\n".join([settings, store.rows_stamp(study_id), *runs])


def pack_key(study_id: str) -> str:
    """Return what a pack depends on: the evidence, and the log of data handling."""
    store = state.store()
    entries, standing = store.ledger_entries(study_id), store.ledger_standing()
    told = [entry.hash for entry in entries if entry.event not in TAKEN_AWAY]
    whole = f"{standing.broken} {standing.missed}"
    return "\n".join([evidence_key(study_id), whole, *told[-1:]])


def current_evidence() -> Evidence | None:
    """Return the current study's evidence, or None before its runs were started."""
    record = state.current_study()
    if record is None or record.status == "draft":
        return None
    return _gather(str(state.store().home), record.id, evidence_key(record.id))


@st.cache_resource(max_entries=4, show_spinner=False)
def _logged(home: str, study_id: str, key: str) -> Evidence:
    del key
    store = state.store()
    entries, standing = store.ledger_entries(study_id), store.ledger_standing()
    evidence = _gather(home, study_id, evidence_key(study_id))
    return replace(evidence, handling=tuple(entries), ledger=standing)


def logged(study_id: str) -> Evidence:
    """Return a started study's evidence with the log of data handling as it is now."""
    return _logged(str(state.store().home), study_id, pack_key(study_id))


@st.cache_data(max_entries=16, show_spinner=False)
def pack_file(home: str, study_id: str, key: str, name: str, options: PackOptions) -> bytes:
    """Return one format of the pack of one state of a study's evidence and log."""
    return render(name, _logged(home, study_id, key), options)


@st.cache_data(max_entries=4, show_spinner=False)
def pack_pages(
    home: str, study_id: str, key: str, options: PackOptions, width: int = PAGE_PIXELS
) -> tuple[bytes, ...]:
    """Return a picture of each page of the PDF of one state of a study's evidence and log."""
    from kasa.report.pdf import page_pictures

    return page_pictures(_logged(home, study_id, key), options, width)
