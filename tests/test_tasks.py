"""Pooling by hand, logits that no batch or padding changes, and how a base is read and loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from kasa.errors import ModelError
from kasa.model.source import ModelSource, resolve_model
from kasa.study import Protocol
from kasa.tuning import heads
from kasa.tuning.heads import HeadKind, HeadModel, HeadTask, pool
from kasa.tuning.outcome import Part, Parts
from kasa.tuning.reader import load_encoder, load_reader
from tests.known_answers import BERT_CONFIG, bert_tensors, write_model
from tests.tiny_models import tiny_bert, tiny_gpt2, word_tokenizer, write_tiny_bert

TEXTS = (
    "pump leaks",
    "the pump leaks oil at the shaft seal , stop the line and call the crew",
    "oil",
    "no alarm , door is open and the robot waits",
    "stop",
)
HIDDEN = torch.tensor(
    [
        [[1.0, -8.0], [3.0, -4.0], [100.0, 100.0]],
        [[5.0, 6.0], [-1.0, 9.0], [2.0, 3.0]],
        [[7.0, 7.0], [100.0, 100.0], [-100.0, 100.0]],
    ]
)
MASK = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0]])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """Return a tiny BERT that knows the words of `TEXTS`."""
    return write_tiny_bert(tmp_path_factory.mktemp("model"), TEXTS)


def part_of(texts: Sequence[str], labels: Sequence[int] | None = None) -> Part:
    return Part(tuple(range(len(texts))), tuple(texts), tuple(labels or [0] * len(texts)))


def task_of(source: ModelSource, max_length: int = 128) -> HeadTask:
    """Return the task of telling `TEXTS` apart as three classes."""
    part = part_of(TEXTS)
    parts = Parts(part, part, part, ("a", "b", "c"))
    return HeadTask(source, parts, Protocol("quick", max_length=max_length))


@pytest.fixture(scope="module")
def task(source: ModelSource) -> HeadTask:
    return task_of(source)


@pytest.fixture(scope="module")
def model(task: HeadTask) -> HeadModel:
    torch.manual_seed(1)
    return task.model()


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("mean", [[2.0, -6.0], [2.0, 6.0], [7.0, 7.0]]),
        ("cls", [[1.0, -8.0], [5.0, 6.0], [7.0, 7.0]]),
        ("max", [[3.0, -4.0], [5.0, 9.0], [7.0, 7.0]]),
        ("last", [[3.0, -4.0], [2.0, 3.0], [7.0, 7.0]]),
    ],
)
def test_pooling_by_hand(how: str, wanted: list[list[float]]) -> None:
    assert pool(HIDDEN, MASK, how).tolist() == wanted


@pytest.mark.parametrize("how", ["mean", "last"])
def test_a_row_without_tokens_is_no_division_by_zero(how: str) -> None:
    found = pool(torch.ones(1, 2, 3), torch.zeros(1, 2, dtype=torch.long), how)
    assert torch.isfinite(found).all()


def test_an_unknown_pooling_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        pool(HIDDEN, MASK, "weighted")
    assert (caught.value.code, caught.value.values) == ("unknown_pooling", {"pooling": "weighted"})


def test_the_head_is_linear_in_the_pooled_state_and_the_loss_is_cross_entropy() -> None:
    model = HeadModel(tiny_bert(), "mean", HeadKind("classification", 3))
    weight = np.random.default_rng(0).standard_normal((3, 32))
    model.set_head(weight, np.array([0.5, -0.5, 1.0]))
    tokens, mask = torch.randint(0, 60, (4, 6)), torch.ones(4, 6, dtype=torch.long)
    labels = torch.tensor([0, 2, 1, 1])
    answer = model(input_ids=tokens, attention_mask=mask, labels=labels)
    states = tiny_bert()(input_ids=tokens).last_hidden_state.mean(1).detach().numpy()
    logits = states @ weight.T + np.array([0.5, -0.5, 1.0])
    np.testing.assert_allclose(answer["logits"].detach(), logits, rtol=1e-4, atol=1e-4)
    exact = np.log(np.exp(logits).sum(1)) - logits[np.arange(4), labels]
    assert answer["loss"].item() == pytest.approx(exact.mean(), rel=1e-4)
    assert set(model(input_ids=tokens, attention_mask=mask)) == {"logits"}


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "last"])
def test_neither_batch_nor_padding_nor_order_changes_a_logit(
    task: HeadTask, model: HeadModel, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooled = HeadModel(model.base, pooling, model.kind)
    alone = []
    with torch.no_grad():
        for text in TEXTS:
            tokens = task.reader.tokenizer(text, return_tensors="pt")
            found = pooled(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
            alone.append(found["logits"][0].numpy())
    for size in (1, 2, 64):
        monkeypatch.setattr(heads.HeadTask, "answered_together", size)
        found = task.figures(pooled, part_of(TEXTS))
        np.testing.assert_allclose(found, np.stack(alone), rtol=1e-4, atol=1e-5)
    order = [3, 0, 4, 2, 1]
    monkeypatch.setattr(heads.HeadTask, "answered_together", 2)
    turned = task.figures(pooled, part_of([TEXTS[i] for i in order]))
    np.testing.assert_allclose(turned, np.stack(alone)[order], rtol=1e-4, atol=1e-5)
    assert np.ptp(found, axis=0).min() > 1e-3  # the texts do differ


def test_features_are_what_the_head_sees(task: HeadTask, model: HeadModel) -> None:
    states = task.features(model, part_of(TEXTS))
    weight, bias = (value.detach().numpy() for value in model.head.parameters())
    logits = task.figures(model, part_of(TEXTS))
    np.testing.assert_allclose(states @ weight.T + bias, logits, rtol=1e-4, atol=1e-5)
    assert states.dtype == np.float32


def test_measuring_does_not_train_drop_out(task: HeadTask) -> None:
    base = tiny_bert(vocab_size=len(task.reader.tokenizer), hidden_dropout_prob=0.5)
    model = HeadModel(base, "mean", task.kind).train()
    part = part_of(TEXTS)
    assert np.array_equal(task.figures(model, part), task.figures(model, part))


def test_long_rows_are_cut_and_short_ones_are_not(source: ModelSource) -> None:
    task = task_of(source, 8)
    rows = task.tokenise(part_of(TEXTS, [4, 3, 2, 1, 0]))
    whole = task_of(source, 64).tokenise(part_of(TEXTS))
    assert [len(ids) for (ids,) in rows["input_ids"]] == rows["length"] == [4, 8, 3, 8, 3]
    assert [len(ids) for (ids,) in whole["input_ids"]] == whole["length"] == [4, 18, 3, 12, 3]
    # The first words stay, and the row still ends as the model learned it: with [SEP].
    (cut,), (long,) = rows["input_ids"][1], whole["input_ids"][1]
    assert cut == [*long[:7], task.reader.tokenizer.sep_token_id]
    assert task.collate([rows[1]])["attention_mask"].tolist() == [[1] * 8]
    assert rows["labels"] == [4, 3, 2, 1, 0]


def test_a_batch_is_padded_on_the_right_to_its_longest_row(task: HeadTask) -> None:
    rows = task.tokenise(part_of(TEXTS[:3], [1, 0, 2]))
    batch = task.collate([rows[0], rows[2]])
    assert batch["input_ids"].shape == (2, 4)
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch["input_ids"][1, 3] == task.reader.tokenizer.pad_token_id
    assert batch["labels"].tolist() == [1, 2]


def test_lengths_are_rounded_up_but_not_beyond_what_is_read(source: ModelSource) -> None:
    task = task_of(source, max_length=10)
    lengths = [task.padded([[7] * count, [7]], 0).shape[1] for count in (1, 4, 5, 9, 11)]
    assert lengths == [4, 4, 8, 10, 11]
    assert task.padded([[7] * 5, [7]], 0, left=True).tolist()[1] == [0, 0, 0, 0, 7]


def test_the_embedded_model_is_read_as_it_declares() -> None:
    reader = load_reader(resolve_model("embedded"), 128)
    assert (reader.pooling, reader.max_length) == ("mean", 128)
    assert load_reader(resolve_model("embedded"), 8192).max_length == 512


def test_no_more_tokens_than_the_model_has_positions(source: ModelSource) -> None:
    assert load_reader(source, 8192).max_length == 64
    assert load_reader(source, 16).max_length == 16


def test_a_declared_pooling_is_used(tmp_path: Path) -> None:
    source = write_tiny_bert(tmp_path, TEXTS)
    assert load_reader(source, 32).pooling == "mean"  # an encoder that declares none
    modules = [{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules), "utf-8")
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true}', "utf-8")
    assert load_reader(source, 32).pooling == "cls"


def test_a_decoder_is_read_at_its_last_token(tmp_path: Path) -> None:
    tiny_gpt2().save_pretrained(tmp_path)
    tokenizer = word_tokenizer(TEXTS)
    tokenizer.pad_token = None
    tokenizer.eos_token = "[SEP]"
    tokenizer.padding_side = "left"
    tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    config["architectures"] = ["GPT2LMHeadModel"]
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    reader = load_reader(resolve_model(str(tmp_path)), 32)
    assert reader.pooling == "last"
    assert reader.tokenizer.pad_token == "[SEP]"
    assert reader.tokenizer.padding_side == "right"


def test_a_real_causal_model_can_be_read(
    shared_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(resolve_model(str(shared_models / "stories260K")), 32)
    assert task.reader.pooling == "last"
    model = task.model()
    together = task.figures(model, part_of(TEXTS))
    monkeypatch.setattr(heads.HeadTask, "answered_together", 1)
    alone = task.figures(model, part_of(TEXTS))
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_the_base_is_loaded_in_fp32_whatever_its_file_holds(tmp_path: Path) -> None:
    tiny_bert().half().save_pretrained(tmp_path)
    encoder = load_encoder(resolve_model(str(tmp_path)))
    assert {weight.dtype for weight in encoder.parameters()} == {torch.float32}


def test_a_base_with_missing_weights_is_refused(tmp_path: Path) -> None:
    """Transformers would draw the missing ones at random, and every load would be another model."""
    config = BERT_CONFIG | {"intermediate_size": 12, "num_attention_heads": 2}
    folder = write_model(tmp_path, bert_tensors(), config)
    with pytest.raises(ModelError) as caught:
        load_encoder(resolve_model(str(folder)))
    assert caught.value.code == "model_unloadable"
    assert "embeddings.LayerNorm.bias" in caught.value.values["detail"]


def test_a_missing_pooler_does_not_matter(tmp_path: Path) -> None:
    state = {k: v for k, v in tiny_bert().state_dict().items() if not k.startswith("pooler.")}
    tiny_bert().save_pretrained(tmp_path)
    write_model(tmp_path, state, json.loads((tmp_path / "config.json").read_text("utf-8")))
    encoder = load_encoder(resolve_model(str(tmp_path)))
    assert torch.equal(encoder.state_dict()["embeddings.LayerNorm.weight"], torch.ones(32))


def test_an_unknown_architecture_is_refused_with_its_name(tmp_path: Path) -> None:
    folder = write_model(tmp_path, bert_tensors(), BERT_CONFIG | {"model_type": "from-the-future"})
    source = resolve_model(str(folder))
    for load in (load_encoder, lambda source: load_reader(source, 32)):
        with pytest.raises(ModelError) as caught:
            load(source)
        assert caught.value.code == "model_unloadable"
        assert "from-the-future" in caught.value.values["detail"]


def test_the_loaded_base_is_the_one_in_the_folder(source: ModelSource) -> None:
    plain = AutoModel.from_pretrained(source.folder, local_files_only=True).state_dict()
    ours = load_encoder(source).state_dict()
    assert set(ours) == set(plain)
    for name, weight in plain.items():
        assert torch.equal(weight, ours[name])
