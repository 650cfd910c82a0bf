"""How the result pages show a headline, a table and a chart of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from app.components import chart, plain
from app.i18n import text
from kasa.report.headline import Headline
from kasa.report.plots import Chart
from kasa.report.sections import gates_table
from kasa.report.tree import Block, Bullets, Charts, Table
from kasa.verdict.evidence import Evidence

GATES = {"met": "green", "not_met": "red", "not_settled": "orange"}
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


def show_table(table: Table, key: str, badges: Mapping[str, str] | None = None) -> None:
    """Show a finished table whose cells wrap on a phone and can be searched in the browser.

    `badges` maps a cell's first line to the colour it is shown in.
    """
    rows = [[_cell(cell, badges or {}) for cell in row] for row in table.rows]
    with st.container(key=key):
        st.table(
            pd.DataFrame(rows, columns=[plain(name) for name in table.header]), hide_index=True
        )


def transposed(table: Table) -> Table:
    """Return the table with a column per row, so that what is compared stands side by side."""
    names, *columns = zip(*table.rows, strict=True)
    first, *header = table.header
    rows = tuple((name, *column) for name, column in zip(header, columns, strict=True))
    return Table((first, *names), rows)


def _cell(words: str, badges: Mapping[str, str]) -> str:
    first, *others = words.split("\n")
    lines = [plain(line) for line in others]
    shown = f":{badges[first]}-badge[{plain(first)}]" if first in badges else plain(first)
    return "  \n".join([shown, *lines])


def show_gates(evidence: Evidence) -> None:
    """Show every method against every requirement, met and not met in colour and in words."""
    badges = {text()(f"verdict.gate_status.{name}"): color for name, color in GATES.items()}
    show_table(gates_table(evidence, text()), "gates_table", badges)


def show_chart(shown: Chart, key: str, **options: Any) -> object:
    """Show a chart below its title and the sentence on how to read it; returns its answer."""
    st.markdown(f"**{plain(shown.title)}**  \n{plain(shown.note)}")
    return chart(shown.figure, key, alt=f"{shown.title}. {shown.note}", **options)


def clicked(answer: Any) -> list[str]:
    """Return the names that the clicked marks of a chart with `on_select` carry."""
    return [point["customdata"][0] for point in answer.selection.points if point.get("customdata")]


def show_block(block: Block, key: str) -> None:
    """Show one block of the report; of several charts those with numbers, else the first."""
    if isinstance(block, Table):
        show_table(block, key)
    elif isinstance(block, Charts):
        charts = [one for one in block.charts if one.data] or list(block.charts[:1])
        for place, one in enumerate(charts):
            show_chart(one, f"{key}_{place}")
    elif isinstance(block, Bullets):
        st.markdown("\n".join(f"- {plain(item)}" for item in block.items))
    elif block.small:
        st.caption(plain(block.text))
    else:
        st.markdown(plain(block.text))
