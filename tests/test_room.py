"""What would make a study fit: the change by hand, and that nothing fits where nothing does."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import pytest

from kasa.arms import Arm, curve_arms
from kasa.dataspec import DataSpec
from kasa.study import Protocol, Study
from kasa.tuning import room
from kasa.tuning.room import Change, fits, fitting_change, settled, usual_places

TRAINED = {"prepare_seconds": 1.0, "step_seconds": 1.0}
MEASURED: dict[str, Any] = {
    "rows": {"train": 100, "validation": 40, "test": 50},
    "startup_seconds": 8.0,
    "base_seconds": 3.0,
    "answer_seconds_per_row": 0.01,
    "arms": {
        "kasa-r8": TRAINED | {"start_memory_bytes": 200, "peak_memory_bytes": 1000},
        "lora-r8": TRAINED | {"start_memory_bytes": 100, "peak_memory_bytes": 900},
        "tfidf": {"run_seconds": 1.0, "peak_memory_bytes": 300},
    },
}


def study_of(places: int = 1, batch: int = 16) -> Study:
    protocol = Protocol("quick", batch_size=batch, parallel_runs=places)
    arms = (Arm("kasa"), Arm("lora"), Arm("tfidf"))
    return Study("Room", "embedded", DataSpec("a.csv", "x", "y"), arms, protocol)


@pytest.mark.parametrize(
    ("weights", "cores", "memory", "places"),
    [
        (90e6, 2, 24e9, 2),
        (90e6, 8, 24e9, 4),  # never more than four
        (90e6, 8, 4e9, 1),  # half of 4 GB holds one of 1.16 GB
        (90e6, 8, 8e9, 3),
        (90e6, 1, 24e9, 1),
        (90e6, 8, 1e9, 1),
        (500e6, 8, 64e9, 4),
        (501e6, 8, 64e9, 1),  # so large that every core helps
    ],
)
def test_how_many_runs_share_a_machine_unasked(
    weights: float, cores: int, memory: float, places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert usual_places(int(weights), cores, int(memory)) == places
    monkeypatch.setattr(shutil, "which", lambda _: "nvidia-smi")
    assert usual_places(int(weights), cores, int(memory)) == 1


def test_a_study_that_leaves_it_open_is_settled_by_its_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def usual(weight_bytes: int, cores: int, memory_bytes: int) -> int:
        asked.append(weight_bytes)
        assert cores >= 1
        assert memory_bytes > 1e8
        return 3

    monkeypatch.setattr(room, "usual_places", usual)
    found = settled(study_of(places=0))
    assert found == study_of(places=3)
    assert 90e6 < asked[0] < 92e6  # MiniLM's 22.7M parameters in 32 bits
    assert settled(study_of(places=2)) == study_of(places=2)
    assert settled(replace(study_of(places=0), model="no such folder")).protocol.places == 1
    assert len(asked) == 1


def test_runs_with_a_budget_of_seconds_go_one_at_a_time_unless_told_otherwise() -> None:
    def timed(places: int) -> Study:
        study = study_of(places)
        return replace(study, protocol=replace(study.protocol, trial_seconds=30))

    assert settled(timed(0)) == timed(1)
    assert settled(timed(2)) == timed(2)


@pytest.mark.parametrize(
    ("places", "batch", "memory", "wanted"),
    [
        # KaSA takes 200 + 800·b/16 of 0.8 · memory.
        (1, 16, 1000, Change({"batch_size": 8}, 600)),
        (1, 16, 749, Change({"batch_size": 4}, 400)),
        (1, 16, 375, Change({"batch_size": 2}, 300)),  # TF-IDF takes 300 whatever the batch
        (1, 16, 374, None),
        (1, 1, 100, None),
        (1, 12, 1000, Change({"batch_size": 6}, 600)),
        # Three at once take 1000 + 900 + 300, two 1900.
        (3, 16, 2375, Change({"parallel_runs": 2}, 1900)),
        (3, 16, 1250, Change({"parallel_runs": 1}, 1000)),
        (3, 16, 1249, Change({"parallel_runs": 1, "batch_size": 8}, 600)),
    ],
)
def test_the_smallest_change_that_fits(
    places: int, batch: int, memory: int, wanted: Change | None
) -> None:
    assert fitting_change(study_of(places, batch), MEASURED, memory) == wanted
    assert wanted is None or fits(wanted.peak_memory_bytes, memory)


def test_points_of_curves_need_what_their_arm_needs() -> None:
    study = study_of()
    points = curve_arms(study.arms[:1], (0.5,), (0.1,))
    with_points = replace(study, arms=study.arms + points)
    for memory in (900, 1250, 1500):
        assert fitting_change(with_points, MEASURED, memory) == fitting_change(
            study, MEASURED, memory
        )


def test_a_probe_that_did_not_measure_the_start_promises_nothing_from_batches() -> None:
    arms = {name: dict(figures) for name, figures in MEASURED["arms"].items()}
    del arms["kasa-r8"]["start_memory_bytes"]
    assert fitting_change(study_of(), MEASURED | {"arms": arms}, 1000) is None
    shared = replace(study_of(), protocol=Protocol("quick", parallel_runs=2))
    found = fitting_change(shared, MEASURED | {"arms": arms}, 1250)
    assert found == Change({"parallel_runs": 1}, 1000)
