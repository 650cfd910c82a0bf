"""Study, Protocol and Gates: one PoC as frozen records that a TOML file can hold.

Every record is checked where it is made; a wrong value raises `StudyError` with what was got and
wanted.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import tomli_w

from kasa.arms import METHODS, NOISE_TASKS, Arm, default_arms
from kasa.checks import build, check, check_types, refuse_unknown
from kasa.dataspec import DataSpec
from kasa.errors import StudyError
from kasa.metrics import METRICS, metrics_of
from kasa.prices import Operation, Prices


def _all_differ(values: tuple[object, ...]) -> bool:
    return len(set(values)) == len(values)


MOST_TRIAL_SECONDS = 86_400
PROFILES: dict[str, dict[str, Any]] = {
    "quick": {"seeds": (0,), "learning_rates": (1e-3, 3e-3), "epochs": 4},
    "standard": {"seeds": (0, 1, 2), "learning_rates": (1e-3, 3e-3, 5e-3), "epochs": 6},
    "thorough": {
        "seeds": (0, 1, 2, 3, 4),
        "learning_rates": (3e-4, 1e-3, 3e-3, 5e-3),
        "epochs": 10,
    },
}


@dataclass(frozen=True)
class Protocol:
    """How every arm is tuned and judged: the same grid, epochs or seconds, and seeds for all.

    Empty `seeds`, `learning_rates` and zero `epochs` take the profile's values. With
    `trial_seconds` every trial has so many seconds of preparation and training instead of
    `epochs`; how far a method gets in them is the machine's and the method's affair.
    `validation_fraction` and `test_fraction` are shares of the usable rows. With a `patience`,
    training ends after that many epochs without a better validation and keeps the best epoch;
    0 trains every epoch and keeps the last. With `class_weights` every class counts alike in
    training, however rare. `answer_tokens` is the most that a generated answer may have.
    `parallel_runs` of the study's runs share the machine at a time, each with its share of the
    cores: the study ends sooner, each run later. 0 leaves it to the machine that starts the study.
    """

    profile: str = "standard"
    seeds: tuple[int, ...] = ()
    learning_rates: tuple[float, ...] = ()
    epochs: int = 0
    batch_size: int = 16
    max_length: int = 128
    validation_fraction: float = 0.2
    test_fraction: float = 0.25
    split_seed: int = 0
    equivalence_margin: float = 0.01
    patience: int = 0
    class_weights: bool = False
    answer_tokens: int = 64
    parallel_runs: int = 0
    trial_seconds: int = 0

    def __post_init__(self) -> None:
        """Fill in the profile's values and check every setting."""
        check_types(self, "protocol")
        check(
            condition=self.profile in PROFILES,
            name="protocol.profile",
            got=self.profile,
            wanted=" | ".join(PROFILES),
        )
        preset = PROFILES[self.profile]
        object.__setattr__(self, "seeds", self.seeds or preset["seeds"])
        rates = self.learning_rates or preset["learning_rates"]
        object.__setattr__(self, "learning_rates", tuple(float(rate) for rate in rates))
        object.__setattr__(self, "epochs", self.epochs or preset["epochs"])
        self._check()

    @property
    def places(self) -> int:
        """How many runs share the machine at a time, once the study has been started."""
        return max(1, self.parallel_runs)

    def _check(self) -> None:
        rules: list[tuple[str, bool, str]] = [
            ("seeds", all(seed >= 0 for seed in self.seeds), "whole numbers >= 0"),
            ("seeds", _all_differ(self.seeds), "different numbers"),
            (
                "learning_rates",
                all(0 < rate < 1 for rate in self.learning_rates),
                "between 0 and 1",
            ),
            (
                "learning_rates",
                len(set(self.learning_rates)) == len(self.learning_rates),
                "different",
            ),
            ("epochs", 1 <= self.epochs <= 1000, "1 … 1000"),
            ("batch_size", 1 <= self.batch_size <= 1024, "1 … 1024"),
            ("max_length", 8 <= self.max_length <= 8192, "8 … 8192"),
            ("validation_fraction", 0 < self.validation_fraction < 1, "between 0 and 1"),
            ("test_fraction", 0 < self.test_fraction < 1, "between 0 and 1"),
            (
                "test_fraction",
                self.validation_fraction + self.test_fraction < 0.9,
                "together with validation_fraction below 0.9",
            ),
            ("split_seed", self.split_seed >= 0, ">= 0"),
            ("equivalence_margin", 0 <= self.equivalence_margin < 1, "between 0 and 1"),
            ("patience", 0 <= self.patience <= 1000, "0 … 1000"),
            ("answer_tokens", 1 <= self.answer_tokens <= 2048, "1 … 2048"),
            ("parallel_runs", 0 <= self.parallel_runs <= 64, "0 … 64"),
            (
                "trial_seconds",
                0 <= self.trial_seconds <= MOST_TRIAL_SECONDS,
                f"0 … {MOST_TRIAL_SECONDS}",
            ),
        ]
        for name, good, wanted in rules:
            check(condition=good, name=f"protocol.{name}", got=getattr(self, name), wanted=wanted)


@dataclass(frozen=True)
class Gates:
    """Requirements the verdict is held against; None means no requirement.

    `metric` decides; left empty it is the task's first.
    """

    metric: str = ""
    metric_min: float | None = None
    train_minutes_max: float | None = None
    peak_memory_gb_max: float | None = None
    money_max: float | None = None

    def __post_init__(self) -> None:
        """Check every gate."""
        check_types(self, "gates")
        check(
            condition=not self.metric or self.metric in METRICS,
            name="gates.metric",
            got=self.metric,
            wanted=" | ".join(METRICS),
        )
        for gate in fields(self)[1:]:
            value = getattr(self, gate.name)
            good = value is None or value > 0
            check(condition=good, name=f"gates.{gate.name}", got=value, wanted="> 0")
        good = self.metric_min is None or self.metric_min <= 1
        check(condition=good, name="gates.metric_min", got=self.metric_min, wanted="<= 1")


@dataclass(frozen=True)
class Study:
    """One PoC: base model, data, arms, protocol, gates, prices, and what it would do at work.

    Without `arms` it has the task's usual ones.
    """

    title: str
    model: str
    data: DataSpec
    arms: tuple[Arm, ...] = ()
    protocol: Protocol = field(default_factory=Protocol)
    gates: Gates = field(default_factory=Gates)
    prices: Prices = field(default_factory=Prices)
    operation: Operation = field(default_factory=Operation)

    def __post_init__(self) -> None:
        """Check that there are arms and that no two are the same."""
        check_types(self, "")
        object.__setattr__(self, "arms", tuple(self.arms) or default_arms(self.task))
        different = _all_differ(self.arms)
        slugs = [arm.slug for arm in self.arms]
        check(condition=different, name="arms", got=slugs, wanted="arms that differ")
        for arm in self.arms:
            whole = arm.whole in self.arms
            check(condition=whole, name="arms", got=arm.slug, wanted=f"{arm.whole.slug} beside it")
        check(condition=bool(self.title.strip()), name="title", got=self.title, wanted="some text")
        check(condition=bool(self.model.strip()), name="model", got=self.model, wanted="a model")
        budget = len(self.protocol.learning_rates)
        for arm in self.arms:
            check(
                condition=len(arm.learning_rates) in {0, budget},
                name="arms.learning_rates",
                got=arm.learning_rates,
                wanted=f"{budget}, as many as protocol.learning_rates",
            )

    @property
    def task(self) -> str:
        """What the rows ask for; classification while no columns are chosen."""
        return self.data.task or "classification"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The task's metrics, the one that decides first."""
        return tuple(sorted(metrics_of(self.task), key=lambda metric: metric != self.gates.metric))

    @property
    def metric(self) -> str:
        """The metric that decides: the gates', or the task's first."""
        return self.metrics[0]

    def learning_rates(self, arm: Arm) -> tuple[float, ...]:
        """Return the rates that an arm tries: its own, or the study's times its method's factor."""
        factor = arm.facts.rate_factor
        scaled = (float(f"{rate * factor:.6g}") for rate in self.protocol.learning_rates)
        return arm.learning_rates or tuple(scaled)

    def check_task(self) -> None:
        """Raise `StudyError` for an arm or a metric that this task or budget does not have."""
        for name, arm in self.named_arms().items():
            if arm.label_noise is not None and self.task not in NOISE_TASKS:
                raise StudyError("no_labels_to_flip", arm=name, task=self.task)
            if arm.plans_by_steps and self.protocol.trial_seconds:
                raise StudyError("method_needs_epochs", arm=name)
            if self.task not in METHODS[arm.method].tasks:
                able = [name for name, method in METHODS.items() if self.task in method.tasks]
                facts = {"method": arm.method, "task": self.task, "able": ", ".join(able)}
                raise StudyError("method_not_for_task", **facts)
        known = metrics_of(self.task)
        wanted = " | ".join(known)
        good = not self.gates.metric or self.gates.metric in known
        check(condition=good, name="gates.metric", got=self.gates.metric, wanted=wanted)

    def arm_names(self) -> tuple[str, ...]:
        """Return a unique short name per arm, in order: kasa-r8, lora-r8, kasa-r8-2."""
        names: list[str] = []
        for arm in self.arms:
            taken = sum(arm.slug == other.slug for other in self.arms[: len(names)])
            names.append(f"{arm.slug}-{taken + 1}" if taken else arm.slug)
        return tuple(names)

    def named_arms(self, *, judged: bool = False) -> dict[str, Arm]:
        """Return every arm by its name, in order, or the judged ones alone."""
        named = zip(self.arm_names(), self.arms, strict=True)
        return {name: arm for name, arm in named if arm.judged or not judged}

    def whole_of(self, name: str) -> str:
        """Return the name of the judged arm of whose curve this arm is a point, or its own."""
        whole = self.named_arms()[name].whole
        return self.arm_names()[self.arms.index(whole)]

    def to_dict(self) -> dict[str, Any]:
        """Return the study as plain JSON-ready values; settings that are None are left out."""
        record: dict[str, Any] = _without_none(json.loads(json.dumps(asdict(self))))
        # Of the data's many settings only those that somebody chose are worth a line.
        plain = _without_none(json.loads(json.dumps(asdict(DataSpec("")))))
        data = {k: v for k, v in record["data"].items() if v != plain.get(k)}
        return record | {"data": {"path": self.data.path, **data}}

    def to_toml(self) -> str:
        """Return the study file's text; `study_from_dict(tomllib.loads(text))` reads it again."""
        return tomli_w.dumps(self.to_dict())

    def fingerprint(self) -> str:
        """Return the SHA-256 of what decides the results: not title, gates, money or masking.

        Data with a known SHA-256 counts by its content, not by where it lies.
        """
        record = self.to_dict()
        data = record["data"]
        data.pop("mask", None)
        for file, digest in (("path", "sha256"), ("test_path", "test_sha256")):
            if data.get(digest):
                del data[file]
        parts = {key: record[key] for key in ("model", "data", "arms", "protocol")}
        text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def study_from_dict(record: dict[str, Any]) -> Study:
    """Build a study from a TOML or JSON document; unknown and missing keys raise `StudyError`."""
    refuse_unknown(record, Study, "")
    if "data" not in record:
        raise StudyError("missing_setting", name="data")
    parts: dict[str, Any] = {
        "title": record.get("title", ""),
        "model": record.get("model", "embedded"),
        "data": build(DataSpec, record["data"], "data"),
    }
    tables = {"protocol": Protocol, "gates": Gates, "prices": Prices, "operation": Operation}
    for name, kind in tables.items():
        if name in record:
            parts[name] = build(kind, record[name], name)
    if "arms" in record:
        listed = isinstance(record["arms"], list)
        check(condition=listed, name="arms", got=record["arms"], wanted="[[arms]] tables")
        parts["arms"] = tuple(build(Arm, arm, "arms") for arm in record["arms"])
    return Study(**parts)


def load_study(path: Path) -> Study:
    """Read a study file; a relative data path starts at the file's folder, then the working one."""
    try:
        record = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise StudyError("file_not_found", path=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError("not_toml", path=str(path), detail=str(error)) from error
    study = study_from_dict(record)
    data = replace(study.data, path=_found(study.data.path, path))
    if data.test_path:
        data = replace(data, test_path=_found(data.test_path, path))
    return replace(study, data=data)


def _found(name: str, study_file: Path) -> str:
    for folder in (study_file.parent, Path.cwd(), study_file.resolve().parent.parent):
        candidate = folder / name
        if candidate.is_file():
            return str(candidate.resolve())
    raise StudyError("data_not_found", path=name, folder=str(study_file.parent))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
