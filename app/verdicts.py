"""How the result pages show a headline, a table and a chart of the report."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.components import chart, plain
from app.i18n import text
from kasa.report.headline import Headline
from kasa.report.plots import Chart
from kasa.report.tree import Table

COLORS = {
    "better": "green",
    "worse": "orange",
    "equivalent": "blue",
    "cannot_tell": "orange",
    "none": "gray",
}


def show_headline(found: Headline) -> None:
    """Show the verdict's word, its sentences and its cautions, the main sentence largest."""
    with st.container(border=True, key="headline"):
        word = text()(f"verdict.word.{found.verdict}")
        st.markdown(f":{COLORS[found.verdict]}-badge[{word}]")
        first, *others = found.sentences
        st.markdown(f"#### {plain(first)}")
        for sentence in others:
            st.markdown(plain(sentence))
    for caution in found.cautions:
        st.warning(plain(caution), icon=":material/info:")


def show_table(table: Table, key: str) -> None:
    """Show a finished table; it scrolls sideways where the screen is narrow."""
    rows = [[cell.replace("\n", " ") for cell in row] for row in table.rows]
    frame = pd.DataFrame(rows, columns=list(table.header))
    right = {table.header[i]: st.column_config.TextColumn(alignment="right") for i in table.numeric}
    st.dataframe(frame, hide_index=True, column_config=right, key=key, height="content")


def show_chart(shown: Chart, key: str) -> None:
    """Show a chart below its title and the sentence on how to read it."""
    st.markdown(f"**{plain(shown.title)}**  \n{plain(shown.note)}")
    chart(shown.figure, key)
