"""Answers in words: a base that writes text, trained on the answer's tokens alone.

Generation: the answer is written greedily. Choices: the one whose tokens the model finds most
likely, by their mean log-probability. Causal bases read prompt and answer as one text, padded on
the right to train and on the left to write; encoder-decoder bases read the prompt and write the
answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn

from kasa.tuning.answers import Answers, choice_answers, text_answers
from kasa.tuning.outcome import Part
from kasa.tuning.probe import by_row
from kasa.tuning.reader import load_writer
from kasa.tuning.tasks import Batch, Task, by_length, device, on_device

IGNORED = -100


class LanguageModel(nn.Module):
    """A base with its language head; the loss is the mean over the answers' tokens."""

    def __init__(self, base: nn.Module) -> None:
        """Hold the base, which adapters are put on."""
        super().__init__()
        self.base = base

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return logits, and with labels (−100 where a token is no answer) the loss."""
        found = self.base(**batch)
        record = {"logits": found.logits}
        return record if found.loss is None else {"loss": found.loss, **record}


class LanguageTask(Task):
    """Rows whose answer is a text, or one of several texts."""

    answered_together = 16

    @property
    def causal(self) -> bool:
        """Whether prompt and answer are one text."""
        return self.reader.writes == "causal"

    def tokenise(self, part: Part) -> Dataset:
        """Return prompt and right answer as token ids; the prompt's beginning makes room."""
        return self._encoded([self.pair(part, row, self._right(part, row)) for row in _all(part)])

    def _encoded(self, pairs: Sequence[tuple[list[int], list[int]]]) -> Dataset:
        columns: dict[str, list[Any]] = {"prompt": [], "answer": [], "length": []}
        for prompt, answer in pairs:
            columns["prompt"].append(prompt)
            columns["answer"].append(answer)
            columns["length"].append(len(prompt) + len(answer))
        return Dataset.from_dict(columns)

    def _right(self, part: Part, row: int) -> str:
        return part.choices[row][part.labels[row]] if part.choices else str(part.labels[row])

    def pair(self, part: Part, row: int, answer: str) -> tuple[list[int], list[int]]:
        """Return the tokens of a row's prompt and of an answer to it."""
        limit = self.reader.max_length
        end = self.reader.tokenizer.eos_token_id
        words = self.reader.tokenizer(answer, add_special_tokens=False)["input_ids"]
        ids = [*words, *([] if end is None else [end])][: max(1, limit - 1)]
        prompt = self._prompt(part.texts[row])
        return prompt[-(limit - len(ids)) :] if self.causal else prompt, ids

    def _prompt(self, text: str) -> list[int]:
        """Return the prompt's tokens as they are learned from and answered to.

        A long one loses its beginning (its end where an encoder reads it): half of the model's
        positions are its own, and more where answers need less.
        """
        ids, limit = self._tokens(text), self.reader.max_length
        if not self.causal:
            return ids[:limit]
        positions = self.reader.positions or limit + self.protocol.answer_tokens
        room = max(positions // 2, positions - self.protocol.answer_tokens)
        return ids[-min(room, limit - 1) :]

    def _tokens(self, text: str) -> list[int]:
        """Return the prompt's tokens in the chat form that the tokenizer has, or as it is."""
        tokenizer = self.reader.tokenizer
        if tokenizer.chat_template:
            found = tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=True
            )
            return list(found["input_ids"])
        if not self.causal:
            return list(tokenizer(text)["input_ids"])
        # A special token at the end (such as [SEP]) would say that nothing follows.
        start = tokenizer.bos_token_id
        ids = tokenizer(f"{text}\n", add_special_tokens=False)["input_ids"]
        return [*([] if start is None else [start]), *ids]

    def collate(self, rows: Sequence[dict[str, Any]]) -> Batch:
        """Return padded rows with the answer's tokens as labels."""
        pad = int(self.reader.tokenizer.pad_token_id)
        prompts = [list(row["prompt"]) for row in rows]
        answers = [list(row["answer"]) for row in rows]
        if not self.causal:
            return {
                "input_ids": self.padded(prompts, pad),
                "attention_mask": self.padded([[1] * len(ids) for ids in prompts], 0),
                "labels": self.padded(answers, IGNORED),
            }
        both = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        labels = [
            [IGNORED] * len(prompt) + answer
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        return {
            "input_ids": self.padded(both, pad),
            "attention_mask": self.padded([[1] * len(ids) for ids in both], 0),
            "labels": self.padded(labels, IGNORED),
        }

    def model(self) -> LanguageModel:
        """Return a fresh base with its own language head."""
        return LanguageModel(load_writer(self.source, self.reader.writes)).to(device())

    def answer(self, model: Any, part: Part) -> Answers:
        """Return written answers with the right answer's loss per token, or the chosen ones."""
        if self.parts.task == "multiple_choice":
            pairs = [
                self.pair(part, row, choice) for row in _all(part) for choice in part.choices[row]
            ]
            figures = np.array([-loss for loss in self.token_losses(model, pairs)])
            return choice_answers(part, by_row(part, figures))
        pairs = [self.pair(part, row, self._right(part, row)) for row in _all(part)]
        return text_answers(part, self.write(model, part.texts), self.token_losses(model, pairs))

    def save(self, model: nn.Module, folder: Path) -> None:
        """Save nothing: the base's own language head answers."""

    def restore(self, model: nn.Module, folder: Path) -> None:
        """Load nothing."""

    def token_losses(
        self, model: LanguageModel, pairs: Sequence[tuple[list[int], list[int]]]
    ) -> list[float]:
        """Return −log p per answer token, in nats, for each (prompt, answer) of token ids."""
        rows = self._encoded(pairs)
        model.eval()

        def worked(batch: Batch) -> list[float]:
            labels = batch["marks"]
            tokens = {name: value for name, value in batch.items() if name != "marks"}
            if not self.causal:
                tokens["labels"] = labels
            logits = model.base(**on_device(tokens, model)).logits.float()
            labels = labels.to(logits.device)
            if self.causal:  # the state at a token foretells the next one
                logits, labels = logits[:, :-1], labels[:, 1:]
            flat = nn.functional.cross_entropy(
                logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
            )
            counts = (labels != IGNORED).sum(1).clamp_min(1)
            means: list[float] = (flat.sum(1) / counts).tolist()
            return means

        def collate(chosen: Sequence[dict[str, Any]]) -> Batch:
            batch = self.collate(chosen)
            return {**batch, "marks": batch["labels"]}  # `by_length` takes the labels out

        return by_length(rows, rows["length"], self.answered_together, collate, worked)

    def write(self, model: LanguageModel, texts: Sequence[str]) -> list[str]:
        """Return the greedy answer to each prompt, at most `answer_tokens` long."""
        tokenizer = self.reader.tokenizer
        prompts = [self._prompt(text) for text in texts]
        room = self.protocol.answer_tokens
        if self.causal and self.reader.positions:
            room = min(room, self.reader.positions - max(map(len, prompts)))
        rows = Dataset.from_dict({"prompt": prompts})
        pad = int(tokenizer.pad_token_id)
        model.eval()

        def collate(chosen: Sequence[dict[str, Any]]) -> Batch:
            ids = [row["prompt"] for row in chosen]
            # A causal base goes on where the row ends, so every row must end at the same place.
            return {
                "input_ids": self.padded(ids, pad, left=self.causal),
                "attention_mask": self.padded([[1] * len(row) for row in ids], 0, left=self.causal),
            }

        def worked(batch: Batch) -> list[str]:
            found = model.base.generate(  # type: ignore[operator]
                **on_device(batch, model),
                max_new_tokens=room,
                do_sample=False,
                pad_token_id=pad,
            )
            new = found[:, batch["input_ids"].shape[1] :] if self.causal else found
            written = tokenizer.batch_decode(new, skip_special_tokens=True)
            return [text.strip() for text in written]

        together = self.answered_together
        with torch.autocast(device(), enabled=False):
            return by_length(rows, [len(ids) for ids in prompts], together, collate, worked)


def _all(part: Part) -> range:
    return range(len(part.rows))
