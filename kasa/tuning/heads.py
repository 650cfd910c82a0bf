"""Classes, pairs, scores and choices: a linear head on the pooled states of a base model.

A pair, or a question with one of its choices, is read as one text; by a base that was made to embed
single texts, as two texts u and v whose head reads [u, v, |u − v|, u∘v] (Reimers and Gurevych,
2019).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kasa.errors import ModelError
from kasa.tuning.answers import Answers, choice_answers, class_answers, score_answers, softmax
from kasa.tuning.outcome import Part
from kasa.tuning.probe import Probe, by_row, fit_probe, scale_of
from kasa.tuning.reader import load_encoder
from kasa.tuning.tasks import Batch, Task, by_length, device, on_device

HEAD_FILE = "head.safetensors"


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


@dataclass(frozen=True)
class HeadKind:
    """What a head answers: `task`, its number of outputs, and how pieces become its input.

    `apart` compares two pieces; `class_weights` are one weight per class, or none.
    """

    task: str
    num_outputs: int
    apart: bool = False
    class_weights: tuple[float, ...] = ()


class HeadModel(nn.Module):
    """Base, pooling and a linear head: figures = features(pool(base(x)))·Wᵀ + b.

    A figure is a class's logit, a score in units of the training scores, or how right a choice is.
    """

    def __init__(self, base: nn.Module, pooling: str, kind: HeadKind) -> None:
        """Join a base to a head with random weights."""
        super().__init__()
        self.base = base
        self.pooling = pooling
        self.kind = kind
        size = int(base.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.head = nn.Linear(4 * size if kind.apart else size, kind.num_outputs)

    def set_head(self, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
        """Start the head from a linear probe: weight (outputs, d), bias (outputs,)."""
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(weight))
            self.head.bias.copy_(torch.from_numpy(bias))

    def features(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        pairs: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """Return the head's input in fp32, (figures, d) or (figures, 4d) where pieces are compared.

        `pairs` (figures, 2) names the two pieces of each figure.
        """
        extra = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        states = self.base(input_ids=input_ids, attention_mask=attention_mask, **extra)
        pooled = pool(states.last_hidden_state, attention_mask, self.pooling).float()
        if pairs is None:
            return pooled
        u, v = pooled[pairs[:, 0]], pooled[pairs[:, 1]]
        return torch.cat([u, v, (u - v).abs(), u * v], dim=1)

    def forward(
        self, labels: Tensor | None = None, counts: Tensor | None = None, **tokens: Tensor
    ) -> dict[str, Tensor]:
        """Return logits (figures, outputs) and, with labels (rows,), the mean loss.

        Cross-entropy for classes and among the `counts` (rows,) choices of each row; mean squared
        error for scores.
        """
        logits = self.head(self.features(**tokens)).float()
        if labels is None:
            return {"logits": logits}
        if self.kind.task == "regression":
            return {"loss": nn.functional.mse_loss(logits[:, 0], labels), "logits": logits}
        weight = None
        if self.kind.class_weights:
            weight = logits.new_tensor(self.kind.class_weights)
        rows = logits if counts is None else _rows(logits[:, 0], counts)
        return {"loss": nn.functional.cross_entropy(rows, labels, weight), "logits": logits}


def _rows(figures: Tensor, counts: Tensor) -> Tensor:
    """Return (rows, most choices): each row's own figures, −∞ where it has fewer choices."""
    parts = torch.split(figures, counts.tolist())
    return nn.utils.rnn.pad_sequence(list(parts), batch_first=True, padding_value=float("-inf"))


class HeadTask(Task):
    """Rows whose answer is a class, a score or one of several choices."""

    @property
    def kind(self) -> HeadKind:
        """What the head answers on this base."""
        labels, task = self.parts.labels, self.parts.task
        two = bool(self.parts.train.seconds or self.parts.train.choices)
        weights: tuple[float, ...] = ()
        if labels and self.protocol.class_weights:
            counts = np.bincount(self.parts.train.labels, minlength=len(labels))
            # scikit-learn's "balanced": rows ÷ (classes · rows of the class).
            balanced = len(self.parts.train.rows) / (len(labels) * counts)
            weights = tuple(float(weight) for weight in balanced)
        return HeadKind(task, len(labels) or 1, self.reader.embeds and two, weights)

    def tokenise(self, part: Part) -> Dataset:
        """Return a row's pieces as token ids, its label, and its length in tokens."""
        rows = [self._pieces(part, index) for index in range(len(part.rows))]
        labels: list[Any] = list(part.labels)
        if self.parts.task == "regression":
            scale = scale_of(self.parts)
            labels = [(score - scale.mean) / scale.spread for score in part.labels]
        columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
        lengths = [sum(map(len, row["input_ids"])) for row in rows]
        return Dataset.from_dict(columns | {"labels": labels, "length": lengths})

    def _pieces(self, part: Part, index: int) -> dict[str, Any]:
        first = part.texts[index]
        others = part.choices[index] if part.choices else part.seconds[index : index + 1]
        encode = {"truncation": True, "max_length": self.reader.max_length}
        if not others or self.kind.apart:
            found = self.reader.tokenizer([first, *others], **encode)
            return {"input_ids": found["input_ids"]}
        found = self.reader.tokenizer([first] * len(others), list(others), **encode)
        names = [n for n in ("input_ids", "token_type_ids") if n in found]
        return {name: found[name] for name in names}

    def collate(self, rows: Sequence[dict[str, Any]]) -> Batch:
        """Return every row's pieces padded on the right, and what belongs together."""
        pieces = [ids for row in rows for ids in row["input_ids"]]
        pad = self.reader.tokenizer.pad_token_id
        batch = {
            "input_ids": self.padded(pieces, int(pad)),
            "attention_mask": self.padded([[1] * len(ids) for ids in pieces], 0),
        }
        if "token_type_ids" in rows[0]:
            batch["token_type_ids"] = self.padded(
                [t for row in rows for t in row["token_type_ids"]], 0
            )
        sizes = [len(row["input_ids"]) for row in rows]
        if self.kind.apart:
            starts = np.cumsum([0, *sizes[:-1]])
            pairs = [
                (start, start + place)
                for start, size in zip(starts, sizes, strict=True)
                for place in range(1, size)
            ]
            batch["pairs"] = torch.tensor(np.array(pairs))
        if self.parts.task == "multiple_choice":
            batch["counts"] = torch.tensor([size - self.kind.apart for size in sizes])
        dtype = torch.float32 if self.parts.task == "regression" else torch.long
        batch["labels"] = torch.tensor([row["labels"] for row in rows], dtype=dtype)
        return batch

    def model(self) -> HeadModel:
        """Return a fresh base; its head starts from the probe where there is one yet."""
        model = HeadModel(load_encoder(self.source), self.reader.pooling, self.kind).to(device())
        if self.probe is not None:
            model.set_head(*self.probe.head())
        return model

    def probed(self) -> tuple[HeadModel, Probe]:
        """Return the untouched base and the linear probe fitted on its pooled states."""
        model = self.model()

        def features(part: Part) -> NDArray[np.float32]:
            found, seconds = self.kept_features(model, part)
            if part is self.parts.train:
                self.probe_seconds = seconds
            return found

        weights = self.protocol.class_weights
        self.probe = fit_probe(features, self.parts, class_weights=weights)
        return model, self.probe

    def kept_features(self, model: HeadModel, part: Part) -> tuple[NDArray[np.float32], float]:
        """Return the untouched base's features of a part, and what they took, now or earlier."""
        reader, kind = self.reader, self.kind
        facts = (self.source.sha256, reader.pooling, reader.max_length, kind.apart, device())
        content = (part.texts, part.seconds, part.choices)
        return self.cache.get((*facts, *content), lambda: self.features(model, part))

    def prepare(self) -> HeadModel:
        """Fit the linear probe that heads start from; the untouched base is returned."""
        return self.probed()[0]

    def features(self, model: HeadModel, part: Part) -> NDArray[np.float32]:
        """Return the head's input for all figures of a part, without gradients, in fp32."""
        return np.concatenate(self._by_row(model, part, model.features))

    def figures(self, model: HeadModel, part: Part) -> NDArray[np.float32]:
        """Return what the head says to all figures of a part, (figures, outputs)."""
        # Not model(**batch): after bf16 training the Trainer leaves its autocast around `forward`.
        return np.concatenate(
            self._by_row(model, part, lambda **tokens: model.head(model.features(**tokens)).float())
        )

    def _by_row(self, model: HeadModel, part: Part, work: Any) -> list[NDArray[np.float32]]:
        rows = self.tokenise(part)
        model.eval()

        def worked(batch: Batch) -> list[NDArray[np.float32]]:
            counts = batch.pop("counts", None)
            found = work(**on_device(batch, model))
            sizes = [1] * len(found) if counts is None else counts.tolist()
            return [part.cpu().numpy() for part in torch.split(found, sizes)]

        return by_length(rows, rows["length"], self.answered_together, self.collate, worked)

    def answer(self, model: Any, part: Part) -> Answers:
        """Return classes with their probability, scores, or choices."""
        figures = self.figures(model, part)
        if self.parts.task == "regression":
            scale = scale_of(self.parts)
            return score_answers(part, scale.mean + scale.spread * figures[:, 0])
        if self.parts.task == "multiple_choice":
            return choice_answers(part, by_row(part, figures[:, 0]))
        return class_answers(part, self.parts.labels, softmax(figures))

    def save(self, model: nn.Module, folder: Path) -> None:
        """Save the head as safetensors, and the labels that its rows stand for."""
        head = {
            name: value.detach().cpu().contiguous()
            for name, value in model.get_submodule("head").named_parameters()
        }
        save_file(head, folder / HEAD_FILE)
        labels = json.dumps(self.parts.labels, ensure_ascii=False)
        (folder / "labels.json").write_text(labels, "utf-8")

    def restore(self, model: nn.Module, folder: Path) -> None:
        """Load the head."""
        model.get_submodule("head").load_state_dict(load_file(folder / HEAD_FILE))


class ComparedTask(HeadTask):
    """Choices by likeness: what a base says to them before anything is fitted."""

    @property
    def kind(self) -> HeadKind:
        """A figure per choice, from two pieces."""
        return HeadKind("multiple_choice", 1, apart=True)

    def answer(self, model: Any, part: Part) -> Answers:
        """Return the choice whose state has the largest cosine with the question's."""
        features = self.features(model, part)
        size = features.shape[1] // 4
        u, v = features[:, :size], features[:, size : 2 * size]
        likeness = (u * v).sum(1) / np.maximum(
            np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1), 1e-12
        )
        return choice_answers(part, by_row(part, likeness))
