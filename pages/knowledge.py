"""Task knowledge: which components of the base carry the task, and what can be cut, measured."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import drafts, state
from app.components import empty_state, next_step, page_header, plain, show_error
from app.evidence import current_evidence
from app.i18n import t, text
from app.job_panel import follow, share_of
from app.verdicts import show_chart, show_table
from kasa.report.knowledge import (
    criteria_table,
    layers_chart,
    outcome_sentences,
    plan_sentences,
    planned_arm,
    removal_chart,
)
from kasa.runs.records import RunRecord, StudyRecord
from kasa.spectral.plans import with_planned
from kasa.study import Study
from kasa.tuning.keys import TOLERANCE, knowledge_key

TOLERANCES = (0.005, 0.01, 0.02, 0.05, 0.1)
PHASES = ("prepare", "score", "curves", "layers", "plan")


def choose_tolerance() -> float:
    """Let the person say how much the loss may rise."""
    names = {share: text().percent(share, 1) for share in TOLERANCES}
    chosen = st.segmented_control(
        t("knowledge_page.tolerance"),
        TOLERANCES,
        default=TOLERANCE,
        format_func=names.__getitem__,
        key="tolerance",
        required=True,
        help=t("knowledge_page.tolerance_help"),
    )
    return float(chosen or TOLERANCE)


def told(_job: RunRecord, event: dict[str, Any]) -> tuple[float, str]:
    """Say which phase the job is in."""
    share = (PHASES.index(event["phase"]) + share_of(event)) / len(PHASES)
    return share, t(f"knowledge_page.phase.{event['phase']}")


def offer_start(study: Study, tolerance: float, job: RunRecord | None) -> None:
    """Say why the last job left nothing, and offer to begin."""
    if job is not None and job.error is not None:
        show_error(job.error)
    st.markdown(t("knowledge_page.about"))
    if st.button(
        t("knowledge_page.start"), key="knowledge_start", type="primary", icon=":material/search:"
    ):
        study.check_task()
        config = {
            "study": study.to_dict(),
            "tolerance": tolerance,
            "hub_access": state.store().hub_access(),
        }
        state.store().enqueue("knowledge", config, knowledge_key(study, tolerance))
        st.rerun()


def show_found(measured: dict[str, Any], tolerance: float) -> None:
    """Show the plan in sentences, the curves, and the way to a method of the study."""
    with st.container(border=True, key="knowledge_plan"):
        first, *others = plan_sentences(measured, text())
        st.markdown(f"#### {plain(first)}")
        for sentence in others:
            st.markdown(plain(sentence))
    if not show_outcome(measured):
        offer_arm(measured, tolerance)
    left, right = st.columns(2)
    with left:
        show_chart(removal_chart(measured, text()), "removal_chart")
    with right:
        show_chart(layers_chart(measured, text()), "layers_chart")
    st.subheader(t("knowledge_page.criteria"), anchor=False)
    show_table(criteria_table(measured, text()), "criteria_table")
    st.info(t("knowledge_page.no_proof"))


def show_outcome(measured: dict[str, Any]) -> bool:
    """Show what tuning with this cut brought; say whether the study compares it already."""
    record = state.current_study()
    removed = measured["plan"]["removed"]
    arm = planned_arm(record.study, removed) if record is not None else None
    if arm is None:
        return False
    evidence = current_evidence()
    found = outcome_sentences(evidence, arm, text()) if evidence is not None else []
    st.markdown(f"**{t('knowledge_page.happened')}**")
    for sentence in found or [t("knowledge_page.no_outcome")]:
        st.markdown(plain(sentence))
    return True


def offer_arm(measured: dict[str, Any], tolerance: float) -> None:
    """Offer to compare KaSA with this cut as a method of the study."""
    removed = {module: list(own) for module, own in measured["plan"]["removed"].items()}
    if not removed:
        return
    record = state.current_study()
    if record is not None and record.status != "draft":
        st.caption(t("spectrum.plan.will_copy"))
    if st.button(t("knowledge_page.add"), key="knowledge_add", icon=":material/add:"):
        name = t("knowledge_page.plan_name", tolerance=text().percent(tolerance, 1))
        drafts.edit(arms=with_planned(drafts.current_settings().arms, removed, name))
        st.success(t("knowledge_page.added", name=plain(name)))


def show_page(record: StudyRecord) -> None:
    """Show what was found for this study; until it is there, the progress or the start."""
    study, store = record.study, state.store()
    tolerance = choose_tolerance()
    job = store.latest(knowledge_key(study, tolerance))
    if job is not None and job.active:
        follow(job, "knowledge_stop", told)
        return
    result = store.result(job.id) if job is not None and job.status == "finished" else None
    if result is None:
        offer_start(study, tolerance, job)
    else:
        show_found(result["measured"], tolerance)


page_header("knowledge_page.title", "knowledge_page.lead")
current = state.current_study()
if current is None or not current.study.data.chosen:
    empty_state(t("knowledge_page.no_data"), t("knowledge_page.to_data"), "pages/data.py")
else:
    show_page(current)
    next_step("shell.next.experiment", "pages/experiment.py")
