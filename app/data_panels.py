"""What the Data page shows about a file: how it was read, its fit, its problems and its parts."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from numpy.typing import NDArray

from app.components import chart, model_name, plain, show_error
from app.i18n import t, text
from app.state import store
from kasa.data.check import Problem, left_out
from kasa.data.read import Table
from kasa.data.split import PARTS, PreparedRows, class_balance
from kasa.errors import KasaError
from kasa.model.fit import TokenizerFit, fit_sentence, token_lengths, tokenizer_fit
from kasa.model.source import ModelSource, resolve_model
from kasa.report.palette import OTHER_COLORS, apply_theme
from kasa.study import DataSpec

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
PART_COLORS = dict(zip(PARTS, OTHER_COLORS[2::-1], strict=True))
SHOWN_ROWS, SMALL_TEST, LONG_LABEL = 200, 100, 24


def show_reading(table: Table, path: Path) -> None:
    """Say how the file was read, and what was repaired on the way."""
    delimiter = t(f"data_page.{DELIMITERS[table.delimiter]}") if table.delimiter else ""
    encoding = t(f"data_page.encodings.{table.encoding}")
    kind = t(f"data_page.kind_{table.format}", encoding=encoding, delimiter=delimiter)
    rows, columns = (text().number(size) for size in table.frame.shape)
    name = plain(path.name)
    st.caption(t("data_page.read_as", name=name, rows=rows, columns=columns, kind=kind))
    for note in table.notes:
        st.info(plain(note.sentence(text())))


def show_rows(frame: pd.DataFrame, key: str, title: str) -> None:
    """Show rows with the numbers they have in the file; cells appear as plain text."""
    if title:
        st.caption(title)
    shown = frame.rename_axis(index=t("data_page.row"))
    st.dataframe(shown, width="stretch", height="content", key=key)


def show_metrics(values: dict[str, str]) -> None:
    """Show figures side by side, as many as the screen is wide."""
    with st.container(horizontal=True, gap="medium"):
        for name, value in values.items():
            st.metric(name, value, width="content")


@st.cache_data(max_entries=4, show_spinner=False)
def fit(
    _table: Table, data_sha256: str, column: str, _source: ModelSource, model_sha256: str
) -> tuple[TokenizerFit, NDArray[np.int64]]:
    """Return the tokenizer's fit to the texts and every row's length; cached by content."""
    del data_sha256, model_sha256
    texts = _table.frame[column].tolist()
    filled = [words for words in texts if words.strip()]
    return tokenizer_fit(_source, filled), token_lengths(_source, texts)


def show_fit(spec: DataSpec, table: Table, model: str) -> NDArray[np.int64] | None:
    """Say whether the model can read the texts; returns their lengths in tokens."""
    st.subheader(t("data_page.fit"), anchor=False)
    try:
        with st.spinner(t("data_page.reading")):
            source = resolve_model(model, hub_access=store().hub_access())
            found, lengths = fit(table, str(spec.sha256), spec.text, source, source.sha256)
    except KasaError as error:
        show_error(error)
        return None
    sentence = plain(fit_sentence(found, text()))
    if found.readable:
        st.success(sentence, icon=":material/check_circle:")
    else:
        st.warning(sentence, icon=":material/warning:")
    facts = {
        "unknown_share": text().percent(found.unknown_share),
        "median_tokens": t("data_page.tokens", count=text().number(found.median_tokens)),
        "longest_tokens": t("data_page.tokens", count=text().number(found.longest_tokens)),
    }
    show_metrics({t(f"data_page.{name}"): value for name, value in facts.items()})
    st.caption(t("data_page.fit_model", model=model_name(model)))
    return lengths


def show_problems(table: Table, spec: DataSpec, problems: list[Problem]) -> None:
    """Show one line a problem, and behind each the reason, the treatment and the rows."""
    st.subheader(t("data_page.problems"), anchor=False)
    if not problems:
        st.success(t("data_page.no_problems"), icon=":material/check_circle:")
        return
    out = len(left_out(problems))
    total = len(table.frame)
    counts = {"used": total - out, "all": total, "left_out": out}
    shown = {name: text().number(count) for name, count in counts.items()}
    st.markdown(t("data_page.problem_summary", **shown))
    lines = [
        {
            t("data_page.problem"): problem.sentences(text())[0],
            t("data_page.count"): problem.count,
            t("data_page.treatment"): t(f"data.treatments.{problem.treatment}"),
            t("data_page.row_numbers"): ", ".join(map(str, problem.rows[:SHOWN_ROWS])),
        }
        for problem in problems
    ]
    widths = {
        t("data_page.count"): st.column_config.NumberColumn(width="small"),
        t("data_page.row_numbers"): st.column_config.TextColumn(width="large"),
    }
    st.dataframe(
        pd.DataFrame(lines),
        hide_index=True,
        width="stretch",
        column_config=widths,
        key="data_problems",
    )
    for problem in problems:
        name, reason, fix = problem.sentences(text())
        with st.expander(t("data_page.show_rows", name=name), key=f"data_problem_{problem.kind}"):
            st.markdown(f"**{t('data_page.why')}** {reason}")
            st.markdown(f"**{t('data_page.studio_does')}** {fix}")
            rows = table.frame.loc[list(problem.rows[:SHOWN_ROWS]), [spec.text, spec.label]]
            numbers = {"shown": text().number(len(rows)), "count": text().number(problem.count)}
            part = t("data_page.first_shown", **numbers) if problem.count > len(rows) else ""
            show_rows(rows, f"data_rows_{problem.kind}", part)


def show_split(prepared: PreparedRows) -> None:
    """Show the size of each part and how the labels spread over them."""
    values = {t("data_page.num_labels"): text().number(len(prepared.labels))}
    for part in PARTS:
        count = text().number(prepared.sizes[part])
        values[t(f"data.parts.{part}")] = t("data_page.num_rows", count=count)
    show_metrics(values)
    size = prepared.sizes["test"]
    if size < SMALL_TEST:
        step = text().number(100 / size, 1)
        st.info(t("data_page.small_test", count=text().number(size), step=step))
    chart(
        balance_chart(class_balance(prepared.rows)), key="data_balance", alt=t("data_page.balance")
    )


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
