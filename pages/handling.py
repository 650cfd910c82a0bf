"""Data handling: what was done with a study's data, the data files kept, and the log."""

from __future__ import annotations

import streamlit as st

from app.components import page_header
from app.dataset_list import show_datasets
from app.evidence import current_evidence, logged
from app.i18n import t, text
from app.ledger_panel import show_ledger
from app.verdicts import show_block
from kasa.report.handling import handling_section
from kasa.report.tree import Table

page_header("handling_page.title", "handling_page.lead")
evidence = current_evidence()
if evidence is None:
    st.info(t("handling_page.no_study"), icon=":material/info:")
else:
    section = handling_section(logged(evidence.record.id), text())
    st.subheader(t("handling_page.this_study"), anchor=False)
    # The study's entries stand in the log below, with those of other studies.
    for place, block in enumerate(section.blocks):
        if not isinstance(block, Table):
            show_block(block, f"handling_{place}")
show_datasets()
show_ledger()
