"""The Spectrum page's plan: proposals side by side; one is scaled, edited and saved as an arm."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app import drafts, state
from app.components import plain
from app.i18n import t, text
from app.spectrum_cache import Proposal, proposals_of
from app.spectrum_cuts import fine_percent, rule_name
from kasa.spectral.plans import adapted, plan_totals, scaled, with_planned, within
from kasa.spectral.spectrum import Spectrum
from kasa.spectral.truncation import CRITERIA, Options


def show_plan(path: str, spectra: Sequence[Spectrum], options: Options) -> None:
    """Show what each criterion would remove from the model, and a plan to edit and to save."""
    st.subheader(t("spectrum.plan.title"), anchor=False)
    size = sum(s.singular_values.size for s in spectra)
    st.markdown(t("spectrum.plan.lead", full=text().number(size)))
    proposals = proposals_of(path, options)
    show_proposals(proposals, options)
    sides = st.columns(2)
    names = {criterion: rule_name(criterion, options) for criterion in CRITERIA}
    criterion = sides[0].selectbox(
        t("spectrum.plan.criterion"),
        list(names),
        index=list(names).index("energy"),
        format_func=names.__getitem__,
        key="plan_criterion",
    )
    percent = sides[1].slider(t("spectrum.plan.scale"), 0, 200, 100, 5, "%d%%", key="plan_scale")
    everything = st.toggle(t("spectrum.plan.all"), key="plan_all", help=t("spectrum.plan.all_help"))
    weights = list(spectra) if everything else adapted(spectra, kasa_targets())
    proposal = scaled(weights, proposals[criterion].plan, percent / 100)
    plan = edit_plan(weights, proposal)
    show_totals(weights, plan)
    offer(plan, plan_name(names[criterion], percent, is_edited=plan != proposal))


def show_proposals(proposals: Mapping[str, Proposal], options: Options) -> None:
    """Show one line per criterion: what it removes from all weights, and what it assumes."""
    words = text()
    rows = [
        (
            rule_name(criterion, options),
            words.number(each.totals.num_removed),
            words.percent(each.totals.share_removed),
            fine_percent(each.totals.energy_kept),
            words.percent(each.totals.relative_change, 3),
            t(f"spectral.criterion.{criterion}.assumes"),
        )
        for criterion, each in proposals.items()
    ]
    names = ("rule", "removed", "share", "energy", "change", "assumes")
    frame = pd.DataFrame(rows, columns=[t(f"spectrum.column_{name}") for name in names])
    wide = {t("spectrum.column_assumes"): st.column_config.TextColumn(width="large")}
    st.dataframe(frame, hide_index=True, width="stretch", key="plan_proposals", column_config=wide)


def kasa_targets() -> tuple[str, ...]:
    """Return the layers that the study's first KaSA arm adapts; empty for the usual ones."""
    arms = drafts.current_settings().arms
    return next((arm.target_modules for arm in arms if arm.method == "kasa"), ())


def edit_plan(weights: Sequence[Spectrum], proposal: Mapping[str, int]) -> dict[str, int]:
    """Show the proposal as a table whose numbers can be changed; returns the plan as it stands."""
    key = editor_key(proposal)
    changed = with_edits(weights, proposal, st.session_state.get(key))
    frame = pd.DataFrame(
        {
            "layer": ["–" if s.layer is None else str(s.layer) for s in weights],
            "weight": [s.kind for s in weights],
            "full": [s.singular_values.size for s in weights],
            "removed": [proposal[s.module] for s in weights],
            "energy": [
                fine_percent(float(s.energies[s.singular_values.size - changed[s.module] - 1]))
                for s in weights
            ],
        }
    )
    largest = int(frame["full"].max())
    titles = {name: t(f"spectrum.column_{name}") for name in frame.columns}
    columns: dict[str, Any] = {name: st.column_config.Column(titles[name]) for name in titles}
    columns["removed"] = st.column_config.NumberColumn(
        titles["removed"], min_value=0, max_value=largest - 1, step=1, required=True
    )
    st.caption(t("spectrum.plan.edit"))
    shown = st.data_editor(
        frame,
        hide_index=True,
        width="stretch",
        key=key,
        column_config=columns,
        disabled=[name for name in titles if name != "removed"],
    )
    # An emptied cell is as good as no edit.
    asked = [int(count) for count in shown["removed"].fillna(frame["removed"])]
    plan = {
        s.module: within(count, s.singular_values.size)
        for s, count in zip(weights, asked, strict=True)
    }
    if list(plan.values()) != asked:
        st.warning(t("spectrum.plan.too_many"), icon=":material/info:")
    return plan


def editor_key(proposal: Mapping[str, int]) -> str:
    """Return the editor's key: another proposal starts without the edits of the one before."""
    return f"plan_{hashlib.sha256(repr(sorted(proposal.items())).encode()).hexdigest()[:8]}"


def with_edits(
    weights: Sequence[Spectrum], proposal: Mapping[str, int], edits: Any
) -> dict[str, int]:
    """Return the proposal with what was typed into the editor's table, held to what is possible.

    `edits` is the editor's own state, {"edited_rows": {row: {column: value}}}, or None.
    """
    rows = (edits or {}).get("edited_rows", {})
    typed = {weights[int(row)].module: cells.get("removed") for row, cells in rows.items()}
    return {
        s.module: within(
            proposal[s.module] if typed.get(s.module) is None else int(typed[s.module]),
            s.singular_values.size,
        )
        for s in weights
    }


def show_totals(weights: Sequence[Spectrum], plan: Mapping[str, int]) -> None:
    """Say in a sentence what the plan does to its weights together."""
    totals, words = plan_totals(weights, plan), text()
    st.markdown(
        t(
            "spectrum.plan.totals",
            weights=words.number(len(weights)),
            removed=words.number(totals.num_removed),
            full=words.number(totals.num_components),
            share=words.percent(totals.share_removed),
            energy=fine_percent(totals.energy_kept),
            change=words.percent(totals.relative_change, 3),
        )
    )


def plan_name(rule: str, percent: int, *, is_edited: bool) -> str:
    """Return a plan's name: the criterion's, and what was done to its proposal."""
    if percent != 100:
        rule = t("spectrum.plan.scaled", name=rule, percent=text().percent(percent / 100, 0))
    return t("spectrum.plan.edited", name=rule) if is_edited else rule


def offer(plan: Mapping[str, int], name: str) -> None:
    """Offer to add a KaSA arm with the plan to the study, and say what was saved."""
    record = state.current_study()
    started = record is not None and record.status != "draft"
    if started:
        st.caption(t("spectrum.plan.will_copy"))
    if not st.button(t("spectrum.plan.add"), key="plan_add", icon=":material/add:"):
        return
    arms = with_planned(drafts.current_settings().arms, plan, name)
    drafts.edit(arms=arms)
    count, weights = text().number(sum(plan.values())), text().number(len(plan))
    saved = t("spectrum.plan.saved", name=plain(name), count=count, weights=weights)
    copied = [t("spectrum.plan.copied")] if started else []
    st.success("\n\n".join([saved, *copied, t("spectrum.plan.measured")]))
