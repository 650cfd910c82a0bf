"""Widgets that several pages share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import state
from app.i18n import t, text
from kasa.errors import KasaError
from kasa.model.source import EMBEDDED
from kasa.report.labels import arm_labels
from kasa.runs.records import RunRecord
from kasa.study import Study

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
        st.caption(t("shell.current_study", title=plain(record.study.title)))


def plain(words: str) -> str:
    """Return a person's own words with what Markdown reads as markup escaped."""
    return "".join(
        f"\\{letter}" if letter in "\\`*_{}[]()<>#+-.!|$:~" else letter for letter in words
    )


def empty_state(message: str, button_label: str, page: str, key: str = "empty_next") -> None:
    """Say what is missing and offer the one step that mends it, on a page such as pages/data.py."""
    with st.container(border=True):
        st.markdown(message)
        if st.button(button_label, key=key, type="primary"):
            go_to(page)


def go_to(page: str) -> None:
    """Switch to a page, taking language and study along in the address."""
    keys = (state.LANG, state.STUDY)
    kept = {key: st.session_state[key] for key in keys if st.session_state.get(key)}
    st.switch_page(st.session_state[state.PAGES][page], query_params=kept)


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


def chart(figure: go.Figure, key: str, **options: Any) -> object:
    """Show a plotly figure with the studio's settings."""
    return st.plotly_chart(
        figure, width="stretch", theme=None, config=PLOT_CONFIG, key=key, **options
    )


def refresh(draw: Callable[..., None], every: float | None, *arguments: Any) -> None:
    """Draw a part of the page anew every so many seconds; a failure there is said in its place."""

    def part() -> None:
        try:
            draw(*arguments)
        except KasaError as error:
            show_error(error)

    st.fragment(part, run_every=every)()


def status_badge(status: str) -> str:
    """Return a status as Markdown, coloured and in words."""
    return f":{STATUS_COLORS[status]}-badge[{t(f'shell.status.{status}')}]"


def whole_field(
    place: DeltaGenerator, label: str, value: int, bounds: tuple[int, int], key: str, **options: Any
) -> int:
    """Show a field for a whole number, with room for a value that came from a study file."""
    low, high = min(bounds[0], value), max(bounds[1], value)
    return int(place.number_input(label, low, high, value, key=key, **options))


def number_field(
    place: DeltaGenerator,
    label: str,
    value: float,
    bounds: tuple[float, float],
    key: str,
    **options: Any,
) -> float:
    """Show a field for a number, with room for a value that came from a study file.

    `%g` shows every digit that was typed and none more.
    """
    start = float(value)
    low, high = min(bounds[0], start), max(bounds[1], start)
    return float(place.number_input(label, low, high, start, format="%g", key=key, **options))


def optional_field(
    place: DeltaGenerator,
    label: str,
    value: float | None,
    bounds: tuple[float, float],
    key: str,
    **options: Any,
) -> float | None:
    """Show a field for a number that may be left empty, and emptied again."""
    start = None if value is None else float(value)
    low, high = bounds if start is None else (min(bounds[0], start), max(bounds[1], start))
    # A field with a default number goes back to it when it is emptied, so the default is None.
    if key not in st.session_state:
        st.session_state[key] = start
    shown = place.number_input(label, low, high, None, format="%g", key=key, **options)
    return None if shown is None else float(shown)


def model_name(model: str) -> str:
    """Return a base model as Markdown: the built-in one by its own name, others as they are."""
    return t("shell.embedded_model") if model == EMBEDDED else plain(model)


def run_name(run: RunRecord, label: str) -> str:
    """Return "KaSA (r=8) · seed 0"."""
    return f"{label} · {t('experiment.live.seed', seed=run.seed)}"


def run_progress(study: Study, runs: Sequence[RunRecord]) -> None:
    """Show one line of status and progress for each run."""
    labels = arm_labels(study, text())
    for run in runs:
        events = state.store().events(run.id) if run.status in {"running", "stopping"} else []
        share = 1.0 if run.status == "finished" else 0.0
        if events and events[-1]["total"]:
            share = min(1.0, events[-1]["done"] / events[-1]["total"])
        name = run_name(run, plain(labels[str(run.arm)]))
        st.progress(share, text=f"{status_badge(run.status)} {name}")
