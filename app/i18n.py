"""The language of a session: what was chosen, else what the browser asks for."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from app import state
from kasa.text import CATALOGUE, LANGUAGES, Translator

FOLDERS = (Path(__file__).parent / "locale", CATALOGUE)
NAMES = {"ja": "日本語", "en": "English"}


@cache
def _translator(lang: str) -> Translator:
    return Translator(lang, FOLDERS)


def current_lang() -> str:
    """Return ja or en: from the address, the last choice kept in the workspace, or the browser."""
    kept = state.store().settings().get("language")
    for chosen in (st.query_params.get(state.LANG), st.session_state.get(state.LANG), kept):
        if chosen in LANGUAGES:
            return str(chosen)
    return "ja" if str(st.context.locale or "").lower().startswith("ja") else "en"


def text() -> Translator:
    """Return the current language's translator over the pages' and the library's catalogues."""
    return _translator(current_lang())


def t(key: str, /, **values: Any) -> str:
    """Return one sentence in the current language."""
    return text()(key, **values)


def about_seconds(value: float) -> str:
    """Return an expected duration no more precisely than it is known: minutes beyond two."""
    speak = text()
    if 120 <= value < 3570:
        return speak.unit(round(value / 60), "minute")
    return speak.seconds(value)


def language_switch() -> None:
    """Show the ja/en switch; a choice stays in the session, the address and the workspace."""
    chosen = st.segmented_control(
        "言語 / Language",
        LANGUAGES,
        default=current_lang(),
        format_func=NAMES.__getitem__,
        key="lang_switch",
        label_visibility="collapsed",
        required=True,
    )
    if chosen and chosen != current_lang():
        st.session_state[state.LANG] = chosen
        st.query_params[state.LANG] = chosen
        state.store().save_settings(language=chosen)
        st.rerun()
