"""What an addition is made of, against plain decompositions and known places on a base."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kasa.spectral.importance import decomposed
from kasa.spectral.update import components_of, overlap


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=40)
def test_components_are_those_of_the_whole_update(
    rows: int, columns: int, rank: int, seed: int
) -> None:
    up, down = random(rows, rank, seed=seed), random(rank, columns, seed=seed + 1)
    own = components_of(up, down)
    wanted = torch.linalg.svdvals(up @ down)
    size = min(len(wanted), len(own.singular_values))
    assert torch.allclose(own.singular_values[:size], wanted[:size], atol=1e-9)
    assert torch.allclose(own.singular_values[size:], torch.zeros(1, dtype=torch.float64))
    assert torch.allclose(own.part(range(len(own.singular_values))), up @ down, atol=1e-9)


def test_an_update_of_zero_has_no_place() -> None:
    base = decomposed(random(6, 6))
    found = overlap(components_of(torch.zeros(6, 2), random(2, 6)), base, bins=3)
    assert found.shares.sum() == 0
    assert found.outside == 0


@pytest.mark.parametrize("shape", [(12, 12), (18, 12), (12, 18)])
def test_an_update_lies_where_it_was_put(shape: tuple[int, int]) -> None:
    base = decomposed(random(*shape))
    # 3 along (u₁, v₀) and 4 along (u₁₁, v₅), in groups of three directions.
    left = torch.stack([3 * base.left[:, 1], 4 * base.left[:, 11]], dim=1)
    right = torch.stack([base.right[:, 0], base.right[:, 5]])
    found = overlap(components_of(left, right), base, bins=4)
    wanted = np.zeros((4, 4))
    wanted[0, 0], wanted[3, 1] = 9 / 25, 16 / 25
    assert found.shares == pytest.approx(wanted, abs=1e-9)
    assert found.outside == pytest.approx(0, abs=1e-9)
    assert found.random == pytest.approx(9 / (shape[0] * shape[1]))


def test_what_a_rectangular_weight_does_not_have_lies_outside() -> None:
    base = decomposed(random(10, 4))
    beyond = torch.linalg.svd(random(10, 4))[0][:, 4:5]
    inside, right = base.left[:, :1], base.right[:, :1].T
    found = overlap(components_of(inside + beyond, right), base, bins=2)
    assert found.outside == pytest.approx(0.5)
    assert found.shares.sum() + found.outside == pytest.approx(1)
    assert found.random.sum() == pytest.approx(4 * 4 / (10 * 4))


def test_a_random_update_lies_as_chance_would_have_it() -> None:
    base = decomposed(random(60, 60))
    many = [
        overlap(components_of(random(60, 8, seed=s), random(8, 60, seed=s + 99)), base, 3)
        for s in range(20)
    ]
    assert np.mean([each.shares / each.random for each in many], axis=0) == pytest.approx(
        1, abs=0.1
    )
