"""What the Data page shows about a file: how it was read, its fit, and its rows as plain text."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from app.components import model_name, plain, show_error
from app.data_source import DELIMITER_NAMES
from app.i18n import t, text
from app.state import store
from kasa.data.check import TokenFacts
from kasa.data.personal import mask_personal
from kasa.data.read import Table
from kasa.data.rows import joined_text
from kasa.dataspec import DataSpec
from kasa.errors import KasaError
from kasa.model.fit import TokenizerFit, fit_sentence, token_counts, tokenizer_fit
from kasa.model.source import ModelSource, resolve_model


def show_reading(table: Table, path: Path) -> None:
    """Say how the file was read, and what was repaired on the way."""
    delimiter = t(f"data_page.{DELIMITER_NAMES[table.delimiter]}") if table.delimiter else ""
    encoding = t(f"data_page.encodings.{table.encoding}")
    kind = t(f"data_page.kind_{table.format}", encoding=encoding, delimiter=delimiter)
    rows, columns = (text().number(size) for size in table.frame.shape)
    name = plain(path.name)
    st.caption(t("data_page.read_as", name=name, rows=rows, columns=columns, kind=kind))
    for note in table.notes:
        st.info(plain(note.sentence(text())))


def show_rows(frame: pd.DataFrame, key: str, title: str, *, mask: bool) -> None:
    """Show rows with the numbers they have in the file; cells appear as plain text.

    With `mask`, likely personal data is replaced by what it is.
    """
    if title:
        st.caption(title)
    shown = frame.map(mask_personal) if mask else frame
    shown = shown.rename_axis(index=t("data_page.row"))
    st.dataframe(shown, width="stretch", height="content", key=key)


def show_metrics(values: dict[str, str]) -> None:
    """Show figures side by side, as many as the screen is wide."""
    with st.container(horizontal=True, gap="medium"):
        for name, value in values.items():
            st.metric(name, value, width="content")


@st.cache_data(max_entries=4, show_spinner=False)
def fit(
    _table: Table, spec: DataSpec, _source: ModelSource, model_sha256: str, max_tokens: int
) -> tuple[TokenizerFit, TokenFacts]:
    """Return the tokenizer's fit to the texts and every row's tokens; cached by content."""
    del model_sha256
    column = joined_text(_table, spec) if spec.text else _table.frame[str(spec.prompt)]
    texts = column.tolist()
    counts = token_counts(_source, texts)
    found = tokenizer_fit(_source, [words for words in texts if words.strip()])
    return found, TokenFacts(counts[:, 0], counts[:, 1], max_tokens)


def show_fit(spec: DataSpec, table: Table, model: str, max_tokens: int) -> TokenFacts | None:
    """Say whether the model can read the texts; returns each row's tokens."""
    st.subheader(t("data_page.fit"), anchor=False)
    try:
        with st.spinner(t("data_page.reading")):
            source = resolve_model(model, hub_access=store().hub_access())
            found, facts = fit(table, spec, source, source.sha256, max_tokens)
    except KasaError as error:
        show_error(error)
        return None
    sentence = plain(fit_sentence(found, text()))
    if found.readable:
        st.success(sentence, icon=":material/check_circle:")
    else:
        st.warning(sentence, icon=":material/warning:")
    figures = {
        "unknown_share": text().percent(found.unknown_share),
        "median_tokens": t("data_page.tokens", count=text().number(found.median_tokens)),
        "longest_tokens": t("data_page.tokens", count=text().number(found.longest_tokens)),
    }
    show_metrics({t(f"data_page.{name}"): value for name, value in figures.items()})
    st.caption(t("data_page.fit_model", model=model_name(model)))
    return facts
