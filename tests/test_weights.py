"""One matrix at a time: every stored precision, shards, and values that are no numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kasa.errors import ModelError
from kasa.model.source import resolve_model
from kasa.model.weights import linear_weights, read_weight
from tests.known_answers import bert_tensors, write_model

QUERY = "encoder.layer.1.attention.self.query.weight"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shards", [1, 3])
def test_every_weight_is_read_as_it_was_stored(
    tmp_path: Path, dtype: torch.dtype, shards: int
) -> None:
    tensors = bert_tensors(dtype)
    source = resolve_model(str(write_model(tmp_path / "m", tensors, shards=shards)))
    weights = linear_weights(source)
    assert len(weights) == 9
    for info in weights:
        weight = read_weight(source, info.name)
        assert weight.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert weight.shape == info.shape
        assert torch.equal(weight, tensors[info.name].to(weight.dtype))


def test_one_matrix_of_a_real_model() -> None:
    source = resolve_model("embedded")
    weight = read_weight(source, "encoder.layer.0.output.dense.weight")
    assert weight.shape == (384, 1536)
    assert weight.dtype == torch.float32


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_no_numbers_name_their_tensor(tmp_path: Path, value: float) -> None:
    tensors = bert_tensors()
    tensors[QUERY][2, 3] = value
    source = resolve_model(str(write_model(tmp_path / "m", tensors)))
    with pytest.raises(ModelError) as caught:
        read_weight(source, QUERY)
    assert caught.value.code == "model_not_finite"
    assert QUERY in caught.value.message("en")
    assert QUERY in caught.value.message("ja")


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    source = resolve_model(str(write_model(tmp_path / "m", bert_tensors())))
    with pytest.raises(ModelError) as caught:
        read_weight(source, "no.such.weight")
    assert caught.value.code == "model_no_such_weight"
