"""Changing the current study: a draft is edited in place, a started one is copied first."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from app import state
from app.i18n import t
from kasa.dataspec import DataSpec
from kasa.study import Study, study_from_dict

SAMPLES = Path(__file__).resolve().parents[1] / "sample_data"
SAMPLE_STUDIES = {"en": SAMPLES / "work_orders_en.toml", "ja": SAMPLES / "inspection_notes_ja.toml"}


def blank_study() -> Study:
    """Return a study on the embedded model with no data chosen yet."""
    return Study(title=t("home.untitled"), model="embedded", data=DataSpec("", "", ""))


def current_settings() -> Study:
    """Return the current study's settings, or a blank study's."""
    record = state.current_study()
    return record.study if record else blank_study()


def edit(**changes: Any) -> str:
    """Change the current draft's settings and return its id.

    Without a current study a new draft is made; a started study stays as it is and its changed copy
    becomes the current draft.
    """
    record = state.current_study()
    before = current_settings()
    study = replace(before, **changes)
    if study.task != before.task:
        # Another task has methods and metrics of its own.
        gates = replace(study.gates, metric="", metric_min=None)
        study = replace(study, arms=(), gates=gates)
    if record is not None and record.status == "draft":
        state.store().update_study(record.id, study)
        return record.id
    return make_current(study)


def make_current(study: Study) -> str:
    """Keep a new draft and make it the current study."""
    study_id = state.store().create_study(study)
    state.set_current_study(study_id)
    return study_id


def sample_study(lang: str) -> Study:
    """Return the ready study on one of the two sample data sets, its file kept in the workspace."""
    file = SAMPLE_STUDIES[lang]
    study = study_from_dict(tomllib.loads(file.read_text("utf-8")))
    source = SAMPLES / Path(study.data.path).name
    path = state.store().add_dataset(source.name, source.read_bytes())
    data = replace(study.data, path=str(path), sha256=path.parent.name)
    return replace(study, data=data)
