"""A model's linear weights, one matrix at a time, straight from safetensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from kasa.errors import ModelError
from kasa.model.headers import WeightInfo, read_headers
from kasa.model.source import ModelSource, model_facts

if TYPE_CHECKING:
    import torch


def linear_weights(source: ModelSource) -> list[WeightInfo]:
    """Return every linear weight of the model in layer order; no weight is read."""
    return list(model_facts(source).weights)


def read_weight(source: ModelSource, name: str) -> torch.Tensor:
    """Return one tensor as float32 (float64 where stored so), shaped as stored, on the CPU.

    16-bit floats are widened, which loses nothing. Raises `ModelError` when the model has no such
    tensor, and when it holds NaN or infinity.
    """
    import torch

    file = next((h.file for h in read_headers(source.weight_files()) if h.name == name), None)
    if file is None:
        raise ModelError("model_no_such_weight", name=name, model=source.name)
    try:
        with safe_open(file, framework="pt") as tensors:
            weight: torch.Tensor = tensors.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise ModelError("model_damaged", path=str(file), detail=str(error)) from error
    weight = weight if weight.dtype == torch.float64 else weight.to(torch.float32)
    # NaN and infinity pass through to the ends; one look, and nothing the size of the weight.
    if not all(math.isfinite(float(end)) for end in torch.aminmax(weight)):
        raise ModelError("model_not_finite", name=name, model=source.name)
    return weight
