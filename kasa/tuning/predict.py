"""A tuned run beside its base: predictions of both for new texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import set_peft_model_state_dict
from safetensors.torch import load_file

from kasa.errors import StoreError
from kasa.model.source import ModelSource
from kasa.study import Study
from kasa.tuning import adapters
from kasa.tuning.outcome import Parts, softmax
from kasa.tuning.tasks import Classifier, Reader, load_encoder, load_reader, logits_of, tokenise
from kasa.tuning.train import EVALUATE_BATCH, prepare


def predict_tuned(
    source: ModelSource, study: Study, arm_index: int, folder: Path, texts: Sequence[str]
) -> list[dict[str, Any]]:
    """Return label and confidence of the tuned model for each text.

    The base is loaded anew, prepared as the arm prepares it, and given the saved adapter and head.
    """
    if not (folder / "labels.json").is_file():
        raise StoreError("no_tuned_model", run=folder.name)
    labels = json.loads((folder / "labels.json").read_text("utf-8"))
    reader = load_reader(source, study.protocol.max_length)
    model = Classifier(load_encoder(source), reader.pooling, len(labels))
    model.encoder, _ = adapters.adapt(model.encoder, study.arms[arm_index])
    state = load_file(folder / "adapter" / "adapter_model.safetensors")
    set_peft_model_state_dict(model.encoder, state, adapter_name=adapters.ADAPTER)
    model.head.load_state_dict(load_file(folder / "head.safetensors"))
    return _answers(model, reader, labels, texts)


def predict_base(
    source: ModelSource, study: Study, parts: Parts, texts: Sequence[str]
) -> list[dict[str, Any]]:
    """Return label and confidence of the untouched base with its linear probe for each text."""
    ready, model = prepare(source, parts, study.protocol)
    model.set_head(*ready.probe.head(len(parts.labels)))
    return _answers(model, ready.reader, parts.labels, texts)


def _answers(
    model: Classifier, reader: Reader, labels: Sequence[str], texts: Sequence[str]
) -> list[dict[str, Any]]:
    rows = tokenise(reader, texts, [0] * len(texts))
    probabilities = softmax(logits_of(model, reader, rows, EVALUATE_BATCH))
    best = probabilities.argmax(1)
    return [
        {"label": labels[index], "confidence": round(float(row[index]), 6)}
        for index, row in zip(best, probabilities, strict=True)
    ]
