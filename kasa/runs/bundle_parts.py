"""What a study's bundle holds: its results, and its data, rows and weights only where wanted.

Without the data, no text of a row is in any part. Inputs are empty, and where answers are words
themselves (multiple choice, generation) the different ones of a row are called #1, #2, …, the right
one #1, and a group is masked as the report shows it: so every verdict, count and disagreement stays
what it was. Class names and scores stay, since verdicts are about them; in a study that masks
likely personal data class names are masked too. Tuned weights are left out with the data, for a
tuned model may remember what it was tuned on and needs the rows to be loaded. Never in a bundle:
logs and events, checkpoints, the weights of full fine-tuning (as large as the base model), runs
that have not finished, and where data files lay on this computer.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from kasa.data.card import DatasetCard
from kasa.data.personal import mask_personal, masked_labels
from kasa.data.rows import INPUTS, TARGETS
from kasa.errors import StoreError
from kasa.runs.files import file_name, read_json
from kasa.runs.records import RunRecord
from kasa.runs.store import BARE_ROWS, ROWS, Store
from kasa.study import Study

STUDY, CARD, RESULT, PREDICTIONS = "study.toml", "card.json", "result.json", "predictions.csv"
DATA, TEST_DATA = "data", "test_data"
ADAPTER_CONFIG = "adapter/adapter_config.json"
WEIGHTS = ("head.safetensors", "labels.json", "adapter/adapter_model.safetensors", ADAPTER_CONFIG)
WORDY = ("multiple_choice", "generation")
CLASSY = ("classification", "pair_classification")

Part = tuple[str, bytes]


def bundled_runs(store: Store, study_id: str) -> tuple[list[RunRecord], list[RunRecord]]:
    """Return a study's whole finished runs, by arm and seed, and the others."""
    order = store.study(study_id).study.arm_names()
    runs = sorted(
        store.runs(study_id), key=lambda run: (order.index(str(run.arm)), int(run.seed or 0))
    )
    whole = [run for run in runs if run.status == "finished" and store.has_result(run.id)]
    return whole, [run for run in runs if run not in whole]


def parts(store: Store, study_id: str, *, with_data: bool) -> Iterator[Part]:
    """Return the files of a bundle, by name; equal for equal studies.

    Raises `StoreError` for an unknown study, one that was not started, and where the data is wanted
    but is not here.
    """
    study, card = store.study(study_id).study, store.card(study_id)
    runs, _ = bundled_runs(store, study_id)
    yield STUDY, portable(study).to_toml().encode()
    if with_data:
        yield from _whole(store, study_id, study, card)
        for run in runs:
            yield f"runs/{run.id}/{RESULT}", _result(store, run)
            yield f"runs/{run.id}/{PREDICTIONS}", (run.folder / PREDICTIONS).read_bytes()
            yield from _weights(run)
        return
    bare = WithoutTexts(study, card)
    yield CARD, json_bytes(bare.card().to_dict())
    yield BARE_ROWS, bare.rows(store.rows(study_id, need_texts=False))
    for run in runs:
        yield f"runs/{run.id}/{RESULT}", bare.result(_result(store, run))
        yield f"runs/{run.id}/{PREDICTIONS}", bare.predictions(run.folder / PREDICTIONS)


def portable(study: Study) -> Study:
    """Return the study with its files beside it, as they lie in an unpacked bundle."""
    data = replace(study.data, path=f"{DATA}/{file_name(study.data.path)}")
    if data.test_path:
        data = replace(data, test_path=f"{TEST_DATA}/{file_name(data.test_path)}")
    return replace(study, data=data)


def _whole(store: Store, study_id: str, study: Study, card: DatasetCard) -> Iterator[Part]:
    store.rows(study_id)  # raises where the texts are not here
    yield CARD, json_bytes(card.to_dict())
    yield ROWS, (store.study_folder(study_id) / ROWS).read_bytes()
    data = study.data
    for folder, path, digest in (
        (DATA, data.path, data.sha256),
        (TEST_DATA, data.test_path, data.test_sha256),
    ):
        if path:
            kept = store.kept_dataset(digest or "")
            if kept is None:
                raise StoreError("dataset_gone", path=path)
            yield f"{folder}/{file_name(path)}", kept.read_bytes()


def _weights(run: RunRecord) -> Iterator[Part]:
    for name in WEIGHTS:
        path = run.folder / name
        if not path.is_file():
            continue
        if name == ADAPTER_CONFIG:
            # It names the base model's folder on this computer.
            config = dict(read_json(path) or {}) | {"base_model_name_or_path": None}
            yield f"runs/{run.id}/{name}", json_bytes(config)
        else:
            yield f"runs/{run.id}/{name}", path.read_bytes()


def _result(store: Store, run: RunRecord) -> bytes:
    """Return a run's result without what was asked: that is the study, and where its files lie."""
    found = store.result(run.id) or {}
    return json_bytes({name: found[name] for name in ("measured", "conditions")})


class WithoutTexts:
    """Takes the texts out of one study's files; taking them out again changes nothing."""

    def __init__(self, study: Study, card: DatasetCard) -> None:
        """Know the task, whether likely personal data is masked, and the class names to mask."""
        self.task, self.mask, self._card = study.task, study.data.mask, card
        self.names = masked_labels(card.labels) if self.mask else {}
        self._answers: dict[str, dict[str, str]] = {}

    def card(self) -> DatasetCard:
        """Return the card, which says that the texts are not there."""
        labels = {self._class(label): count for label, count in self._card.labels.items()}
        return replace(self._card, labels=labels, texts=False)

    def rows(self, rows: pd.DataFrame) -> bytes:
        """Return the test rows as JSON lines: row, empty inputs, target, part, and group."""
        test = rows[rows["part"] == "test"]
        target = TARGETS[self.task]
        kept: dict[str, Any] = {"row": test["row"], "part": test["part"]}
        kept |= {name: "" for name in INPUTS[self.task] if name in test}
        kept[target] = [
            self._target(str(row), answer)
            for row, answer in zip(test["row"], test[target], strict=True)
        ]
        if self.task in CLASSY and "group" in test:
            kept["group"] = test["group"].map(mask_personal) if self.mask else test["group"]
        lines = pd.DataFrame(kept).to_json(orient="records", lines=True, force_ascii=False)
        return lines.encode()

    def result(self, content: bytes) -> bytes:
        """Return result.json with class names as the card has them."""
        found = json.loads(content)
        found["measured"]["labels"] = [self._class(name) for name in found["measured"]["labels"]]
        return json_bytes(found)

    def predictions(self, path: Path) -> bytes:
        """Return predictions.csv; runs must come in one order, which numbers the answers."""
        # As text from end to end: a number that was read and written again may not be the same.
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        for column in ("label", "predicted"):
            table[column] = [
                self._target(row, answer)
                for row, answer in zip(table["row"], table[column], strict=True)
            ]
        buffer = io.StringIO()
        table.to_csv(buffer, index=False, lineterminator="\n")
        return buffer.getvalue().encode()

    def _class(self, name: str) -> str:
        return self.names.get(name, name)

    def _target(self, row: str, answer: Any) -> Any:
        """Return a class by its name, a score as it is, and words by their number in the row."""
        if self.task in CLASSY:
            return self._class(answer)
        if self.task not in WORDY:
            return answer
        known = self._answers.setdefault(row, {})
        # What reads the same in the report counts as the same answer.
        words = mask_personal(answer) if self.mask else answer
        return known.setdefault(words, f"#{len(known) + 1}")


def json_bytes(value: Any) -> bytes:
    """Return a JSON document, equal for equal values."""
    return json.dumps(value, ensure_ascii=False, indent=1).encode()
