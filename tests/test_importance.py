"""Component scores: equal to brute force on small models, known structure, stability, passes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from kasa.errors import ModelError
from kasa.spectral.importance import (
    SCORES,
    Batch,
    Portion,
    Scores,
    component_scores,
    factors_of,
    matrix_of,
    num_passes,
)
from tests.known_answers import matrix_with_spectrum


class Tiny(nn.Module):
    """A linear layer on every token, the mean over tokens, and fixed class directions."""

    def __init__(self, layer: nn.Module, num_classes: int = 3) -> None:
        super().__init__()
        self.layer = layer
        size = matrix_of(layer).shape[0]
        self.head = nn.Linear(size, num_classes)

    def forward(self, states: Tensor) -> Tensor:
        hidden: Tensor = self.layer(states)
        found: Tensor = self.head(torch.tanh(hidden).mean(1))
        return found


def make(layer: nn.Module, num_rows: int = 24, seed: int = 0) -> tuple[Tiny, list[Portion]]:
    torch.manual_seed(seed)
    model = Tiny(layer).double()
    size = matrix_of(model.layer).shape[1]
    rows = torch.randn(num_rows, 5, size, dtype=torch.float64)
    labels = torch.randint(0, 3, (num_rows,))
    portions = [
        Portion({"states": rows[i : i + 4], "labels": labels[i : i + 4]}, (1,) * 4)
        for i in range(0, num_rows, 4)
    ]
    return model, portions


def loss_of(model: nn.Module) -> Callable[[Batch], Tensor]:
    return lambda batch: nn.functional.cross_entropy(model(batch["states"]), batch["labels"])


def row_losses(model: nn.Module, portions: list[Portion]) -> Tensor:
    return torch.cat(
        [
            nn.functional.cross_entropy(
                model(p.batch["states"]), p.batch["labels"], reduction="none"
            )
            for p in portions
        ]
    )


def scores_of(model: nn.Module, portions: list[Portion], name: str = "layer") -> Scores:
    (found,) = component_scores(model, [name], portions, loss_of(model))
    return found


@pytest.mark.parametrize("layer", [nn.Linear(6, 4), nn.Linear(4, 7), Conv1D(5, 6)])
def test_scores_are_those_of_brute_force(layer: nn.Module) -> None:
    """Each component scaled by 1 − ε, every row's loss by central differences."""
    model, portions = make(layer)
    found, factors = scores_of(model, portions), factors_of(model.layer)
    size = len(factors.singular_values)
    assert found.shape == tuple(matrix_of(model.layer).shape)
    plain, step = model.layer.weight.data.clone(), 1e-5
    derivative = torch.zeros(24, size, dtype=torch.float64)
    for component in range(size):
        part = factors.part([component])
        part = part if isinstance(layer, nn.Linear) else part.T
        sides = []
        for sign in (1, -1):
            model.layer.weight.data = plain + sign * step * part
            sides.append(row_losses(model, portions).detach())
        derivative[:, component] = (sides[0] - sides[1]) / (2 * step)
    model.layer.weight.data = plain
    mean = derivative.mean(0).numpy()
    assert found.expected == pytest.approx(-mean, abs=1e-7)
    assert found.values["first_order"] == pytest.approx(np.abs(mean), abs=1e-7)
    squares = derivative.square().mean(0).numpy() / 2
    assert found.values["fisher"] == pytest.approx(squares, abs=1e-7)
    assert found.values["magnitude"] == pytest.approx(factors.singular_values.numpy())


def test_activation_is_what_removal_does_to_the_output() -> None:
    """‖W·x − W'·x‖² over all tokens is the sum of the removed components' squares."""
    model, portions = make(nn.Linear(6, 5))
    found, factors = scores_of(model, portions), factors_of(model.layer)
    removed = [1, 4]
    states = torch.cat([p.batch["states"] for p in portions]).reshape(-1, 6)
    change = states @ factors.part(removed).T
    mean = float(change.square().sum(1).mean())
    assert (found.values["activation"][removed] ** 2).sum() == pytest.approx(mean)


def test_padding_counts_for_nothing() -> None:
    model, portions = make(nn.Linear(6, 5))
    short = [Portion({**p.batch, "states": p.batch["states"][:, :3]}, p.counts) for p in portions]
    masked = []
    for p in portions:
        mask = torch.tensor([[1, 1, 1, 0, 0]]).repeat(4, 1)
        masked.append(Portion({**p.batch, "attention_mask": mask}, p.counts))
    plain = scores_of(model, short).values["activation"]
    assert scores_of(model, masked).values["activation"] == pytest.approx(plain)


def test_only_components_that_matter_matter() -> None:
    """The head sees the first two left vectors alone; the other four have the larger σ."""
    weight = matrix_with_spectrum([0.5, 0.4, 9.0, 8.0, 7.0, 6.0][::-1], (6, 6))
    layer = nn.Linear(6, 6, bias=False)
    layer.weight.data = torch.as_tensor(weight, dtype=torch.float32)
    model, portions = make(layer)
    factors = factors_of(model.layer)
    small = factors.left[:, -2:]
    model.head.weight.data = torch.randn(3, 2, dtype=torch.float64) @ small.T.double()

    def plain_forward(states: Tensor) -> Tensor:
        found: Tensor = model.head(model.layer(states).mean(1))
        return found

    model.forward = plain_forward  # type: ignore[method-assign]
    found = scores_of(model, portions)
    for criterion in ("first_order", "fisher"):
        assert set(found.order(criterion)[-2:]) == {4, 5}
        assert found.values[criterion][:4] == pytest.approx(np.zeros(4), abs=1e-12)
    assert set(found.order("magnitude")[:2]) == {4, 5}


def test_two_texts_of_a_row_count_as_one() -> None:
    model, portions = make(nn.Linear(6, 5))
    single = scores_of(model, portions)

    def pair_loss(batch: Batch) -> Tensor:
        figures = model(batch["states"])
        both = figures[0::2] + figures[1::2]
        return nn.functional.cross_entropy(both, batch["labels"])

    pairs = [
        Portion({"states": p.batch["states"], "labels": p.batch["labels"][::2]}, (2, 2))
        for p in portions
    ]
    (found,) = component_scores(model, ["layer"], pairs, pair_loss)
    assert found.num_rows == single.num_rows // 2 == 12
    factors, plain, step = factors_of(model.layer), model.layer.weight.data.clone(), 1e-5
    sides = []
    for sign in (1, -1):
        model.layer.weight.data = plain + sign * step * factors.part([0])
        rows = []
        for p in pairs:
            figures = model(p.batch["states"])
            both = figures[0::2] + figures[1::2]
            rows.append(
                nn.functional.cross_entropy(both, p.batch["labels"], reduction="none").detach()
            )
        sides.append(torch.cat(rows))
    model.layer.weight.data = plain
    derivative = (sides[0] - sides[1]) / (2 * step)
    assert found.values["fisher"][0] == pytest.approx(float(derivative.square().mean() / 2))


def test_stability_is_the_agreement_of_two_halves() -> None:
    model, portions = make(nn.Linear(6, 5), num_rows=64)
    found = scores_of(model, portions)
    halves = [scores_of(model, portions[half::2] * 2) for half in (0, 1)]
    for criterion in SCORES:
        expected = spearmanr(*(half.values[criterion] for half in halves)).statistic
        assert found.stability[criterion] == pytest.approx(expected)
    assert found.stability["magnitude"] == pytest.approx(1.0)


def test_the_model_is_left_as_it_was_and_frozen_weights_do_not_matter() -> None:
    model, portions = make(nn.Linear(6, 5))
    plain = scores_of(model, portions)
    model.train()
    model.layer.weight.requires_grad_(requires_grad=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    again = scores_of(model, portions)
    assert again.expected.tolist() == plain.expected.tolist()
    assert model.training
    assert [w.requires_grad for w in model.parameters()] == [False, True, True, True]
    assert all(w.grad is None for w in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_little_memory_takes_more_passes_for_the_same_scores() -> None:
    model, portions = make(nn.Linear(6, 5))
    names, loss = ["layer", "head"], loss_of(model)
    assert [num_passes(model, names, memory) for memory in (1_000_000, 100)] == [1, 2]
    one = list(component_scores(model, names, portions, loss))
    two = list(component_scores(model, names, portions, loss, memory_bytes=100))
    assert [each.module for each in one] == [each.module for each in two] == names
    for a, b in zip(one, two, strict=True):
        assert a.expected == pytest.approx(b.expected)


def test_ties_go_to_the_smaller_singular_value() -> None:
    nothing = np.zeros(3)
    values = {"magnitude": np.array([3.0, 2.0, 1.0]), "first_order": nothing}
    found = Scores("m", (3, 3), values, nothing, 1, {})
    assert found.order("first_order").tolist() == [2, 1, 0]
    assert found.order("magnitude").tolist() == [2, 1, 0]
    with pytest.raises(ModelError, match="magnitude, first_order"):
        found.order("beauty")


def test_what_has_no_matrix_and_too_few_portions_are_refused() -> None:
    model, portions = make(nn.Linear(6, 5))
    with pytest.raises(ModelError) as error:
        list(component_scores(model, ["layer"], portions[:1], loss_of(model)))
    assert error.value.code == "too_few_portions"
    with pytest.raises(ModelError):
        matrix_of(nn.LayerNorm(4))
