"""Explain: what training added to the base, where it sits, and what is lost without it."""

from __future__ import annotations

import html
import json
from typing import Any

import pandas as pd
import streamlit as st

from app import state
from app.components import empty_state, next_step, page_header, plain, show_error
from app.i18n import t, text
from app.job_panel import follow, share_of
from app.verdicts import show_chart, show_table
from kasa.data.rows import inputs_of
from kasa.report.explain import component_table, facts_line, marked, module_names, sentences
from kasa.report.explain_plots import (
    classes_chart,
    effect_chart,
    layers_chart,
    overlap_chart,
    values_chart,
)
from kasa.report.labels import arm_labels
from kasa.runs.records import RunRecord, StudyRecord
from kasa.study import Study
from kasa.tuning.keys import LOW_RANK, explain_key

# The colour of the loudest word; quieter ones are paler.
MARK, FAINT = "213, 94, 0", 0.15


def explained_runs(record: StudyRecord) -> list[RunRecord]:
    """Return the study's finished runs whose addition can be taken apart, judged ones first."""
    arms = record.study.named_arms()
    runs = [
        run
        for run in state.store().runs(record.id)
        if run.status == "finished" and run.method in LOW_RANK
    ]
    return sorted(runs, key=lambda run: (not arms[str(run.arm)].judged, run.seed))


def told(_job: RunRecord, event: dict[str, Any]) -> tuple[float, str]:
    """Say how much has been silenced and answered again."""
    return share_of(event), t("explain_page.working")


def offer_start(run: RunRecord, job: RunRecord | None, key: str) -> None:
    """Say why the last job left nothing, and offer to begin."""
    if job is not None and job.error is not None:
        show_error(job.error)
    st.markdown(t("explain_page.about"))
    if st.button(
        t("explain_page.start"), key="explain_start", type="primary", icon=":material/search:"
    ):
        store = state.store()
        config = {"run": run.id, "hub_access": store.hub_access()}
        store.enqueue("explain", config, key)
        st.rerun()


def show_found(record: StudyRecord, found: dict[str, Any]) -> None:
    """Show what was found, from all of it to one component."""
    masked = record.study.data.mask
    with st.container(border=True, key="explain_sentences"):
        for sentence in sentences(found, text(), masked=masked):
            st.markdown(plain(sentence))
        st.caption(t("explain_page.loss"))
    by_class = classes_chart(found, text(), masked=masked)
    places = st.columns(2) if by_class is not None else [st.container()]
    with places[0]:
        show_chart(layers_chart(found, text()), "explain_layers")
    if by_class is not None:
        with places[1]:
            show_chart(by_class, "explain_classes")
    st.subheader(t("explain_page.weights"), anchor=False)
    module = choose_module(found)
    st.markdown(facts_line(module, text()))
    left, right = st.columns(2)
    with left:
        show_chart(values_chart(module, text()), "explain_values")
    with right:
        show_chart(overlap_chart(module, text()), "explain_overlap")
    show_table(component_table(module, text()), "explain_components")
    show_component(record, found, module)
    st.info(t("explain_page.no_proof"))


def choose_module(found: dict[str, Any]) -> dict[str, Any]:
    """Let the person choose a weight; the one that the rows need most comes first."""
    names = module_names(found, text())
    modules = {own["module"]: own for own in found["modules"]}
    most = max(modules, key=lambda name: modules[name]["effect"]["change"])
    chosen = st.selectbox(
        t("explain_page.weight"),
        list(modules),
        index=list(modules).index(most),
        format_func=names.__getitem__,
        key=f"explain_weight_{found['run']}",
    )
    found_module: dict[str, Any] = modules[chosen]
    return found_module


def show_component(record: StudyRecord, found: dict[str, Any], module: dict[str, Any]) -> None:
    """Show the rows that excite one component, and what each class loses without it."""
    st.subheader(t("explain_page.components"), anchor=False)
    numbers = [each["number"] for each in module["components"]]
    names = {k: t("explain_page.component_name", number=text().number(k + 1)) for k in numbers}
    chosen = st.selectbox(
        t("explain_page.component"),
        numbers,
        format_func=names.__getitem__,
        key=f"explain_component_{found['run']}_{module['module']}",
    )
    component = module["components"][chosen]
    left, right = st.columns(2)
    with left:
        st.markdown(f"**{t('explain_page.rows')}**")
        show_rows(record, component)
    with right:
        if "effect" not in component:
            st.caption(t("explain_page.not_measured"))
            return
        chart = effect_chart(found, component["effect"], text(), masked=record.study.data.mask)
        if chart is not None:
            show_chart(chart, "explain_effect")


def show_rows(record: StudyRecord, component: dict[str, Any]) -> None:
    """Show the loudest rows with their words marked."""
    if not component["rows"]:
        st.caption(t("explain_page.no_rows"))
        return
    rows = state.store().rows(record.id).set_index("row")
    for each in component["rows"]:
        pieces = pieces_of(rows.loc[each["row"]], record.study)
        shown = marked(pieces, each["tokens"], masked=record.study.data.mask)
        lines = "<br>".join(map(_marked_html, shown))
        name = html.escape(t("explain_page.row", row=text().number(each["row"])))
        st.html(f'<p dir="auto"><small>{name}</small><br>{lines}</p>')
    st.caption(t("explain_page.rows_note"))


def pieces_of(row: pd.Series, study: Study) -> list[str]:
    """Return the texts that the model reads of a row, choices one by one."""
    pieces: list[str] = []
    for name in inputs_of(study.data, study.task):
        value = str(row[name])
        pieces += json.loads(value) if name == "choices" else [value]
    return pieces


def _marked_html(piece: list[tuple[str, float]]) -> str:
    """Return a piece with a background behind its marked words; every character escaped."""
    return "".join(
        f'<span style="background: rgba({MARK}, {0.75 * strength:.2f})">{html.escape(words)}</span>'
        if strength > FAINT
        else html.escape(words)
        for words, strength in piece
    )


def show_page(record: StudyRecord, runs: list[RunRecord]) -> None:
    """Show what was found for the chosen run; until it is there, the progress or the start."""
    labels = arm_labels(record.study, text())
    names = {
        run.id: t("explain_page.run_name", arm=labels[str(run.arm)], seed=run.seed) for run in runs
    }
    store = state.store()
    jobs = {run.id: store.latest(explain_key(run.id)) for run in runs}
    # What has been explained already is worth seeing first.
    first = next((place for place, job in enumerate(jobs.values()) if job is not None), 0)
    chosen = st.selectbox(
        t("explain_page.run"),
        list(names),
        index=first,
        format_func=names.__getitem__,
        key="explain_run",
    )
    key, job = explain_key(chosen), jobs[chosen]
    if job is not None and job.active:
        follow(job, "explain_stop", told)
        return
    result = store.result(job.id) if job is not None and job.status == "finished" else None
    if result is None:
        offer_start(store.run(chosen), job, key)
    else:
        show_found(record, result["measured"] | {"run": chosen})


page_header("explain_page.title", "explain_page.lead")
current = state.current_study()
finished = explained_runs(current) if current is not None and current.status != "draft" else []
if current is None or not finished:
    empty_state(t("explain_page.no_runs"), t("explain_page.to_experiment"), "pages/experiment.py")
else:
    show_page(current, finished)
    next_step("shell.next.try_it", "pages/try_it.py")
