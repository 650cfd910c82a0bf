"""What carries a task: scores on real architectures, cuts measured, curves resumed, plans kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kasa.arms import Arm
from kasa.model.source import ModelSource
from kasa.spectral.importance import SCORES
from kasa.spectral.removal import remove_components
from kasa.study import Protocol
from kasa.tuning import adapters
from kasa.tuning.blocks import block_of
from kasa.tuning.knowledge import Knowledge, Measured
from kasa.tuning.sensitivity import (
    Step,
    cut_of,
    plan,
    sensitivity,
    stable_share,
    step_of,
)
from kasa.tuning.tasks import task_for
from tests.tiny_models import (
    small_parts,
    task_texts,
    write_tiny_bert,
    write_tiny_llama,
    write_tiny_t5,
)

KINDS = {
    "classes": ("classification", write_tiny_bert),
    "pairs": ("pair_classification", write_tiny_bert),
    "scores": ("regression", write_tiny_bert),
    "choices": ("multiple_choice", write_tiny_bert),
    "classes by a writer": ("classification", write_tiny_llama),
    "choices by a writer": ("multiple_choice", write_tiny_llama),
    "words": ("generation", write_tiny_llama),
    "words of an encoder and a decoder": ("generation", write_tiny_t5),
}


def knowledge_of(kind: str, folder: Path) -> Knowledge:
    task, writer = KINDS[kind]
    parts = small_parts(task)
    source: ModelSource = writer(folder, task_texts(parts))
    return Knowledge(task_for(source, parts, Protocol("quick", max_length=32)))


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Knowledge:
    return knowledge_of("classes", tmp_path_factory.mktemp("bert"))


@pytest.mark.parametrize("kind", list(KINDS))
def test_scores_foretell_the_loss_of_the_rows_they_come_from(kind: str, tmp_path: Path) -> None:
    """A little of a component taken away moves the rows' loss as foretold."""
    known = knowledge_of(kind, tmp_path)
    modules = known.modules()[:2]
    portions = known.portions(known.parts.train)
    scores = list(known.scores(modules))
    assert {tuple(own.values) for own in scores} == {SCORES}

    def loss() -> float:
        with torch.inference_mode():
            losses = [float(known.loss(p.batch)) * len(p.counts) for p in portions]
        return sum(losses) / sum(len(p.counts) for p in portions)

    own = scores[0]
    assert own.num_rows == len(known.parts.train.rows)
    component = int(own.order("first_order")[-1])
    layer = known.base.get_submodule(own.module)
    weight, part = layer.weight.data, known.factors(own.module).part([component])
    layer.weight.data = weight - 0.002 * part
    lower = loss()
    layer.weight.data = weight + 0.002 * part
    upper = loss()
    layer.weight.data = weight
    slope = (lower - upper) / 0.004
    assert slope == pytest.approx(own.expected[component], rel=0.05, abs=1e-3)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_row_has_a_loss_and_removal_is_undone(kind: str, tmp_path: Path) -> None:
    known = knowledge_of(kind, tmp_path)
    part = known.parts.validation
    before = known.measured(part)
    assert before.losses.shape == (len(part.rows),)
    assert (before.accuracy is None) == (known.parts.task in {"regression", "generation"})
    module = known.modules()[-1]
    layer = known.base.get_submodule(module)
    weight = layer.weight.data.clone()
    size = len(known.factors(module).singular_values)
    with known.without({module: range(size - 1)}):
        gone = remove_components(weight, range(size - 1))
        assert layer.weight.data == pytest.approx(gone, abs=1e-5)
        changed = known.measured(part)
    assert torch.equal(layer.weight.data, weight)
    assert np.array_equal(known.measured(part).losses, before.losses)
    assert not np.array_equal(changed.losses, before.losses)


def test_the_classes_loss_is_that_of_the_answers(known: Knowledge) -> None:
    part = known.parts.validation
    found, answers = known.measured(part), known.task.answer(known.model, part)
    assert found.loss == pytest.approx(answers.loss, abs=1e-6)
    assert found.accuracy == answers.metrics["accuracy"]


@pytest.mark.parametrize("kind", ["classes", "pairs", "choices", "classes by a writer"])
def test_a_base_resumed_in_the_middle_answers_as_from_the_start(kind: str, tmp_path: Path) -> None:
    known = knowledge_of(kind, tmp_path)
    part, module = known.parts.validation, known.modules()[-1]
    blocks, place = block_of(known.base, module)
    assert place == len(blocks) - 1 > 0
    runs = [0] * len(blocks)
    for number, block in enumerate(blocks):
        attention = next(iter(block.children()))
        attention.register_forward_hook(lambda *_, n=number: runs.__setitem__(n, runs[n] + 1))
    removed = {module: range(3)}
    plain = known.measured(part)
    with known.without(removed):
        whole = known.measured(part)
    with known.resumed(module, part):
        before = list(runs)
        for _ in range(2):
            with known.without(removed):
                again = known.measured(part)
            assert again.losses == pytest.approx(whole.losses, abs=1e-6)
    assert runs[:place] == before[:place]
    assert runs[place] > before[place]
    # Afterwards it begins at the beginning again.
    assert known.measured(part).losses == pytest.approx(plain.losses)
    assert runs[0] > before[0]


@pytest.mark.parametrize(
    ("scope", "names"),
    [("all", 1), ("layer", 2), ("kind", 6), ("matrix", 12)],
)
def test_curves_of_every_scope(known: Knowledge, scope: str, names: int) -> None:
    scores = list(known.scores())
    curves = list(
        sensitivity(
            known,
            scores,
            known.parts.validation,
            scope=scope,
            criteria=("first_order",),
            shares=(0.5, 0.25),
        )
    )
    assert len({curve.name for curve in curves}) == len(curves) == names
    for curve in curves:
        assert [step.share for step in curve.steps] == [0.0, 0.25, 0.5]
        assert (curve.steps[0].change, curve.steps[0].interval) == (0.0, (0.0, 0.0))
        removed = [step.num_removed for step in curve.steps]
        assert removed == sorted(removed)
    if scope == "matrix":
        base = known.measured(known.parts.validation)
        own = cut_of([scores[-1]], "first_order", 0.5)
        with known.without(own):
            expected = step_of(base, known.measured(known.parts.validation), 0.5, 0)
        assert curves[-1].steps[-1].change == pytest.approx(expected.change, abs=1e-6)


def test_a_steps_interval_by_hand() -> None:
    """Changes 1, 2, 3: mean 2, standard error 1/√3, t(2) = 4.3027."""
    base = Measured(np.zeros(3), np.array([True, True, False]))
    now = Measured(np.array([1.0, 2.0, 3.0]), np.array([True, False, False]))
    found = step_of(base, now, 0.25, 7)
    assert found.change == 2.0
    assert found.interval == pytest.approx((2 - 4.30265 / 3**0.5, 2 + 4.30265 / 3**0.5), abs=1e-4)
    assert (found.accuracy, found.num_removed) == (pytest.approx(1 / 3), 7)
    alone = step_of(Measured(np.zeros(1), None), Measured(np.ones(1), None), 0.5, 1)
    assert alone.interval == (1.0, 1.0)


@pytest.mark.parametrize(
    ("ends", "stable"),
    [((0, 0.1, 0.2, 0.9), 0.2), ((0, 0.6, 0.1, 0.1), 0.0), ((0, 0.1, 0.1, 0.1), 0.4)],
)
def test_the_stable_region_ends_before_the_first_cut_that_costs(
    ends: tuple[float, ...], stable: float
) -> None:
    shares = (0.0, 0.1, 0.2, 0.4)
    steps = [
        Step(share, 1, 1.0, end / 2, (0.0, end), None)
        for share, end in zip(shares, ends, strict=True)
    ]
    assert stable_share(steps, 0.5) == stable


def test_a_plan_keeps_within_its_tolerance_and_budget(known: Knowledge) -> None:
    scores = list(known.scores())
    calls: list[int] = []
    found = plan(
        known,
        scores,
        known.parts.validation,
        tolerance=4.0,
        budget=12,
        progress=lambda done, _total: calls.append(done),
    )
    assert 0 < len(found.tried) <= 12
    assert calls == list(range(1, len(found.tried) + 1))
    assert found.chosen is not None
    assert found.chosen.step.interval[1] <= 4.0 * found.base_loss
    assert sum(map(len, found.removed.values())) == found.chosen.num_removed
    with known.without(found.removed):
        now = known.measured(known.parts.validation)
    assert now.loss == pytest.approx(found.chosen.step.loss, abs=1e-6)
    assert all(
        other.num_removed <= found.chosen.num_removed
        for other in found.tried
        if other.step.interval[1] <= 4.0 * found.base_loss
    )


def test_no_tolerance_leaves_no_cut_that_costs_anything(known: Knowledge) -> None:
    found = plan(known, list(known.scores()), known.parts.validation, tolerance=-1.0, budget=6)
    assert (found.chosen, found.removed) == (None, {})


def test_a_plan_of_components_becomes_a_kasa_arm(known: Knowledge, tmp_path: Path) -> None:
    """The guard holds the arm to exactly these components, on exactly these weights."""
    parts = small_parts("classification")
    source = write_tiny_bert(tmp_path, task_texts(parts))
    fresh = Knowledge(task_for(source, parts, Protocol("quick", max_length=32)))
    names = [name for name in fresh.modules() if name.endswith(("query", "value"))]
    arm = Arm("kasa", 2, plan={names[0]: [0, 3], names[1]: 2}, plan_name="by task")
    plain = {name: fresh.base.get_submodule(name).weight.data.clone() for name in names}
    adapted, expected = adapters.adapt(fresh.base, arm)
    report = adapters.guard(adapted, arm, expected)
    assert report["num_matrices"] == len(names)
    tuner = adapted.base_model.model
    for name in names:
        size = min(plain[name].shape)
        removed = {names[0]: [0, 3], names[1]: [size - 2, size - 1]}.get(name, [])
        weight = tuner.get_submodule(name).get_base_layer().weight.data
        assert weight == pytest.approx(remove_components(plain[name], removed), abs=1e-6)
    assert arm.planned_removals == 4
