"""How rows are divided, how large the parts are, and whether the test part can settle a gate."""

from __future__ import annotations

import html
from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.components import chart, plain
from app.data_panels import show_metrics
from app.data_source import choose_test_file
from app.i18n import t, text
from kasa.data.personal import masked_labels
from kasa.data.split import PARTS, PreparedRows, class_balance, half_width, rows_needed
from kasa.dataspec import DataSpec
from kasa.report.palette import OTHER_COLORS, apply_theme
from kasa.study import Protocol, Study

PART_COLORS = dict(zip(PARTS, OTHER_COLORS[2::-1], strict=True))
LONG_LABEL = 24
MOST_BARS = 60
# An accuracy known to ± 5 points is enough for most decisions.
WANTED_HALF_WIDTH = 0.05


def choose_split(study: Study, spec: DataSpec) -> tuple[DataSpec, Protocol]:
    """Return the spec and the protocol with the way and the shares of the division."""
    st.subheader(t("data_page.split"), anchor=False)
    st.markdown(t("data_page.split_lead"))
    protocol = study.protocol
    open_ways = ("label", *(way for way in ("group", "date") if getattr(spec, way)), "file")
    ways = {way: t(f"data_page.split_by_{way}") for way in open_ways}
    if spec.split:
        st.info(plain(t("data_page.split_given", column=spec.split)))
    else:
        current = study.data if study.data.path == spec.path else spec
        start = "file" if current.test_path else current.split_by
        way = st.radio(
            t("data_page.split_way"),
            list(ways),
            index=list(ways).index(start) if start in ways else 0,
            format_func=ways.__getitem__,
            key="data_split_way",
            help=t("data_page.split_way_help"),
        )
        if way == "file":
            tested = choose_test_file(study, spec)
            if tested is not None:
                spec = replace(spec, test_path=str(tested), test_sha256=tested.parent.name)
        else:
            spec = replace(spec, split_by=way)
    shares = {}
    shown = ("validation",) if spec.test_path else ("validation", "test")
    for place, part in zip(st.columns(2), shown, strict=False):
        percent = min(40, max(5, round(100 * getattr(protocol, f"{part}_fraction"))))
        label = t(f"data_page.{part}_share")
        shares[f"{part}_fraction"] = (
            place.slider(label, 5, 40, percent, key=f"data_{part}_share") / 100
        )
    return spec, replace(protocol, **shares)


def show_split(prepared: PreparedRows, gate: float | None, *, mask: bool) -> None:
    """Show the size of each part, how the labels spread over them, and what the test can settle."""
    values = {}
    if prepared.labels:
        values[t("data_page.num_labels")] = text().number(len(prepared.labels))
    for part in PARTS:
        count = text().number(prepared.sizes[part])
        values[t(f"data.parts.{part}")] = t("data_page.num_rows", count=count)
    show_metrics(values)
    if not prepared.labels:
        return
    say_precision(prepared.sizes["test"], gate)
    balance = class_balance(prepared.rows)
    if len(balance) > MOST_BARS:
        st.caption(t("data_page.balance_first", shown=MOST_BARS, count=len(balance)))
        balance = balance.loc[balance.sum(axis=1).nlargest(MOST_BARS).index]
    if mask:
        balance = balance.rename(index=masked_labels(prepared.labels))
    chart(balance_chart(balance), key="data_balance", alt=t("data_page.balance"))


def say_precision(size: int, gate: float | None) -> None:
    """Warn where the test part is too small to settle the gate, with the rows that would."""
    share = gate if gate is not None else 0.8
    wide = half_width(share, size)
    if wide <= WANTED_HALF_WIDTH:
        return
    words = text()
    facts = {
        "count": words.number(size),
        "share": words.percent(share, 0),
        "wide": words.number(100 * wide, 1),
        "wanted": words.number(100 * WANTED_HALF_WIDTH),
        "needed": words.number(rows_needed(share, WANTED_HALF_WIDTH)),
    }
    st.info(t(f"data_page.small_test{'' if gate is None else '_gate'}", **facts))


def balance_chart(balance: pd.DataFrame) -> go.Figure:
    """Return stacked bars, a label each; a label's own text is escaped, for plotly reads HTML."""
    names = [html.escape(str(label), quote=False) for label in balance.index]
    short = [
        html.escape(
            str(label)[:LONG_LABEL] + ("…" if len(str(label)) > LONG_LABEL else ""), quote=False
        )
        for label in balance.index
    ]
    figure = go.Figure(
        [
            go.Bar(
                name=t(f"data.parts.{part}"),
                x=balance[part],
                y=list(range(len(balance))),
                customdata=names,
                orientation="h",
                marker={"color": PART_COLORS[part]},
                hovertemplate="%{customdata}<br>%{x}",
            )
            for part in PARTS
        ]
    )
    figure.update_layout(
        barmode="stack", legend_traceorder="normal", xaxis_title=t("data_page.balance")
    )
    apply_theme(figure, height=130 + 26 * len(balance))
    figure.update_yaxes(
        tickvals=list(range(len(balance))), ticktext=short, autorange="reversed", showgrid=False
    )
    return figure
