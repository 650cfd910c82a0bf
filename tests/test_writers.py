"""Answers in words, on a tiny causal model and a tiny encoder-decoder, against plain formulas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kasa.arms import Arm
from kasa.dataspec import DataSpec
from kasa.errors import ModelError
from kasa.model.source import ModelSource
from kasa.study import Protocol, Study
from kasa.tuning import language
from kasa.tuning.heads import HeadTask
from kasa.tuning.language import IGNORED, LanguageModel, LanguageTask
from kasa.tuning.outcome import Part
from kasa.tuning.predict import load_tuned, predict_base, predict_tuned
from kasa.tuning.tasks import task_for
from kasa.tuning.train import run_tuned, run_zero_shot
from tests.tiny_models import (
    run_folder,
    small_parts,
    small_runs,
    task_texts,
    write_tiny_bert,
    write_tiny_llama,
    write_tiny_t5,
)

PROTOCOL = Protocol(
    "quick", epochs=2, learning_rates=(2e-2,), batch_size=8, max_length=48, answer_tokens=6
)
KINDS = ("causal", "seq2seq")
Pair = tuple[list[int], list[int]]


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with small_runs():
        yield


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSource]:
    texts = [*task_texts(small_parts("generation")), *task_texts(small_parts("multiple_choice"))]
    return {
        "causal": write_tiny_llama(tmp_path_factory.mktemp("llama"), texts),
        "seq2seq": write_tiny_t5(tmp_path_factory.mktemp("t5"), texts),
    }


def task_of(source: ModelSource, name: str = "generation", **changes: Any) -> LanguageTask:
    task = task_for(source, small_parts(name), replace(PROTOCOL, **changes))
    assert isinstance(task, LanguageTask)
    return task


def words(task: LanguageTask, ids: list[int]) -> str:
    return str(task.reader.tokenizer.decode(ids))


def answer_chances(task: LanguageTask, model: LanguageModel, pair: Pair) -> Tensor:
    """Return log p of every token of an answer, from one row without padding."""
    prompt, answer = pair
    with torch.no_grad():
        if task.causal:
            logits = model.base(input_ids=torch.tensor([[*prompt, *answer]])).logits[0]
            logits = logits[len(prompt) - 1 : -1]
        else:
            start = model.base.config.decoder_start_token_id
            logits = model.base(
                input_ids=torch.tensor([prompt]),
                decoder_input_ids=torch.tensor([[start, *answer[:-1]]]),
            ).logits[0]
    return logits.log_softmax(-1)[torch.arange(len(answer)), torch.tensor(answer)]


# -- rows ---------------------------------------------------------------------------------------


def test_what_a_model_can_write_is_read_from_its_config(
    sources: dict[str, ModelSource], tmp_path: Path
) -> None:
    assert task_of(sources["causal"]).reader.writes == "causal"
    assert task_of(sources["seq2seq"]).reader.writes == "seq2seq"
    reads = write_tiny_bert(tmp_path, task_texts(small_parts("multiple_choice")))
    task = task_for(reads, small_parts("multiple_choice"), PROTOCOL)
    assert isinstance(task, HeadTask)
    assert task.reader.writes == ""
    with pytest.raises(ModelError) as caught:
        task_for(reads, small_parts("generation"), PROTOCOL).model()
    assert caught.value.code == "model_cannot_write"


def test_a_causal_row_is_prompt_and_answer_and_ends(sources: dict[str, ModelSource]) -> None:
    task = task_of(sources["causal"])
    row = task.tokenise(task.parts.train)[0]
    tokenizer = task.reader.tokenizer
    ends = (row["prompt"][0], row["answer"][-1])
    assert ends == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert words(task, row["prompt"][1:]) == task.parts.train.texts[0]
    assert words(task, row["answer"][:-1]) == task.parts.train.labels[0]
    # Nothing after the prompt says that the text is over.
    assert tokenizer.sep_token_id not in row["prompt"]
    assert row["length"] == len(row["prompt"]) + len(row["answer"])


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_answers_tokens_are_labels(sources: dict[str, ModelSource], kind: str) -> None:
    task = task_of(sources[kind])
    rows = [task.tokenise(task.parts.train)[i] for i in range(3)]
    rows[1] = rows[1] | {"prompt": rows[1]["prompt"][:4]}  # rows of different length
    batch = task.collate(rows)
    pad = task.reader.tokenizer.pad_token_id
    columns = [batch[name].tolist() for name in ("input_ids", "attention_mask", "labels")]
    for row, ids, mask, labels in zip(rows, *columns, strict=True):
        read = row["prompt"] + row["answer"] if task.causal else row["prompt"]
        assert ids == read + [pad] * (len(ids) - len(read))
        assert mask == [1] * len(read) + [0] * (len(ids) - len(read))
        told = [IGNORED] * len(row["prompt"]) + row["answer"] if task.causal else row["answer"]
        assert labels == told + [IGNORED] * (len(labels) - len(told))


def test_a_long_prompt_loses_its_beginning_and_the_answer_stays(
    sources: dict[str, ModelSource],
) -> None:
    task, whole = task_of(sources["causal"], max_length=8), task_of(sources["causal"])
    rows = [each.tokenise(each.parts.train) for each in (task, whole)]
    for cut, long in zip(*rows, strict=True):
        assert cut["answer"] == long["answer"]
        assert cut["length"] == 8 < long["length"]
        assert cut["prompt"] == long["prompt"][-len(cut["prompt"]) :]


def test_an_answer_longer_than_the_model_is_cut_and_some_prompt_is_left(
    sources: dict[str, ModelSource],
) -> None:
    task = task_of(sources["causal"], max_length=8)
    row = task.tokenise(Part((0,), ("the pump leaks",), ("call hydraulics " * 9,)))[0]
    assert (len(row["prompt"]), len(row["answer"])) == (1, 7)


def read_to_write(task: LanguageTask, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Return the prompts that the base gets to write from, in some order."""
    model = task.model()
    read: list[list[int]] = []
    generate = model.base.generate

    def watched(input_ids: Tensor, **settings: Any) -> Tensor:
        pad = task.reader.tokenizer.pad_token_id
        read.extend(ids[ids != pad].tolist() for ids in input_ids)
        return generate(input_ids=input_ids, **settings)

    monkeypatch.setattr(model.base, "generate", watched)
    task.write(model, task.parts.test.texts)
    return read


def test_an_encoder_decoder_reads_the_same_prompt_to_learn_and_to_write(
    sources: dict[str, ModelSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(sources["seq2seq"], max_length=8, answer_tokens=4)
    learned = [row["prompt"] for row in task.tokenise(task.parts.test)]
    assert sorted(read_to_write(task, monkeypatch)) == sorted(learned)


@pytest.mark.parametrize("answer_tokens", [6, 64])
def test_room_for_a_long_answer_does_not_eat_up_the_question(
    sources: dict[str, ModelSource], monkeypatch: pytest.MonkeyPatch, answer_tokens: int
) -> None:
    task = task_of(sources["causal"], max_length=48, answer_tokens=answer_tokens)
    learned = [row["prompt"] for row in task.tokenise(task.parts.test)]
    assert sorted(read_to_write(task, monkeypatch)) == sorted(learned)


# -- losses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_mean_over_the_answers_tokens(
    sources: dict[str, ModelSource], kind: str
) -> None:
    task = task_of(sources[kind])
    model = task.model().eval()
    rows = [task.tokenise(task.parts.train)[i] for i in range(5)]
    chances = [answer_chances(task, model, (row["prompt"], row["answer"])) for row in rows]
    with torch.no_grad():
        loss = float(model(**task.collate(rows))["loss"])
    assert loss == pytest.approx(-float(torch.cat(chances).mean()), rel=1e-4)


@pytest.mark.parametrize("size", [1, 4, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_a_rows_loss_depends_on_nothing_beside_it(
    sources: dict[str, ModelSource], kind: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language.LanguageTask, "answered_together", size)
    task = task_of(sources[kind])
    model = task.model().eval()
    rows = task.tokenise(task.parts.test)
    pairs = [(row["prompt"][-(3 + i % 5) :], row["answer"]) for i, row in enumerate(rows)]
    wanted = [-float(answer_chances(task, model, pair).mean()) for pair in pairs]
    assert task.token_losses(model, pairs) == pytest.approx(wanted, rel=1e-4)
    assert np.ptp(wanted) > 0.01


# -- writing ------------------------------------------------------------------------------------


def written_alone(task: LanguageTask, model: LanguageModel, text: str) -> str:
    """Return what transformers' own greedy search writes to one prompt without padding."""
    tokenizer = task.reader.tokenizer
    ids = list(tokenizer(text)["input_ids"])
    if task.causal:
        ids = ids[:-1]  # [SEP] would say that the text is over
    with torch.no_grad():
        found = model.base.generate(
            input_ids=torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=task.protocol.answer_tokens,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )[0]
    new = found[len(ids) :] if task.causal else found
    return str(tokenizer.decode(new, skip_special_tokens=True)).strip()


@pytest.mark.parametrize("size", [1, 5, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_transformers_greedy_answer_to_each_row_alone(
    sources: dict[str, ModelSource], kind: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts of different length, so that padding on the wrong side would show."""
    monkeypatch.setattr(language.LanguageTask, "answered_together", size)
    task = task_of(sources[kind])
    model = task.model().eval()
    test = task.parts.test.texts
    texts = [" ".join(text.split()[: 2 + row % 5]) for row, text in enumerate(test)]
    wanted = [written_alone(task, model, text) for text in texts]
    assert task.write(model, texts) == wanted
    assert len(set(wanted)) > 2
    assert max(len(text.split()) for text in wanted) <= 6


@pytest.mark.parametrize("kind", KINDS)
def test_the_likeliest_choice_is_chosen(sources: dict[str, ModelSource], kind: str) -> None:
    """By the mean log-probability of its tokens, so that a long choice is no worse for it."""
    task = task_of(sources[kind], "multiple_choice")
    model = task.model().eval()
    part = task.parts.test
    wanted = []
    for row, choices in enumerate(part.choices):
        pairs = [task.pair(part, row, choice) for choice in choices]
        means = [float(answer_chances(task, model, pair).mean()) for pair in pairs]
        wanted.append(choices[int(np.argmax(means))])
    assert list(task.answer(model, part).table["predicted"]) == wanted
    assert len(set(wanted)) > 1
    outcome = run_zero_shot(sources[kind], task.parts, task.protocol)
    assert list(outcome.answers.table["predicted"]) == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_judged_by_text_and_by_loss(sources: dict[str, ModelSource], kind: str) -> None:
    task = task_of(sources[kind])
    model = task.model()
    answers = task.answer(model, task.parts.test)
    assert list(answers.table["predicted"]) == task.write(model, task.parts.test.texts)
    assert answers.metrics["perplexity"] == pytest.approx(np.exp(answers.loss))
    columns = {"row", "label", "predicted", "exact_match", "chrf", "token_loss"}
    assert set(answers.table.columns) == columns


def test_a_chat_models_own_form_is_used(sources: dict[str, ModelSource]) -> None:
    task = task_of(sources["causal"])
    tokenizer = task.reader.tokenizer
    tokenizer.chat_template = (
        "{% for m in messages %}in hall {{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %} the{% endif %}"
    )
    special = tokenizer.all_special_ids
    asked = words(task, [i for i in task._prompt("pump leaks") if i not in special])
    assert asked == "in hall pump leaks the"


@pytest.mark.parametrize("kind", KINDS)
def test_a_base_that_writes_can_read_for_a_head_too(
    sources: dict[str, ModelSource], kind: str
) -> None:
    task = task_for(sources[kind], small_parts("classification"), PROTOCOL)
    assert isinstance(task, HeadTask)
    model, probe = task.probed()
    states = task.features(model, task.parts.test)
    assert states.shape == (12, 32)
    assert probe.answers(states, task.parts.test).metrics["accuracy"] >= 0


# -- whole runs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "method"),
    [("generation", "lora"), ("generation", "kasa"), ("multiple_choice", "kasa")],
)
def test_a_writer_learns_and_answers_again_as_it_was_measured(
    sources: dict[str, ModelSource], tmp_path: Path, name: str, kind: str, method: str
) -> None:
    parts, arm = small_parts(name), Arm(method, rank=4)
    folder = run_folder(tmp_path, "run")
    outcome = run_tuned(sources[kind], parts, PROTOCOL, arm, (2e-2,), 0, folder)
    curve = [point["loss"] for point in outcome.trials[0]["curve"]]
    assert curve[-1] < curve[0]
    assert (outcome.guard is None) == (method == "lora")
    assert not (folder / "head.safetensors").exists()
    data = DataSpec("x", prompt="q", answer="a", choices=("c",) if parts.test.choices else ())
    study = Study("t", "m", data, arms=(arm,), protocol=PROTOCOL)
    tuned = load_tuned(sources[kind], study, parts, 0, folder)
    again = tuned.task.answer(tuned.model, parts.test)
    assert list(again.table["predicted"]) == list(outcome.answers.table["predicted"])
    assert again.loss == pytest.approx(outcome.answers.loss, rel=1e-4)
    fresh = tuned.task.model()
    assert isinstance(tuned.task, LanguageTask)
    pairs = [(row["prompt"], row["answer"]) for row in tuned.task.train]
    losses = [np.mean(tuned.task.token_losses(model, pairs)) for model in (fresh, tuned.model)]
    assert losses[1] < 0.9 * losses[0]
    texts = list(parts.test.texts[:3])
    if parts.test.choices:
        rows = zip(texts, parts.test.choices[:3], strict=True)
        texts = [" ||| ".join([text, *choices]) for text, choices in rows]
    found = predict_tuned(sources[kind], study, parts, 0, folder, texts)
    assert [each["label"] for each in found] == list(again.table["predicted"][:3])
    base = predict_base(sources[kind], study, parts, texts)
    untuned = tuned.task.answer(fresh, parts.test.take(range(3)))
    assert [each["label"] for each in base] == list(untuned.table["predicted"])
