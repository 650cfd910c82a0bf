"""Heads for every task: pairs and choices apart and together, scores, class weights, by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kasa.model.source import ModelSource
from kasa.study import Protocol
from kasa.tuning import heads
from kasa.tuning.heads import ComparedTask, HeadKind, HeadModel, HeadTask
from kasa.tuning.outcome import Part, Parts
from kasa.tuning.probe import scale_of
from kasa.tuning.tasks import task_for
from kasa.tuning.train import run_zero_shot
from tests.tiny_models import small_parts, small_runs, task_texts, tiny_bert, write_tiny_bert

TASKS = ("classification", "pair_classification", "regression", "multiple_choice")
PROTOCOL = Protocol("quick", max_length=32)
Floats = NDArray[np.float32]


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with small_runs():
        yield


def embeds(source: ModelSource) -> ModelSource:
    """Let a model folder declare a pooling, as models that were made to embed texts do."""
    modules = [{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
    (source.folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    (source.folder / "1_Pooling").mkdir()
    config = '{"pooling_mode_mean_tokens": true}'
    (source.folder / "1_Pooling" / "config.json").write_text(config, "utf-8")
    return source


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSource]:
    """Return the tiny BERT as it is, and one that was made to embed single texts."""
    texts = [text for task in TASKS for text in task_texts(small_parts(task))]
    reads = write_tiny_bert(tmp_path_factory.mktemp("reads"), texts)
    return {
        "together": reads,
        "apart": embeds(write_tiny_bert(tmp_path_factory.mktemp("embeds"), texts)),
    }


def task_of(source: ModelSource, task: str, **changes: Any) -> HeadTask:
    return HeadTask(source, small_parts(task), replace(PROTOCOL, **changes))


def typed(task: HeadTask) -> HeadTask:
    """Let the tokenizer say which of two texts a token is of, as BERT's own does."""
    names = ["input_ids", "token_type_ids", "attention_mask"]
    task.reader.tokenizer.model_input_names = names
    return task


def state(task: HeadTask, model: HeadModel, *texts: str) -> Tensor:
    """Return the mean state of one text, or of two read as one, without any batch."""
    tokens = task.reader.tokenizer(*texts, return_tensors="pt")
    return model.base(**tokens).last_hidden_state[0].mean(0)


def compared(u: Tensor, v: Tensor) -> Tensor:
    return torch.cat([u, v, (u - v).abs(), u * v])


def by_hand(task: HeadTask, model: HeadModel, part: Part, way: str) -> Floats:
    """Return the head's input for all figures of a part, piece by piece."""
    figures = []
    for row, text in enumerate(part.texts):
        others = part.choices[row] if part.choices else part.seconds[row : row + 1]
        if not others:
            figures.append(state(task, model, text))
        for other in others:
            pair = [state(task, model, each) for each in (text, other)]
            figures.append(compared(*pair) if way == "apart" else state(task, model, text, other))
    return torch.stack(figures).detach().numpy()


@pytest.mark.parametrize("way", ["together", "apart"])
@pytest.mark.parametrize("task_name", TASKS)
def test_the_head_sees_what_the_formula_says(
    sources: dict[str, ModelSource], task_name: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(sources[way], task_name)
    model = task.model().eval()
    part = task.parts.test.take(range(6))
    two = task_name in {"pair_classification", "multiple_choice"}
    assert task.kind.apart == (two and way == "apart")
    with torch.no_grad():
        wanted = by_hand(task, model, part, way)
    assert wanted.shape[1] == model.head.in_features == 32 * (4 if task.kind.apart else 1)
    for size in (1, 4, 64):
        monkeypatch.setattr(heads.HeadTask, "answered_together", size)
        np.testing.assert_allclose(task.features(model, part), wanted, rtol=1e-4, atol=1e-5)
    weight, bias = (value.detach().numpy() for value in model.head.parameters())
    figures = task.figures(model, part)
    np.testing.assert_allclose(figures, wanted @ weight.T + bias, rtol=1e-4, atol=1e-4)
    assert np.ptp(figures) > 0.01


@pytest.mark.parametrize("way", ["together", "apart"])
def test_the_loss_of_choices_is_cross_entropy_within_each_row(
    sources: dict[str, ModelSource], way: str
) -> None:
    task = task_of(sources[way], "multiple_choice")
    model, part = task.model(), task.parts.train.take(range(8))
    counts = [len(choices) for choices in part.choices]
    assert len(set(counts)) == 2
    rows = task.tokenise(part)
    found = model(**task.collate([rows[i] for i in range(8)]))
    figures = torch.tensor(task.figures(model, part)[:, 0])
    losses = [
        nn.functional.cross_entropy(row[None], torch.tensor([label]))
        for row, label in zip(torch.split(figures, counts), part.labels, strict=True)
    ]
    wanted = float(torch.stack(losses).mean())
    assert float(found["loss"].detach()) == pytest.approx(wanted, rel=1e-4)
    assert task.answer(model, part).loss == pytest.approx(wanted, rel=1e-4)


def test_a_score_is_learned_in_units_of_the_training_scores(
    sources: dict[str, ModelSource],
) -> None:
    task = task_of(sources["together"], "regression")
    train, test = (np.array(p.labels) for p in (task.parts.train, task.parts.test))
    scale = scale_of(task.parts)
    assert (scale.mean, scale.spread) == pytest.approx((train.mean(), train.std()))
    rows = task.tokenise(task.parts.test)
    units = (test - train.mean()) / train.std()
    assert list(rows["labels"]) == pytest.approx(list(units))
    model = task.model()
    figures = task.figures(model, task.parts.test)[:, 0]
    answers = task.answer(model, task.parts.test)
    said = train.mean() + train.std() * figures
    assert list(answers.table["predicted"]) == pytest.approx(list(said), abs=1e-5)
    assert list(answers.table["label"]) == list(test)
    assert answers.loss == pytest.approx(((said - test) ** 2).mean(), rel=1e-4)
    batch = task.collate([rows[i] for i in range(len(test))])
    assert batch["labels"].dtype == torch.float32
    loss = ((figures - units) ** 2).mean()
    assert float(model(**batch)["loss"].detach()) == pytest.approx(loss, rel=1e-4)


def test_equal_scores_have_a_scale_too() -> None:
    parts = small_parts("regression")
    train = replace(parts.train, labels=(3.0,) * len(parts.train.rows))
    scale = scale_of(replace(parts, train=train))
    assert (scale.mean, scale.spread) == (3.0, 1.0)


def rare(parts: Parts) -> Parts:
    """Return the parts with the third class left in few training rows only."""
    labels = [y if y < 2 or row < 9 else 0 for row, y in enumerate(parts.train.labels)]
    return replace(parts, train=replace(parts.train, labels=tuple(labels)))


def test_class_weights_are_torchs_and_count_every_class_alike(
    sources: dict[str, ModelSource],
) -> None:
    parts = rare(small_parts("classification"))
    task = HeadTask(sources["together"], parts, replace(PROTOCOL, class_weights=True))
    counts = np.bincount(parts.train.labels)
    assert counts.min() < counts.max() / 2
    assert task.kind.class_weights == pytest.approx(24 / (3 * counts))
    # Summed over the training rows, every class weighs the same.
    assert np.ptp(np.array(task.kind.class_weights) * counts) == pytest.approx(0)
    plain = HeadTask(sources["together"], parts, PROTOCOL)
    assert plain.kind.class_weights == ()
    torch.manual_seed(0)
    model = task.model()
    rows = task.tokenise(parts.train)
    batch = task.collate([rows[i] for i in range(24)])
    logits = torch.tensor(task.figures(model, parts.train))
    weight = torch.tensor(task.kind.class_weights, dtype=torch.float32)
    wanted = nn.functional.cross_entropy(logits, batch["labels"], weight=weight)
    assert float(model(**batch)["loss"].detach()) == pytest.approx(float(wanted), rel=1e-4)
    model.kind = plain.kind
    wanted = nn.functional.cross_entropy(logits, batch["labels"])
    assert float(model(**batch)["loss"].detach()) == pytest.approx(float(wanted), rel=1e-4)


def test_class_weights_reach_the_probe(sources: dict[str, ModelSource]) -> None:
    parts = rare(small_parts("classification"))
    weighed, plain = (
        HeadTask(sources["together"], parts, replace(PROTOCOL, class_weights=weights)).probed()[1]
        for weights in (True, False)
    )
    assert weighed.model.class_weight == "balanced"
    assert plain.model.class_weight is None
    assert not np.allclose(weighed.model.coef_, plain.model.coef_)


@pytest.mark.parametrize("way", ["together", "apart"])
@pytest.mark.parametrize("task_name", TASKS)
def test_the_head_starts_as_the_probe(
    sources: dict[str, ModelSource], task_name: str, way: str
) -> None:
    """Before the first step a tuned arm answers as the linear model on the untouched base."""
    task = task_of(sources[way], task_name)
    base, probe = task.probed()
    test = task.parts.test
    wanted = probe.answers(task.features(base, test), test)
    found = task.answer(task.model(), test)
    assert list(found.table["row"]) == list(wanted.table["row"])
    if task_name == "regression":
        said = [each.table["predicted"].to_numpy(float) for each in (found, wanted)]
        np.testing.assert_allclose(*said, atol=1e-3)
    else:
        assert found.table["predicted"].equals(wanted.table["predicted"])
        np.testing.assert_allclose(found.table["confidence"], wanted.table["confidence"], atol=1e-4)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-3)
    weight, bias = probe.head()
    assert (weight.size, bias.size) == tuple(w.numel() for w in task.model().head.parameters())


def test_zero_shot_chooses_the_largest_cosine(sources: dict[str, ModelSource]) -> None:
    parts = small_parts("multiple_choice")
    task = ComparedTask(sources["together"], parts, PROTOCOL)
    model = task.model().eval()
    wanted = []
    with torch.no_grad():
        for text, choices in zip(parts.test.texts, parts.test.choices, strict=True):
            asked = state(task, model, text)
            likeness = [
                float(nn.functional.cosine_similarity(asked, state(task, model, choice), dim=0))
                for choice in choices
            ]
            wanted.append(choices[int(np.argmax(likeness))])
    outcome = run_zero_shot(sources["together"], parts, PROTOCOL)
    assert list(outcome.answers.table["predicted"]) == wanted
    assert len(set(wanted)) > 1
    assert (outcome.num_trainable_params, outcome.trials, outcome.selected) == (0, [], {})
    assert outcome.num_total_params == sum(w.numel() for w in model.base.parameters())


def test_pieces_too_long_are_cut_and_both_stay(sources: dict[str, ModelSource]) -> None:
    task, long_task = (
        typed(task_of(sources["together"], "pair_classification", max_length=length))
        for length in (8, 32)
    )
    rows, whole = (each.tokenise(task.parts.train) for each in (task, long_task))
    for cut, long in zip(rows["input_ids"], whole["input_ids"], strict=True):
        assert len(cut[0]) == 8 <= len(long[0])
        assert cut[0][-1] == long[0][-1]  # the second text's end is still there
    assert list(rows["length"]) == [8] * 24
    assert all(set(each[0]) == {0, 1} for each in rows["token_type_ids"])


def test_which_text_a_token_is_of_reaches_the_base(sources: dict[str, ModelSource]) -> None:
    task = typed(task_of(sources["together"], "pair_classification"))
    rows = task.tokenise(task.parts.test)
    batch = task.collate([rows[0], rows[1]])
    assert set(batch) == {"input_ids", "attention_mask", "token_type_ids", "labels"}
    batch.pop("labels")
    model = task.model()
    with torch.no_grad():
        right = model.features(**batch)
        flat = model.features(**(batch | {"token_type_ids": torch.zeros_like(batch["input_ids"])}))
    assert float((right - flat).abs().max()) > 1e-3


def test_a_saved_head_is_restored_with_its_labels(
    sources: dict[str, ModelSource], tmp_path: Path
) -> None:
    task = task_of(sources["together"], "classification")
    torch.manual_seed(5)
    model = task.model()
    task.save(model, tmp_path)
    assert json.loads((tmp_path / "labels.json").read_text("utf-8")) == list(task.parts.labels)
    other = HeadModel(tiny_bert(), "mean", HeadKind("classification", 3))
    assert not torch.equal(other.head.weight, model.head.weight)
    task.restore(other, tmp_path)
    assert torch.equal(other.head.weight, model.head.weight)
    assert torch.equal(other.head.bias, model.head.bias)


@pytest.mark.parametrize("task_name", TASKS)
def test_a_base_that_only_reads_answers_with_a_head(
    sources: dict[str, ModelSource], task_name: str
) -> None:
    assert isinstance(task_for(sources["together"], small_parts(task_name), PROTOCOL), HeadTask)
