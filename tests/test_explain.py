"""What a run has learned: components silenced exactly, words found again, effects as measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kasa.arms import Arm
from kasa.errors import StoreError
from kasa.model.source import ModelSource
from kasa.report.explain import interval, is_clear, marked, module_names, sentences
from kasa.report.explain_plots import classes_chart, effect_chart
from kasa.study import Protocol
from kasa.text import LANGUAGES, translator
from kasa.tuning.addition import adapted_layers, up_and_down, updates_of, without
from kasa.tuning.excited import excitations, spans_of
from kasa.tuning.explain import explain
from kasa.tuning.knowledge import measure
from kasa.tuning.outcome import Parts
from kasa.tuning.predict import Tuned
from kasa.tuning.tasks import task_for
from tests.tiny_models import (
    small_parts,
    small_runs,
    task_texts,
    write_tiny_bert,
    write_tiny_gpt2,
    write_tiny_llama,
    write_tiny_t5,
)
from tests.tuned_runs import COLUMNS, tuned_run

QUERY = "encoder.layer.1.attention.self.query"


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with small_runs():
        yield


@pytest.fixture(scope="module")
def parts() -> Parts:
    return small_parts("classification")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> ModelSource:
    return write_tiny_bert(tmp_path_factory.mktemp("bert"), task_texts(parts))


@pytest.fixture(scope="module", params=["kasa", "lora"])
def tuned(
    request: pytest.FixtureRequest,
    parts: Parts,
    source: ModelSource,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Tuned, Arm]:
    arm = Arm(request.param, 3, alpha=4)
    return tuned_run(source, parts, arm, tmp_path_factory.mktemp("run"), epochs=2)[0], arm


def test_silencing_takes_exactly_those_components(tuned: tuple[Tuned, Arm]) -> None:
    model: Any = tuned[0].model
    updates, layer = updates_of(model), adapted_layers(model)[QUERY]
    up, down = up_and_down(layer)
    whole = up @ down
    assert float(whole.norm()) > 1e-3, "two epochs leave something to silence"
    own = updates[QUERY]
    with without(model, updates, {QUERY: [0, 2]}):
        up, down = up_and_down(layer)
        left = own.part([1]).to(up)
        assert torch.allclose(up @ down, left, atol=1e-6)
    up, down = up_and_down(layer)
    assert torch.equal(up @ down, whole)


def test_silencing_everything_leaves_the_base_without_its_addition(
    tuned: tuple[Tuned, Arm],
) -> None:
    model: Any = tuned[0].model
    updates = updates_of(model)
    everything = {name: range(len(own.singular_values)) for name, own in updates.items()}
    part = tuned[0].task.parts.test
    with model.base.disable_adapter():
        off = measure(tuned[0].task, model, part).losses
    with without(model, updates, everything):
        silent = measure(tuned[0].task, model, part).losses
    assert silent == pytest.approx(off, abs=1e-5)
    assert np.abs(silent - measure(tuned[0].task, model, part).losses).max() > 1e-3


def test_components_together_say_what_the_addition_says(tuned: tuple[Tuned, Arm]) -> None:
    """Σⱼ said_j·lⱼ at every token is the adapted layer's output minus its base layer's."""
    model: Any = tuned[0].model
    task, part = tuned[0].task, tuned[0].task.parts.test
    updates, layer = updates_of(model), adapted_layers(model)[QUERY]
    added: list[torch.Tensor] = []
    hook = layer.register_forward_hook(
        lambda _layer, args, output: added.append(output - layer.base_layer(args[0]))
    )
    rows = excitations(task, model, part, {QUERY: updates[QUERY]})
    hook.remove()
    wanted = torch.cat([batch.flatten(0, 1) for batch in added])
    found = [
        torch.tensor(each.spoken).double() @ updates[QUERY].left.T for row in rows for each in row
    ]
    norms = {round(float(v.norm()), 3) for v in torch.cat(found)}
    assert norms <= {round(float(v.norm()), 3) for v in wanted}
    assert max(norms) > 0


@pytest.mark.parametrize("kind", list(COLUMNS))
def test_words_are_found_again_in_their_texts(kind: str, tmp_path: Path) -> None:
    parts = small_parts(kind)
    writer = write_tiny_llama if kind == "generation" else write_tiny_bert
    source = writer(tmp_path, task_texts(parts))
    task = task_for(source, parts, Protocol("quick", max_length=32))
    tokenizer, part = task.reader.tokenizer, parts.test
    rows = task.tokenise(part)
    for index in range(3):
        pieces = [part.texts[index], *(part.choices[index] if part.choices else ())]
        pieces += part.seconds[index : index + 1]
        spans = spans_of(task, part, index)
        ids = rows[index].get("input_ids") or [[*rows[index]["prompt"], *rows[index]["answer"]]]
        assert [len(own) for own in spans] == [len(own) for own in ids]
        named = 0
        for own, sequence in zip(spans, ids, strict=True):
            for span, token in zip(own, sequence, strict=True):
                if span is not None:
                    piece, start, end = span
                    word = tokenizer.convert_ids_to_tokens(token)
                    assert word in {pieces[piece][start:end].lower(), tokenizer.unk_token}
                    named += 1
        assert named >= 2


def test_a_run_is_explained_whole(
    tuned: tuple[Tuned, Arm], source: ModelSource, parts: Parts
) -> None:
    loaded, arm = tuned
    steps: list[tuple[int, int]] = []
    found = explain(loaded, source, arm, "abc", lambda *step: steps.append(step))
    assert json.loads(json.dumps(found)) == found
    assert found["labels"] == list(parts.labels)
    assert found["num_rows"] == len(parts.test.rows)
    assert steps[-1][0] == steps[-1][1]
    names = [own["module"] for own in found["modules"]]
    assert names == list(adapted_layers(loaded.model))
    assert {own["layer"] for own in found["modules"]} == {0, 1}
    for own in found["modules"]:
        total = np.sum(own["shares"]) + own["outside"]
        assert total == pytest.approx(1, abs=1e-6)
        assert (own["diagonal"] is not None) == (arm.method == "kasa")
        assert own["removed"] == (3 if arm.method == "kasa" else 0)
        for each in own["components"]:
            peaks = [row["peak"] for row in each["rows"]]
            assert peaks == sorted(peaks, reverse=True)
            assert {row["row"] for row in each["rows"]} <= set(parts.test.rows)
            assert each["effect"]["rows"] == len(parts.test.rows)
    # What a class says is part of what all rows say.
    effect = found["layers"][1]["effect"]
    mean = sum(own["change"] * own["rows"] for own in effect["classes"]) / found["num_rows"]
    assert mean == pytest.approx(effect["change"])


def test_an_effect_is_what_removal_measures(
    tuned: tuple[Tuned, Arm], source: ModelSource, parts: Parts
) -> None:
    """Upper layers are resumed from what enters them: the same as answering from the beginning."""
    loaded, arm = tuned
    found = explain(loaded, source, arm, "abc")
    model: Any = loaded.model
    updates, task = updates_of(model), loaded.task
    (own,) = (each for each in found["modules"] if each["module"] == QUERY)
    before = measure(task, model, parts.test).losses
    for each in own["components"]:
        with without(model, updates, {QUERY: [each["number"]]}):
            change = measure(task, model, parts.test).losses - before
        assert each["effect"]["change"] == pytest.approx(float(change.mean()), abs=1e-5)
        error = float(change.std(ddof=1)) / len(change) ** 0.5
        assert each["effect"]["error"] == pytest.approx(error, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "writer", "arm"),
    [
        ("generation", write_tiny_llama, Arm("kasa", 2, spread=True)),
        ("generation", write_tiny_t5, Arm("kasa", 2)),
        ("regression", write_tiny_bert, Arm("rslora", 2)),
        ("regression", write_tiny_gpt2, Arm("lora", 2)),  # its weights are stored (in, out)
    ],
)
def test_other_tasks_and_bases_are_explained(
    kind: str, writer: Any, arm: Arm, tmp_path: Path
) -> None:
    parts = small_parts(kind)
    source = writer(tmp_path / "model", task_texts(parts))
    found = explain(tuned_run(source, parts, arm, tmp_path)[0], source, arm, "abc")
    assert found["labels"] == []
    assert any(each["rows"] for own in found["modules"] for each in own["components"])
    for lang in LANGUAGES:
        assert sentences(found, translator(lang), masked=True)
        assert classes_chart(found, translator(lang), masked=True) is None


def test_methods_that_are_no_sum_of_components_are_refused(
    tuned: tuple[Tuned, Arm], source: ModelSource
) -> None:
    with pytest.raises(StoreError) as error:
        explain(tuned[0], source, Arm("dora", 3), "abc")
    assert error.value.code == "no_components"
    assert all(error.value.message(lang) for lang in LANGUAGES)


# -- what people read ----------------------------------------------------------------------------


def change(value: float, error: float = 0.01, rows: int = 50, **more: Any) -> dict[str, Any]:
    return {"change": value, "error": error, "rows": rows} | more


def found_with(layers: list[list[float]], labels: list[str]) -> dict[str, Any]:
    """Return findings of one weight a layer, with these changes by layer and class."""
    effects = [
        change(float(np.mean(own)), accuracy=0.7, classes=[change(value) for value in own])
        for own in layers
    ]
    return {
        "labels": labels,
        "num_rows": 100,
        "loss": 0.5,
        "accuracy": 0.8,
        "all": change(0.4, accuracy=0.6, classes=[]),
        "layers": [{"layer": k, "effect": own} for k, own in enumerate(effects)],
        "modules": [
            {"module": f"layer.{k}.value", "layer": k, "effect": own, "removed": 0}
            for k, own in enumerate(effects)
        ],
    }


def test_an_interval_is_students() -> None:
    low, high = interval(change(0.5, error=0.1, rows=10))
    assert (low, high) == pytest.approx((0.5 - 0.2262157, 0.5 + 0.2262157))
    wider = interval(change(0.5, error=0.1, rows=10), num_joint=10)
    assert wider[0] < low
    assert not is_clear(change(0.5, rows=1), 1)
    assert not is_clear(change(0.0, error=0.0), 1)


def test_sentences_name_only_what_is_beyond_chance() -> None:
    text = translator("en")
    found = found_with([[0.001, 0.002], [0.9, 0.003]], ["scratch", "call 090-1234-5678"])
    said = " ".join(sentences(found, text, masked=True))
    assert "0.900 instead of 0.500" in said
    assert "60.0% instead of 80.0%" in said
    assert "Chance could explain" not in said
    assert "not the untuned model" in said
    assert "come from Layer 1" in said
    assert "“scratch” rises beyond chance without what was added to Layer 1 (value)" in said
    assert "090" not in said
    nothing = found_with([[0.001], [0.002]], ["a"]) | {"all": change(0.01, 0.1, accuracy=0.8)}
    quiet = " ".join(sentences(nothing, text, masked=True))
    assert "Chance could explain this change" in quiet
    assert "For no single layer" in quiet
    assert "No class's loss rises" in quiet


def test_module_names_are_short_where_that_is_unique() -> None:
    text = translator("en")
    found = {
        "modules": [{"module": "h.0.attn.q", "layer": 0}, {"module": "h.1.attn.v", "layer": 1}]
    }
    assert module_names(found, text) == {"h.0.attn.q": "Layer 0 · q", "h.1.attn.v": "Layer 1 · v"}
    twice = [{"module": f"h.0.{name}.dense", "layer": 0} for name in ("mid", "out")]
    names = module_names({"modules": [*twice, {"module": "pooler.dense", "layer": -1}]}, text)
    assert list(names.values()) == ["Layer 0 · mid.dense", "Layer 0 · out.dense", "pooler.dense"]


def test_marked_words_keep_every_character_and_hide_personal_data() -> None:
    piece = "pump leaks, call 090-1234-5678 <b>now</b>"
    tokens = [[0, 0, 4, -2.0], [0, 17, 20, 1.0], [0, 31, 34, 1.0], [1, 0, 2, 4.0]]
    open_text = marked([piece, "hi"], tokens, masked=False)
    assert ["".join(words for words, _ in own) for own in open_text] == [piece, "hi"]
    assert open_text[0][0] == ("pump", 0.5)
    assert open_text[1] == [("hi", 1.0)]
    hidden = "".join(words for words, _ in marked([piece], tokens, masked=True)[0])
    assert "090" not in hidden
    assert "<b>now</b>" in hidden


@pytest.mark.parametrize("lang", LANGUAGES)
def test_charts_disarm_names_and_leave_chance_white(lang: str) -> None:
    found = found_with([[0.001, 0.002], [0.9, -0.8]], ["<b>bold</b>", "other"])
    figure = classes_chart(found, translator(lang), masked=False)
    assert figure is not None
    heat = figure.figure.data[0]
    assert "<b>" not in "".join(heat.y)
    assert np.array(heat.z).tolist() == [[0.0, -0.8], [0.0, 0.9]]
    bars = effect_chart(found, found["layers"][1]["effect"], translator(lang), masked=False)
    assert bars is not None
    assert list(bars.figure.data[0].x) == [-0.8, 0.9]
