"""Every method against its written-out formula: what it adds to a layer, and what of it trains."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as LORA_TARGETS
from torch import Tensor, nn

from kasa.arms import METHODS, Arm
from kasa.errors import KasaError, TrainingError
from kasa.spectral.removal import remove_smallest
from kasa.study import Protocol
from kasa.tuning import adapters
from kasa.tuning.adapters import ADAPTER, adapt, guard, penalty_of, target_modules
from kasa.tuning.configs import QUERY_AND_VALUE, usual_targets
from kasa.tuning.measure import Precision
from kasa.tuning.tasks import task_for
from kasa.tuning.trial import Tuning
from tests.tiny_models import (
    run_folder,
    small_parts,
    small_runs,
    task_texts,
    tiny_bert,
    tiny_gpt2,
    write_tiny_bert,
)

QUERY = "encoder.layer.0.attention.self.query"
SHAPES = ("query", "intermediate.dense", "layer.1.output.dense")
LOHA = {"peft_type": "LOHA", "r": 4, "alpha": 8}


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with small_runs():
        yield


def adapted(arm: Arm, base: nn.Module | None = None, steps: int = 10) -> Any:
    torch.manual_seed(3)
    return adapt(copy.deepcopy(base or tiny_bert()), arm, steps)[0]


def layers(model: Any) -> dict[str, Any]:
    """Return the adapted layers by their name in the base."""
    named = model.base_model.model.named_modules()
    return {name: layer for name, layer in named if hasattr(layer, "base_layer")}


def fill(model: nn.Module) -> None:
    """Give every trainable weight a random value, so that none of them adds nothing."""
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.copy_(torch.randn(weight.shape, generator=random))


def x_for(linear: Any) -> Tensor:
    torch.manual_seed(7)
    return torch.randn(3, 5, linear.in_features)


def plain(name: str) -> Any:
    return tiny_bert().get_submodule(name)


def trained(model: nn.Module) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


# -- formulas -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [4, 16])
@pytest.mark.parametrize(("method", "root"), [("lora", False), ("rslora", True)])
def test_lora_scales_by_the_rank_and_rslora_by_its_root(method: str, root: bool, rank: int) -> None:
    model = adapted(Arm(method, rank=rank, alpha=6, target_modules=SHAPES))
    fill(model)
    assert len(layers(model)) == 5
    for name, layer in layers(model).items():
        A, B = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
        weight = plain(name).weight + 6 / (rank**0.5 if root else rank) * B @ A
        x = x_for(layer)
        wanted = x @ weight.T + plain(name).bias
        torch.testing.assert_close(layer(x), wanted, rtol=1e-4, atol=1e-3)


def test_pissa_takes_the_strongest_components_out_and_trains_them() -> None:
    arm = Arm("pissa", rank=4, target_modules=SHAPES)
    model = adapted(arm)
    for name, layer in layers(model).items():
        weight = plain(name).weight.detach()
        U, S, Vh = torch.linalg.svd(weight.double(), full_matrices=False)
        strongest = (U[:, :4] * S[:4]) @ Vh[:4]
        A, B = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
        change = arm.scale_alpha / arm.rank * B @ A
        near = {"rtol": 1e-4, "atol": 1e-5}
        torch.testing.assert_close(change.double(), strongest, **near)
        residual = layer.get_base_layer().weight
        torch.testing.assert_close(residual + change, weight, **near)
        torch.testing.assert_close(B.norm(dim=0), A.norm(dim=1), **near)  # √S on both sides


def test_an_untrained_pissa_answers_as_its_base() -> None:
    tokens = torch.randint(0, 60, (2, 7))
    before = tiny_bert()(input_ids=tokens).last_hidden_state
    after = adapted(Arm("pissa", rank=4)).eval()(input_ids=tokens).last_hidden_state
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_dora_learns_the_size_of_each_direction_apart() -> None:
    model = adapted(Arm("dora", rank=4, target_modules=SHAPES))
    for name, layer in layers(model).items():
        size = layer.lora_magnitude_vector[ADAPTER].weight
        torch.testing.assert_close(size, plain(name).weight.norm(dim=1))
    fill(model)
    for name, layer in layers(model).items():
        A, B = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
        size = layer.lora_magnitude_vector[ADAPTER].weight
        weight = plain(name).weight + 2 * B @ A
        weight = size[:, None] * weight / weight.norm(dim=1, keepdim=True)
        x = x_for(layer)
        wanted = x @ weight.T + plain(name).bias
        torch.testing.assert_close(layer(x), wanted, rtol=1e-3, atol=1e-3)


def test_vera_trains_two_vectors_around_shared_random_matrices() -> None:
    """ΔWx = b ∘ B(d ∘ Ax), with one frozen A and B for all layers."""
    model = adapted(Arm("vera", rank=16))
    fill(model)
    A, B = (getattr(model.base_model, name)[ADAPTER] for name in ("vera_A", "vera_B"))
    assert not A.requires_grad
    for name, layer in layers(model).items():
        b, d = layer.vera_lambda_b[ADAPTER], layer.vera_lambda_d[ADAPTER]
        x = x_for(layer)
        wanted = plain(name)(x) + b * (d * (x @ A.T) @ B.T)
        torch.testing.assert_close(layer(x), wanted, rtol=1e-3, atol=1e-3)


def test_ia3_scales_keys_values_and_what_the_feed_forward_layer_reads() -> None:
    model = adapted(Arm("ia3"))
    fill(model)
    kinds = {name.rpartition("layer.")[2].partition(".")[2] for name in layers(model)}
    assert kinds == {
        *("attention.self.key", "attention.self.value", "attention.output.dense", "output.dense"),
    }
    for name, layer in layers(model).items():
        scale = layer.ia3_l[ADAPTER].flatten()
        x, linear = x_for(layer), plain(name)
        inside = name.endswith("output.dense")
        wanted = linear(x * scale) if inside else linear(x) * scale
        torch.testing.assert_close(layer(x), wanted, rtol=1e-4, atol=1e-4)


def test_adalora_adds_singular_triplets_of_its_own() -> None:
    """ΔW = (α/r)·B·diag(S)·A with half as much rank again as in the end."""
    model = adapted(Arm("adalora", rank=4))
    fill(model)
    for name, layer in layers(model).items():
        A, B, S = (getattr(layer, f"lora_{part}")[ADAPTER] for part in "ABE")
        assert (A.shape, B.shape, S.shape) == ((6, 32), (32, 6), (6, 1))
        scale = layer.scaling[ADAPTER] / (float(layer.ranknum[ADAPTER]) + 1e-5)
        x = x_for(layer)
        wanted = plain(name)(x) + scale * x @ (B @ torch.diag(S.flatten()) @ A).T
        torch.testing.assert_close(layer(x), wanted, rtol=1e-3, atol=1e-3)


def test_adaloras_penalty_is_the_mean_distance_from_orthogonal_factors() -> None:
    arm = Arm("adalora", rank=4)
    model = adapted(arm)
    fill(model)
    penalty = penalty_of(model, arm, 4)
    assert penalty is not None
    one, distances = torch.eye(6), []
    for layer in layers(model).values():
        A, B = layer.lora_A[ADAPTER], layer.lora_B[ADAPTER]
        distances += [(A @ A.T - one).norm(), (B.T @ B - one).norm()]
    weight = model.peft_config[ADAPTER].orth_reg_weight
    assert weight == 0.5
    wanted = weight * float(torch.stack(distances).detach().mean())
    found = penalty()
    assert float(found.detach()) == pytest.approx(wanted, rel=1e-5)
    found.backward()
    grown = {n for n, w in model.named_parameters() if w.grad is not None and w.grad.any()}
    assert {name.split(".")[-2] for name in grown} == {"lora_A", "lora_B"}


@pytest.mark.parametrize("method", ["lora", "rslora", "dora", "pissa", "vera", "ia3", "full"])
def test_nothing_else_is_added_to_the_loss(method: str) -> None:
    arm = Arm(method, rank=4)
    assert penalty_of(adapted(arm), arm, 0) is None


def test_kasa_without_its_diagonal_is_lora_on_the_truncated_weights() -> None:
    arm = Arm("kasa", rank=4, removed_components=6, beta=0, gamma=0, diagonal=False)
    arm = replace(arm, target_modules=SHAPES)
    cut = tiny_bert()
    for name in target_modules(cut, arm):
        weight = cut.get_submodule(name).weight
        weight.data = remove_smallest(weight.data, 6)
    base = tiny_bert()
    torch.manual_seed(3)
    model, expected = adapt(base, arm)
    lora = adapted(Arm("lora", rank=4, target_modules=SHAPES), cut)
    states = model.state_dict(), lora.state_dict()
    assert set(states[0]) == set(states[1])
    for name, weight in states[0].items():
        torch.testing.assert_close(weight, states[1][name])
    assert penalty_of(model, arm, len(expected)) is None
    figures = guard(model, arm, expected)
    assert (figures["num_matrices"], figures["regulariser"]) == (5, 0.0)
    assert figures["largest_relative_deviation"] < 1e-6


def test_the_guard_catches_a_diagonal_where_none_belongs() -> None:
    arm = Arm("kasa", rank=4, beta=0, gamma=0)
    model, expected = adapt(tiny_bert(), arm)
    with pytest.raises(TrainingError) as caught:
        guard(model, replace(arm, diagonal=False), expected)
    assert caught.value.code == "guard_no_diagonal"


# -- what trains --------------------------------------------------------------------------------

PIECES = {
    "kasa": {"lora_A", "lora_B", "lora_diag"},
    "lora": {"lora_A", "lora_B"},
    "rslora": {"lora_A", "lora_B"},
    "pissa": {"lora_A", "lora_B"},
    "dora": {"lora_A", "lora_B", "lora_magnitude_vector"},
    "adalora": {"lora_A", "lora_B", "lora_E"},
    "vera": {"vera_lambda_b", "vera_lambda_d"},
    "ia3": {"ia3_l"},
    "peft": {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"},
}


@pytest.mark.parametrize("method", [name for name, m in METHODS.items() if m.kind == "adapter"])
def test_only_the_methods_own_weights_train(method: str) -> None:
    arm = Arm(method, rank=4, config=dict(LOHA) if method == "peft" else None)
    names = trained(adapted(arm))
    assert {piece for name in names for piece in name.split(".") if piece in PIECES[method]} == (
        PIECES[method]
    )
    assert all(set(name.split(".")) & PIECES[method] for name in names)


def test_full_tuning_trains_every_weight_of_the_base_as_it_is() -> None:
    base = tiny_bert()
    model, expected = adapt(base, Arm("full"))
    assert model is base
    assert expected == {}
    assert trained(model) == {name for name, _ in tiny_bert().named_parameters()}


@pytest.mark.parametrize("method", ["lora", "rslora", "pissa", "vera", "adalora", "ia3", "dora"])
def test_transposed_layers_are_adapted_too(method: str) -> None:
    model = adapted(Arm(method, rank=4), tiny_gpt2())
    assert "h.0.attn.c_attn" in layers(model)
    tokens = torch.randint(0, 50, (2, 5))
    before = tiny_gpt2()(input_ids=tokens).last_hidden_state
    after = model.eval()(input_ids=tokens).last_hidden_state
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)  # nothing is learned yet


def test_adalora_ends_with_as_many_ranks_as_were_asked_for(tmp_path: Path) -> None:
    parts = small_parts("classification")
    source = write_tiny_bert(tmp_path / "model", task_texts(parts))
    protocol = Protocol("quick", epochs=6, batch_size=8, max_length=32)
    task = task_for(source, parts, protocol)
    task.prepare()
    tuning = Tuning(
        task, Arm("adalora", rank=4), 0, run_folder(tmp_path, "r"), Precision("fp32", 1)
    )
    model, _ = tuning.trial(5e-3)
    triplets = [layer.lora_E[ADAPTER] for layer in layers(model.base).values()]
    assert len(triplets) == 4
    left = [int((each != 0).sum()) for each in triplets]
    assert sum(left) == 4 * 4 < 4 * 6
    assert max(left) <= 6


# -- usual targets ------------------------------------------------------------------------------


@pytest.mark.parametrize("model_type", sorted(LORA_TARGETS))
def test_what_peft_lists_is_taken(model_type: str) -> None:
    listed = LORA_TARGETS[model_type]
    wanted = (listed,) if isinstance(listed, str) else tuple(listed)
    assert usual_targets(model_type, "lora") == usual_targets(model_type, "kasa") == wanted


@pytest.mark.parametrize("method", ["lora", "kasa", "ia3", "peft"])
def test_what_peft_does_not_list_is_looked_for_by_name(method: str) -> None:
    assert usual_targets("something-new", method) == QUERY_AND_VALUE
    assert {"q_proj", "v_proj", "query", "value"} <= set(QUERY_AND_VALUE)


def test_ia3_has_targets_of_its_own() -> None:
    assert set(usual_targets("bert", "ia3")) == {"key", "value", "output.dense"}


# -- a PEFT configuration of the person's own ---------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        LOHA,
        {"peft_type": "loha", "r": 4},
        {"peft_type": "LOKR", "r": 4},
        {"peft_type": "OFT", "r": 4, "oft_block_size": 0},
        {"peft_type": "LORA", "r": 4, "use_dora": True, "target_modules": ["key"]},
        {"peft_type": "IA3", "target_modules": ["value"], "feedforward_modules": []},
        {"peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": "elsewhere"},
    ],
    ids=lambda config: "-".join(map(str, config.values()))[:24],
)
def test_a_configuration_of_peft_is_used(config: dict[str, Any]) -> None:
    arm = Arm("peft", config=config)
    model = adapted(arm)
    assert trained(model)
    found = model.peft_config[ADAPTER].to_dict()
    for name, value in config.items():
        if name not in {"peft_type", "task_type", "base_model_name_or_path"}:
            kept = sorted(found[name]) if isinstance(found[name], set) else found[name]
            assert kept == value
    output = model(input_ids=torch.randint(0, 60, (2, 7)))  # no task of PEFT's around the base
    assert output.last_hidden_state.shape == (2, 7, 32)


def test_without_targets_the_usual_ones_are_adapted() -> None:
    assert set(layers(adapted(Arm("peft", config=LOHA)))) == set(
        target_modules(tiny_bert(), Arm("lora"))
    )


def test_a_saved_adapter_config_trains_again(tmp_path: Path) -> None:
    """adapter_config.json says that the adapter is for use, and where it came from."""
    adapters.save(adapted(Arm("peft", config=LOHA)), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))
    model = adapted(Arm("peft", config=config))
    assert trained(model) == trained(adapted(Arm("peft", config=LOHA)))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"peft_type": "LOHAN"}, "LOHA"),
        ({"peft_type": "LOHA", "rnak": 4}, "rnak"),
        ({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4}, "prompt learning"),
        ({"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 4}, "prompt learning"),
        ({"peft_type": "ADAPTION_PROMPT", "adapter_len": 4, "adapter_layers": 2}, "prompt"),
        ({"peft_type": "LORA", "kasa_config": {"beta": 1e-4}}, "kasa"),
        ({"peft_type": "ADALORA"}, "total_step"),
        ({"peft_type": "LOHA", "r": 0}, "r"),
        ({"peft_type": "LORA", "target_modules": ["nowhere"]}, "nowhere"),
        ({"peft_type": "LORA", "r": "four"}, ""),
    ],
    ids=lambda value: "-".join(map(str, value.values()))[:24] if isinstance(value, dict) else "",
)
def test_a_bad_configuration_is_refused_in_words(config: dict[str, Any], told: str) -> None:
    with pytest.raises(KasaError) as caught:
        adapted(Arm("peft", config=config))
    assert told in json.dumps(caught.value.values)
    assert caught.value.message("ja") != caught.value.message("en")
