"""Informed adapters: directions by brute force, ranks by law, and no change at first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kasa.arms import STARTS, Arm
from kasa.errors import StudyError
from kasa.study import Protocol
from kasa.tuning.adapters import ADAPTER, adapt, guard, target_modules
from kasa.tuning.knowledge import Knowledge
from kasa.tuning.starts import find_start, spread_ranks
from kasa.tuning.tasks import Task, on_device, task_for
from tests.tiny_models import small_parts, task_texts, write_tiny_bert, write_tiny_llama

QUERY = "encoder.layer.1.attention.self.query"
VALUES = st.lists(
    st.lists(st.floats(0.001, 10.0), min_size=6, max_size=6, unique=True), min_size=1, max_size=5
)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    parts = small_parts("classification")
    source = write_tiny_bert(tmp_path_factory.mktemp("bert"), task_texts(parts))
    return task_for(source, parts, Protocol("quick", max_length=32))


def brute_gradient(task: Task, name: str) -> np.ndarray:
    """Return ∂L/∂W of the mean loss over all training rows at once, by plain autograd."""
    known = Knowledge(task)
    weight: Any = known.base.get_submodule(name).weight
    weight.requires_grad = True
    batch = on_device(task.collate(list(task.train)), known.model)
    known.loss(batch).backward()
    return np.asarray(weight.grad, dtype=np.float64)


def test_the_gradients_directions_are_those_of_plain_autograd(task: Task) -> None:
    start = find_start(task, Arm("lora", 3, start="gradient"))
    _, values, right = np.linalg.svd(brute_gradient(task, QUERY))
    found = start.directions[QUERY].double().numpy()
    assert values[2] > 1.02 * values[3], "the third direction is no matter of rounding"
    # Singular vectors are unique up to their sign.
    assert np.abs(np.sum(found * right[:3], axis=1)) == pytest.approx(np.ones(3), abs=1e-3)
    assert not start.ranks


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("method", ["lora", "kasa"])
def test_a_beginning_changes_no_answer_and_is_orthonormal(
    task: Task, method: str, start: str
) -> None:
    removed = {"removed_components": 0} if method == "kasa" else {}
    arm = Arm(method, 3, start=start, **removed)
    found = find_start(task, arm)
    model: Any = task.model()
    batch = on_device(task.collate(list(task.train)), model)
    model.eval()
    with torch.inference_mode():
        before = model(**batch)["logits"]
    model.base, expected = adapt(model.base, arm, start=found)
    model.eval()
    with torch.inference_mode():
        after = model(**batch)["logits"]
    assert torch.equal(before, after)
    for name in target_modules(task.model().get_submodule("base"), arm):
        layer = model.base.base_model.model.get_submodule(name)
        rows = layer.lora_A[ADAPTER].weight
        assert torch.allclose(rows @ rows.T, torch.eye(3), atol=1e-5)
        if method == "kasa":
            assert torch.equal(layer.lora_diag[ADAPTER], torch.ones(3))
    if method == "kasa":
        assert guard(model.base, arm, expected)["num_matrices"] == len(expected)


def test_removed_directions_are_the_strongest_of_what_kasa_removes(task: Task) -> None:
    base = task.model().get_submodule("base")
    weight = base.get_submodule(QUERY).weight.detach().double().numpy()
    right = np.linalg.svd(weight)[2]
    size = len(right)
    cases = {
        Arm("kasa", 2, start="removed", removed_components=5): [size - 5, size - 4],
        Arm("kasa", 2, start="removed", plan={QUERY: [9, 4, 11]}): [4, 9],
        # Where too little is removed, the smallest that are left fill up.
        Arm("kasa", 2, start="removed", plan={QUERY: [4]}): [4, size - 1],
    }
    for arm, wanted in cases.items():
        found = find_start(task, arm).directions[QUERY].double().numpy()
        assert np.abs(np.sum(found * right[wanted], axis=1)) == pytest.approx([1, 1], abs=1e-4)


def test_aligned_directions_are_those_whose_removal_moves_the_loss_most(task: Task) -> None:
    known = Knowledge(task)
    (scores,) = known.scores([QUERY])
    best = int(np.argmax(scores.values["first_order"]))
    right = known.factors(QUERY).right[:, best]
    found = find_start(task, Arm("lora", 1, start="aligned")).directions[QUERY][0]
    assert abs(float(found @ right)) == pytest.approx(1, abs=1e-4)


@given(VALUES, st.integers(1, 6))
@settings(max_examples=60)
def test_spread_ranks_keep_the_budget_and_follow_the_values(
    values: list[list[float]], rank: int
) -> None:
    ordered = [np.sort(own)[::-1] for own in values]
    counts = spread_ranks(ordered, rank * len(ordered))
    assert sum(counts) == rank * len(ordered)
    assert all(1 <= count <= 6 for count in counts)
    pairs = list(zip(ordered, counts, strict=True))
    taken = [own[count - 1] for own, count in pairs if count > 1]
    left = [own[count] for own, count in pairs if count < len(own)]
    assert not taken or not left or min(taken) >= max(left)


def test_spread_ranks_give_every_matrix_the_same_scale(task: Task) -> None:
    arm = Arm("kasa", 3, spread=True)
    start = find_start(task, arm)
    names = target_modules(task.model().get_submodule("base"), arm)
    assert not start.directions
    assert sum(start.ranks.values()) == 3 * len(names)
    assert len(set(start.ranks.values())) > 1
    model: Any = task.model()
    model.base, expected = adapt(model.base, arm, start=start)
    for name in names:
        layer = model.base.base_model.model.get_submodule(name)
        assert layer.lora_A[ADAPTER].weight.shape[0] == start.ranks[name]
        assert len(layer.lora_diag[ADAPTER]) == expected[name].rank == start.ranks[name]
        assert layer.scaling[ADAPTER] == arm.scale_alpha / arm.rank
    assert guard(model.base, arm, expected)["num_matrices"] == len(names)


def test_bases_that_write_have_beginnings_too(tmp_path: Path) -> None:
    parts = small_parts("generation")
    source = write_tiny_llama(tmp_path, task_texts(parts))
    task = task_for(source, parts, Protocol("quick", max_length=32))
    found = find_start(task, Arm("lora", 2, start="gradient", spread=True))
    assert all(len(rows) == found.ranks[name] for name, rows in found.directions.items())


@pytest.mark.parametrize(
    "settings",
    [{"start": "best"}, {"method": "dora", "start": "gradient"}, {"method": "ia3", "spread": True}],
)
def test_impossible_beginnings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(StudyError) as caught:
        Arm(**({"method": "lora"} | settings))
    assert caught.value.code == "bad_setting"
