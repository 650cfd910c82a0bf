"""Every session_state and query-parameter key, in one place, and the workspace behind them.

The current study's id stands in the address, so F5, a second tab and a bookmark find it again.
"""

from __future__ import annotations

import streamlit as st

from kasa.errors import StoreError
from kasa.runs.files import workspace
from kasa.runs.records import StudyRecord
from kasa.runs.store import Store

LANG = "lang"
STUDY = "study"
PAGES = "pages"


@st.cache_resource(max_entries=4)
def _open(home: str) -> Store:
    del home
    return Store()


def store() -> Store:
    """Return the workspace's store, opened once per server and folder."""
    return _open(str(workspace()))


def forget() -> None:
    """Drop all that was computed: what was deleted must not outlive it in memory."""
    st.cache_data.clear()
    st.cache_resource.clear()


def current_study_id() -> str | None:
    """Return the study in the address, else the session's; an id that does not exist is dropped."""
    asked = st.query_params.get(STUDY) or st.session_state.get(STUDY)
    if not asked:
        return None
    try:
        store().study(asked)
    except StoreError:
        st.session_state.pop(STUDY, None)
        st.query_params.pop(STUDY, None)
        return None
    set_current_study(asked)
    return str(asked)


def set_current_study(study_id: str) -> None:
    """Make a study the current one, in the session and in the address."""
    if st.session_state.get(STUDY) != study_id:
        st.session_state[STUDY] = study_id
    if st.query_params.get(STUDY) != study_id:
        st.query_params[STUDY] = study_id


def current_study() -> StudyRecord | None:
    """Return the current study's record."""
    study_id = current_study_id()
    return store().study(study_id) if study_id else None


def take_address() -> None:
    """Take language and study from the address into the session, before a switch clears them."""
    for key in (LANG, STUDY):
        if asked := st.query_params.get(key):
            st.session_state[key] = asked


def keep_address() -> None:
    """Write language and study into the address again after a page switch has cleared it."""
    for key in (LANG, STUDY):
        value = st.session_state.get(key)
        if value and st.query_params.get(key) != value:
            st.query_params[key] = value
