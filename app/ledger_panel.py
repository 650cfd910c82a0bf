"""The log of what was done with the data: its newest entries, its chain, and the file to keep."""

from __future__ import annotations

import streamlit as st

from app import state
from app.components import plain, show_error
from app.i18n import t, text
from app.verdicts import show_table
from kasa.errors import KasaError
from kasa.report.handling import chain_sentence, log_table, missed_sentences

NEWEST = 10


def show_ledger() -> None:
    """Show the log, the newest first, and say whether its chain of hashes holds."""
    st.subheader(t("handling_page.log.title"), anchor=False)
    st.markdown(t("handling_page.log.lead"))
    store, words = state.store(), text()
    try:
        standing, entries = store.ledger.standing(), store.ledger.entries()
    except KasaError as error:
        show_error(error)
        return
    if not entries and standing.broken is None:
        st.caption(t("handling_page.log.none"))
        return
    if standing.broken is None:
        st.success(chain_sentence(standing, words), icon=":material/link:")
    else:
        st.error(chain_sentence(standing, words), icon=":material/link_off:")
    for sentence in missed_sentences(standing, words):
        st.warning(sentence, icon=":material/info:")
    shown = len(entries)
    if len(entries) > NEWEST:
        label = t("handling_page.log.all", count=words.number(len(entries)))
        shown = shown if st.toggle(label, key="ledger_all") else NEWEST
    titles = {record.id: record.study.title for record in store.studies()}
    if entries:
        show_table(log_table(entries[::-1][:shown], words, titles), "ledger_table")
    hashed = t("handling_page.log.newest", number=words.number(standing.number))
    st.caption(hashed + f" `{plain(standing.hash)}`")
    st.download_button(
        t("handling_page.log.download"),
        store.ledger.content,
        file_name="ledger.jsonl",
        mime="application/jsonl",
        on_click="ignore",
        icon=":material/download:",
        key="ledger_download",
    )
