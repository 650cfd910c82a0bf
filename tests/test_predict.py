"""A tuned run asked again: the saved adapter answers as the run itself did."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kasa.arms import Arm
from kasa.dataspec import DataSpec
from kasa.errors import StoreError
from kasa.model.source import ModelSource, resolve_model
from kasa.study import Protocol, Study
from kasa.tuning.outcome import Outcome, Part, Parts
from kasa.tuning.predict import predict_base, predict_tuned
from kasa.tuning.train import run_frozen_head
from kasa.tuning.train import run_tuned as run_over_rates
from tests.tiny_models import run_folder, small_runs, work_orders

ARMS = (
    Arm("lora", rank=4),
    Arm("kasa", rank=4, removed_components=12, alpha=3),
    Arm("kasa", rank=2, target_modules=("query", "intermediate.dense")),
)


def study_of(source: ModelSource, arms: tuple[Arm, ...], rates: tuple[float, ...]) -> Study:
    protocol = Protocol(profile="quick", epochs=1, learning_rates=rates, max_length=32)
    return Study("Again", source.name, DataSpec("rows.csv", "text", "crew"), arms, protocol)


def run_tuned(
    source: ModelSource, parts: Parts, study: Study, arm: Arm, seed: int, folder: Path
) -> Outcome:
    """Run an arm over the study's own learning rates for it."""
    rates = study.learning_rates(arm)
    return run_over_rates(source, parts, study.protocol, arm, rates, seed, folder)


def assert_same(
    source: ModelSource, study: Study, arm: int, folder: Path, outcome: Outcome, parts: Parts
) -> None:
    """The saved run must answer the test rows as it did when it was measured."""
    table = outcome.answers.table
    found = predict_tuned(source, study, parts, arm, folder, parts.test.texts)
    assert [each["label"] for each in found] == list(table["predicted"])
    confidences = [each["confidence"] for each in found]
    np.testing.assert_allclose(confidences, table["confidence"], atol=1e-4)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with small_runs():
        yield


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("arm", range(len(ARMS)))
def test_a_saved_run_answers_as_it_was_measured(
    tmp_path: Path, source: ModelSource, parts: Parts, arm: int, precision: str
) -> None:
    """The best rate is the first of the grid, so the last model alone would not do."""
    study = study_of(source, ARMS, (1e-3, 5e-2))
    folder = run_folder(tmp_path, "run", precision)
    outcome = run_tuned(source, parts, study, ARMS[arm], 0, folder)
    assert outcome.selected == {"learning_rate": 1e-3}
    assert_same(source, study, arm, folder, outcome, parts)
    table = outcome.answers.table
    base = predict_base(source, study, parts, parts.test.texts)
    assert np.abs(table["confidence"] - [each["confidence"] for each in base]).max() > 1e-3


def test_the_adapter_in_the_folder_is_what_answers(
    tmp_path: Path, source: ModelSource, parts: Parts
) -> None:
    study = study_of(source, ARMS, (5e-2,))
    outcomes = []
    for seed in (0, 1):
        folder = run_folder(tmp_path / str(seed), "run")
        outcomes.append(run_tuned(source, parts, study, ARMS[1], seed, folder))
    theirs, ours = (tmp_path / str(seed) / "runs" / "run" for seed in (0, 1))
    confidences = [outcome.answers.table["confidence"].to_numpy() for outcome in outcomes]
    assert np.abs(confidences[0] - confidences[1]).max() > 1e-2
    shutil.copytree(theirs, ours, dirs_exist_ok=True)
    assert_same(source, study, 1, ours, outcomes[0], parts)


def test_the_base_beside_it_is_the_frozen_head(source: ModelSource, parts: Parts) -> None:
    study = study_of(source, ARMS, (1e-3,))
    table = run_frozen_head(source, parts, study.protocol).answers.table
    found = predict_base(source, study, parts, parts.test.texts)
    assert [each["label"] for each in found] == list(table["predicted"])
    np.testing.assert_allclose(
        [each["confidence"] for each in found], table["confidence"], atol=1e-5
    )


def test_two_classes_and_one_text_are_enough(tmp_path: Path, source: ModelSource) -> None:
    three = work_orders()
    few = [
        Part(
            *(
                tuple(v for v, y in zip(column, part.labels, strict=True) if y < 2)
                for column in each
            )
        )
        for part in (three.train, three.validation, three.test)
        for each in [(part.rows, part.texts, part.labels)]
    ]
    parts = Parts(*few, labels=("制御", "電気"))
    study = study_of(source, ARMS, (1e-3,))
    folder = run_folder(tmp_path, "run")
    outcome = run_tuned(source, parts, study, ARMS[1], 0, folder)
    assert len(outcome.answers.table) == 16
    assert outcome.answers.table["confidence"].between(0.5, 1).all()
    assert_same(source, study, 1, folder, outcome, parts)
    (answer,) = predict_tuned(source, study, parts, 1, folder, [parts.test.texts[0]])
    assert answer["label"] in {"制御", "電気"}
    assert 0.5 <= answer["confidence"] <= 1
    assert json.loads((folder / "labels.json").read_text("utf-8")) == ["制御", "電気"]


def test_a_run_without_a_tuned_model_says_so(
    tmp_path: Path, source: ModelSource, parts: Parts
) -> None:
    with pytest.raises(StoreError) as caught:
        predict_tuned(source, study_of(source, ARMS, (1e-3,)), parts, 0, tmp_path, ["oil leak"])
    assert caught.value.code == "no_tuned_model"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "kasa"])
def test_the_embedded_model_answers_as_it_was_measured(
    tmp_path: Path, parts: Parts, method: str
) -> None:
    embedded = resolve_model("embedded")
    study = study_of(embedded, (Arm(method),), (3e-3,))
    folder = run_folder(tmp_path, "run")
    outcome = run_tuned(embedded, parts, study, study.arms[0], 0, folder)
    assert_same(embedded, study, 0, folder, outcome, parts)
