"""Matrices whose answers are known before they are measured, and model folders built from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

BERT_CONFIG: dict[str, Any] = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "vocab_size": 20,
    "max_position_embeddings": 16,
}


def matrix_with_spectrum(
    singular_values: Sequence[float], shape: tuple[int, int], seed: int = 0
) -> torch.Tensor:
    """Return U·diag(σ)·Vᵀ in float64 with random orthonormal U, V; missing values are zero."""
    random = np.random.default_rng(seed)
    left, _ = np.linalg.qr(random.standard_normal((shape[0], min(shape))))
    right, _ = np.linalg.qr(random.standard_normal((shape[1], min(shape))))
    values = np.zeros(min(shape))
    values[: len(singular_values)] = singular_values
    return torch.from_numpy(left * values @ right.T)


def write_model(
    folder: Path,
    tensors: dict[str, torch.Tensor],
    config: dict[str, Any] | None = None,
    shards: int = 1,
) -> Path:
    """Write config.json and the tensors as one safetensors file, or as shards with their index."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(BERT_CONFIG if config is None else config)
    (folder / "config.json").write_text(text, "utf-8")
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    places: dict[str, str] = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in list(tensors)[shard::shards]}
        save_file(part, folder / file)
        places |= dict.fromkeys(part, file)
    index = json.dumps({"metadata": {}, "weight_map": places})
    (folder / "model.safetensors.index.json").write_text(index, "utf-8")
    return folder


def bert_tensors(dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Return a two-layer BERT's tensors with known spectra: query 8…1, value one direction only."""
    tensors = {
        "embeddings.word_embeddings.weight": torch.ones(20, 8),
        "embeddings.position_ids": torch.arange(16).unsqueeze(0),
        "embeddings.LayerNorm.weight": torch.ones(8),
        "pooler.dense.weight": torch.eye(8),
    }
    for layer in range(2):
        stem = f"encoder.layer.{layer}"
        tensors |= {
            f"{stem}.attention.self.query.weight": matrix_with_spectrum(range(8, 0, -1), (8, 8)),
            f"{stem}.attention.self.value.weight": matrix_with_spectrum([3.0], (8, 8), seed=layer),
            f"{stem}.attention.output.dense.weight": torch.eye(8),
            f"{stem}.attention.self.query.bias": torch.zeros(8),
            f"{stem}.output.dense.weight": matrix_with_spectrum([2.0, 1.0], (8, 12)),
        }
    return {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
