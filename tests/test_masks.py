"""Masks drawn by 16 bits: how many ones, how independent, and that torch's own come back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from kasa.tuning import masks
from kasa.tuning.masks import bernoulli, quick_masks

SIGMAS = 6  # what chance exceeds once in 500 million
DTYPES = (torch.float32, torch.bfloat16, torch.float64, torch.bool)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("p", [0.0, 1e-3, 0.1, 0.5, 0.9, 0.99999, 1.0])
def test_the_share_of_ones_is_the_probability(p: float, dtype: torch.dtype) -> None:
    count = 1_000_003
    torch.manual_seed(0)
    drawn = bernoulli(torch.full((count,), 3).to(dtype), p).double()
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}
    slack = SIGMAS * (p * (1 - p) / count) ** 0.5 + 2**-17 * (0 < p < 1)
    assert abs(float(drawn.mean()) - p) <= slack


@pytest.mark.parametrize("shape", [(0,), (1,), (), (3, 5), (2, 3, 4, 7)])
def test_every_element_of_any_shape_is_drawn(shape: tuple[int, ...]) -> None:
    total = sum(bernoulli(torch.full(shape, 9.0), 0.5) for _ in range(400))
    assert torch.is_tensor(total)
    assert total.shape == shape
    assert bool(((total > 100) & (total < 300)).all())


def test_a_view_is_filled_and_nothing_beside_it() -> None:
    whole = torch.full((40, 50), 9.0)
    bernoulli(whole[:, ::2].T, 0.5)
    assert set(whole[:, ::2].unique().tolist()) == {0.0, 1.0}
    assert bool((whole[:, 1::2] == 9).all())


def test_neighbours_that_share_a_number_are_independent() -> None:
    torch.manual_seed(1)
    drawn = bernoulli(torch.empty(400_000), 0.9).numpy()
    centred = (drawn - drawn.mean()) / drawn.std()
    for lag in range(1, 9):
        correlation = float(np.mean(centred[lag:] * centred[:-lag]))
        assert abs(correlation) < SIGMAS / len(drawn) ** 0.5, lag
    by_place = drawn.reshape(-1, 4).mean(axis=0)
    assert np.abs(by_place - 0.9).max() < SIGMAS * (0.09 / (len(drawn) / 4)) ** 0.5


def test_the_seed_and_the_generator_decide() -> None:
    def drawn(seed: int) -> torch.Tensor:
        return bernoulli(torch.empty(500), generator=torch.Generator().manual_seed(seed))

    assert torch.equal(drawn(3), drawn(3))
    assert not torch.equal(drawn(3), drawn(4))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = bernoulli(torch.empty(500))
    assert not torch.equal(first, bernoulli(torch.empty(500)))
    torch.set_rng_state(state)
    assert torch.equal(first, bernoulli(torch.empty(500)))


def test_dropout_inside_the_block_keeps_mean_and_gradient() -> None:
    torch.manual_seed(0)
    x = (torch.rand(200_000) + 1).requires_grad_()
    with quick_masks():
        y = functional.dropout(x, 0.1, training=True)
    y.sum().backward()
    assert x.grad is not None
    assert set(x.grad.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.9)}
    torch.testing.assert_close(y, x * x.grad)
    assert abs(float(y.detach().mean() / x.detach().mean()) - 1) < 0.01
    assert torch.equal(functional.dropout(x, 0.1, training=False), x)


def test_dropout_and_attentions_own_use_it_and_torchs_draws_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shapes: list[tuple[int, ...]] = []

    def spied(tensor: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        shapes.append(tuple(tensor.shape))
        return bernoulli(tensor, *args, **kwargs)  # type: ignore[arg-type]

    def own() -> torch.Tensor:
        return torch.empty(64).bernoulli_(0.5, generator=torch.Generator().manual_seed(0))

    monkeypatch.setattr(masks, "bernoulli", spied)
    before = own()
    states = torch.randn(2, 3, 5, 8, requires_grad=True)

    def inside() -> None:
        with quick_masks():
            functional.dropout(torch.ones(7), 0.5)
            attention = functional.scaled_dot_product_attention
            attention(states, states, states, dropout_p=0.1).sum().backward()
            raise KeyError

    with pytest.raises(KeyError):
        inside()
    assert shapes == [(7,), (2, 3, 5, 5)]
    assert torch.equal(own(), before)
    assert len(shapes) == 2
