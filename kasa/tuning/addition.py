"""What training added to a weight, ΔW = s·B·diag(d)·A, as factors and as components."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from kasa.model.source import ModelSource
from kasa.spectral.importance import Factors
from kasa.spectral.update import components_of
from kasa.tuning.adapters import ADAPTER
from kasa.tuning.reader import load_encoder, load_writer


def inner_of(model: Any) -> nn.Module:
    """Return the base inside a tuned model, its adapted layers in their places."""
    found: nn.Module = model.base.base_model.model
    return found


def adapted_layers(model: Any) -> dict[str, Any]:
    """Return the adapted layers of a tuned model by the base's names."""
    named = inner_of(model).named_modules()
    return {name: layer for name, layer in named if hasattr(layer, "lora_A")}


def up_and_down(layer: Any) -> tuple[Tensor, Tensor]:
    """Return s·B·diag(d), (out, r), and A, (r, in), of an adapted layer: ΔW is their product."""
    up = layer.lora_B[ADAPTER].weight.detach() * layer.scaling[ADAPTER]
    diagonal = diagonal_of(layer)
    return up if diagonal is None else up * diagonal, layer.lora_A[ADAPTER].weight.detach()


def diagonal_of(layer: Any) -> Tensor | None:
    """Return KaSA's trained diagonal d, (r,), of an adapted layer that has one."""
    diagonals = getattr(layer, "lora_diag", {})
    return diagonals[ADAPTER].detach() if ADAPTER in diagonals else None


def updates_of(model: Any) -> dict[str, Factors]:
    """Return the decomposed addition to every adapted layer."""
    layers = adapted_layers(model)
    return {name: components_of(*up_and_down(layer)) for name, layer in layers.items()}


def untouched_weights(model: Any, source: ModelSource) -> dict[str, Tensor]:
    """Return the base's own weights of the adapted layers, read anew."""
    writes = getattr(model, "pooling", None) is None
    kind = "seq2seq" if getattr(model.base.config, "is_encoder_decoder", False) else "causal"
    base = load_writer(source, kind) if writes else load_encoder(source)
    return {name: base.get_submodule(name).weight.detach() for name in adapted_layers(model)}


@contextmanager
def without(
    model: Any, updates: Mapping[str, Factors], silenced: Mapping[str, Sequence[int]]
) -> Iterator[None]:
    """Take components of the addition out of the model inside the block: layer → their numbers."""
    layers, kept = adapted_layers(model), []
    try:
        for name, components in silenced.items():
            down = layers[name].lora_A[ADAPTER].weight
            # ΔW·(I − Σ rⱼrⱼᵀ) lacks exactly those components: A loses what lies along each rⱼ.
            right = updates[name].right[:, list(components)].to(down)
            kept.append((down, down.data))
            down.data = down.data - (down.data @ right) @ right.T
        yield
    finally:
        for weight, data in kept:
            weight.data = data
