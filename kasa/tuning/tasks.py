"""Text classification on a base model: its pooling, its head, its rows as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from kasa.errors import ModelError
from kasa.model.source import ModelSource, model_facts

DECODER_SUFFIXES = ("ForCausalLM", "LMHeadModel")


@dataclass(frozen=True)
class Reader:
    """How a base model reads text: its tokenizer, its pooling, and the most tokens per row."""

    tokenizer: PreTrainedTokenizerBase
    pooling: str
    max_length: int


def load_reader(source: ModelSource, max_length: int) -> Reader:
    """Return the model's tokenizer and pooling.

    A declared pooling (modules.json) is used; otherwise mean for encoders, last token for decoders.
    """
    with _explained(source):
        config = AutoConfig.from_pretrained(source.folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(source.folder, local_files_only=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    tokenizer.padding_side = "right"
    facts = model_facts(source)
    decoder = any(name.endswith(DECODER_SUFFIXES) for name in config.architectures or ())
    pooling = facts.pooling or ("last" if decoder else "mean")
    return Reader(tokenizer, pooling, min(max_length, facts.max_positions or max_length))


def load_encoder(source: ModelSource) -> PreTrainedModel:
    """Load the base in fp32 from safetensors, without running any code from the model's folder.

    Raises `ModelError` when weights are missing: transformers would fill them with random numbers.
    """
    with _explained(source):
        model: PreTrainedModel
        model, found = AutoModel.from_pretrained(
            source.folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    # Checkpoints of masked language models have no pooler, and no pooling here reads it.
    missing = sorted(key for key in found["missing_keys"] if not key.startswith("pooler."))
    if missing:
        detail = f"{len(missing)} weights are missing, {missing[0]} among them"
        raise ModelError("model_unloadable", model=source.name, detail=detail)
    return model


@contextmanager
def _explained(source: ModelSource) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise ModelError("model_unloadable", model=source.name, detail=str(error)[:300]) from error


def pool(hidden: Tensor, mask: Tensor, how: str) -> Tensor:
    """Return one vector per row from token states.

    Shapes: hidden (batch, length, d), mask (batch, length) → (batch, d). Padding is on the right.
    """
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    if how == "mean":
        return (hidden * weights).sum(1) / weights.sum(1).clamp_min(1)
    if how == "cls":
        return hidden[:, 0]
    if how == "max":
        return hidden.masked_fill(weights == 0, float("-inf")).amax(1)
    if how == "last":
        last = mask.sum(1).clamp_min(1) - 1
        return hidden[torch.arange(len(hidden), device=hidden.device), last]
    raise ModelError("unknown_pooling", pooling=how)


class Classifier(nn.Module):
    """Encoder, pooling and a linear head: logits = pool(encoder(x))·Wᵀ + b."""

    def __init__(self, encoder: nn.Module, pooling: str, num_labels: int) -> None:
        """Join a base encoder to a head of `num_labels` classes."""
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.head = nn.Linear(int(encoder.config.hidden_size), num_labels)  # type: ignore[union-attr, arg-type]

    def set_head(self, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
        """Start the head from a linear probe: weight (classes, d), bias (classes,)."""
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(weight))
            self.head.bias.copy_(torch.from_numpy(bias))

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return pooled states (batch, d) in fp32."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        return pool(states.last_hidden_state, attention_mask, self.pooling).float()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return logits (batch, classes) and, with labels, the mean cross-entropy."""
        logits = self.head(self.embed(input_ids, attention_mask)).float()
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def tokenise(reader: Reader, texts: Sequence[str], labels: Sequence[int]) -> Dataset:
    """Return the rows as token ids, tokenised once, longer rows cut at `reader.max_length`."""
    encoded = reader.tokenizer(list(texts), truncation=True, max_length=reader.max_length)
    return Dataset.from_dict(
        {
            "input_ids": encoded["input_ids"],
            "attention_mask": encoded["attention_mask"],
            "labels": list(labels),
        }
    )


def pad_batch(reader: Reader, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Return rows padded to the longest of them; labels, where present, as a tensor."""
    tokens = [{name: row[name] for name in ("input_ids", "attention_mask")} for row in rows]
    batch = dict(reader.tokenizer.pad(tokens, padding=True, return_tensors="pt"))
    if "labels" in rows[0]:
        batch["labels"] = torch.tensor([row["labels"] for row in rows])
    return batch


def logits_of(
    model: Classifier, reader: Reader, rows: Dataset, batch_size: int
) -> NDArray[np.float32]:
    """Return logits (rows, classes) in the rows' order, without gradients, in fp32."""
    # Not model(**batch): after bf16 training the Trainer leaves its autocast around `forward`.
    return _by_batch(
        model, reader, rows, batch_size, lambda batch: model.head(model.embed(**batch)).float()
    )


def embeddings_of(
    model: Classifier, reader: Reader, rows: Dataset, batch_size: int
) -> NDArray[np.float32]:
    """Return pooled states (rows, d) in the rows' order, without gradients, in fp32."""
    return _by_batch(model, reader, rows, batch_size, lambda batch: model.embed(**batch))


def _by_batch(
    model: Classifier, reader: Reader, rows: Dataset, size: int, work: Any
) -> NDArray[np.float32]:
    # Rows of similar length share a batch: less padding, same result.
    lengths = [len(ids) for ids in rows["input_ids"]]
    order = np.argsort(lengths, kind="stable")
    device = next(model.parameters()).device
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(order), size):
            chosen = [rows[int(index)] for index in order[start : start + size]]
            batch = pad_batch(reader, chosen)
            batch.pop("labels", None)
            parts.append(
                work({name: value.to(device) for name, value in batch.items()}).cpu().numpy()
            )
    result: NDArray[np.float32] = np.concatenate(parts)
    return result[np.argsort(order, kind="stable")]
