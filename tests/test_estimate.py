"""The estimate: its arithmetic by hand, what needs a new probe, and a real probe of every arm."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kasa.arms import Arm, curve_arms
from kasa.dataspec import DataSpec
from kasa.jobs import estimate as estimate_job
from kasa.model.source import ModelSource
from kasa.runs.job import Job, JobCancelled, read_events
from kasa.study import Gates, Prices, Protocol, Study
from kasa.tuning.answers import Answers
from kasa.tuning.estimate import (
    Estimate,
    extrapolate,
    makespan,
    probe_key,
    study_memory_bytes,
    study_seconds,
)
from kasa.tuning.heads import HeadTask
from kasa.tuning.outcome import Part
from tests.tiny_models import CREWS, WORK_ORDERS, run_folder, small_runs, write_tiny_bert

ARMS = (Arm("kasa", rank=4), Arm("lora", rank=4), Arm("frozen_head"), Arm("tfidf"))
STUDY = Study(
    title="By hand",
    model="embedded",
    data=DataSpec("rows.csv", "text", "crew", sha256="abc"),
    arms=ARMS,
    protocol=Protocol(
        profile="quick", seeds=(0, 1, 2), learning_rates=(1e-3, 3e-3), epochs=5, batch_size=16
    ),
)
MEASURED: dict[str, Any] = {
    "rows": {"train": 100, "validation": 40, "test": 50},
    "startup_seconds": 8.0,
    "base_seconds": 3.0,
    "answer_seconds_per_row": 0.01,
    "arms": {
        "kasa-r4": {"prepare_seconds": 2.0, "step_seconds": 0.1, "peak_memory_bytes": 900},
        "lora-r4": {"prepare_seconds": 0.5, "step_seconds": 0.08, "peak_memory_bytes": 800},
        "frozen_head": {"run_seconds": 3.5, "peak_memory_bytes": 700},
        "tfidf": {"run_seconds": 0.2, "peak_memory_bytes": 300},
    },
}


def test_the_arithmetic_by_hand() -> None:
    """Steps: 5 · ⌈100/16⌉ = 35. KaSA: 8 + 3 + 2·(2 + 35·0.1 + 5·40·0.01) + 50·0.01 = 26.5 s."""
    found = {each.arm: each for each in extrapolate(STUDY, MEASURED)}
    assert list(found) == ["kasa-r4", "lora-r4", "frozen_head", "tfidf"]
    assert found["kasa-r4"].run_seconds == pytest.approx(26.5)
    assert found["lora-r4"].run_seconds == pytest.approx(8 + 3 + 2 * (0.5 + 2.8 + 2) + 0.5)
    assert found["frozen_head"].run_seconds == pytest.approx(8 + 3.5)
    assert found["tfidf"].run_seconds == pytest.approx(0.2)
    assert [each.peak_memory_bytes for each in found.values()] == [900, 800, 700, 300]
    assert found["kasa-r4"].total_seconds == pytest.approx(3 * 26.5)
    assert {each.num_runs for each in found.values()} == {3}


def test_points_of_curves_cost_their_rows_and_need_no_probe_of_their_own() -> None:
    """A quarter of 100 rows are ⌈25/16⌉ = 2 steps, five times. Wrong labels cost what right do."""
    points = curve_arms(ARMS[:1], (0.25,), (0.3,)) + curve_arms(ARMS[3:], (0.5,), ())
    study = replace(STUDY, arms=ARMS + points)
    assert probe_key(study) == probe_key(STUDY)
    found = {each.arm: each for each in extrapolate(study, MEASURED)}
    assert found["kasa-r4-rows25"].run_seconds == pytest.approx(11 + 2 * (2 + 1 + 2) + 0.5)
    assert found["kasa-r4-noise30"].run_seconds == pytest.approx(26.5)
    assert found["tfidf-rows50"].run_seconds == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"epochs": 1}, 11 + 2 * (2 + 7 * 0.1 + 0.4) + 0.5),
        ({"learning_rates": (1e-3,)}, 11 + (2 + 3.5 + 2) + 0.5),
        ({"batch_size": 100}, 11 + 2 * (2 + 0.5 + 2) + 0.5),
        ({"seeds": (4,)}, 26.5),
        # 8 s after the preparation are 80 steps, so that the 12th epoch of 7 steps has begun.
        ({"trial_seconds": 10}, 11 + 2 * (10 + 12 * 0.4) + 0.5),
        # One step is made in any case, and ends with a validation.
        ({"trial_seconds": 1}, 11 + 2 * (2.1 + 0.4) + 0.5),
    ],
)
def test_a_changed_protocol_needs_only_arithmetic(changes: dict[str, Any], seconds: float) -> None:
    study = replace(STUDY, protocol=replace(STUDY.protocol, **changes))
    first = extrapolate(study, MEASURED)[0]
    assert first.run_seconds == pytest.approx(seconds)
    assert first.num_runs == len(study.protocol.seeds)


@pytest.mark.parametrize(
    ("seconds", "places", "end"),
    [
        ([], 2, 0.0),
        ([3, 4, 5], 1, 12),
        ([3, 4, 5], 2, 8),  # 3 then 5 beside 4
        ([9, 1, 1, 1], 2, 9),
        ([1, 1, 1, 9], 2, 10),  # in order, though the long one first would end sooner
        ([2, 3], 64, 3),
    ],
)
def test_the_end_of_works_that_share_places(seconds: list[float], places: int, end: float) -> None:
    assert makespan(seconds, places) == end


def test_a_study_of_several_runs_at_a_time() -> None:
    """One seed is 26.5, 22.1, 11.5 and 0.2 s: two places end at 33.6, three at 26.5."""
    estimates = extrapolate(STUDY, MEASURED)

    def shared(places: int, seeds: tuple[int, ...]) -> tuple[float, int]:
        protocol = replace(STUDY.protocol, parallel_runs=places, seeds=seeds)
        study = replace(STUDY, protocol=protocol)
        found = extrapolate(study, MEASURED)
        assert found[0].run_seconds == estimates[0].run_seconds
        return study_seconds(found, study), study_memory_bytes(found, study)

    assert shared(1, (0,)) == (pytest.approx(26.5 + 22.1 + 11.5 + 0.2), 900)
    assert shared(2, (0,)) == (pytest.approx(22.1 + 11.5), 900 + 800)
    assert shared(3, (0,)) == (pytest.approx(26.5), 900 + 800 + 700)
    assert shared(1, (0, 1, 2))[0] == pytest.approx(sum(e.total_seconds for e in estimates))
    assert shared(2, (0, 1, 2))[1] == 900 + 900
    assert shared(64, (0, 1, 2))[1] == 3 * (900 + 800 + 700 + 300)


def test_total_is_runs_times_seconds() -> None:
    assert Estimate("lora-r8", 2.5, 10, 4).total_seconds == 10.0


def changed(**changes: Any) -> Study:
    return replace(STUDY, protocol=replace(STUDY.protocol, **changes))


SAME = [
    changed(epochs=50),
    changed(seeds=(7, 8)),
    changed(learning_rates=(0.5,)),
    changed(profile="thorough"),
    changed(equivalence_margin=0.2),
    changed(patience=3),
    changed(trial_seconds=60),
    replace(STUDY, title="Another title"),
    replace(STUDY, gates=Gates(metric_min=0.5)),
    replace(STUDY, prices=Prices("EUR", 1.0)),
    replace(STUDY, data=replace(STUDY.data, path="moved/rows.csv")),
]
OTHER = [
    replace(STUDY, arms=ARMS[1:]),
    replace(STUDY, arms=(replace(ARMS[0], rank=8), *ARMS[1:])),
    replace(STUDY, arms=(replace(ARMS[0], removed_components=0), *ARMS[1:])),
    replace(STUDY, model="other-model"),
    replace(STUDY, data=replace(STUDY.data, sha256="def")),
    replace(STUDY, data=replace(STUDY.data, text="note")),
    replace(STUDY, data=replace(STUDY.data, path="other.csv", sha256=None)),
    replace(STUDY, arms=(replace(ARMS[0], diagonal=False, beta=0.0, gamma=0.0), *ARMS[1:])),
    changed(class_weights=True),
    changed(answer_tokens=8),
    changed(parallel_runs=2),
    changed(batch_size=8),
    changed(max_length=64),
    changed(split_seed=1),
    changed(validation_fraction=0.3),
]


@pytest.mark.parametrize("study", SAME)
def test_what_a_probe_does_not_depend_on_needs_no_new_one(study: Study) -> None:
    assert probe_key(study) == probe_key(STUDY)


def test_everything_else_needs_a_new_probe() -> None:
    keys = {probe_key(study) for study in OTHER}
    assert len(keys) == len(OTHER)
    assert probe_key(STUDY) not in keys
    assert all(key.startswith("estimate:") for key in keys)


def test_data_without_a_hash_is_known_by_its_path() -> None:
    first, second = (
        replace(STUDY, data=replace(STUDY.data, path=path, sha256=None)) for path in ("a", "b")
    )
    assert probe_key(first) != probe_key(second)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with small_runs():
        yield


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Return twenty work orders of each of three crews."""
    frame = pd.read_csv(WORK_ORDERS, dtype=str).dropna(subset=["text"]).drop_duplicates("text")
    frame = frame[frame["crew"].isin(CREWS)]
    return frame.groupby("crew").head(20)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, rows: pd.DataFrame) -> ModelSource:
    return write_tiny_bert(tmp_path_factory.mktemp("model"), list(rows["text"]))


def study_of(source: ModelSource, file: Path, **settings: Any) -> Study:
    protocol = Protocol(profile="quick", max_length=32)
    data = DataSpec(str(file), "text", "crew", split=settings.pop("split", None))
    return Study("Tiny", str(source.folder), data, ARMS, protocol, **settings)


def job_of(study: Study, home: Path, *, stopped: bool = False) -> Job:
    config = {"study": study.to_dict(), "hub_access": False}
    folder = run_folder(home, "probe")
    return Job("probe", "estimate", config, folder, asked_to_stop=lambda: stopped)


def test_a_probe_measures_every_arm(
    tmp_path: Path, source: ModelSource, rows: pd.DataFrame
) -> None:
    file = tmp_path / "rows.csv"
    rows.to_csv(file, index=False)
    study = study_of(source, file)
    job = job_of(study, tmp_path)
    measured = estimate_job.execute(job)
    assert set(measured["arms"]) == set(study.arm_names())
    assert sum(measured["rows"].values()) == 60
    for name, figures in measured["arms"].items():
        keys = {"run_seconds"}
        if name[:4] in {"kasa", "lora"}:
            keys = {"prepare_seconds", "step_seconds", "start_memory_bytes"}
            assert figures["start_memory_bytes"] < 1.01 * figures["peak_memory_bytes"]
        assert set(figures) == keys | {"peak_memory_bytes"}
        assert min(figures.values()) > 0
    assert measured["base_seconds"] > measured["answer_seconds_per_row"] > 0
    assert measured["startup_seconds"] > 0
    peaks = [measured["arms"][name]["peak_memory_bytes"] for name in ("tfidf", "frozen_head")]
    assert peaks == sorted(peaks)  # the smallest are measured first
    found = extrapolate(study, measured)
    assert [each.arm for each in found] == list(study.arm_names())
    assert all(each.run_seconds > 0 for each in found)
    events = read_events(job.folder)
    assert [event["done"] for event in events] == [0, 1, 2, 3, 4]
    assert events[0]["arm"] == "tfidf"
    assert {event["total"] for event in events} == {4}


@pytest.mark.slow
def test_validation_between_epochs_is_no_part_of_a_step(
    tmp_path: Path, source: ModelSource, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few rows make one step an epoch; validation is made slow here, so that it would show."""

    def slow(self: HeadTask, model: Any, part: Part) -> Answers:
        time.sleep(0.6)
        return answer(self, model, part)

    answer = HeadTask.answer
    monkeypatch.setattr(HeadTask, "answer", slow)
    monkeypatch.setattr(estimate_job, "PROBE_STEPS", 6)
    by_crew = rows.groupby("crew")
    pieces = [by_crew.head(4).assign(part="train"), by_crew.tail(8).assign(part="test")]
    pieces.insert(1, by_crew.nth(slice(4, 12)).assign(part="validation"))
    file = tmp_path / "rows.csv"
    pd.concat(pieces).to_csv(file, index=False)
    study = replace(study_of(source, file, split="part"), arms=(Arm("lora", rank=4),))
    measured = estimate_job.execute(job_of(study, tmp_path))
    assert measured["rows"] == {"train": 12, "validation": 24, "test": 24}
    assert 0 < measured["arms"]["lora-r4"]["step_seconds"] < 0.3


def test_a_probe_that_was_asked_to_stop_stops(
    tmp_path: Path, source: ModelSource, rows: pd.DataFrame
) -> None:
    file = tmp_path / "rows.csv"
    rows.to_csv(file, index=False)
    with pytest.raises(JobCancelled):
        estimate_job.execute(job_of(study_of(source, file), tmp_path, stopped=True))
