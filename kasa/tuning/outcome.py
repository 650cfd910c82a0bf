"""What goes into a run and what comes out of it: the rows by part, and the measured outcome."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from kasa.data.check import mended_texts
from kasa.data.rows import TARGETS
from kasa.dataspec import DataSpec
from kasa.tuning.answers import Answers


@dataclass(frozen=True)
class Part:
    """One part of the rows: their numbers in the file, what is read and what is to be answered.

    `labels` are class ids, scores, the number of the right choice, or answers, as the task has it;
    `seconds` are the second texts of pairs, `choices` what can be chosen from.
    """

    rows: tuple[int, ...]
    texts: tuple[str, ...]
    labels: tuple[Any, ...]
    seconds: tuple[str, ...] = ()
    choices: tuple[tuple[str, ...], ...] = ()

    def take(self, places: Iterable[int]) -> Part:
        """Return the rows at these places, in this order."""
        chosen = list(places)

        def of(column: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(column[place] for place in chosen) if column else ()

        return Part(
            of(self.rows), of(self.texts), of(self.labels), of(self.seconds), of(self.choices)
        )


@dataclass(frozen=True)
class Parts:
    """Train, validation and test rows; `labels` are the names that class ids stand for."""

    train: Part
    validation: Part
    test: Part
    labels: tuple[str, ...]
    task: str = "classification"

    @property
    def inputs(self) -> tuple[str, ...]:
        """What a row's pieces are: a text or prompt alone, or with a second text or choices."""
        if self.train.choices:
            return ("prompt", "choices")
        first = "prompt" if self.task == "generation" else "text"
        return (first, "second_text") if self.train.seconds else (first,)


def asked_part(spec: DataSpec, parts: Parts, questions: Sequence[Sequence[str]]) -> Part:
    """Return questions, each in its pieces, as rows; their labels are placeholders.

    Their texts are changed as those of the study's rows were. What is measured on such rows is
    worth nothing, since nobody knows the right answers.
    """
    pieces = [tuple(question) for question in questions]
    two = "second_text" in parts.inputs
    placeholder: Any = 0 if parts.train.choices else parts.train.labels[0]
    return Part(
        rows=tuple(range(len(pieces))),
        texts=tuple(mended_texts([found[0] for found in pieces], spec)),
        labels=(placeholder,) * len(pieces),
        seconds=tuple(mended_texts([found[1] for found in pieces], spec)) if two else (),
        choices=tuple(found[1:] for found in pieces) if parts.train.choices else (),
    )


def split_parts(rows: pd.DataFrame, task: str = "classification") -> Parts:
    """Return a study's rows by part; class ids follow the sorted label names.

    `rows` has the columns row, part, and the task's inputs and target (kasa.data.rows).
    """
    target = rows[TARGETS[task]]
    labels = tuple(sorted(target.unique())) if TARGETS[task] == "label" else ()
    ids = {label: index for index, label in enumerate(labels)}

    def part(name: str) -> Part:
        chosen = rows[rows["part"] == name]
        texts = chosen["prompt" if "prompt" in chosen else "text"]
        seconds = chosen.get("second_text", ())
        choices = tuple(tuple(json.loads(cell)) for cell in chosen.get("choices", ()))
        answers = list(chosen[TARGETS[task]])
        if labels:
            answers = [ids[answer] for answer in answers]
        elif task == "regression":
            answers = [float(answer) for answer in answers]
        elif task == "multiple_choice":
            answers = [
                offered.index(answer) for offered, answer in zip(choices, answers, strict=True)
            ]
        return Part(
            tuple(int(row) for row in chosen["row"]),
            tuple(texts),
            tuple(answers),
            tuple(seconds),
            choices,
        )

    return Parts(part("train"), part("validation"), part("test"), labels, task)


@dataclass(frozen=True)
class Outcome:
    """What one run measured, all but its memory and total time.

    `answers` are those to the test rows. `prepare_seconds` and `train_seconds` are the chosen
    trial's own; every trial's are in `trials`. `cached_seconds` were spent by an earlier run of the
    study on what this one found; `matmul_share` is how much of the machine's measured
    matrix-product speed training reached; `collateral` is what tuning did to text unlike the task.
    """

    answers: Answers
    selected: dict[str, float]
    validation: dict[str, float]
    trials: list[dict[str, Any]]
    prepare_seconds: float
    train_seconds: float
    evaluate_seconds: float
    num_trainable_params: int
    num_total_params: int
    baseline_memory_bytes: int
    guard: dict[str, Any] | None = None
    collateral: dict[str, Any] | None = None
    cached_seconds: float = 0.0
    tokens_per_second: float | None = None
    matmul_share: float | None = None
    conditions: dict[str, Any] = field(default_factory=dict)
