"""How a base model reads text: tokenizer and pooling; its weights, loaded without its code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from kasa.errors import ModelError
from kasa.model.source import ModelSource, model_facts

DECODER_SUFFIXES = ("ForCausalLM", "LMHeadModel")


@dataclass(frozen=True)
class Reader:
    """How a base model reads text: its tokenizer, its pooling, and the most tokens per row.

    `embeds` says that the model was made to embed single texts (it declares its pooling), so that
    a pair is read as two texts and compared, not as one text. `writes` is causal, seq2seq or "".
    `positions` is the most tokens that the model can hold at all, None where it declares no limit.
    """

    tokenizer: PreTrainedTokenizerBase
    pooling: str
    max_length: int
    embeds: bool = False
    writes: str = ""
    positions: int | None = None


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
    writes = "seq2seq" if config.is_encoder_decoder else "causal" if decoder else ""
    return Reader(
        tokenizer,
        facts.pooling or ("last" if decoder else "mean"),
        min(max_length, facts.max_positions or max_length),
        embeds=facts.pooling is not None,
        writes=writes,
        positions=facts.max_positions,
    )


def load_encoder(source: ModelSource) -> PreTrainedModel:
    """Load the base without its language head: `model(...).last_hidden_state` are token states.

    Of an encoder-decoder base only the encoder reads. Raises `ModelError` when weights are missing:
    transformers would fill them with random numbers.
    """
    model = _load(source, AutoModel)
    encoder: PreTrainedModel = model.get_encoder() if model.config.is_encoder_decoder else model
    return encoder


def load_writer(source: ModelSource, writes: str) -> PreTrainedModel:
    """Load the base with its language head; raises `ModelError` for one that cannot write text."""
    if not writes:
        raise ModelError("model_cannot_write", model=source.name)
    return _load(source, AutoModelForSeq2SeqLM if writes == "seq2seq" else AutoModelForCausalLM)


def _load(source: ModelSource, kind: Any) -> PreTrainedModel:
    """Load in fp32 from safetensors, without running any code from the model's folder."""
    with _explained(source):
        model: PreTrainedModel
        model, found = kind.from_pretrained(
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
