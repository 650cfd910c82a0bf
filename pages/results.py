import streamlit as st

from app import state
from app.bundle_panel import say_what_came
from app.components import empty_state, go_to, next_step, page_header, plain, refresh, run_progress
from app.evidence import current_evidence
from app.i18n import t, text
from app.verdicts import clicked, show_chart, show_gates, show_headline, show_table, transposed
from kasa.report import collateral, curves, plots, robustness
from kasa.report.ablation import ablation_chart, ablation_table
from kasa.report.headline import headline
from kasa.report.labels import arm_labels
from kasa.report.method import joint_note
from kasa.report.sections import (
    MOST_EXAMPLES,
    arms_table,
    examples_note,
    failure_sentences,
    runs_table,
    verdicts_table,
)
from kasa.report.tradeoff import cost_measures, tradeoff
from kasa.verdict.compare import CLASS_TASKS
from kasa.verdict.evidence import Evidence


def watch(study_id: str, seen: int) -> None:
    """Show the runs under way; a run that ends redraws the page."""
    runs = state.store().runs(study_id)
    active = [run for run in runs if run.active]
    run_progress(state.store().study(study_id).study, active)
    if len(active) != seen:
        st.rerun()


def choose(label: str, options: list[str], names: dict[str, str], key: str) -> str:
    """Let the person pick one of several views."""
    return str(st.selectbox(label, options, format_func=names.__getitem__, key=key))


def show_arms(evidence: Evidence, metric: str) -> None:
    st.subheader(t("report.section.arms"), anchor=False)
    show_table(transposed(arms_table(evidence, text(), short=True)), "arms_table")
    st.caption(plain(t("report.arms_note")))
    left, right = st.columns(2)
    with left:
        show_chart(plots.metric_dots(evidence, text(), metric), "dots_chart")
    if evidence.verdicts:
        with right:
            show_chart(plots.differences(evidence, text(), metric), "differences_chart")
        with st.expander(t("results.all_pairs")):
            show_table(verdicts_table(evidence, text(), metric), "verdicts_table")
            for note in joint_note(evidence, text()):
                st.caption(plain(note))


def show_ablation(evidence: Evidence, metric: str) -> None:
    """Show what each part of KaSA brings, where the study has the parts as methods."""
    shown = ablation_chart(evidence, text(), metric)
    if shown is None:
        return
    st.subheader(t("report.section.ablation"), anchor=False)
    left, right = st.columns(2)
    with left:
        show_chart(shown, "ablation_chart")
    with right:
        show_table(ablation_table(evidence, text(), metric), "ablation_table")


def show_tradeoff(evidence: Evidence, metric: str) -> None:
    st.subheader(t("report.section.tradeoff"), anchor=False)
    costs = [measure.name for measure in cost_measures(evidence)]
    names = {cost: t(f"metrics.{cost}") for cost in costs}
    cost = choose(t("report.choose.cost"), costs, names, "tradeoff_cost")
    shown = tradeoff(evidence, text(), metric, cost)
    answer = show_chart(shown, "tradeoff_chart", on_select="rerun", selection_mode="points")
    arms = clicked(answer)
    if arms:
        show_table(runs_table(evidence, text(), arms), "chosen_runs")
    else:
        st.caption(t("results.click_a_mark"))


def show_confusion(evidence: Evidence) -> None:
    st.subheader(t("report.section.confusion"), anchor=False)
    arms = [arm.arm for arm in evidence.summaries]
    names = arm_labels(evidence.study, text())
    arm = choose(t("report.choose.arm"), arms, names, "confusion_arm")
    show_chart(plots.confusion(evidence, text(), arm), "confusion_chart")


def show_examples(evidence: Evidence) -> None:
    st.subheader(t("report.section.examples"), anchor=False)
    table = evidence.disagreements
    st.markdown(plain(examples_note(evidence, text())))
    if table.empty:
        return
    columns = {name: t(f"report.column.{name}") for name in ("row", "text", "label")}
    shown = table.rename(columns=columns | arm_labels(evidence.study, text(), short=True))
    height = 36 * (min(len(shown), MOST_EXAMPLES // 2) + 1)
    st.dataframe(shown, hide_index=True, key="examples_table", height=height)


def show_robustness(evidence: Evidence) -> None:
    """Show what the result depends on: learning rate, class, and how far confidence holds."""
    rates = robustness.rates_chart(evidence, text())
    sure = robustness.calibration_chart(evidence, text())
    divided = robustness.shares_by(evidence, text())
    if rates is None and not divided:
        return
    st.subheader(t("report.section.robustness"), anchor=False)
    left, right = st.columns(2)
    with left:
        if rates is not None:
            show_chart(rates, "rates_chart")
        if sure is not None:
            show_chart(sure, "calibration_chart")
            with st.expander(t("results.calibration_table")):
                show_table(robustness.calibration_table(evidence, text()), "calibration_table")
            st.caption(plain(t("report.calibration_note")))
    with right:
        by = "class"
        if len(divided) > 1:
            names = {name: plain(words) for name, words in divided.items()}
            by = choose(t("report.choose.by"), list(divided), names, "divided_by")
        shares = robustness.shares_chart(evidence, text(), by)
        if shares is not None:
            show_chart(shares, "shares_chart")


def show_curves(evidence: Evidence, metric: str) -> None:
    """Show what fewer rows and wrong labels do, where the study has such runs."""
    sets = curves.sets_of(evidence, metric)
    if not sets:
        return
    st.subheader(t("report.section.curves"), anchor=False)
    for found in sets:
        left, right = st.columns(2)
        with left:
            show_chart(curves.curve_chart(evidence, text(), found), f"curve_{found.kind}_chart")
        gaps = curves.gap_chart(evidence, text(), found)
        with right:
            if gaps is not None:
                show_chart(gaps, f"gap_{found.kind}_chart")
            sentences = curves.curve_sentences(evidence, text(), found)
            st.markdown("\n".join(f"- {plain(sentence)}" for sentence in sentences))
        with st.expander(t(f"results.curve_table_{found.kind}")):
            show_table(curves.curves_table(evidence, text(), found), f"curve_{found.kind}_table")
        st.caption("  \n".join(plain(note) for note in curves.curve_notes(text(), found)))


def show_collateral(evidence: Evidence) -> None:
    """Show what tuning did to text unlike the task."""
    if not evidence.harms:
        return
    st.subheader(t("report.section.collateral"), anchor=False)
    show_table(collateral.collateral_table(evidence, text()), "collateral_table")
    sentences = collateral.collateral_sentences(evidence, text())
    st.markdown("\n".join(f"- {plain(sentence)}" for sentence in sentences))
    st.caption(plain(collateral.collateral_note(evidence, text())))


def show_never_right(evidence: Evidence) -> None:
    """Show the rows that may be labelled wrongly, and the way back to the data."""
    st.subheader(t("report.section.never_right"), anchor=False)
    st.markdown(plain(robustness.never_right_note(evidence, text())))
    table = robustness.never_right_table(evidence, text())
    if table is not None:
        show_table(table, "never_right_table")
        if st.button(t("results.to_data"), key="to_data", icon=":material/table_view:"):
            go_to("pages/data.py")


def show_failures(evidence: Evidence) -> None:
    reasons = list(failure_sentences(evidence, text()))
    if reasons:
        st.subheader(t("results.failed"), anchor=False)
        st.markdown("\n".join(f"- {plain(reason)}" for reason in reasons))
        st.caption(t("results.failed_do"))


def show_results(evidence: Evidence) -> None:
    show_headline(headline(evidence, text()))
    if evidence.gates:
        st.subheader(t("report.section.gates"), anchor=False)
        show_gates(evidence)
        st.caption(plain(t("report.gates_note")))
    metrics = list(evidence.study.metrics)
    names = {name: t(f"metrics.{name}") for name in metrics}
    metric = choose(t("report.choose.metric"), metrics, names, "metric")
    show_arms(evidence, metric)
    show_ablation(evidence, metric)
    left, right = st.columns(2)
    with left:
        show_tradeoff(evidence, metric)
    if any(summary.confusion for summary in evidence.summaries):
        with right:
            show_confusion(evidence)
    show_robustness(evidence)
    show_curves(evidence, metric)
    show_collateral(evidence)
    if evidence.study.task in CLASS_TASKS:
        show_never_right(evidence)
    if len(evidence.summaries) > 1:
        show_examples(evidence)
    losses = plots.loss_curves(evidence, text())
    if losses:
        with st.expander(t("report.section.training")):
            show_chart(losses, "loss_chart")


def main() -> None:
    page_header("results.title", "results.lead")
    say_what_came()
    evidence = current_evidence()
    if evidence is None:
        record = state.current_study()
        name, page = ("no_study", "home") if record is None else ("not_started", "experiment")
        empty_state(t(f"results.{name}"), t(f"results.{name}_button"), f"pages/{page}.py")
        return
    if not evidence.card.texts:
        st.info(t("bundle.no_texts"), icon=":material/info:")
    if evidence.summaries:
        show_results(evidence)
    elif evidence.active:
        st.info(t("results.waiting"))
    else:
        button = t("results.nothing_finished_button")
        empty_state(t("results.nothing_finished"), button, "pages/experiment.py")
    if evidence.active:
        st.subheader(t("results.under_way"), anchor=False)
        refresh(watch, 2.0, evidence.record.id, len(evidence.active))
    show_failures(evidence)
    if evidence.summaries:
        next_step("shell.next.decide", "pages/decide.py")


main()
