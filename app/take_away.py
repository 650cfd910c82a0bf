"""Taking a tuned run away: the form of choice, written and proven by a worker, then downloaded."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import state
from app.components import plain, run_name, show_error
from app.i18n import t, text
from app.job_panel import follow
from kasa.report.labels import arm_labels
from kasa.runs.records import RunRecord, StudyRecord
from kasa.tuning.keys import export_key, possible_exports

# A larger archive is fetched from its folder: the browser would hold all of it in memory.
MOST_DOWNLOADED = 300_000_000


def take_away(record: StudyRecord, runs: list[RunRecord]) -> None:
    """Let the person take a tuned run away, in a form of their choice."""
    st.subheader(t("try_it_page.take_away"), anchor=False)
    st.caption(t("try_it_page.take_away_about"))
    labels = arm_labels(record.study, text())
    names = {run.id: run_name(run, labels[str(run.arm)]) for run in runs}
    left, right = st.columns(2)
    run_id = left.selectbox(
        t("try_it_page.export_run"), list(names), format_func=names.__getitem__, key="export_run"
    )
    arm = record.study.named_arms()[str(state.store().run(run_id).arm)]
    kinds = {kind: t(f"try_it_page.export.{kind}") for kind in possible_exports(arm)}
    kind = right.selectbox(
        t("try_it_page.export_kind"), list(kinds), format_func=kinds.__getitem__, key="export_kind"
    )
    show_export(run_id, kind)


def show_export(run_id: str, kind: str) -> None:
    """Show an export: the button, its progress, or what is there to take."""
    store, key = state.store(), export_key(run_id, kind)
    job = store.latest(key)
    if job is not None and job.active:
        follow(job, "export_stop", told)
        return
    if job is not None and job.error is not None:
        show_error(job.error)
    result = store.result(job.id) if job is not None and job.status == "finished" else None
    if job is None or result is None:
        if st.button(
            t("try_it_page.prepare_export"), key="export_start", icon=":material/package_2:"
        ):
            config = {"run": run_id, "kind": kind, "lang": text().lang}
            store.enqueue("export", config | {"hub_access": store.hub_access()}, key)
            st.rerun()
        return
    found, archive = result["measured"], job.folder / result["measured"]["archive"]
    facts = {"count": text().number(found["num_texts"]), "size": text().bytes(found["num_bytes"])}
    deviation = f"{found['deviation']:.0e}" if found["deviation"] else "0"
    st.markdown(t("try_it_page.exported", deviation=deviation, **facts))
    if found["num_bytes"] > MOST_DOWNLOADED:
        st.markdown(t("try_it_page.export_place", path=plain(str(archive))))
        return
    st.download_button(
        t("try_it_page.export_download"),
        archive.read_bytes,
        file_name=f"kasa-{run_id}-{kind}.zip",
        mime="application/zip",
        icon=":material/download:",
        on_click="ignore",
        key="export_download",
    )


def told(_job: RunRecord, _event: dict[str, Any]) -> tuple[float, str]:
    """Say that the export is being made; what takes long has no steps."""
    return 0.5, t("try_it_page.exporting")
