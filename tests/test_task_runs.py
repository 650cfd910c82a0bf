"""A study of every task from a file to its report: run jobs through the store, then the evidence.

Runs are carried out in this process, by the worker's own function.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kasa.arms import Arm, curve_arms
from kasa.dataspec import DataSpec
from kasa.jobs import estimate as estimate_job
from kasa.metrics import METRICS, metrics_of
from kasa.report.csv_files import csv_files
from kasa.report.html import render_html
from kasa.report.options import PackOptions
from kasa.report.sections import report_sections
from kasa.report.tree import Section, Table, to_text
from kasa.runs.job import Job
from kasa.runs.store import Store
from kasa.study import Gates, Protocol, Study
from kasa.text import translator
from kasa.tuning.estimate import extrapolate
from kasa.verdict.evidence import Evidence, gather
from kasa.verdict.facts import evidence_to_dict
from kasa.worker import work
from tests.tiny_models import (
    FAULTS,
    MACHINES,
    run_folder,
    small_runs,
    write_tiny_bert,
    write_tiny_llama,
)

FLOORS = ("hall", "yard", "dock", "roof")
SIDES = ("north", "south", "east", "west", "upper", "lower")
ARMS = {
    "classification": (Arm("lora", 2), Arm("frozen_head"), Arm("tfidf"), Arm("majority")),
    "pair_classification": (Arm("kasa", 2), Arm("frozen_head"), Arm("tfidf"), Arm("majority")),
    "regression": (Arm("lora", 2), Arm("frozen_head"), Arm("tfidf"), Arm("majority")),
    "multiple_choice": (
        *(Arm("kasa", 2), Arm("frozen_head"), Arm("zero_shot"), Arm("tfidf"), Arm("majority")),
    ),
    "generation": (Arm("kasa", 2), Arm("ia3"), Arm("zero_shot"), Arm("tfidf"), Arm("majority")),
}
TASKS = tuple(ARMS)
# English words that a Japanese report may show: names, units, code, and what the study holds.
LATIN = re.compile(
    r"KaSA|LoRA|\(IA\)³|TF-IDF|chrF|PiSSA|LoRA|PEFT|macro|F1|SHA-256|CSV|csv|JSON|UTF-8|utf-8|MB|GB"
    r"|OS|GPU|CPU|fp\d+|bf16|alpha|beta|gamma|learning_rate|Linux|Python|JPY"
)


def sentences() -> list[dict[str, Any]]:
    """Return 72 different reports of a machine, with everything that some task asks for."""
    crews = sorted(FAULTS.values())
    found = []
    for number in range(72):
        machine, side = MACHINES[number % 8], SIDES[number // 8 % 6]
        fault = list(FAULTS)[(number // 3 + number) % 3]
        floor = FLOORS[number % 4]
        other = list(FAULTS)[number // 5 % 3]
        row = {
            "text": f"the {side} {machine} in the {floor} {fault} since shift {number}",
            "second": f"it {other} at gate {number}",
            "same": "yes" if other == fault else "no",
            "crew": FAULTS[fault],
            "minutes": 10.0 * list(FAULTS).index(fault) + number % 4 + 0.5,
            "choice_a": crews[0],
            "choice_b": crews[1],
            "choice_c": crews[2] if number % 3 else "",
        }
        offered = [row[name] for name in ("choice_a", "choice_b", "choice_c")]
        row["right"] = "ABC"[offered.index(row["crew"])] if row["crew"] in offered else "A"
        found.append(row)
    return found


def write_rows(folder: Path) -> Path:
    rows = sentences()
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path = folder / "reports.csv"
    path.write_text(buffer.getvalue(), "utf-8")
    return path


def data_of(task: str, path: str) -> DataSpec:
    settings: dict[str, dict[str, Any]] = {
        "classification": {"text": "text", "label": "crew"},
        "pair_classification": {"text": "text", "second_text": "second", "label": "same"},
        "regression": {"text": "text", "score": "minutes"},
        "multiple_choice": {
            "prompt": "text",
            "answer": "right",
            "choices": ("choice_a", "choice_b", "choice_c"),
        },
        "generation": {"prompt": "text", "answer": "crew"},
    }
    return DataSpec(path, **settings[task])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    texts = [str(value) for row in sentences() for value in row.values()]
    writer = write_tiny_llama(tmp_path_factory.mktemp("llama"), texts)
    reader = write_tiny_bert(tmp_path_factory.mktemp("bert"), texts)
    return {task: (writer if task == "generation" else reader).name for task in TASKS}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("workspace")
    with pytest.MonkeyPatch.context() as patch, small_runs():
        patch.setenv("KASA_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def done(
    home: Path, models: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Evidence]:
    """Return the evidence of a finished study per task."""
    store, file = Store(), write_rows(tmp_path_factory.mktemp("data"))
    protocol = Protocol("quick", epochs=1, learning_rates=(1e-2,), max_length=32, answer_tokens=4)
    found = {}
    for task in TASKS:
        study = Study(
            title="Which crew?",
            model=models[task],
            data=data_of(task, str(file)),
            arms=ARMS[task],
            protocol=protocol,
            gates=Gates(metric_min=0.5, train_minutes_max=1),
        )
        assert study.task == task
        study_id = store.create_study(study)
        for run in store.start_study(study_id):
            assert work(store, run.id), store.run(run.id).error
        found[task] = gather(store, study_id)
    return found


@pytest.fixture(scope="module")
def sections(done: dict[str, Evidence]) -> Callable[[str, str], tuple[Section, ...]]:
    """Return the sections of a task's report in a language, each made once."""
    return cache(lambda task, lang: report_sections(done[task], translator(lang)))


Sections = Callable[[str, str], tuple[Section, ...]]


@pytest.mark.parametrize("task", TASKS)
def test_every_method_has_a_result_on_the_same_rows(done: dict[str, Evidence], task: str) -> None:
    evidence = done[task]
    assert [each.arm for each in evidence.summaries] == list(evidence.study.arm_names())
    assert evidence.missing_arms == evidence.failed == ()
    assert evidence.card.task == task
    sizes = evidence.card.sizes
    for run in evidence.finished:
        assert len(run.predictions) == sizes["test"] > 10
        assert run.metrics.keys() >= set(metrics_of(task))
        assert set(run.validation) >= {*metrics_of(task), "loss"}
        assert all(np.isfinite(value) for value in run.metrics.values())
        assert run.peak_memory_bytes > run.baseline_memory_bytes * 0.5 > 0
        assert run.total_seconds > run.train_seconds
    metric = evidence.study.metric
    assert metric == metrics_of(task)[0]
    best = max(each.metrics[metric].mean for each in evidence.summaries)
    same = evidence.summaries[-1].metrics[metric].mean
    assert best > same or task == "multiple_choice"  # few rows: its choices are hard to learn
    assert best >= same


@pytest.mark.parametrize("task", TASKS)
def test_every_pair_is_judged_on_every_metric_of_the_task(
    done: dict[str, Evidence], task: str
) -> None:
    evidence = done[task]
    count = len(ARMS[task])
    pairs = count * (count - 1) // 2
    metrics = [verdict.metric for verdict in evidence.verdicts]
    assert metrics == [m for m in evidence.study.metrics for _ in range(pairs)]
    for verdict in evidence.verdicts:
        assert verdict.interval[0] <= verdict.difference <= verdict.interval[1]
    document = json.loads(json.dumps(evidence_to_dict(evidence), allow_nan=False))
    assert document["metric"] == evidence.metric
    assert all(set(arm["metrics"]) == set(metrics_of(task)) for arm in document["arms"])
    assert {gate.gate for gate in evidence.gates} == {"metric_min", "train_minutes_max"}


def test_classes_have_a_confusion_matrix_and_the_others_none(
    done: dict[str, Evidence], sections: Sections
) -> None:
    for task, evidence in done.items():
        has = {bool(each.confusion) for each in evidence.summaries}
        assert has == {task in {"classification", "pair_classification"}}
        shown = {section.key for section in sections(task, "en")}
        assert ("confusion" in shown) == has.pop()


def test_only_writers_have_a_perplexity(done: dict[str, Evidence]) -> None:
    for task, evidence in done.items():
        found = {each.arm for each in evidence.summaries if each.perplexity is not None}
        assert found == ({"kasa-r2", "ia3", "zero_shot"} if task == "generation" else set())


def test_examples_show_what_was_read_and_answered(done: dict[str, Evidence]) -> None:
    for task, evidence in done.items():
        table = evidence.disagreements
        assert not table.empty
        arms = list(evidence.study.arm_names())
        assert list(table.columns) == ["row", "text", "label", *arms]
        assert (task == "pair_classification") == (" ┃ " in table["text"].iloc[0])
    apart = done["regression"].disagreements
    arms = list(done["regression"].study.arm_names())
    spread = (apart[arms].max(axis=1) - apart[arms].min(axis=1)).to_numpy()
    assert (np.diff(spread) <= 1e-9).all()


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("task", TASKS)
def test_the_report_names_the_tasks_metrics(
    done: dict[str, Evidence], sections: Sections, task: str, lang: str
) -> None:
    evidence, text = done[task], translator(lang)
    page = render_html(evidence, PackOptions(lang))
    words = to_text(sections(task, lang))
    for metric in METRICS:
        named = text(f"metrics.about.{metric}") in words
        assert named == (metric in metrics_of(task))
        told = {text(f"metrics.{metric}"), text(f"metrics.word.{metric}")}
        own = {text(f"metrics.{name}") for name in metrics_of(task)}
        others = [word for word in told if not any(word in name for name in own)]
        assert metric in metrics_of(task) or [word for word in others if word in words] == []
    assert text(f"metrics.{evidence.metric}") in page
    assert text("metrics.perplexity") in words or task != "generation"
    assert "None" not in words
    assert "nan" not in words.lower().replace("maintenance", "")


def conditions(found: tuple[Section, ...]) -> dict[str, str]:
    (section,) = (each for each in found if each.key == "conditions")
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    return {row[0]: row[1] for row in table.rows}


@pytest.mark.parametrize("task", TASKS)
def test_the_report_says_which_columns_were_used(
    done: dict[str, Evidence], sections: Sections, task: str
) -> None:
    used, rows = done[task].study.data.columns(), conditions(sections(task, "en"))
    assert [column for column in used if column not in rows["Columns"]] == []
    assert not rows["Columns"].rstrip().endswith(":")
    assert rows.get("Labels", "") != "0: "
    has_labels = task in {"classification", "pair_classification"}
    assert ("Labels" in rows) == has_labels


def test_the_report_says_of_an_arm_only_what_it_has(sections: Sections) -> None:
    rows = conditions(sections("generation", "en"))
    assert "r = 2" in rows["KaSA (r=2)"]
    assert "r = " not in rows["(IA)³"]
    assert "alpha" not in rows["(IA)³"]


def test_the_report_tells_the_rates_that_each_arm_tried(sections: Sections) -> None:
    """(IA)³ was tried with three times the study's rates."""
    words = to_text(sections("generation", "en"))
    method = words[words.index("What makes the comparison fair") :]
    assert "0.03" in method[: method.index("## Runs")]


@pytest.mark.parametrize("task", TASKS)
def test_a_japanese_report_has_no_english_left(sections: Sections, task: str) -> None:
    """What the study and the machine are called is shown as it is; every sentence is Japanese."""
    english = {
        line.strip()
        for line in to_text(sections(task, "en")).split("\n")
        if re.search(r"[A-Za-z]{3,}.* [A-Za-z]{3,}", line) and not line.startswith("|")
    }
    japanese = to_text(sections(task, "ja"))
    assert english
    assert [line for line in english if line in japanese] == []
    for line in japanese.split("\n"):
        if line.startswith(("|", "#")) or not line.strip():
            continue
        rest = LATIN.sub("", line)
        assert not re.search(r"[A-Za-z]{4,} [A-Za-z]{3,} [A-Za-z]{3,}", rest), line


@pytest.mark.parametrize("task", TASKS)
def test_tables_for_spreadsheets_hold_every_answer(done: dict[str, Evidence], task: str) -> None:
    evidence = done[task]
    files = csv_files(evidence)
    rows = list(csv.DictReader(io.StringIO(files["predictions.csv"].decode("utf-8-sig"))))
    assert len(rows) == len(evidence.finished) * evidence.card.sizes["test"]
    assert ("chrf" in rows[0]) == (task == "generation")
    arms = list(csv.DictReader(io.StringIO(files["arms.csv"].decode("utf-8-sig"))))
    for metric in metrics_of(task):
        assert float(arms[0][f"{metric}_mean"]) == pytest.approx(
            evidence.summaries[0].metrics[metric].mean
        )


@pytest.mark.parametrize("task", ["multiple_choice", "generation"])
def test_an_estimate_measures_every_method_of_the_task(
    done: dict[str, Evidence], tmp_path: Path, task: str
) -> None:
    study = done[task].study
    config = {"study": study.to_dict(), "hub_access": False}
    job = Job("probe", "estimate", config, run_folder(tmp_path, "probe"))
    measured = estimate_job.execute(job)
    assert set(measured["arms"]) == set(study.arm_names())
    assert measured["answer_seconds_per_row"] > 0
    for each in extrapolate(study, measured):
        assert each.run_seconds > 0
        assert each.peak_memory_bytes > 10_000_000


@pytest.mark.parametrize(
    ("task", "arm", "levels"),
    [
        ("classification", Arm("lora", 2), ((0.5,), (0.3,))),
        ("multiple_choice", Arm("tfidf"), ((0.5,), (0.3,))),
        ("regression", Arm("tfidf"), ((0.25, 0.5), ())),
        ("generation", Arm("tfidf"), ((0.5,), ())),
    ],
)
def test_points_of_curves_learn_from_fewer_or_mislabelled_rows(
    home: Path,
    models: dict[str, str],
    tmp_path: Path,
    task: str,
    arm: Arm,
    levels: tuple[tuple[float, ...], tuple[float, ...]],
) -> None:
    store = Store()
    protocol = Protocol("quick", epochs=1, learning_rates=(1e-2,), max_length=32)
    study = Study(
        title="Fewer rows",
        model=models[task],
        data=data_of(task, str(write_rows(tmp_path))),
        arms=(arm, *curve_arms([arm], *levels)),
        protocol=protocol,
    )
    study_id = store.create_study(study)
    for run in store.start_study(study_id):
        assert work(store, run.id), store.run(run.id).error
    found = gather(store, study_id)
    whole = found.card.sizes["train"]
    learned = {run.arm: run.num_train_rows for run in found.all_finished}
    for name, each in study.named_arms().items():
        assert learned[name] == round(whole * (each.train_share or 1.0))
    assert [summary.arm for summary in found.summaries] == [arm.slug]
    kinds = {each.kind for each in found.curves}
    assert kinds == {kind for kind, own in zip(("rows", "noise"), levels, strict=True) if own}
    for curves in found.curves:
        assert len(curves.curves[0].points) == 1 + len(levels[curves.kind == "noise"])


def test_masking_reaches_written_answers(
    home: Path, models: dict[str, str], tmp_path: Path
) -> None:
    rows = ["prompt,answer"]
    rows += [
        f"who repairs {machine} {number} in the {floor},call 03-1234-56{number:02}"
        for number, (machine, floor) in enumerate((m, f) for m in MACHINES for f in FLOORS)
    ]
    path = tmp_path / "answers.csv"
    path.write_text("\n".join(rows), "utf-8")
    store = Store()
    for mask in (True, False):
        data = DataSpec(str(path), prompt="prompt", answer="answer", mask=mask)
        arms = (Arm("tfidf"), Arm("majority"))
        protocol = Protocol("quick", split_seed=int(mask))
        study = Study("A", models["generation"], data, arms, protocol)
        study_id = store.create_study(study)
        for run in store.start_study(study_id):
            assert work(store, run.id), store.run(run.id).error
        evidence = gather(store, study_id)
        shown = evidence.disagreements.to_csv() + "".join(
            run.predictions.to_csv() for run in evidence.finished
        )
        assert ("03-1234" in shown) == (not mask)
        assert ("[phone]" in shown) == mask
