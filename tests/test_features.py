"""The cache of the base's features: the same array, seconds counted, nothing trusted blindly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kasa.model.source import ModelSource
from kasa.study import Protocol
from kasa.tuning.features import FeatureCache
from kasa.tuning.heads import HeadTask
from kasa.tuning.train import run_frozen_head
from tests.tiny_models import all_texts, small_runs, work_orders, write_tiny_bert

ARRAY = np.arange(12, dtype=np.float32).reshape(3, 4)


def never() -> np.ndarray:
    raise AssertionError("computed again")


def test_features_are_computed_once_and_their_seconds_counted(tmp_path: Path) -> None:
    first, later = FeatureCache(tmp_path), FeatureCache(tmp_path)
    found, seconds = first.get(("model", "texts"), ARRAY.copy)
    assert np.array_equal(found, ARRAY)
    assert (first.seconds, seconds > 0) == (0.0, True)
    again, same = later.get(("model", "texts"), never)
    assert np.array_equal(again, ARRAY)
    assert same == later.seconds == seconds


def test_other_facts_are_other_features(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.get(("model", ("a", "b")), ARRAY.copy)
    for facts in (("model", ("a",)), ("model", ("a", "c")), ("other", ("a", "b"))):
        found, _ = cache.get(facts, lambda: ARRAY + 1)
        assert np.array_equal(found, ARRAY + 1)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04N."])
def test_a_damaged_file_is_computed_again(tmp_path: Path, content: bytes) -> None:
    FeatureCache(tmp_path).get("facts", ARRAY.copy)
    (file,) = tmp_path.glob("*.npz")
    file.write_bytes(content)
    found, _ = FeatureCache(tmp_path).get("facts", lambda: ARRAY + 1)
    assert np.array_equal(found, ARRAY + 1)


def test_without_a_folder_nothing_is_kept() -> None:
    cache = FeatureCache(None)
    assert np.array_equal(cache.get("facts", ARRAY.copy)[0], ARRAY)
    assert np.array_equal(cache.get("facts", lambda: ARRAY + 1)[0], ARRAY + 1)


def test_a_run_that_finds_the_features_says_the_same_and_counts_their_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = work_orders()
    source: ModelSource = write_tiny_bert(tmp_path / "model", all_texts(parts))
    protocol, cache = Protocol("quick", max_length=32), tmp_path / "features"
    with small_runs():
        first = run_frozen_head(source, parts, protocol, cache)
        monkeypatch.setattr(HeadTask, "features", lambda *_: never())
        again = run_frozen_head(source, parts, protocol, cache)
    assert again.answers.table.equals(first.answers.table)
    assert again.answers.loss == first.answers.loss
    assert (first.cached_seconds, again.cached_seconds > 0) == (0.0, True)
    # Embedding the training rows is the frozen base's training, found or not.
    assert again.train_seconds > 0.5 * first.train_seconds - 0.05
