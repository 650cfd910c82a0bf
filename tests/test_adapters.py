"""Arms over PEFT against plain formulas and fp64 SVD, and the guard against every sabotage."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import peft
import pytest
import torch
from peft.tuners.lora.variants import KasaLinearVariant
from torch import Tensor, nn
from transformers import BertConfig

from kasa.arms import Arm
from kasa.errors import ModelError, TrainingError
from kasa.spectral.removal import remove_smallest
from kasa.tuning import adapters
from kasa.tuning.adapters import ADAPTER, Expectation, adapt, guard, regulariser, target_modules
from tests.tiny_models import small_runs, tiny_bert, tiny_gpt2

QUERY = "encoder.layer.0.attention.self.query"
# Square, out > in, and out < in: the shape on which the reference implementation removes nothing.
SHAPES = ("query", "intermediate.dense", "layer.1.output.dense")


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with small_runs():
        yield


def layers(adapted: nn.Module) -> dict[str, Any]:
    """Return the adapted layers by their name in the base."""
    named = adapted.base_model.model.named_modules()
    return {name: layer for name, layer in named if hasattr(layer, "lora_A")}


def fill(adapted: nn.Module, seed: int = 1) -> None:
    """Give every adapter weight a random value, B included."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.copy_(torch.randn(weight.shape, generator=random))


def without_smallest(weight: Tensor, count: int) -> Tensor:
    """Return U·S·Vᵀ without the `count` smallest triplets, by SVD in float64."""
    U, S, Vh = torch.linalg.svd(weight.detach().double(), full_matrices=False)
    kept = len(S) - count
    return (U[:, :kept] * S[:kept]) @ Vh[:kept]


def change(arm: Arm, layer: Any) -> Tensor:
    """Return ΔW = (α/r)·B·diag(d)·A, written out."""
    A, B, d = (
        layer.lora_A[ADAPTER].weight,
        layer.lora_B[ADAPTER].weight,
        layer.lora_diag[ADAPTER],
    )
    return arm.scale_alpha / arm.rank * B @ torch.diag(d) @ A


@pytest.mark.parametrize("alpha", [None, 5.0])
def test_kasa_computes_the_papers_formula(alpha: float | None) -> None:
    arm = Arm("kasa", rank=4, alpha=alpha, removed_components=6, target_modules=SHAPES)
    base = tiny_bert().double()
    adapted, _ = adapt(copy.deepcopy(base), arm)
    fill(adapted)
    for name, layer in layers(adapted).items():
        linear = base.get_submodule(name)
        weight = without_smallest(linear.weight, 6) + change(arm, layer)
        x = torch.randn(3, 5, linear.in_features, dtype=torch.float64)
        # Not layer.get_delta_weight(): PEFT 0.21.2 leaves the diagonal out there.
        delta = KasaLinearVariant._get_delta_weight(layer, ADAPTER)
        torch.testing.assert_close(delta, change(arm, layer))
        torch.testing.assert_close(layer(x), x @ weight.T + linear.bias)


def test_merging_gives_the_same_weight_and_the_same_answers() -> None:
    arm = Arm("kasa", rank=4, target_modules=SHAPES)
    base = tiny_bert().double()
    adapted, _ = adapt(copy.deepcopy(base), arm)
    fill(adapted)
    tokens = torch.randint(0, 60, (2, 7))
    before = adapted(input_ids=tokens).last_hidden_state
    wanted = {
        name: without_smallest(base.get_submodule(name).weight, 4) + change(arm, layer)
        for name, layer in layers(adapted).items()
    }
    merged = adapted.merge_and_unload()
    for name, weight in wanted.items():
        torch.testing.assert_close(merged.get_submodule(name).weight, weight)
    torch.testing.assert_close(merged(input_ids=tokens).last_hidden_state, before)


@pytest.mark.parametrize("removed", [0, 4, 16])
@pytest.mark.parametrize("rank", [4, 8])
def test_the_removed_components_do_not_depend_on_the_rank(rank: int, removed: int) -> None:
    arm = Arm("kasa", rank=rank, removed_components=removed, target_modules=SHAPES)
    base = tiny_bert()
    adapted, expected = adapt(copy.deepcopy(base), arm)
    assert set(expected) == set(layers(adapted))
    for name, layer in layers(adapted).items():
        weight = base.get_submodule(name).weight.detach()
        now = layer.get_base_layer().weight
        wanted = without_smallest(weight, removed)
        torch.testing.assert_close(now.double(), wanted, rtol=1e-6, atol=1e-7)
        S = torch.linalg.svdvals(weight.double())
        norm = float((S[len(S) - removed :] ** 2).sum().sqrt())
        assert expected[name].change == pytest.approx(norm, rel=1e-9)
        assert torch.equal(expected[name].original, weight)
        assert layer.lora_A[ADAPTER].weight.shape[0] == rank


@pytest.mark.parametrize(("out", "into"), [(48, 32), (32, 48), (32, 32)])
def test_every_shape_loses_components(out: int, into: int) -> None:
    """The authors' code keeps `in_features − r` of them, which on 32×48 is all 32."""
    base = tiny_bert()
    adapted, _ = adapt(base, Arm("kasa", rank=4, target_modules=SHAPES))
    found = [layer.get_base_layer().weight.detach() for layer in layers(adapted).values()]
    ranks = [
        int(torch.linalg.matrix_rank(weight.double(), rtol=1e-6))
        for weight in found
        if weight.shape == (out, into)
    ]
    assert ranks
    assert set(ranks) == {28}


def test_by_default_the_paper_removes_as_many_as_the_rank() -> None:
    base = tiny_bert()
    weight = base.get_submodule(QUERY).weight.detach().clone()
    adapted, _ = adapt(base, Arm("kasa", rank=8))
    now = layers(adapted)[QUERY].get_base_layer().weight
    torch.testing.assert_close(now.double(), without_smallest(weight, 8), rtol=1e-6, atol=1e-7)
    assert set(layers(adapted)) == set(target_modules(tiny_bert(), Arm("lora")))


def test_only_the_adapted_matrices_change_and_only_adapters_train() -> None:
    base = tiny_bert()
    adapted, _ = adapt(copy.deepcopy(base), Arm("kasa", rank=4))
    now = {
        name.replace(".base_layer", ""): weight
        for name, weight in adapted.base_model.model.named_parameters()
        if "lora_" not in name
    }
    assert set(now) == {name for name, _ in base.named_parameters()}
    changed = {
        name for name, weight in base.named_parameters() if not torch.equal(weight, now[name])
    }
    assert changed == {f"{name}.weight" for name in layers(adapted)}
    trainable = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert trainable
    assert all("lora_" in name for name in trainable)


def test_lora_leaves_the_base_untouched() -> None:
    base = tiny_bert()
    tokens = torch.randint(0, 60, (2, 7))
    before = base(input_ids=tokens).last_hidden_state
    adapted, expected = adapt(copy.deepcopy(base), Arm("lora", rank=4))
    assert expected == {}
    for name, layer in layers(adapted).items():
        assert torch.equal(layer.get_base_layer().weight, base.get_submodule(name).weight)
        assert not hasattr(layer, "lora_diag")
    assert torch.equal(adapted(input_ids=tokens).last_hidden_state, before)  # B = 0


def test_kasa_has_r_weights_per_matrix_more_than_lora() -> None:
    counts = []
    for method in ("lora", "kasa"):
        adapted, _ = adapt(tiny_bert(), Arm(method, rank=4))
        counts.append(sum(w.numel() for w in adapted.parameters() if w.requires_grad))
    assert counts == [4 * 4 * (32 + 32), 4 * 4 * (32 + 32) + 4 * 4]


def test_the_regulariser_is_the_mean_over_the_adapted_matrices() -> None:
    """β·Σd² + γ·(‖BᵀB−I‖_F + ‖AAᵀ−I‖_F): 25β + √2γ for the first matrix, 3√2γ for the others."""
    arm = Arm("kasa", rank=2, beta=0.3, gamma=0.7)
    adapted, expected = adapt(tiny_bert(), arm)
    rows = torch.eye(2, 32)
    with torch.no_grad():
        for place, layer in enumerate(layers(adapted).values()):
            first = place == 0
            layer.lora_diag[ADAPTER].copy_(torch.tensor([3.0, 4.0]) if first else torch.zeros(2))
            layer.lora_A[ADAPTER].weight.copy_(rows if first else 2 * rows)
            layer.lora_B[ADAPTER].weight.copy_(torch.zeros(32, 2) if first else rows.T)
    wanted = (0.3 * 25 + 0.7 * math.sqrt(2) + 3 * 0.7 * 3 * math.sqrt(2)) / 4
    penalty = regulariser(adapted, len(expected)).item()
    assert penalty == pytest.approx(wanted, rel=1e-6)


def test_the_regulariser_reaches_every_adapter_weight() -> None:
    adapted, expected = adapt(tiny_bert(), Arm("kasa", rank=2, beta=0.1, gamma=0.1))
    fill(adapted)
    regulariser(adapted, len(expected)).backward()
    for layer in layers(adapted).values():
        for weight in (
            layer.lora_diag[ADAPTER],
            layer.lora_A[ADAPTER].weight,
            layer.lora_B[ADAPTER].weight,
        ):
            assert weight.grad is not None
            assert float(weight.grad.abs().max()) > 0


PEFTS_OWN = KasaLinearVariant.__dict__["_truncate_base_weight"]


def test_pefts_function_is_back_after_the_block() -> None:
    with adapters.removing(lambda _base, rank: rank):
        assert KasaLinearVariant.__dict__["_truncate_base_weight"] is not PEFTS_OWN
    assert KasaLinearVariant.__dict__["_truncate_base_weight"] is PEFTS_OWN


def test_pefts_function_is_back_after_a_failure() -> None:
    with pytest.raises(ModelError) as caught:
        adapt(tiny_bert(), Arm("kasa", rank=4, removed_components=32))
    assert caught.value.code == "removal_too_large"
    assert KasaLinearVariant.__dict__["_truncate_base_weight"] is PEFTS_OWN


def test_a_rank_as_large_as_the_weight_is_refused_in_words() -> None:
    with pytest.raises(ModelError) as caught:
        adapt(tiny_bert(), Arm("kasa", rank=32, removed_components=4))
    assert caught.value.code == "kasa_rank_too_large"
    assert caught.value.values == {"module": QUERY, "rank": 32, "limit": 31}


def test_another_peft_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peft, "__version__", "0.99.0")
    with pytest.raises(TrainingError) as caught:
        adapt(tiny_bert(), Arm("kasa", rank=4))
    assert caught.value.code == "peft_version"
    assert caught.value.values == {"got": "0.99.0", "wanted": "0.21.2"}
    assert KasaLinearVariant.__dict__["_truncate_base_weight"] is PEFTS_OWN


def kasa() -> tuple[nn.Module, Arm, dict[str, Expectation]]:
    """Return a correctly prepared KaSA model with its arm and what the guard must find."""
    arm = Arm("kasa", rank=4)
    adapted, expected = adapt(tiny_bert(), arm)
    return adapted, arm, expected


@pytest.mark.parametrize("removed", [0, 4, 16])
def test_the_guard_passes_a_real_kasa(removed: int) -> None:
    arm = Arm("kasa", rank=4, removed_components=removed)
    adapted, expected = adapt(tiny_bert(), arm)
    figures = guard(adapted, arm, expected)
    assert figures["num_matrices"] == 4
    assert figures["largest_relative_deviation"] < 1e-6
    assert figures["regulariser"] == regulariser(adapted, 4).item() > 0


def test_the_guard_catches_plain_lora_under_kasas_name() -> None:
    """What PEFT silently does on quantised layers: no diagonal, LoRA compared with LoRA."""
    _, arm, expected = kasa()
    impostor, _ = adapt(tiny_bert(), Arm("lora", rank=4))
    assert refused(impostor, arm, expected).code == "guard_no_diagonal"


def test_the_guard_catches_one_missing_diagonal() -> None:
    adapted, arm, expected = kasa()
    del layers(adapted)[QUERY].lora_diag[ADAPTER]
    error = refused(adapted, arm, expected)
    assert (error.code, error.values["module"]) == ("guard_no_diagonal", QUERY)


def test_the_guard_catches_a_diagonal_of_another_rank() -> None:
    adapted, _, expected = kasa()
    assert refused(adapted, Arm("kasa", rank=3), expected).code == "guard_no_diagonal"


def negligible(weight: Tensor) -> Tensor:
    return remove_smallest(weight, 3)


def too_many(weight: Tensor) -> Tensor:
    return remove_smallest(weight, 5)


def the_largest(weight: Tensor) -> Tensor:
    U, S, Vh = torch.linalg.svd(weight, full_matrices=False)
    return (U[:, 4:] * S[4:]) @ Vh[4:]


def not_a_number(weight: Tensor) -> Tensor:
    return torch.full_like(weight, float("nan"))


@pytest.mark.parametrize("wrong", [torch.clone, negligible, too_many, the_largest, not_a_number])
def test_the_guard_catches_a_base_that_was_not_changed_as_it_must(
    wrong: Callable[[Tensor], Tensor],
) -> None:
    adapted, arm, expected = kasa()
    layer = layers(adapted)[QUERY].get_base_layer()
    layer.weight.data = wrong(expected[QUERY].original)
    error = refused(adapted, arm, expected)
    assert (error.code, error.values["module"]) == ("guard_wrong_change", QUERY)
    assert error.values["wanted"] == expected[QUERY].change


def test_the_guard_catches_a_base_that_must_stay_and_did_not() -> None:
    arm = Arm("kasa", rank=4, removed_components=0)
    adapted, expected = adapt(tiny_bert(), arm)
    layer = layers(adapted)[QUERY].get_base_layer()
    layer.weight.data = remove_smallest(layer.weight.data, 4)
    assert refused(adapted, arm, expected).code == "guard_wrong_change"


def test_the_guard_catches_a_regulariser_that_is_not_there() -> None:
    adapted, arm, expected = kasa()
    config = adapted.peft_config[ADAPTER].kasa_config
    config.beta = config.gamma = 0.0
    assert refused(adapted, arm, expected).code == "guard_no_regulariser"


def test_the_guard_lets_the_regulariser_be_switched_off() -> None:
    arm = Arm("kasa", rank=4, beta=0.0, gamma=0.0)
    adapted, expected = adapt(tiny_bert(), arm)
    assert guard(adapted, arm, expected)["regulariser"] == 0.0


def refused(adapted: nn.Module, arm: Arm, expected: dict[str, Expectation]) -> TrainingError:
    """Return the error with which the guard refuses a model, both its sentences written."""
    with pytest.raises(TrainingError) as caught:
        guard(adapted, arm, expected)
    assert caught.value.message("ja") != caught.value.message("en")
    return caught.value


def test_kasa_is_refused_on_transposed_layers_with_the_reason() -> None:
    with pytest.raises(ModelError) as caught:
        adapt(tiny_gpt2(), Arm("kasa", rank=4))
    assert caught.value.code == "kasa_needs_linear"
    assert caught.value.values == {"module": "h.0.attn.c_attn", "kind": "Conv1D"}


def test_lora_works_on_transposed_layers() -> None:
    base = tiny_gpt2()
    adapted, _ = adapt(copy.deepcopy(base), Arm("lora", rank=4))
    assert list(layers(adapted)) == ["h.0.attn.c_attn", "h.1.attn.c_attn"]
    fill(adapted)
    layer = layers(adapted)["h.0.attn.c_attn"]
    A, B = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
    x = torch.randn(3, 5, 32)
    plain = base.get_submodule("h.0.attn.c_attn")
    torch.testing.assert_close(layer(x), plain(x) + 2 * x @ A.T @ B.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["lora", "kasa"])
@pytest.mark.parametrize("wanted", ["quer", "nowhere", "attention", "LayerNorm", "word_embeddings"])
def test_names_of_no_linear_layer_are_refused(method: str, wanted: str) -> None:
    with pytest.raises(ModelError) as caught:
        adapt(tiny_bert(), Arm(method, target_modules=(wanted,)))
    assert caught.value.code == "no_targets"
    assert caught.value.values == {"model_type": "bert", "wanted": wanted}


def test_targets_are_full_names_of_linear_layers() -> None:
    found = target_modules(tiny_bert(), Arm("kasa", target_modules=("self.key", "pooler.dense")))
    keys = [f"encoder.layer.{layer}.attention.self.key" for layer in range(2)]
    assert found == [*keys, "pooler.dense"]


class Mixer(nn.Module):
    """A base of an architecture that nobody lists, with layers under names of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.config = BertConfig()
        self.config.model_type = "something-new"
        self.mixers = nn.ModuleList([nn.Linear(32, 32) for _ in range(2)])


def test_an_architecture_without_usual_targets_must_be_told() -> None:
    base = Mixer()
    with pytest.raises(ModelError) as caught:
        target_modules(base, Arm("lora"))
    assert caught.value.code == "no_targets"
    assert caught.value.values["model_type"] == "something-new"
    assert "q_proj, v_proj" in caught.value.values["wanted"]
    arm = Arm("lora", target_modules=("mixers.0", "mixers.1"))
    assert target_modules(base, arm) == ["mixers.0", "mixers.1"]


@pytest.mark.parametrize("method", ["lora", "kasa", "dora", "ia3"])
def test_an_architecture_that_peft_does_not_list_is_adapted_at_query_and_value(
    method: str,
) -> None:
    listed, base = tiny_bert(), tiny_bert()
    base.config.model_type = "something-new"
    found = target_modules(base, Arm(method))
    assert found == target_modules(listed, Arm("lora"))
    assert {name.rpartition(".")[2] for name in found} == {"query", "value"}


def test_a_plan_says_what_each_weight_loses() -> None:
    bert = tiny_bert()
    names = target_modules(bert, Arm("kasa"))
    plan = {f"bert.{names[0]}": 5, names[1]: 0}
    arm = Arm("kasa", rank=2, plan=plan, plan_name="by hand")
    assert [arm.removed_from(name) for name in names[:3]] == [5, 0, 0]
    before = {name: bert.get_submodule(name).weight.detach().double().clone() for name in names}
    adapted, expected = adapt(bert, arm)
    assert guard(adapted, arm, expected)["num_matrices"] == len(names)
    for name, weight in before.items():
        values = torch.linalg.svdvals(weight)
        removed = arm.removed_from(name)
        now = layers(adapted)[name].get_base_layer().weight.double()
        wanted = float((values[len(values) - removed :] ** 2).sum() ** 0.5)
        assert float((weight - now).norm()) == pytest.approx(wanted, rel=1e-4, abs=1e-6)
