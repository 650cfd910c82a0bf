"""Seconds as the budget of a trial: when it ends, the learning rate on the way, what is kept."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasa.arms import Arm
from kasa.dataspec import DataSpec
from kasa.errors import StudyError, TrainingError
from kasa.model.source import ModelSource
from kasa.study import Protocol, Study
from kasa.tuning.budget import WARMUP_SHARE, rate_factor
from kasa.tuning.measure import Precision
from kasa.tuning.outcome import Parts
from kasa.tuning.tasks import task_for
from kasa.tuning.train import run_tuned
from kasa.tuning.trial import PenalisedTrainer, Report, Trial, Tuning, silent
from tests.tiny_models import run_folder, small_runs

ARMS = {"lora": Arm("lora", rank=4), "kasa": Arm("kasa", rank=4)}
ONE_SECOND = Protocol("quick", learning_rates=(1e-3, 2e-2), max_length=32, trial_seconds=1)
AN_EPOCH = 4  # steps


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with small_runs():
        yield


@pytest.fixture
def slow_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a step take a twentieth of a second more, so that one second is some twenty steps."""
    plain = PenalisedTrainer.compute_loss

    def slowly(self: PenalisedTrainer, *args: Any, **kwargs: Any) -> Any:
        time.sleep(0.05)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(PenalisedTrainer, "compute_loss", slowly)


def tuning_of(source: ModelSource, parts: Parts, protocol: Protocol, folder: Path) -> Tuning:
    task = task_for(source, parts, protocol)
    task.prepare()
    return Tuning(task, ARMS["lora"], 0, run_folder(folder, "run"), Precision("fp32", 1.0))


def trial_of(
    source: ModelSource, parts: Parts, folder: Path, report: Report = silent, **changes: Any
) -> Trial:
    tuning = tuning_of(source, parts, replace(ONE_SECOND, **changes), folder)
    return tuning.trial(2e-2, report)[1]


@given(st.floats(0, 2))
def test_the_learning_rate_rises_falls_and_never_leaves_its_bounds(share: float) -> None:
    factor = rate_factor(share)
    assert 0 <= factor <= 1
    if share <= WARMUP_SHARE:
        assert factor == pytest.approx(share / WARMUP_SHARE)
    elif share < 1:
        # The line through (w, 1) and (1, 0).
        assert factor * (1 - WARMUP_SHARE) == pytest.approx(1 - share)
    else:
        assert factor == 0


@pytest.mark.parametrize("method", ["lora", "kasa"])
@pytest.mark.usefixtures("slow_steps")
def test_every_trial_of_every_arm_gets_its_seconds_and_no_more(
    source: ModelSource, parts: Parts, tmp_path: Path, method: str
) -> None:
    arm, rates = ARMS[method], ONE_SECOND.learning_rates
    folder = run_folder(tmp_path, "run")
    outcome = run_tuned(source, parts, ONE_SECOND, arm, rates, 0, folder)
    assert [trial["learning_rate"] for trial in outcome.trials] == list(rates)
    for trial in outcome.trials:
        spent = trial["prepare_seconds"] + trial["train_seconds"]
        # It ends with the step in which the time is up; other tests may slow that one down.
        assert 1.0 <= spent < 2.0
        steps = [point["step"] for point in trial["curve"]]
        assert steps == list(range(1, len(steps) + 1))
        assert 2 <= len(steps) <= 20
        last = trial["validation_curve"][-1]
        assert last["step"] == len(steps)
        assert last["epoch"] == pytest.approx(len(steps) / AN_EPOCH, abs=1e-3)
        assert trial["validation"] == {name: last[name] for name in trial["validation"]}
        lengths = tuple(len(text.split()) for text in parts.train.texts)
        assert trial["tokens"] >= sum(lengths) * len(steps) // AN_EPOCH


@pytest.mark.usefixtures("slow_steps")
def test_the_learning_rate_follows_the_clock_and_validation_stops_it(
    source: ModelSource, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    shares: list[float] = []
    plain = PenalisedTrainer.training_step

    def watched(self: PenalisedTrainer, *args: Any, **kwargs: Any) -> Any:
        rates.append(self.optimizer.param_groups[0]["lr"] / 2e-2)
        assert self.share is not None
        shares.append(self.share())
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(PenalisedTrainer, "training_step", watched)
    tuning = tuning_of(source, parts, replace(ONE_SECOND, trial_seconds=2), tmp_path)
    answer = tuning.task.answer

    def slowly(*args: Any) -> Any:
        time.sleep(0.3)
        return answer(*args)

    monkeypatch.setattr(tuning.task, "answer", slowly)
    tuning.trial(2e-2)
    assert shares == sorted(shares)
    assert shares[-1] < 1.05  # a machine at work may pause between asking the clock and the step
    # The rate was set at the end of the step before, a moment earlier than it is read here.
    for rate, before, now in zip(rates[1:], shares, shares[1:], strict=False):
        bounds = sorted([rate_factor(before), rate_factor(now)])
        peak = 1.0 if before < WARMUP_SHARE < now else bounds[1]
        assert bounds[0] - 1e-9 <= rate <= peak + 1e-9
    # Had the validations of 0.3 s counted, they would have been half of the time.
    assert len(rates) >= 2 * AN_EPOCH
    assert max(rates) > 0.7


@pytest.mark.usefixtures("slow_steps")
def test_progress_is_told_in_seconds(source: ModelSource, parts: Parts, tmp_path: Path) -> None:
    told: list[tuple[float, float]] = []

    def report(done: float, total: float, **info: Any) -> None:
        assert info["unit"] == "seconds"
        told.append((done, total))

    trial_of(source, parts, tmp_path, report)
    assert {total for _, total in told} == {1}
    done = [each for each, _ in told]
    assert all(before <= after for before, after in itertools.pairwise(done))
    assert 0 < done[0] < 0.5
    assert done[-1] == 1


@pytest.mark.usefixtures("slow_steps")
def test_patience_may_end_a_trial_before_its_time(
    source: ModelSource, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kasa.tuning.trial.preference", lambda _: (0.0, 0.0))  # never better
    trial = trial_of(source, parts, tmp_path, trial_seconds=60, patience=1)
    assert len(trial.record["validation_curve"]) == 2
    assert trial.record["train_seconds"] < 30


@pytest.mark.usefixtures("slow_steps")
def test_a_killed_trial_gets_what_was_left_of_its_seconds(
    source: ModelSource, parts: Parts, tmp_path: Path
) -> None:
    folder = run_folder(tmp_path, "run")
    protocol = replace(ONE_SECOND, learning_rates=(2e-2,), trial_seconds=4)
    validated: list[float] = []

    class Killed(BaseException):
        pass

    def killer(done: float, _total: float, **info: Any) -> None:
        if validated and "loss" in info:  # what was there at the end of the epoch is kept
            raise Killed
        validated.extend([done] * ("validation" in info))

    def go(report: Report) -> Any:
        rates, kept = protocol.learning_rates, folder / "checkpoints"
        arm = ARMS["lora"]
        return run_tuned(source, parts, protocol, arm, rates, 0, folder, report, kept)

    with pytest.raises(Killed):
        go(killer)
    told: list[float] = []
    outcome = go(lambda done, _total, **_info: told.append(done))
    assert outcome.conditions["resumed"] == 1
    assert told[0] > validated[0] > 0  # not from the start
    (trial,) = outcome.trials
    assert 4 <= trial["prepare_seconds"] + trial["train_seconds"] < 5
    steps = [point["step"] for point in trial["curve"]]
    assert steps == list(range(1, len(steps) + 1))


def test_a_model_whose_preparation_takes_all_the_seconds_is_named(
    source: ModelSource, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = tuning_of(source, parts, ONE_SECOND, tmp_path)
    model = tuning.task.model

    def slowly() -> Any:
        time.sleep(1.1)
        return model()

    monkeypatch.setattr(tuning.task, "model", slowly)
    with pytest.raises(TrainingError) as caught:
        tuning.trial(1e-3)
    assert caught.value.code == "no_seconds_left"
    assert caught.value.values["seconds"] == 1
    assert 1.1 <= caught.value.values["needed"] < 5


def test_a_probe_counts_steps_whatever_the_budget(
    source: ModelSource, parts: Parts, tmp_path: Path
) -> None:
    tuning = tuning_of(source, parts, ONE_SECOND, tmp_path)
    _, trial = tuning.trial(1e-3, max_steps=6)
    assert len(trial.record["curve"]) == 6


@pytest.mark.parametrize(
    "arm", [Arm("adalora"), Arm("peft", config={"peft_type": "AdaLora", "r": 4})]
)
def test_a_method_that_plans_by_steps_needs_them(arm: Arm) -> None:
    data = DataSpec("rows.csv", "order", "crew")
    study = Study("By the clock", "embedded", data, (Arm("lora"), arm))
    study.check_task()
    with pytest.raises(StudyError) as caught:
        replace(study, protocol=replace(study.protocol, trial_seconds=30)).check_task()
    assert caught.value.code == "method_needs_epochs"
    assert caught.value.values == {"arm": arm.slug}
    replace(study, arms=(Arm("kasa"), Arm("lora")), protocol=ONE_SECOND).check_task()
