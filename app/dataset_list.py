"""The datasets of the workspace, and deleting one with all that came from it."""

from __future__ import annotations

import streamlit as st

from app import state
from app.components import plain, show_error
from app.i18n import t, text
from kasa.errors import KasaError
from kasa.runs.datasets import Dataset, Deleted, datasets, delete_dataset

DELETED = "dataset_deleted"


def show_datasets() -> None:
    """Show each dataset with the studies on it; deleting one is asked twice and accounted for."""
    st.subheader(t("handling_page.datasets.title"), anchor=False)
    st.markdown(t("handling_page.datasets.lead"))
    done = st.session_state.pop(DELETED, None)
    if done is not None:
        st.success(_account(done), icon=":material/delete:")
    found = datasets(state.store())
    if not found:
        st.caption(t("handling_page.datasets.none"))
    for dataset in found:
        _show(dataset)


def _show(dataset: Dataset) -> None:
    key = dataset.sha256[:12]
    studies = text().number(len(dataset.studies))
    title = t("handling_page.datasets.line", name=plain(dataset.name), studies=studies)
    with st.expander(title, key=f"dataset_{key}"):
        st.caption(t("handling_page.datasets.hash", sha256=dataset.sha256))
        for record in dataset.studies:
            st.markdown(f"- {plain(record.study.title)}")
        sure = st.checkbox(t("handling_page.datasets.sure"), key=f"dataset_sure_{key}")
        delete = t("handling_page.datasets.delete")
        if st.button(delete, key=f"dataset_delete_{key}", disabled=not sure):
            try:
                st.session_state[DELETED] = delete_dataset(state.store(), dataset.sha256)
            except KasaError as error:
                show_error(error)
            else:
                st.rerun()
            finally:
                state.forget()


def _account(done: Deleted) -> str:
    words = text()
    return t(
        "handling_page.datasets.deleted",
        files=", ".join(map(plain, done.files)),
        studies=words.number(len(done.studies)),
        titles=", ".join(map(plain, done.studies)) or "–",
        runs=words.number(done.num_runs),
        size=words.bytes(done.num_bytes),
    )
