"""What a draft compares, on the Experiment page: methods per task, KaSA's parts, layers, training.

The first part asks the page through AppTest, the second the layers' names without it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.targets_form import Targets, read_targets, target_names
from kasa.arms import METHODS, Arm, default_arms, kasa_parts
from kasa.dataspec import TASKS, DataSpec
from kasa.errors import StudyError
from kasa.model.source import resolve_model
from kasa.model.weights import linear_weights
from kasa.runs.store import Store
from kasa.study import Gates, Protocol, Study
from kasa.tuning.adapters import target_modules
from kasa.tuning.reader import load_encoder
from tests.tiny_models import small_parts, task_texts, write_tiny_bert

MAIN = str(Path(__file__).resolve().parents[2] / "app" / "main.py")
PAGE = "../pages/experiment.py"
COLUMNS: dict[str, dict[str, Any]] = {
    "classification": {"text": "text", "label": "label"},
    "pair_classification": {"text": "text", "second_text": "other", "label": "label"},
    "regression": {"text": "text", "score": "score"},
    "multiple_choice": {"prompt": "text", "choices": ("a", "b"), "answer": "label"},
    "generation": {"prompt": "text", "answer": "label"},
}
LOHA = {"peft_type": "LOHA", "r": 4}


@pytest.fixture
def store(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return an empty store whose queue stands still."""
    for place in ("app.shell", "app.live_panel", "app.estimate_panel", "kasa.runs.local"):
        monkeypatch.setattr(f"{place}.ensure_dispatcher", lambda _: None)
    return Store()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a tiny BERT of four layers as a folder, which is read faster than the embedded one."""
    texts = task_texts(small_parts("classification"))
    folder = tmp_path_factory.mktemp("model")
    return write_tiny_bert(folder, texts, num_hidden_layers=4).name


def make_draft(
    store: Store, folder: Path, model: str, task: str = "classification", **settings: Any
) -> str:
    file = folder / "rows.csv"
    lines = [f"note {row},other {row},{'ab'[row % 2]},{row % 7},x,y" for row in range(60)]
    file.write_text("\n".join(["text,other,label,score,a,b", *lines]), "utf-8")
    study = Study("A", model, DataSpec(str(file), **COLUMNS[task]), protocol=Protocol("quick"))
    assert study.task == task
    return store.create_study(replace(study, **settings))


def open_page(study_id: str, lang: str = "en") -> AppTest:
    page = AppTest.from_file(MAIN, default_timeout=60)
    page.query_params["lang"] = lang
    page.query_params["study"] = study_id
    page.run()
    return checked(page.switch_page(PAGE).run())


def checked(page: AppTest) -> AppTest:
    assert [each.value for each in page.exception] == []
    return page


def keys(page: AppTest) -> set[str]:
    return {button.key for button in page.button}


def arms_key(task: str) -> str:
    return "arms" if task == "classification" else f"arms_{task}"


# -- methods ------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("task", list(TASKS))
def test_the_page_offers_the_methods_that_the_task_has(
    store: Store, tmp_path: Path, model: str, task: str, lang: str
) -> None:
    study_id = make_draft(store, tmp_path, model, task)
    before = store.study(study_id)
    page = open_page(study_id, lang)
    methods = page.multiselect(key=arms_key(task))
    assert methods.value == [arm.method for arm in default_arms(task)]
    able = [method for method, facts in METHODS.items() if task in facts.tasks]
    assert len(methods.options) == len(set(methods.options)) == len(able)
    metric = page.selectbox(key=f"gate_metric_name_{task}")
    assert metric.value == before.study.metric
    assert "start" in keys(page)
    captions = [each.value.replace("\\", "") for each in page.caption]
    (material,) = (caption for caption in captions if "rows.csv" in caption)
    shown = material.rpartition("rows.csv")[2]
    assert [name for name in before.study.data.columns() if name not in shown] == []
    assert store.study(study_id) == before


def test_every_method_can_be_added_and_taken_out_again(
    store: Store, tmp_path: Path, model: str
) -> None:
    study_id = make_draft(store, tmp_path, model)
    page = open_page(study_id)
    able = [method for method, facts in METHODS.items() if "classification" in facts.tasks]
    checked(page.multiselect(key="arms").set_value(able[::-1]).run())
    arms = store.study(study_id).study.arms
    assert [arm.method for arm in arms] == able  # in the table's order, whatever was clicked first
    assert {arm.method: arm.rank for arm in arms if arm.facts.ranked} == {
        **dict.fromkeys(("kasa", "lora", "rslora", "dora", "pissa", "adalora"), 8),
        "vera": 256,
    }
    ranked = {box.key for box in page.number_input if box.key.startswith("rank_")}
    assert ranked == {f"rank_{arm.method}_0" for arm in arms if arm.facts.ranked}
    checked(page.multiselect(key="arms").set_value(["ia3", "majority"]).run())
    assert store.study(study_id).study.arms == (Arm("ia3"), Arm("majority"))


def test_a_new_method_takes_the_rank_and_the_layers_of_the_others(
    store: Store, tmp_path: Path, model: str
) -> None:
    arms = (Arm("lora", 4, target_modules=("query",)), Arm("tfidf"))
    study_id = make_draft(store, tmp_path, model, arms=arms)
    page = open_page(study_id)
    checked(page.multiselect(key="arms").set_value(["lora", "tfidf", "dora", "ia3"]).run())
    assert store.study(study_id).study.arms == (
        arms[0],
        Arm("dora", 4, target_modules=("query",)),
        Arm("ia3", rank=4, target_modules=("query",)),
        Arm("tfidf"),
    )


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_kasas_parts_are_added_and_left_out_again(
    store: Store, tmp_path: Path, model: str, lang: str
) -> None:
    before = (Arm("kasa", 4), Arm("lora", 4), Arm("tfidf"))
    study_id = make_draft(store, tmp_path, model, arms=before)
    page = open_page(study_id, lang)
    assert "drop_parts" not in keys(page)
    checked(page.button(key="add_parts").click().run())
    arms = store.study(study_id).study.arms
    assert set(arms) == {*kasa_parts(4), Arm("tfidf")}
    assert len(arms) == 8
    checked(page.run())  # the page shows each of them with settings of its own
    assert "add_parts" not in keys(page)
    ranks = [box.value for box in page.number_input if box.key.startswith("rank_kasa_")]
    assert ranks == [4] * 6
    assert store.study(study_id).study.arms == arms
    checked(page.button(key="drop_parts").click().run())
    assert store.study(study_id).study.arms == before
    checked(page.run())
    assert "add_parts" in keys(page)


def test_kasas_parts_adapt_the_same_layers(store: Store, tmp_path: Path, model: str) -> None:
    only = ("query", "key")
    arms = (Arm("kasa", 4, target_modules=only), Arm("lora", 4, target_modules=only))
    study_id = make_draft(store, tmp_path, model, arms=arms)
    page = open_page(study_id)
    checked(page.button(key="add_parts").click().run())
    found = store.study(study_id).study.arms
    assert {arm.target_modules for arm in found} == {only}
    assert len({arm.slug for arm in found}) == len(found) == 7


# -- a PEFT configuration of one's own ----------------------------------------------------------


def test_an_own_configuration_is_written_as_json(store: Store, tmp_path: Path, model: str) -> None:
    study_id = make_draft(store, tmp_path, model, arms=(Arm("lora"), Arm("peft", config=LOHA)))
    page = open_page(study_id)
    field = page.text_area(key="config_peft_0")
    assert json.loads(field.value) == LOHA
    checked(field.set_value('{"peft_type": "LOKR", "r": 2}').run())
    arm = store.study(study_id).study.arms[1]
    assert arm.config == {"peft_type": "LOKR", "r": 2}
    assert arm.slug == "peft-lokr"


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("written", ["", "{", "[1]", "3", "null", '{"r": 4}', '{"peft_type": ""}'])
def test_what_is_no_configuration_keeps_the_old_one(
    store: Store, tmp_path: Path, model: str, written: str, lang: str
) -> None:
    arms = (Arm("lora"), Arm("peft", config=LOHA))
    study_id = make_draft(store, tmp_path, model, arms=arms)
    page = open_page(study_id, lang)
    checked(page.text_area(key="config_peft_0").set_value(written).run())
    assert store.study(study_id).study.arms == arms
    assert len(page.error) == 1
    assert "start" in keys(page)


@pytest.mark.parametrize("written", ['{"peft_type": 3}', '{"peft_type": ["LORA"]}'])
def test_a_type_that_is_no_word_does_not_stop_the_page(
    store: Store, tmp_path: Path, model: str, written: str
) -> None:
    study_id = make_draft(store, tmp_path, model, arms=(Arm("peft", config=LOHA),))
    page = open_page(study_id)
    checked(page.text_area(key="config_peft_0").set_value(written).run())


# -- layers -------------------------------------------------------------------------------------


def test_layers_are_chosen_for_all_adapters_at_once(
    store: Store, tmp_path: Path, model: str
) -> None:
    arms = (Arm("kasa"), Arm("lora"), Arm("full"), Arm("tfidf"))
    study_id = make_draft(store, tmp_path, model, arms=arms)
    page = open_page(study_id)
    assert len(page.slider) == 0
    checked(page.multiselect(key=f"targets_{model}").set_value(["key", "query"]).run())
    names = [arm.target_modules for arm in store.study(study_id).study.arms]
    assert [set(each) for each in names] == [{"key", "query"}] * 2 + [set()] * 2
    checked(page.run())
    slider = page.slider(key=f"layers_{model}")
    assert tuple(slider.value) == (0, 3)
    checked(slider.set_value((1, 2)).run())
    chosen = store.study(study_id).study.arms[0].target_modules
    assert len(chosen) == 4
    assert all(("layer.1." in name) or ("layer.2." in name) for name in chosen)
    checked(open_page(study_id))  # what was chosen is shown as it is, and stays
    assert store.study(study_id).study.arms[0].target_modules == chosen
    page = open_page(study_id)
    assert tuple(page.slider(key=f"layers_{model}").value) == (1, 2)
    checked(page.multiselect(key=f"targets_{model}").set_value([]).run())
    assert {arm.target_modules for arm in store.study(study_id).study.arms} == {()}


def test_a_model_that_cannot_be_read_leaves_the_layers_as_they_are(
    store: Store, tmp_path: Path
) -> None:
    arms = (Arm("lora", target_modules=("q_proj",)),)
    study_id = make_draft(store, tmp_path, str(tmp_path / "nowhere"), arms=arms)
    open_page(study_id)
    assert store.study(study_id).study.arms == arms


@pytest.mark.parametrize(
    "targets",
    [
        Targets((), 0, 3),
        Targets(("query",), 0, 3),
        Targets(("query", "value"), 0, 3),
        Targets(("query", "value"), 1, 2),
        Targets(("intermediate.dense",), 3, 3),
        Targets(("key",), 0, 0),
    ],
)
def test_a_choice_of_layers_comes_back_from_its_names(model: str, targets: Targets) -> None:
    source = resolve_model(model)
    weights = [weight for weight in linear_weights(source) if weight.layer is not None]
    names = target_names(targets, weights)
    found = read_targets(names, weights)
    assert (set(found.kinds), found.first, found.last) == (
        set(targets.kinds),
        targets.first,
        targets.last,
    )
    assert set(target_names(found, weights)) == set(names)
    if not names:
        return
    # The names mean these layers of the loaded model, and no others.
    adapted = target_modules(load_encoder(source), Arm("lora", target_modules=names))
    layers = {int(name.split(".layer.")[1].split(".")[0]) for name in adapted}
    assert layers == set(range(targets.first, targets.last + 1))
    assert len(adapted) == len(layers) * len(targets.kinds)


def test_a_name_that_the_model_does_not_have_is_kept(model: str) -> None:
    weights = [w for w in linear_weights(resolve_model(model)) if w.layer is not None]
    found = read_targets(("q_proj",), weights)
    assert found == Targets(("q_proj",), 0, 3)
    assert target_names(found, weights) == ("q_proj",)


# -- training -----------------------------------------------------------------------------------


# -- points of curves ---------------------------------------------------------------------------


def curve_names(store: Store, study_id: str) -> list[str]:
    return [
        name for name, arm in store.study(study_id).study.named_arms().items() if not arm.judged
    ]


def test_curves_are_chosen_kept_and_left_out(store: Store, tmp_path: Path, model: str) -> None:
    study_id = make_draft(store, tmp_path, model)
    page = open_page(study_id)

    def chosen() -> Any:
        return next(each for each in page.multiselect if each.key.startswith("curve_arms"))

    assert chosen().value == []
    checked(chosen().set_value(["lora-r8", "tfidf"]).run())
    points = ("rows25", "rows50", "rows75", "noise10", "noise20", "noise30")
    assert curve_names(store, study_id) == [
        f"{arm}-{point}" for arm in ("lora-r8", "tfidf") for point in points
    ]
    assert any("Further runs: 12" in each.value for each in page.caption)
    checked(page.multiselect(key="curve_noise").set_value([]).run())
    checked(page.multiselect(key="curve_rows").set_value([0.5]).run())
    # The points follow their method's settings, and are there when the page is opened again.
    checked(page.number_input(key="rank_lora_0").set_value(4).run())
    assert curve_names(store, study_id) == ["lora-r4-rows50", "tfidf-rows50"]
    before = store.study(study_id)
    page = open_page(study_id, "ja")
    assert store.study(study_id) == before
    assert chosen().value == ["lora-r4", "tfidf"]
    assert page.multiselect(key="curve_noise").value == []
    checked(page.multiselect(key="arms").set_value(["kasa", "lora"]).run())
    assert curve_names(store, study_id) == ["lora-r4-rows50"]
    checked(chosen().set_value([]).run())
    assert curve_names(store, study_id) == []


def test_rows_without_labels_have_no_wrong_ones(store: Store, tmp_path: Path, model: str) -> None:
    study_id = make_draft(store, tmp_path, model, "regression")
    page = open_page(study_id)
    arms = next(each for each in page.multiselect if each.key.startswith("curve_arms"))
    checked(arms.set_value(["lora-r8"]).run())
    assert curve_names(store, study_id) == [f"lora-r8-rows{share}" for share in (25, 50, 75)]
    noisy = replace(store.study(study_id).study, arms=(Arm("lora"), Arm("lora", label_noise=0.1)))
    with pytest.raises(StudyError) as error:
        noisy.check_task()
    assert error.value.code == "no_labels_to_flip"


def test_patience_and_class_weights(store: Store, tmp_path: Path, model: str) -> None:
    study_id = make_draft(store, tmp_path, model)
    page = open_page(study_id)
    assert (page.number_input(key="patience").value, page.checkbox(key="class_weights").value) == (
        0,
        False,
    )
    page.number_input(key="patience").set_value(2)
    page.checkbox(key="class_weights").check()
    checked(page.run())
    protocol = store.study(study_id).study.protocol
    assert (protocol.patience, protocol.class_weights) == (2, True)
    checked(page.segmented_control(key="profile").set_value("standard").run())
    protocol = store.study(study_id).study.protocol
    assert (protocol.profile, protocol.patience, protocol.class_weights) == ("standard", 2, True)


def test_seconds_in_place_of_passes(store: Store, tmp_path: Path, model: str) -> None:
    study_id = make_draft(store, tmp_path, model)
    page = open_page(study_id)
    assert page.number_input(key="trial_seconds").value is None
    page.number_input(key="trial_seconds").set_value(45)
    checked(page.run())
    assert store.study(study_id).study.protocol.trial_seconds == 45
    assert any("Seconds of training for each: 45." in line.value for line in page.caption)
    page.number_input(key="trial_seconds").set_value(None)
    checked(page.run())
    assert store.study(study_id).study.protocol.trial_seconds == 0
    assert not any("Seconds of training" in line.value for line in page.caption)


@pytest.mark.parametrize(
    ("task", "weights", "answer"),
    [
        ("classification", True, False),
        ("pair_classification", True, False),
        ("regression", False, False),
        ("multiple_choice", False, False),
        ("generation", False, True),
    ],
)
def test_training_settings_are_those_that_the_task_has(
    store: Store, tmp_path: Path, model: str, task: str, weights: bool, answer: bool
) -> None:
    page = open_page(make_draft(store, tmp_path, model, task))
    assert ("class_weights" in {box.key for box in page.checkbox}) == weights
    assert ("answer_tokens" in {box.key for box in page.number_input}) == answer


def test_a_correlation_is_required_as_it_is_and_a_share_in_per_cent(
    store: Store, tmp_path: Path, model: str
) -> None:
    study_id = make_draft(store, tmp_path, model, "regression", gates=Gates(metric_min=0.7))
    page = open_page(study_id)
    field = page.number_input(key="gate_correlation")
    assert (field.value, field.label) == (0.7, "Pearson's r at least (0–1)")
    checked(field.set_value(0.85).run())
    assert store.study(study_id).study.gates.metric_min == 0.85
    name = page.selectbox(key="gate_metric_name_regression")
    checked(name.set_value("spearman").run())
    gates = store.study(study_id).study.gates
    assert (gates.metric, gates.metric_min) == ("spearman", 0.85)


def test_a_longest_answer_is_kept(store: Store, tmp_path: Path, model: str) -> None:
    study_id = make_draft(store, tmp_path, model, "generation")
    page = open_page(study_id)
    checked(page.number_input(key="answer_tokens").set_value(12).run())
    assert store.study(study_id).study.protocol.answer_tokens == 12
