"""The frame around every page: settings, language, navigation."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app import state
from app.components import show_error
from app.i18n import language_switch, t
from kasa.errors import KasaError
from kasa.runs.local import ensure_dispatcher

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "pages/home.py": ("home", "home"),
    "pages/model.py": ("model", "deployed_code"),
    "pages/spectrum.py": ("spectrum", "bar_chart"),
    "pages/data.py": ("data", "table"),
    "pages/knowledge.py": ("knowledge", "psychology"),
    "pages/experiment.py": ("experiment", "science"),
    "pages/results.py": ("results", "balance"),
    "pages/explain.py": ("explain", "biotech"),
    "pages/try_it.py": ("try_it", "forum"),
    "pages/decide.py": ("decide", "gavel"),
    "pages/report.py": ("report", "description"),
    "pages/handling.py": ("handling", "shield"),
    "pages/settings.py": ("settings", "settings"),
}


def main() -> None:
    """Draw the frame and the current page; a failure a person can cause is said in words."""
    st.set_page_config(page_title="KaSA PoC Studio", page_icon="⚖️", layout="wide")
    try:
        state.take_address()
        ensure_dispatcher(state.store())
    except KasaError as error:
        show_error(error)
        st.stop()
    pages = {
        path: st.Page(
            ROOT / path,
            title=t(f"shell.nav.{name}"),
            icon=f":material/{icon}:",
            url_path=name if name != "home" else None,
            default=name == "home",
        )
        for path, (name, icon) in PAGES.items()
    }
    st.session_state[state.PAGES] = pages
    page = st.navigation(list(pages.values()), expanded=True)
    state.keep_address()
    with st.sidebar:
        language_switch()
    try:
        page.run()
    except KasaError as error:
        show_error(error)
