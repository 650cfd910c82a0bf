"""Decide: the recommendation, what it costs and brings, what that depends on, and the plan."""

from __future__ import annotations

import streamlit as st

from app import state
from app.components import empty_state, next_step, page_header, plain
from app.costs_form import costs_form
from app.evidence import current_evidence
from app.i18n import t, text
from app.verdicts import show_chart, show_table
from kasa.report.costs import (
    costs_chart,
    costs_notes,
    costs_table,
    dependence_section,
    inputs_table,
    scale_table,
)
from kasa.report.decision import (
    decision_message,
    experiment_sentence,
    reasons,
    stages_section,
)
from kasa.report.tree import Charts, Section, Table
from kasa.verdict.decision import decide
from kasa.verdict.evidence import Evidence

COLORS = {"go": "green", "no_go": "red", "not_enough": "orange"}


def show_recommendation(evidence: Evidence) -> None:
    """Show the word, the reasons, and the one experiment that would change it."""
    found = decide(evidence)
    with st.container(border=True, key="recommendation"):
        st.markdown(f":{COLORS[found.word]}-badge[{t(f'meeting.word.{found.word}')}]")
        st.markdown(f"#### {plain(decision_message(found, evidence, text()))}")
        for sentence in reasons(found, evidence, text()):
            st.markdown(f"- {plain(sentence)}")
        st.markdown(f"**{t('meeting.experiment.title')}**")
        st.markdown(plain(experiment_sentence(found, evidence, text())))


def show_costs(evidence: Evidence) -> None:
    """Show costs and benefit per method, and the numbers behind them as fields."""
    st.subheader(t("meeting.section.costs"), anchor=False)
    show_table(costs_table(evidence, text()), "costs_table")
    for note in costs_notes(evidence, text()):
        st.caption(plain(note))
    with st.expander(t("decide_page.numbers"), key="numbers"):
        changed = costs_form(evidence.study)
        if changed != evidence.study:
            state.store().update_study(evidence.record.id, changed)
            st.rerun()
    with st.expander(t("decide_page.inputs"), key="inputs"):
        show_table(inputs_table(evidence, text()), "inputs_table")
    with st.expander(t("decide_page.scale"), key="scale"):
        show_table(scale_table(evidence, text()), "scale_table")
        st.caption(plain(t("meeting.scale_note")))


def show_section(section: Section, key: str) -> None:
    """Show a section of the report that is one chart, one table, or both."""
    charts = [block for block in section.blocks if isinstance(block, Charts)]
    tables = [block for block in section.blocks if isinstance(block, Table)]
    for block in charts:
        show_chart(block.charts[0], f"{key}_chart")
    for table in tables:
        show_table(table, f"{key}_table")


def show(evidence: Evidence) -> None:
    show_recommendation(evidence)
    show_costs(evidence)
    left, right = st.columns(2)
    with left:
        show_chart(costs_chart(evidence, text()), "costs_chart")
    with right:
        show_section(dependence_section(evidence, text()), "dependence")
    plan = stages_section(evidence, text())
    st.subheader(plan.title, anchor=False)
    show_section(plan, "stages")


def main() -> None:
    page_header("decide_page.title", "decide_page.lead")
    evidence = current_evidence()
    if evidence is None or not evidence.summaries:
        name, page = ("no_results", "results") if evidence else ("not_started", "experiment")
        if state.current_study() is None:
            name, page = "no_study", "home"
        empty_state(t(f"decide_page.{name}"), t(f"decide_page.{name}_button"), f"pages/{page}.py")
        return
    show(evidence)
    next_step("shell.next.report", "pages/report.py")


main()
