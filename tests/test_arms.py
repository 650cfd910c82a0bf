"""Arms: their settings and names, what each method is, equal budgets, and what a task allows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kasa.arms import METHODS, Arm, default_arms, kasa_parts
from kasa.dataspec import TASKS, DataSpec
from kasa.errors import StudyError
from kasa.metrics import METRICS, metrics_of
from kasa.report.labels import arm_labels
from kasa.study import Gates, Protocol, Study
from kasa.text import translator

DATA: dict[str, DataSpec] = {
    "classification": DataSpec("a.csv", "text", "label"),
    "pair_classification": DataSpec("a.csv", "text", "label", second_text="other"),
    "regression": DataSpec("a.csv", "text", score="score"),
    "multiple_choice": DataSpec("a.csv", prompt="q", choices=("a", "b"), answer="right"),
    "generation": DataSpec("a.csv", prompt="q", answer="a"),
}
LOHA = {"peft_type": "LOHA", "r": 4}
RATES = (1e-3, 2e-3)


def arm_of(method: str) -> Arm:
    return Arm(method, config=dict(LOHA) if method == "peft" else None)


def study_of(task: str = "classification", **settings: Any) -> Study:
    return Study("A", "embedded", DATA[task], **settings)


@pytest.mark.parametrize("task", list(TASKS))
def test_the_columns_make_the_task(task: str) -> None:
    assert study_of(task).task == task


# -- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arm", "slug"),
    [
        (Arm("kasa"), "kasa-r8"),
        (Arm("kasa", 4, removed_components=4), "kasa-r4"),  # as many as by default
        (Arm("kasa", 4, removed_components=0), "kasa-r4-cut0"),
        (Arm("kasa", removed_components=32), "kasa-r8-cut32"),
        (Arm("kasa", beta=0, gamma=0), "kasa-r8-noreg"),
        (Arm("kasa", beta=0), "kasa-r8"),  # one penalty is left
        (Arm("kasa", beta=0, gamma=0, diagonal=False), "kasa-r8-nodiag-noreg"),
        (Arm("kasa", plan={"query": 3}), "kasa-r8-plan"),
        (Arm("kasa", plan={}, removed_components=3), "kasa-r8-plan"),
        (Arm("lora", 16, removed_components=3), "lora-r16"),
        (Arm("rslora"), "rslora-r8"),
        (Arm("vera", 256), "vera-r256"),
        (Arm("ia3"), "ia3"),
        (Arm("full"), "full"),
        (Arm("peft", config={"peft_type": "LoHa"}), "peft-loha"),
        (Arm("lora", start="gradient"), "lora-r8-gradient"),
        (
            Arm("kasa", plan={"query": 3}, start="removed", spread=True),
            "kasa-r8-plan-removed-spread",
        ),
        (Arm("lora", spread=False), "lora-r8"),
        (Arm("zero_shot"), "zero_shot"),
        (Arm("majority"), "majority"),
    ],
)
def test_a_slug_says_what_differs_from_the_usual(arm: Arm, slug: str) -> None:
    assert arm.slug == slug


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_has_facts_and_words(method: str) -> None:
    arm, facts = arm_of(method), METHODS[method]
    assert arm.facts is facts
    assert facts.kind in {"adapter", "full", "baseline"}
    assert arm.tuned == (facts.kind != "baseline")
    assert set(facts.tasks) <= set(TASKS)
    for lang in ("en", "ja"):
        text = translator(lang)
        for place in ("name", "short", "about"):
            assert text(f"arms.{place}.{method}")


def test_there_are_fourteen_methods() -> None:
    assert len(METHODS) == 14
    assert [name for name, method in METHODS.items() if method.kind == "baseline"] == [
        *("frozen_head", "zero_shot", "tfidf", "majority"),
    ]
    unranked = {name for name, method in METHODS.items() if not method.ranked}
    assert unranked >= {"ia3", "peft", "full"}


def test_own_configurations_are_part_of_equality_but_not_of_the_hash() -> None:
    one, other = (Arm("peft", config=LOHA | {"r": rank}) for rank in (4, 8))
    assert one != other
    assert len({one, other, Arm("peft", config=dict(LOHA))}) == 2


@pytest.mark.parametrize("config", [None, {}, {"r": 4}, {"peft_type": ""}])
def test_an_own_configuration_needs_a_type(config: dict[str, Any] | None) -> None:
    with pytest.raises(StudyError) as caught:
        Arm("peft", config=config)
    assert caught.value.values["name"] == "arms.config"


# -- KaSA's parts -------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [2, 8])
def test_kasas_parts_are_seven_different_arms(rank: int) -> None:
    parts = kasa_parts(rank)
    assert len(set(parts)) == len({arm.slug for arm in parts}) == 7
    assert {arm.rank for arm in parts} == {rank}
    assert [arm.method for arm in parts].count("kasa") == 6
    by_slug = {arm.slug.removeprefix(f"kasa-r{rank}"): arm for arm in parts}
    assert set(by_slug) == {
        *("", "-noreg", "-cut0", f"-cut{4 * rank}"),
        *("-cut0-noreg", "-nodiag-noreg", f"lora-r{rank}"),
    }
    # Each part leaves out one thing, or all but one.
    assert by_slug[""] == Arm("kasa", rank)
    assert by_slug["-cut0"].regularised
    assert by_slug["-noreg"].components_to_remove == rank
    assert by_slug["-nodiag-noreg"].components_to_remove == rank
    assert not by_slug["-nodiag-noreg"].diagonal


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_kasas_parts_are_told_apart_in_words(lang: str) -> None:
    study = study_of(arms=kasa_parts())
    labels = arm_labels(study, translator(lang))
    assert len(set(labels.values())) == 7
    # KaSA as the paper has it needs no explanation, the others say what is different.
    assert labels["kasa-r8"] == "KaSA (r=8)"
    bare = {"en": "KaSA (r=8) [no regularisers]", "ja": "KaSA (r=8) [正則化なし]"}[lang]
    assert labels["kasa-r8-noreg"] == bare
    assert max(map(len, labels.values())) <= 50
    assert len(set(study.arm_names())) == 7
    assert all("-2" not in name for name in study.arm_names())


# -- budgets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_tries_as_many_rates_at_its_own_scale(method: str) -> None:
    protocol = Protocol("quick", learning_rates=RATES)
    able = next(task for task in TASKS if task in METHODS[method].tasks)
    study = study_of(able, arms=(arm_of(method),), protocol=protocol)
    factor = {"vera": 3.0, "ia3": 3.0, "full": 0.01}.get(method, 1.0)
    assert study.learning_rates(study.arms[0]) == pytest.approx([factor * rate for rate in RATES])


def test_a_scaled_rate_reads_as_people_write_it() -> None:
    study = study_of(arms=(Arm("vera"), Arm("full")), protocol=Protocol(learning_rates=(1e-3,)))
    assert [study.learning_rates(arm) for arm in study.arms] == [(0.003,), (1e-5,)]


def test_an_arm_may_have_a_grid_of_its_own_of_the_same_size() -> None:
    own = Arm("vera", learning_rates=(0.1, 0.2))
    study = study_of(arms=(own, Arm("lora")), protocol=Protocol(learning_rates=RATES))
    assert [study.learning_rates(arm) for arm in study.arms] == [(0.1, 0.2), RATES]


@pytest.mark.parametrize("rates", [(0.1,), (0.1, 0.2, 0.3)])
def test_an_unequal_budget_is_refused(rates: tuple[float, ...]) -> None:
    arms = (Arm("kasa", learning_rates=rates), Arm("lora"))
    with pytest.raises(StudyError) as caught:
        study_of(arms=arms, protocol=Protocol(learning_rates=RATES))
    assert caught.value.values["name"] == "arms.learning_rates"
    assert "2" in caught.value.values["wanted"]


def test_the_grid_decides_the_results() -> None:
    own = study_of(arms=(Arm("lora", learning_rates=(1e-3, 3e-3, 6e-3)),))
    assert own.fingerprint() != study_of(arms=(Arm("lora"),)).fingerprint()


# -- tasks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "methods"),
    [
        ("classification", ["kasa", "lora", "frozen_head", "tfidf"]),
        ("pair_classification", ["kasa", "lora", "frozen_head", "tfidf"]),
        ("regression", ["kasa", "lora", "frozen_head", "tfidf"]),
        ("multiple_choice", ["kasa", "lora", "frozen_head", "zero_shot", "tfidf"]),
        ("generation", ["kasa", "lora", "zero_shot", "tfidf"]),
    ],
)
def test_a_new_study_compares_what_its_task_allows(task: str, methods: list[str]) -> None:
    assert [arm.method for arm in default_arms(task)] == methods
    study = study_of(task)
    assert study.arms == default_arms(task)
    study.check_task()


@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize("method", list(METHODS))
def test_a_method_is_refused_where_the_task_has_it_not(task: str, method: str) -> None:
    study = study_of(task, arms=(arm_of(method),))
    if task in METHODS[method].tasks:
        study.check_task()
        return
    with pytest.raises(StudyError) as caught:
        study.check_task()
    assert caught.value.code == "method_not_for_task"
    assert method not in caught.value.values["able"].split(", ")
    for lang in ("en", "ja"):
        assert method in caught.value.message(lang)


def test_heads_need_fixed_answers_and_untuned_bases_must_be_able_to_answer() -> None:
    refused = {
        (task, method) for task in TASKS for method in METHODS if task not in METHODS[method].tasks
    }
    assert refused == {
        ("generation", "frozen_head"),
        *((task, "zero_shot") for task in ("classification", "pair_classification", "regression")),
    }


@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize("metric", list(METRICS))
def test_the_deciding_metric_must_be_the_tasks(task: str, metric: str) -> None:
    study = study_of(task, gates=Gates(metric))
    if metric in metrics_of(task):
        study.check_task()
        assert study.metric == study.metrics[0] == metric
        assert set(study.metrics) == set(metrics_of(task))
        return
    with pytest.raises(StudyError) as caught:
        study.check_task()
    assert caught.value.values["name"] == "gates.metric"


def test_left_empty_the_metric_is_the_tasks_first() -> None:
    firsts = {task: study_of(task).metric for task in TASKS}
    assert firsts == {
        "classification": "accuracy",
        "pair_classification": "accuracy",
        "regression": "pearson",
        "multiple_choice": "accuracy",
        "generation": "chrf",
    }
    with pytest.raises(KeyError):
        metrics_of("translation")


def test_a_plan_names_weights_as_files_do_and_a_loaded_model_may_lack_their_first_parts() -> None:
    arm = Arm("kasa", plan={"bert.encoder.layer.0.query": 5, "encoder.layer.1.query": 2})
    assert arm.removed_from("encoder.layer.0.query") == 5
    assert arm.removed_from("encoder.layer.1.query") == 2
    assert arm.removed_from("encoder.layer.2.query") == 0
    assert arm.removed_from("query") == 5  # the first that ends so
    assert replace(arm, plan=None).removed_from("query") == 8
