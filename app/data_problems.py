"""The Data page's problems: what is wrong in which rows, and a switch for mending each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from app.data_panels import show_rows
from app.i18n import t, text
from app.state import current_study_id
from kasa.data.personal import mask_personal
from kasa.data.problems import KINDS, RECOMMENDED, Problem, active_kinds
from kasa.data.read import Table
from kasa.dataspec import DataSpec
from kasa.study import Study

SHOWN_ROWS = 200
SWITCHED = tuple(name for name, kind in KINDS.items() if kind.fix != "none" and not kind.locked)


def _key(sha256: str | None) -> str:
    # A file may be in several studies, each with its own decisions.
    return f"data_fixes_{str(sha256)[:12]}_{current_study_id() or 'new'}"


def masked(sha256: str) -> bool:
    """Return whether likely personal data of a file is hidden; so it is until somebody decides."""
    return bool(st.session_state.get(f"{_key(sha256)}_mask", True))


def choose_fixes(study: Study, spec: DataSpec) -> DataSpec:
    """Return the spec with the fixes and the masking that the switches below stand at."""
    own = study.data if study.data.path == spec.path else spec
    key = _key(spec.sha256)
    if key not in st.session_state:
        st.session_state[key] = sorted(active_kinds(own) & set(SWITCHED))
        st.session_state[f"{key}_mask"] = own.mask
    chosen = tuple(name for name in SWITCHED if name in st.session_state[key])
    fixes = None if set(chosen) == set(RECOMMENDED) else chosen
    return replace(spec, fixes=fixes, mask=st.session_state[f"{key}_mask"])


def _switch(key: str, kind: str, widget: str) -> None:
    kept = set(st.session_state[key]) - {kind}
    st.session_state[key] = sorted(kept | ({kind} if st.session_state[widget] else set()))


def _switch_all(key: str, kinds: tuple[str, ...]) -> None:
    st.session_state[key] = sorted(set(kinds) & set(SWITCHED))
    for kind in SWITCHED:
        st.session_state.pop(f"{key}_{kind}", None)


def show_problems(
    table: Table, spec: DataSpec, problems: Sequence[Problem], num_rows: int, num_used: int
) -> None:
    """Show one line a problem, and behind each the reason, the rows and the switch."""
    st.subheader(t("data_page.problems"), anchor=False)
    show_mask(spec)
    if not problems:
        st.success(t("data_page.no_problems"), icon=":material/check_circle:")
        return
    counts = {"used": num_used, "all": num_rows, "left_out": num_rows - num_used}
    shown = {name: text().number(count) for name, count in counts.items()}
    st.markdown(t("data_page.problem_summary", **shown))
    lines = [
        {
            t("data_page.problem"): problem.sentences(text())[0],
            t("data_page.count"): problem.count,
            t("data_page.treatment"): t(f"data.treatments.{problem.treatment}"),
            t("data_page.row_numbers"): row_numbers(problem),
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
    key = _key(spec.sha256)
    with st.container(horizontal=True):
        st.button(
            t("data_page.fix_recommended"),
            key="data_fix_recommended",
            on_click=_switch_all,
            args=(key, RECOMMENDED),
            disabled=spec.fixes is None,
        )
        st.button(
            t("data_page.fix_none"),
            key="data_fix_none",
            on_click=_switch_all,
            args=(key, ()),
            disabled=spec.fixes == (),
        )
    for problem in problems:
        _show_problem(table, spec, problem)


def show_mask(spec: DataSpec) -> None:
    """Show the switch that hides likely personal data wherever rows are shown."""
    key = f"{_key(spec.sha256)}_mask"
    widget = f"{key}_switch"
    st.toggle(
        t("data_page.mask"),
        value=st.session_state[key],
        key=widget,
        help=t("data_page.mask_help"),
        on_change=lambda: st.session_state.update({key: st.session_state[widget]}),
    )


def row_numbers(problem: Problem) -> str:
    """Return the first row numbers, those of the person's test file named as such."""
    numbers = ", ".join(map(str, problem.rows[:SHOWN_ROWS]))
    if not problem.test_rows:
        return numbers
    tested = t("data_page.in_test_file", rows=", ".join(map(str, problem.test_rows[:SHOWN_ROWS])))
    return f"{numbers}; {tested}" if numbers else tested


def _show_problem(table: Table, spec: DataSpec, problem: Problem) -> None:
    name, reason, fix = problem.sentences(text())
    kind, key = KINDS[problem.kind], _key(spec.sha256)
    with st.expander(t("data_page.show_rows", name=name), key=f"data_problem_{problem.kind}"):
        st.markdown(f"**{t('data_page.why')}** {reason}")
        does = "studio_does" if problem.applied or kind.fix == "none" else "would_do"
        st.markdown(f"**{t(f'data_page.{does}')}** {fix}")
        if kind.fix != "none":
            widget = f"{key}_{problem.kind}"
            st.toggle(
                t("data_page.fix"),
                value=problem.applied,
                key=widget,
                disabled=kind.locked,
                help=t("data_page.fix_locked") if kind.locked else None,
                on_change=_switch,
                args=(key, problem.kind, widget),
            )
        # With the masks on, personal data looks the same before and after.
        if problem.examples and not (spec.mask and problem.kind == "personal_data"):
            _show_changes(problem, spec)
        rows = table.frame.loc[list(problem.rows[:SHOWN_ROWS]), spec.columns()]
        numbers = {"shown": text().number(len(rows)), "count": text().number(problem.count)}
        part = t("data_page.first_shown", **numbers) if problem.count > len(rows) else ""
        if len(rows):
            show_rows(rows, f"data_rows_{problem.kind}", part, mask=spec.mask)


def _show_changes(problem: Problem, spec: DataSpec) -> None:
    """Show cells before and after a change, blanks and hidden letters made visible."""
    hide = mask_personal if spec.mask else str
    rows = [
        (row, visible(hide(before)), visible(hide(after)))
        for row, before, after in problem.examples
    ]
    titles = [t(f"data_page.{name}") for name in ("row", "before", "after")]
    frame = pd.DataFrame(rows, columns=titles)
    st.dataframe(frame, hide_index=True, width="stretch", key=f"data_changes_{problem.kind}")


def visible(cell: str) -> str:
    """Return a cell in which every blank but the plain space can be seen."""
    marks = {"\n": "⏎", "\r": "⏎", "\t": "⇥", "\u3000": "□", "\u00a0": "⍽"}
    return "".join(
        marks.get(letter, letter if letter.isprintable() else f"⟨U+{ord(letter):04X}⟩")
        for letter in cell
    )
