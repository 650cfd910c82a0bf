"""A study as a record: what comes back from a file, what is refused, and what decides results."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasa.arms import METHODS, Arm, default_arms
from kasa.dataspec import DataSpec
from kasa.errors import StudyError
from kasa.metrics import METRICS
from kasa.study import (
    PROFILES,
    Gates,
    Prices,
    Protocol,
    Study,
    load_study,
    study_from_dict,
)

ROOT = Path(__file__).resolve().parent.parent
LEAST: dict[str, Any] = {
    "title": "Which defect is it?",
    "data": {"path": "notes.csv", "text": "note", "label": "defect"},
}
NAN, INFINITY = float("nan"), float("inf")


def refused(record: dict[str, Any]) -> StudyError:
    with pytest.raises(StudyError) as caught:
        study_from_dict(record)
    for lang in ("ja", "en"):
        assert str(caught.value.values["name"]) in caught.value.message(lang)
    return caught.value


# -- what comes back ----------------------------------------------------------------------------

words = st.text(min_size=1, max_size=20).filter(str.strip)
shares = st.floats(0.01, 0.44)
above_zero = st.floats(1e-6, 1e6)
removals = st.integers(0, 99) | st.lists(st.integers(0, 99), max_size=3)
configs = st.dictionaries(st.sampled_from(["r", "alpha", "rank"]), st.integers(1, 64)).map(
    lambda settings: {"peft_type": "LOHA"} | settings
)


@st.composite
def an_arm(draw: st.DrawFn) -> Arm:
    """Return an arm of any method with any settings that go together."""
    method = draw(st.sampled_from(list(METHODS)))
    diagonal = draw(st.booleans())
    return Arm(
        method,
        rank=draw(st.integers(1, 1024)),
        alpha=draw(st.none() | above_zero | st.integers(1, 4096)),
        removed_components=draw(st.none() | st.integers(0, 4096)),
        beta=draw(st.floats(0, 10)) if diagonal else 0,
        gamma=draw(st.floats(0, 10)) if diagonal else 0,
        target_modules=tuple(draw(st.lists(words, max_size=3))),
        plan=draw(st.none() | st.dictionaries(words, removals, max_size=3)),
        plan_name=draw(st.none() | words),
        diagonal=diagonal,
        config=draw(configs) if method == "peft" else None,
    )


arms = an_arm()
protocols = st.builds(
    Protocol,
    profile=st.sampled_from(list(PROFILES)),
    seeds=st.lists(st.integers(0, 2**40), max_size=4, unique=True).map(tuple),
    learning_rates=st.lists(st.floats(1e-9, 0.99), max_size=4, unique=True).map(tuple),
    epochs=st.integers(0, 1000),
    batch_size=st.integers(1, 1024),
    max_length=st.integers(8, 8192),
    validation_fraction=shares,
    test_fraction=shares,
    split_seed=st.integers(0, 2**40),
    equivalence_margin=st.floats(0, 0.99),
    patience=st.integers(0, 1000),
    class_weights=st.booleans(),
    answer_tokens=st.integers(1, 2048),
    parallel_runs=st.integers(0, 64),
    trial_seconds=st.integers(0, 86_400),
)
gates = st.builds(
    Gates,
    metric=st.sampled_from(["", *METRICS]),
    metric_min=st.none() | st.floats(0.01, 1),
    train_minutes_max=st.none() | above_zero,
    peak_memory_gb_max=st.none() | above_zero,
    money_max=st.none() | st.integers(1, 10**9),
)
studies = st.builds(
    Study,
    title=words,
    model=words,
    data=st.builds(
        DataSpec, path=words, text=words, label=words, split=st.none() | words, sha256=st.none()
    ),
    arms=st.lists(arms, min_size=1, max_size=5, unique=True).map(tuple),
    protocol=protocols,
    gates=gates,
    prices=st.builds(
        Prices,
        currency=st.sampled_from(["JPY", "USD", "EUR"]),
        machine_per_hour=st.floats(0, 1e6),
    ),
)


@given(studies)
@settings(max_examples=50, deadline=None)
def test_a_study_comes_back_from_toml_and_json(study: Study) -> None:
    assert study_from_dict(tomllib.loads(study.to_toml())) == study
    assert study_from_dict(json.loads(json.dumps(study.to_dict()))) == study


@given(studies)
@settings(max_examples=50, deadline=None)
def test_every_arm_has_a_name_of_its_own(study: Study) -> None:
    names = study.arm_names()
    assert len(set(names)) == len(study.arms)
    assert all(name.startswith(arm.method) for name, arm in zip(names, study.arms, strict=True))


def test_names_of_arms() -> None:
    weighted = tuple(Arm("kasa", beta=weight) for weight in (0.5, 0.25))
    arms = (Arm("kasa"), *weighted, Arm("kasa", 16), Arm("lora"), Arm("tfidf"))
    study = study_from_dict(LEAST)
    assert replace(study, arms=arms).arm_names() == (
        "kasa-r8",
        "kasa-r8-2",
        "kasa-r8-3",
        "kasa-r16",
        "lora-r8",
        "tfidf",
    )


def test_what_a_short_file_leaves_to_the_defaults() -> None:
    study = study_from_dict(LEAST)
    assert study.model == "embedded"
    assert study.arms == default_arms("classification")
    assert [arm.method for arm in study.arms] == ["kasa", "lora", "frozen_head", "tfidf"]
    assert study.protocol.profile == "standard"
    assert (study.gates, study.prices) == (Gates(), Prices("JPY", 350.0))
    assert Protocol().test_fraction == 0.25
    kasa = study.arms[0]
    assert (kasa.rank, kasa.scale_alpha, kasa.components_to_remove) == (8, 16.0, 8)
    assert Arm("kasa", 4, alpha=3, removed_components=0).scale_alpha == 3.0
    assert Arm("kasa", 4, removed_components=0).components_to_remove == 0
    assert [arm.tuned for arm in study.arms] == [True, True, False, False]


def test_an_empty_list_of_arms_is_the_tasks_usual_ones() -> None:
    assert study_from_dict(LEAST | {"arms": []}).arms == default_arms("classification")


@pytest.mark.parametrize("profile", list(PROFILES))
def test_a_profile_fills_in_what_is_not_given(profile: str) -> None:
    preset = PROFILES[profile]
    filled = Protocol(profile)
    assert (filled.seeds, filled.learning_rates) == (preset["seeds"], preset["learning_rates"])
    assert filled.epochs == preset["epochs"]
    own = Protocol(profile, seeds=(7,), learning_rates=(0.5,), epochs=1)
    assert (own.seeds, own.learning_rates, own.epochs) == ((7,), (0.5,), 1)


def test_profiles_grow() -> None:
    sizes = [
        Protocol(name).epochs * len(Protocol(name).seeds) * len(Protocol(name).learning_rates)
        for name in ("quick", "standard", "thorough")
    ]
    assert sizes == sorted(set(sizes))


# -- what is refused ----------------------------------------------------------------------------

ARM = {"method": "kasa"}
WRONG: list[tuple[str, object]] = [
    ("title", ""),
    ("title", " \n"),
    ("arms", [ARM, ARM]),
    ("arms", ["kasa"]),
    ("arms.method", "lokr"),
    ("arms.method", ["kasa"]),
    ("arms.rank", 0),
    ("arms.rank", 1025),
    ("arms.rank", 8.0),
    ("arms.rank", True),
    ("arms.rank", "8"),
    ("arms.alpha", 0),
    ("arms.alpha", -1.5),
    ("arms.alpha", NAN),
    ("arms.alpha", "16"),
    ("arms.removed_components", -1),
    ("arms.removed_components", 2.0),
    ("arms.beta", -1e-9),
    ("arms.gamma", NAN),
    ("arms.gamma", "0"),
    ("arms.diagonal", False),  # beta and gamma weigh what is not there
    ("arms.diagonal", 1),
    ("arms.config", {"peft_type": "LOHA"}),  # method "kasa" has settings of its own
    ("arms.config", "LOHA"),
    ("arms.plan", {"query": -1}),
    ("arms.plan", {"query": 1.5}),
    ("arms.plan", ["query"]),
    ("arms.learning_rates", [0, 0.1, 0.2]),
    ("arms.learning_rates", [0.1, 0.1, 0.2]),
    ("arms.learning_rates", [0.1]),  # the study's grid has three
    ("arms.learning_rates", ["0.1"]),
    ("protocol.patience", -1),
    ("protocol.patience", 1001),
    ("protocol.patience", True),
    ("protocol.trial_seconds", -1),
    ("protocol.trial_seconds", 86_401),
    ("protocol.trial_seconds", 1.5),
    ("protocol.class_weights", 1),
    ("protocol.class_weights", "yes"),
    ("protocol.answer_tokens", 0),
    ("protocol.answer_tokens", 2049),
    ("protocol.parallel_runs", -1),
    ("protocol.parallel_runs", 65),
    ("protocol", 3),
    ("protocol.profile", "fast"),
    ("protocol.profile", 3),
    ("protocol.seeds", [0, 0]),
    ("protocol.seeds", [-1]),
    ("protocol.seeds", [0.5]),
    ("protocol.seeds", ["0"]),
    ("protocol.seeds", [True]),
    ("protocol.learning_rates", [0]),
    ("protocol.learning_rates", [1.0]),
    ("protocol.learning_rates", [NAN]),
    ("protocol.epochs", -1),
    ("protocol.epochs", 1001),
    ("protocol.epochs", 4.5),
    ("protocol.epochs", "4"),
    ("protocol.batch_size", 0),
    ("protocol.batch_size", "16"),
    ("protocol.max_length", 7),
    ("protocol.max_length", 8193),
    ("protocol.validation_fraction", 0),
    ("protocol.validation_fraction", 1),
    ("protocol.test_fraction", -0.1),
    ("protocol.test_fraction", 0.8),  # together with the validation part too much
    ("protocol.test_fraction", NAN),
    ("protocol.split_seed", -1),
    ("protocol.split_seed", 0.5),
    ("protocol.equivalence_margin", -0.01),
    ("protocol.equivalence_margin", 1),
    ("gates", "none"),
    ("gates.metric", "f1"),
    ("gates.metric_min", 0),
    ("gates.metric_min", 85),
    ("gates.metric_min", "0.85"),
    ("gates.train_minutes_max", 0),
    ("gates.peak_memory_gb_max", -1),
    ("gates.money_max", NAN),
    ("gates.money_max", True),
    ("prices", []),
    ("prices.currency", "yen"),
    ("prices.currency", "JPYEN"),
    ("prices.currency", "¥¥¥"),
    ("prices.machine_per_hour", -1),
    ("prices.machine_per_hour", "350"),
    ("data", "notes.csv"),
    ("title", 3),
    ("model", 3),
    ("model", ""),
    ("arms", 3),
    ("arms.alpha", INFINITY),
    ("arms.beta", INFINITY),
    ("arms.target_modules", "query"),
    ("arms.target_modules", 3),
    ("arms.target_modules", [["query"]]),
    ("protocol.profile", ["quick"]),
    ("protocol.seeds", 3),
    ("protocol.learning_rates", 0.001),
    ("protocol.learning_rates", ["0.001"]),
    ("protocol.learning_rates", [0.001, 0.001]),
    ("protocol.validation_fraction", "0.2"),
    ("protocol.equivalence_margin", "0.01"),
    ("gates.money_max", INFINITY),
    ("prices.currency", 392),
    ("prices.currency", "ÄÖÜ"),
    ("prices.machine_per_hour", INFINITY),
    ("data.path", 3),
    ("data.text", 3),
]


def with_setting(name: str, value: object) -> dict[str, Any]:
    table, _, key = name.partition(".")
    if not key:
        return LEAST | {table: value}
    if table == "arms":
        return LEAST | {"arms": [{"method": "kasa"} | {key: value}]}
    return LEAST | {table: LEAST.get(table, {}) | {key: value}}


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_setting_is_refused_with_got_and_wanted(name: str, value: object) -> None:
    error = refused(with_setting(name, value))
    assert error.code == "bad_setting"
    values = error.values
    assert values["name"] == name
    assert values["wanted"]
    assert values["got"]
    if not isinstance(value, list):
        assert values["got"] == repr(value)


def test_the_limits_themselves_are_good() -> None:
    Arm("kasa", rank=1024, alpha=1e-9, removed_components=0, beta=0, gamma=0)
    Protocol(epochs=1000, batch_size=1024, max_length=8192, equivalence_margin=0)
    Protocol(epochs=1, batch_size=1, max_length=8, split_seed=0)
    Gates(metric_min=1, train_minutes_max=0.1)
    Prices("USD", 0)


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"models": "embedded"}, "models"),
        ({"data": LEAST["data"] | {"file": "x"}}, "data.file"),
        ({"arms": [{"method": "kasa", "r": 8}]}, "arms.r"),
        ({"protocol": {"epoch": 3}}, "protocol.epoch"),
        ({"gates": {"accuracy": 0.8}}, "gates.accuracy"),
        ({"prices": {"per_hour": 350}}, "prices.per_hour"),
    ],
)
def test_an_unknown_setting_is_named_with_the_known_ones(record: dict[str, Any], name: str) -> None:
    error = refused(LEAST | record)
    assert (error.code, error.values["name"]) == ("unknown_setting", name)
    known = {"data": "path", "arms": "rank", "protocol": "epochs", "gates": "metric_min"}
    assert known.get(name.partition(".")[0], "") in error.values["wanted"]


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"title": "x"}, "data"),
        (LEAST | {"data": {}}, "data.path"),
        (LEAST | {"arms": [{"rank": 8}]}, "arms.method"),
    ],
)
def test_a_missing_setting_is_named(record: dict[str, Any], name: str) -> None:
    error = refused(record)
    assert (error.code, error.values["name"]) == ("missing_setting", name)


# -- what decides the results -------------------------------------------------------------------

STUDY = Study("Title", "embedded", DataSpec("a.csv", "note", "defect", sha256="ab12"))
SAME = [
    replace(STUDY, title="Another title"),
    replace(STUDY, gates=Gates("macro_f1", metric_min=0.5, money_max=3)),
    replace(STUDY, prices=Prices("USD", 2.5)),
    replace(STUDY, data=replace(STUDY.data, path="/elsewhere/b.csv")),
]
OTHER = [
    replace(STUDY, model="some-folder"),
    replace(STUDY, arms=(Arm("lora"),)),
    replace(STUDY, arms=(Arm("kasa", removed_components=0), *STUDY.arms[1:])),
    replace(STUDY, protocol=Protocol("quick")),
    replace(STUDY, protocol=Protocol(split_seed=1)),
    replace(STUDY, data=replace(STUDY.data, sha256="cd34")),
    replace(STUDY, data=replace(STUDY.data, text="other column")),
    replace(STUDY, data=replace(STUDY.data, split="part")),
]


@pytest.mark.parametrize("other", SAME)
def test_what_does_not_decide_the_results_is_not_in_the_fingerprint(other: Study) -> None:
    assert other != STUDY
    assert other.fingerprint() == STUDY.fingerprint()


def test_what_decides_the_results_is_in_the_fingerprint() -> None:
    prints = [study.fingerprint() for study in (STUDY, *OTHER)]
    assert len(set(prints)) == len(prints)


def test_without_a_known_content_the_path_counts() -> None:
    here = replace(STUDY, data=DataSpec("a.csv", "note", "defect"))
    there = replace(STUDY, data=DataSpec("b.csv", "note", "defect"))
    assert here.fingerprint() != there.fingerprint()


# -- study files --------------------------------------------------------------------------------


def write_study(folder: Path, path: str, *, bom: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    study = replace(STUDY, data=DataSpec(path, "note", "defect"))
    file = folder / "study.toml"
    file.write_text(study.to_toml(), "utf-8-sig" if bom else "utf-8")
    return file


def write_data(folder: Path, content: str = "note,defect\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "notes.csv").write_text(content, "utf-8")
    return (folder / "notes.csv").resolve()


def test_the_data_is_looked_for_beside_the_file_then_here_then_one_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_study(tmp_path / "project" / "studies", "notes.csv")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    places = [tmp_path / "project", tmp_path / "here", tmp_path / "project" / "studies"]
    for place in places:  # each one found later is looked at earlier
        data = write_data(place)
        assert load_study(file).data.path == str(data)


def test_an_absolute_path_stays(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    write_data(tmp_path / "studies")
    file = write_study(tmp_path / "studies", str(data), bom=True)
    assert load_study(file).data.path == str(data)


@pytest.mark.parametrize("name", ["work_orders_en", "inspection_notes_ja"])
def test_the_sample_studies_are_found_from_anywhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = load_study(ROOT / "sample_data" / f"{name}.toml")
    assert Path(study.data.path) == ROOT / "sample_data" / f"{name}.csv"


def load_error(file: Path) -> StudyError:
    with pytest.raises(StudyError) as caught:
        load_study(file)
    assert file.name in caught.value.message("ja") or caught.value.code == "data_not_found"
    return caught.value


def test_a_study_file_that_cannot_be_read_is_explained(tmp_path: Path) -> None:
    assert load_error(tmp_path / "none.toml").code == "file_not_found"
    bad = tmp_path / "bad.toml"
    for content in (b"title = ", b"title = 'half", "title = '題'".encode("cp932")):
        bad.write_bytes(content)
        error = load_error(bad)
        assert error.code == "not_toml"
        assert error.values["detail"]


def test_data_that_is_not_there_is_named_with_the_folder(tmp_path: Path) -> None:
    for path in ("notes.csv", "", "."):
        error = load_error(write_study(tmp_path, path))
        assert error.code == "data_not_found"
        assert error.values["folder"] == str(tmp_path)


def test_a_folder_is_no_study_file(tmp_path: Path) -> None:
    assert load_error(tmp_path).code in {"file_not_found", "not_toml"}
