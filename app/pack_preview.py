"""What each file of a meeting pack shows, before it is downloaded."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from app.components import plain
from app.evidence import pack_file, pack_pages
from app.i18n import t
from app.verdicts import show_block
from kasa.report.options import PackOptions
from kasa.verdict.evidence import Evidence

HTML_HEIGHT = 720
MOST_ROWS = 50
# What `pack_file` is asked with: workspace, study, state of its evidence.
Place = tuple[str, str, str]


def show_preview(name: str, evidence: Evidence, place: Place, options: PackOptions) -> None:
    """Show what the file of one format holds; raises what making it raises."""
    PREVIEWS[name](evidence, place, options)


def _slides(evidence: Evidence, _place: Place, options: PackOptions) -> None:
    from kasa.report.pptx import slides

    shown = slides(evidence, options)
    for number, slide in enumerate(shown, 1):
        with st.container(border=True, key=f"slide_{number}"):
            st.caption(t("report_page.slide", number=str(number), count=str(len(shown))))
            st.markdown(f"#### {plain(slide.title)}")
            for part, block in enumerate(slide.blocks):
                show_block(block, f"slide_{number}_{part}")
            if slide.notes:
                with st.expander(t("report_page.notes"), key=f"slide_{number}_notes"):
                    for note in slide.notes:
                        st.markdown(plain(note))


def _pages(_evidence: Evidence, place: Place, options: PackOptions) -> None:
    for picture in pack_pages(*place, options):
        with st.container(border=True):
            st.image(picture, width="stretch")


def _web_page(_evidence: Evidence, place: Place, options: PackOptions) -> None:
    # Its own content security policy lets nothing in it connect or run but its two scripts.
    st.iframe(pack_file(*place, "html", options).decode(), height=HTML_HEIGHT)


def _workbook(evidence: Evidence, _place: Place, options: PackOptions) -> None:
    from kasa.report.xlsx import sheet_tables

    _show_frames(sheet_tables(evidence, options))


def _tables(_evidence: Evidence, place: Place, options: PackOptions) -> None:
    with zipfile.ZipFile(io.BytesIO(pack_file(*place, "csv", options))) as archive:
        frames = {
            name: pd.read_csv(archive.open(name), dtype=str, keep_default_na=False)
            for name in archive.namelist()
        }
    _show_frames(frames)


def _show_frames(frames: dict[str, pd.DataFrame]) -> None:
    """Show each table in a tab of its own, the first rows of a long one."""
    for tab, frame in zip(st.tabs([plain(name) for name in frames]), frames.values(), strict=True):
        with tab:
            # A column of words and numbers is no column for Arrow.
            shown = frame.head(MOST_ROWS).map(lambda cell: "" if pd.isna(cell) else str(cell))
            if len(frame.columns) == 2:  # sentences, which must be read whole
                st.table(shown.map(plain).rename(columns=plain), hide_index=True)
            else:
                st.dataframe(shown, hide_index=True, width="stretch")
            if len(frame) > MOST_ROWS:
                st.caption(t("report_page.first_rows", shown=str(MOST_ROWS), count=str(len(frame))))


def _facts(_evidence: Evidence, place: Place, options: PackOptions) -> None:
    st.json(pack_file(*place, "json", options).decode(), expanded=1)


def _notebook(_evidence: Evidence, place: Place, options: PackOptions) -> None:
    with st.container(border=True, height=HTML_HEIGHT):
        for cell in json.loads(pack_file(*place, "ipynb", options))["cells"]:
            show: Callable[..., Any] = st.code if cell["cell_type"] == "code" else st.markdown
            show("".join(cell["source"]))


PREVIEWS: dict[str, Callable[[Evidence, Place, PackOptions], None]] = {
    "pptx": _slides,
    "pdf": _pages,
    "html": _web_page,
    "xlsx": _workbook,
    "csv": _tables,
    "json": _facts,
    "ipynb": _notebook,
}
