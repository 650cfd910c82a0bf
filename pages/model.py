"""Model: choose the base model and see what it is."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import drafts, state
from app.components import go_to, next_step, page_header, plain, show_error
from app.i18n import t, text
from kasa.errors import KasaError
from kasa.model.source import EMBEDDED, ModelFacts, ModelSource, kind_of, model_facts, resolve_model

KINDS = ("embedded", "folder", "hub")


def chosen_name(current: str, *, hub_access: bool) -> str:
    """Return the model's name from the widgets; empty while it is not complete."""
    current_kind = kind_of(current)
    titles = {kind: t(f"model.choice_{kind}") for kind in KINDS}
    kind = st.radio(
        t("model.choice"),
        KINDS,
        index=KINDS.index(current_kind),
        format_func=titles.__getitem__,
        key="model_choice",
        horizontal=True,
    )
    if kind == "embedded":
        return EMBEDDED
    if kind == "folder":
        known = current if current_kind == "folder" else ""
        folder = st.text_input(
            t("model.folder"), known, key="model_folder", help=t("model.folder_help")
        ).strip()
        if not folder:
            st.info(t("model.no_folder"))
        return folder
    return hub_name(current if current_kind == "hub" else "", hub_access=hub_access)


def hub_name(current: str, *, hub_access: bool) -> str:
    """Ask for a hub id; it counts only after a click, because it starts a download."""
    if not hub_access:
        st.info(t("model.hub_off"))
        if st.button(t("model.hub_settings"), key="model_hub_settings"):
            go_to("pages/settings.py")
        return ""
    name = st.text_input(t("model.hub"), current, key="model_hub", help=t("model.hub_help")).strip()
    if st.button(t("model.hub_fetch"), key="model_hub_fetch", disabled=not name):
        st.session_state["model_fetched"] = name
    if name and name in {current, st.session_state.get("model_fetched")}:
        return name
    st.info(t("model.no_hub"))
    return ""


def show_facts(facts: ModelFacts) -> None:
    """Show the model's facts as figures with their units."""
    words = text()
    linear = sum(weight.num_params for weight in facts.weights)
    st.markdown(
        t(
            "model.summary",
            architecture=plain(facts.architecture),
            layers=facts.num_layers,
            params=words.number(facts.num_total_params),
            count=words.number(len(facts.weights)),
            share=words.percent(linear / max(1, facts.num_total_params), 0),
        )
    )
    limit = facts.max_positions
    figures = (
        ("layers", words.number(facts.num_layers), None),
        ("hidden", words.number(facts.hidden_size), None),
        ("positions", t("model.tokens", count=words.number(limit)) if limit else "", None),
        ("disk", words.bytes(facts.disk_bytes), None),
        ("memory", words.bytes(facts.memory_bytes), t("model.memory_help")),
        (
            "pooling",
            t(f"model.pooling.{facts.pooling}") if facts.pooling else "",
            t("model.pooling_help"),
        ),
    )
    with st.container(horizontal=True):
        for name, value, explained in figures:
            shown = value or t("model.unlimited")
            with st.container(border=True, width=148, height="stretch", gap="small"):
                st.caption(t(f"model.{name}"), help=explained)
                st.markdown(f"**{shown}**")


def show_weights(facts: ModelFacts) -> None:
    """Show every linear weight, and what was left out with its reason."""
    st.subheader(t("model.weights"), anchor=False)
    rows = []
    for weight in facts.weights:
        shape = sizes(weight.shape[::-1] if weight.transposed else weight.shape)
        layer = t("model.outside") if weight.layer is None else str(weight.layer)
        notes = [name for name in ("transposed", "fused") if getattr(weight, name)]
        for note in notes:
            shape = t(f"model.{note}", shape=shape)
        rows.append((layer, weight.kind, shape, weight.num_params, weight.dtype, weight.module))
    names = ("layer", "kind", "shape", "params", "dtype", "module")
    titles = {name: t(f"model.column_{name}") for name in names}
    st.dataframe(
        pd.DataFrame(rows, columns=list(titles.values())),
        hide_index=True,
        width="stretch",
        key="model_weights",
        column_config={titles["params"]: st.column_config.NumberColumn(format="localized")},
    )
    if not facts.skipped:
        return
    with st.expander(t("model.skipped", count=text().number(len(facts.skipped)))):
        left_out = [
            (skip.name, sizes(skip.shape), t(f"model.skipped.{skip.reason}"))
            for skip in facts.skipped
        ]
        columns = [t(f"model.column_{name}") for name in ("module", "shape", "reason")]
        frame = pd.DataFrame(left_out, columns=columns)
        st.dataframe(frame, hide_index=True, width="stretch", key="model_skipped")


def sizes(shape: tuple[int, ...]) -> str:
    """Return a shape as 384 × 1,536."""
    return " × ".join(text().number(size) for size in shape)


def use_button(source: ModelSource) -> None:
    """Offer to make this model the study's, or say that it is."""
    name = str(source.folder) if source.kind == "folder" else source.name
    record = state.current_study()
    if record is not None and record.study.model == name:
        st.success(t("model.in_use"), icon=":material/check_circle:")
        next_step("shell.next.spectrum", "pages/spectrum.py")
        return
    if record is not None and record.status != "draft":
        st.info(t("model.started"))
    if st.button(t("model.use"), key="use_model", type="primary"):
        drafts.edit(model=name)
        st.rerun()


page_header("model.title", "model.lead")
hub_access = state.store().hub_access()
name = chosen_name(drafts.current_settings().model, hub_access=hub_access)
if name:
    try:
        with st.spinner(t("model.reading")):
            source = resolve_model(name, hub_access=hub_access)
            facts = model_facts(source)
    except KasaError as error:
        show_error(error)
    else:
        show_facts(facts)
        use_button(source)
        show_weights(facts)
        st.caption(t("model.hash", sha256=source.sha256))
        if source.kind != "embedded":
            st.caption(t("model.place", folder=source.folder))
