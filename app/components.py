"""Widgets that several pages share."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import streamlit as st

from app import state
from app.i18n import t, text
from kasa.errors import KasaError
from kasa.runs.records import RunRecord

PLOT_CONFIG = {"displaylogo": False, "displayModeBar": False, "responsive": True}
STATUS_COLORS = {
    "queued": "gray",
    "running": "blue",
    "stopping": "orange",
    "finished": "green",
    "failed": "red",
    "cancelled": "gray",
    "lost": "red",
    "draft": "gray",
}


def page_header(title_key: str, lead_key: str) -> None:
    """Show the page's title, its one-sentence purpose, and which study it works on."""
    st.title(t(title_key), anchor=False)
    st.markdown(t(lead_key))
    record = state.current_study()
    if record is not None:
        st.caption(t("shell.current_study", title=_plain(record.study.title)))


def _plain(words: str) -> str:
    """Escape what Markdown would read as markup in a title that a person typed."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]()<>#+-.!|$:~" else letter for letter in words)


def plain(words: str) -> str:
    """Return a person's own words so that Markdown shows them as they are."""
    return _plain(words)


def empty_state(message: str, button_label: str, page: str, key: str = "empty_next") -> None:
    """Say what is missing and offer the one step that mends it; `page` is for example pages/data.py."""
    with st.container(border=True):
        st.markdown(message)
        if st.button(button_label, key=key, type="primary"):
            go_to(page)


def go_to(page: str) -> None:
    """Switch to a page, taking language and study along in the address."""
    keys = (state.LANG, state.STUDY)
    kept = {key: st.session_state[key] for key in keys if st.session_state.get(key)}
    st.switch_page(st.session_state["pages"][page], query_params=kept)


def next_step(label_key: str, page: str) -> None:
    """Show the button that leads to the next step."""
    st.divider()
    if st.button(t(label_key), key="next_step", type="primary", icon=":material/arrow_forward:"):
        go_to(page)


def show_error(error: KasaError) -> None:
    """Show a failure: what happened, the likely cause, what to do."""
    what, cause, do = error.parts(text())
    labels = (t("shell.error_cause"), t("shell.error_do"))
    st.error(
        f"**{plain(what)}**\n\n{labels[0]} {plain(cause)}\n\n{labels[1]} {plain(do)}",
        icon=":material/error:",
    )


def chart(figure: go.Figure, key: str, **options: object) -> object:
    """Show a plotly figure with the studio's settings."""
    return st.plotly_chart(
        figure, width="stretch", theme=None, config=PLOT_CONFIG, key=key, **options
    )


def status_badge(status: str) -> str:
    """Return a status as Markdown, coloured and in words."""
    return f":{STATUS_COLORS[status]}-badge[{t(f'shell.status.{status}')}]"


def run_progress(runs: Sequence[RunRecord]) -> None:
    """Show one line of status and progress for each run."""
    for run in runs:
        events = state.store().events(run.id) if run.status in {"running", "stopping"} else []
        share = 1.0 if run.status == "finished" else 0.0
        if events and events[-1]["total"]:
            share = min(1.0, events[-1]["done"] / events[-1]["total"])
        st.progress(share, text=f"{status_badge(run.status)} {run.arm or run.kind}")
