"""Collateral damage: what tuning did to text unlike the task, against the untouched base.

Our own neutral sentences, Japanese and English, are read before and after. A base that writes has a
loss per token of each; of any other the sentences' likenesses to one another are compared. The
base is read before an arm is put on it: KaSA's truncation cannot be undone in place.
"""

from __future__ import annotations

import tomllib
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kasa.tuning.heads import pool
from kasa.tuning.language import LanguageTask
from kasa.tuning.reader import Reader
from kasa.tuning.tasks import Task, device, on_device

Floats = NDArray[np.float64]
LOSS, LIKENESS = "loss", "likeness"
READ_TOGETHER = 40
# A base that finds more than this share of a language's tokens unknown cannot read it.
MOST_UNKNOWN = 0.5


@cache
def neutral_sentences() -> dict[str, tuple[str, ...]]:
    """Return the sentences by language."""
    text = Path(__file__).with_name("neutral.toml").read_text("utf-8")
    return {lang: tuple(lines) for lang, lines in tomllib.loads(text).items()}


def readable(reader: Reader) -> dict[str, tuple[str, ...]]:
    """Return the neutral sentences of the languages that a base's tokenizer knows."""
    unknown, found = reader.tokenizer.unk_token_id, {}
    for lang, sentences in neutral_sentences().items():
        ids = reader.tokenizer(list(sentences), add_special_tokens=False)["input_ids"]
        tokens = [token for row in ids for token in row]
        if unknown is None or tokens.count(unknown) <= MOST_UNKNOWN * len(tokens):
            found[lang] = sentences
    return found


def untouched_impression(task: Task, model: Any) -> dict[str, Floats]:
    """Return the impression of the untouched base; the runs of a study share one."""
    reader = task.reader
    facts = ("neutral", task.source.sha256, reader.pooling, reader.max_length, device())
    found: dict[str, Floats] = {}

    def read(lang: str) -> Floats:
        if not found:
            found.update(impression(task, model))
        return found[lang]

    return {
        lang: task.cache.get((*facts, sentences), partial(read, lang))[0]
        for lang, sentences in readable(reader).items()
    }


def impression(task: Task, model: Any) -> dict[str, Floats]:
    """Return by language what a model makes of the neutral sentences.

    Losses per token in nats, shape (N,), where the base writes one text; else cosines, (N, N), of
    the sentences' pooled states.
    """
    model.eval()
    writes = isinstance(task, LanguageTask)
    found = {}
    for lang, sentences in readable(task.reader).items():
        if isinstance(task, LanguageTask) and task.causal:
            found[lang] = np.array(task.token_losses(model, _continued(task.reader, sentences)))
        else:
            base = model.base.get_encoder() if writes else model.base
            found[lang] = likenesses(_pooled(base, task.reader, sentences))
    return found


def _continued(reader: Reader, sentences: tuple[str, ...]) -> list[tuple[list[int], list[int]]]:
    """Return each sentence's tokens, the first (or the beginning's mark) apart: it is given."""
    start, pairs = reader.tokenizer.bos_token_id, []
    for sentence in sentences:
        ids = list(reader.tokenizer(sentence, add_special_tokens=False)["input_ids"])
        ids = [*([] if start is None else [start]), *ids][: reader.max_length]
        pairs.append((ids[:1], ids[1:]))
    return pairs


def _pooled(base: nn.Module, reader: Reader, sentences: tuple[str, ...]) -> Floats:
    parts = []
    for start in range(0, len(sentences), READ_TOGETHER):
        chosen = list(sentences[start : start + READ_TOGETHER])
        tokens = reader.tokenizer(
            chosen, truncation=True, max_length=reader.max_length, padding=True, return_tensors="pt"
        )
        names = ("input_ids", "attention_mask")
        with torch.inference_mode(), torch.autocast(device(), enabled=False):
            batch = on_device({name: tokens[name] for name in names}, base)
            states = base(**batch).last_hidden_state
            parts.append(
                pool(states, batch["attention_mask"], reader.pooling).float().cpu().numpy()
            )
    return np.concatenate(parts).astype(np.float64)


def likenesses(states: Floats) -> Floats:
    """Return the cosine of every two states, (N, d) → (N, N)."""
    norms = np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)
    return (states / norms) @ (states / norms).T


def damage(before: dict[str, Floats], after: dict[str, Floats]) -> dict[str, Any] | None:
    """Return how each neutral sentence fared: `kind`, and a figure per sentence by language.

    None where the base knows none of the languages.

    For losses after − before, in nats per token: 0 is untouched, above it the text has become less
    likely. For likenesses Pearson's r of a sentence's cosines to the others, before and after: 1 is
    untouched (the rows' part of representational similarity analysis, Kriegeskorte et al. 2008).
    """
    if not before:
        return None
    kind = LOSS if next(iter(before.values())).ndim == 1 else LIKENESS
    compare = np.subtract if kind == LOSS else kept_likeness
    figures = {
        lang: [round(float(figure), 6) for figure in compare(after[lang], before[lang])]
        for lang in before
    }
    return {"kind": kind, **figures}


def kept_likeness(after: Floats, before: Floats) -> Floats:
    """Return r per sentence; 1 where nothing moved, 0 where one side has no differences at all."""
    others = ~np.eye(len(before), dtype=bool)
    a, b = (each[others].reshape(len(before), -1) for each in (after, before))
    da, db = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    spread = np.sqrt((da**2).sum(axis=1) * (db**2).sum(axis=1))
    found = np.divide((da * db).sum(axis=1), spread, out=np.zeros(len(a)), where=spread > 1e-12)
    return np.where(np.abs(a - b).max(axis=1) < 1e-12, 1.0, np.clip(found, -1.0, 1.0))
