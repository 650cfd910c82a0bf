"""What tuning did to text unlike the task: known answers, the true base, verdicts, words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kasa.arms import Arm
from kasa.model.source import ModelSource
from kasa.report.collateral import collateral_section, collateral_sentences, collateral_table
from kasa.runs.records import FinishedRun
from kasa.study import Protocol
from kasa.text import LANGUAGES, translator
from kasa.tuning import adapters
from kasa.tuning.collateral import (
    damage,
    impression,
    kept_likeness,
    likenesses,
    neutral_sentences,
    untouched_impression,
)
from kasa.tuning.outcome import Parts
from kasa.tuning.tasks import Task, task_for
from kasa.verdict.facts import evidence_to_dict
from tests.study_runs import example_evidence, example_runs
from tests.tiny_models import (
    small_parts,
    task_texts,
    write_tiny_bert,
    write_tiny_llama,
    write_tiny_t5,
)

WRITERS = {"bert": write_tiny_bert, "llama": write_tiny_llama, "t5": write_tiny_t5}


def test_the_sentences_are_as_many_in_both_languages_and_differ() -> None:
    sentences = neutral_sentences()
    assert set(sentences) == set(LANGUAGES)
    assert {len(lines) for lines in sentences.values()} == {40}
    assert all(len(set(lines)) == len(lines) for lines in sentences.values())


def test_kept_likeness_by_hand() -> None:
    """The first sentence's others changed places, the second's stayed."""
    before = np.array([[1.0, 0.8, 0.2], [0.8, 1.0, 0.4], [0.2, 0.4, 1.0]])
    after = np.array([[1.0, 0.3, 0.9], [0.3, 1.0, 0.1], [0.9, 0.1, 1.0]])
    assert kept_likeness(after, before) == pytest.approx([-1.0, 1.0, -1.0])
    assert kept_likeness(before, before).tolist() == [1.0, 1.0, 1.0]


def test_a_turned_and_stretched_space_is_untouched() -> None:
    rng = np.random.default_rng(0)
    states = rng.normal(size=(12, 5))
    turn, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    kept = kept_likeness(likenesses(7 * states @ turn), likenesses(states))
    assert kept == pytest.approx(np.ones(12))
    apart = kept_likeness(likenesses(rng.normal(size=(12, 5))), likenesses(states))
    assert np.abs(apart).mean() < 0.6


def test_states_that_are_all_alike_keep_nothing_but_themselves() -> None:
    alike = np.ones((4, 4))
    other = likenesses(np.random.default_rng(1).normal(size=(4, 3)))
    assert kept_likeness(other, alike).tolist() == [0.0] * 4
    assert kept_likeness(alike, alike).tolist() == [1.0] * 4


def texts_of(parts: Parts) -> list[str]:
    """Return what the tiny base shall know: the task's texts and the English sentences."""
    return [*task_texts(parts), *neutral_sentences()["en"]]


@pytest.fixture(params=["bert", "llama", "t5"])
def task(request: pytest.FixtureRequest, tmp_path: Path) -> Task:
    """Return a task on a tiny base: classes on BERT, answers in words on the other two."""
    kind = "classification" if request.param == "bert" else "generation"
    parts = small_parts(kind)
    source: ModelSource = WRITERS[request.param](tmp_path, texts_of(parts))
    return task_for(source, parts, Protocol("quick", max_length=32), tmp_path / "cache")


def test_the_untouched_base_is_untouched(task: Task) -> None:
    model = task.prepare()
    before = untouched_impression(task, model)
    kind = "loss" if getattr(task, "causal", False) else "likeness"
    found = damage(before, impression(task, model)) or {}
    untouched = 0.0 if kind == "loss" else 1.0
    assert (found["kind"], found["en"]) == (kind, [untouched] * 40)
    # To the tiny readers' tokenizers every Japanese word is unknown.
    assert list(before) == ["en"]
    # The study's next run finds it without asking the model.
    kept = untouched_impression(task, None)
    assert all(np.array_equal(kept[lang], before[lang]) for lang in before)


def test_a_base_that_knows_no_language_is_not_measured(tmp_path: Path) -> None:
    parts = small_parts("classification")
    source = write_tiny_bert(tmp_path, task_texts(parts))
    task = task_for(source, parts, Protocol("quick"))
    model = task.prepare()
    assert damage(untouched_impression(task, model), impression(task, model)) is None


def test_what_changes_the_weights_shows(task: Task) -> None:
    model = task.prepare()
    before = untouched_impression(task, model)
    with torch.no_grad():
        for name, weight in model.get_submodule("base").named_parameters():
            if weight.ndim == 2 and "embed" not in name:
                weight.add_(0.3 * torch.randn_like(weight))
    found = damage(before, impression(task, model)) or {}
    untouched = 0.0 if found["kind"] == "loss" else 1.0
    assert np.mean(found["en"]) != pytest.approx(untouched, abs=1e-4)


def test_kasas_cut_is_measured_against_the_true_base(task: Task) -> None:
    model = task.prepare()
    before = untouched_impression(task, model)
    arm = Arm("kasa", 2, removed_components=4)
    model.base, _ = adapters.adapt(model.get_submodule("base"), arm, 10)
    found = damage(before, impression(task, model)) or {}
    untouched = 0.0 if found["kind"] == "loss" else 1.0
    assert found["en"] != [untouched] * 40


def test_losses_are_those_of_transformers(tmp_path: Path) -> None:
    parts = small_parts("generation")
    task = task_for(write_tiny_llama(tmp_path, texts_of(parts)), parts, Protocol("quick"))
    model = task.prepare()
    found = impression(task, model)["en"]
    for sentence, loss in list(zip(neutral_sentences()["en"], found, strict=True))[:5]:
        words = task.reader.tokenizer(sentence, add_special_tokens=False)["input_ids"]
        start = task.reader.tokenizer.bos_token_id
        ids = torch.tensor([[*([] if start is None else [start]), *words]])
        with torch.inference_mode():
            expected = model.get_submodule("base")(input_ids=ids, labels=ids).loss
        assert loss == pytest.approx(float(expected), abs=1e-4)


# -- verdicts and words ---------------------------------------------------------------------------


def with_harm(run: FinishedRun, kind: str, mean: float) -> FinishedRun:
    rng = np.random.default_rng(run.seed)
    figures = {lang: list(mean + rng.normal(0, 0.01, 40)) for lang in ("en", "ja")}
    return replace(run, collateral={"kind": kind, **figures})


def harmed(kind: str, kasa: float, lora: float) -> list[FinishedRun]:
    means = {"kasa-r8": kasa, "lora-r8": lora}
    return [
        with_harm(run, kind, means[run.arm]) if run.arm in means else run for run in example_runs()
    ]


@pytest.mark.parametrize(
    ("kind", "kasa", "lora", "verdict"),
    [
        ("likeness", 0.95, 0.85, "better"),
        ("likeness", 0.85, 0.95, "worse"),
        ("loss", 0.2, 0.5, "better"),
        ("loss", 0.5, 0.2, "worse"),
    ],
)
def test_less_harm_is_better(kind: str, kasa: float, lora: float, verdict: str) -> None:
    evidence = example_evidence(harmed(kind, kasa, lora))
    assert [harm.arm for harm in evidence.harms] == ["kasa-r8", "kasa-r8", "lora-r8", "lora-r8"]
    assert [(gap.pair, gap.verdict) for gap in evidence.harm_gaps] == [
        (("kasa-r8", "lora-r8"), verdict)
    ] * 2
    for harm in evidence.harms:
        assert harm.interval[0] < harm.value < harm.interval[1]
        assert harm.value == pytest.approx(kasa if harm.arm == "kasa-r8" else lora, abs=0.01)
    assert evidence_to_dict(evidence)["collateral"]["pair"][0]["verdict"] == verdict


def test_a_language_that_the_base_cannot_read_has_a_dash() -> None:
    runs = [
        replace(run, collateral={"kind": "likeness", "en": run.collateral["en"]})
        if run.collateral
        else run
        for run in harmed("likeness", 0.9, 0.8)
    ]
    evidence = example_evidence(runs)
    assert [gap.language for gap in evidence.harm_gaps] == ["en"]
    assert [row[1] for row in collateral_table(evidence, translator("en")).rows[1:]] == ["–", "–"]


def test_runs_from_before_have_no_side_effects_to_show() -> None:
    evidence = example_evidence()
    assert (evidence.harms, evidence.harm_gaps) == ((), ())
    assert collateral_section(evidence, translator("en")).blocks == ()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_words(lang: str) -> None:
    text = translator(lang)
    likeness = example_evidence(harmed("likeness", 0.95, 0.85))
    table = collateral_table(likeness, text)
    assert [row[1][:3] for row in table.rows] == ["1.0", "0.9", "0.8"]
    assert len(list(collateral_sentences(likeness, text))) == 2
    loss = example_evidence(harmed("loss", 0.0, 0.6931))
    assert collateral_table(loss, text).rows[2][1].startswith(("×1.99", "×2.0"))
    assert len(collateral_section(loss, text).blocks) == 3
