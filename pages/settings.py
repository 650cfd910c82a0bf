"""Settings: hub access, the workspace, and what this computer is."""

from __future__ import annotations

import streamlit as st

from app import state
from app.components import page_header
from app.i18n import t, text
from kasa import __version__
from kasa.tuning.measure import machine

page_header("settings.title", "settings.lead")
store = state.store()

st.subheader(t("settings.hub.title"), anchor=False)
allowed = st.toggle(t("settings.hub.label"), value=store.hub_access(), key="hub_access")
st.caption(t("settings.hub.help"))
if allowed != store.hub_access():
    store.save_settings(hub_access=allowed)
    st.rerun()

st.subheader(t("settings.workspace.title"), anchor=False)
st.markdown(t("settings.workspace.help"))
st.code(str(store.home), language=None)

st.subheader(t("settings.machine.title"), anchor=False)
facts = machine()
st.markdown(
    t(
        "settings.machine.facts",
        system=facts["system"],
        processor=facts["processor"],
        cores=text().number(facts["cores"]),
        memory=text().bytes(facts["memory_bytes"]),
        version=__version__,
    )
)
