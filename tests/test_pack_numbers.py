"""Every number in every file of the pack is the store's, and no file brings one of its own.

What is expected is computed here from `result.json` and `predictions.csv` alone, by plain
arithmetic; only its words are the translator's.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from lxml import html as lxml_html
from openpyxl import load_workbook
from pptx import Presentation

from kasa.prices import Operation, Prices
from kasa.report.html import render_html
from kasa.report.labels import arm_labels
from kasa.report.notebook import render_notebook
from kasa.report.options import PackOptions
from kasa.report.pdf import render_pdf
from kasa.report.plots import Chart
from kasa.report.pptx import render_pptx
from kasa.report.print_charts import draw
from kasa.report.sections import report_sections
from kasa.report.tree import Charts, Section, Table, to_text
from kasa.report.xlsx import render_xlsx
from kasa.runs.records import FinishedRun, RunRecord
from kasa.runs.store import Store
from kasa.study import Gates, Study
from kasa.text import LANGUAGES, Translator, translator
from kasa.verdict.evidence import Evidence, gather
from kasa.verdict.facts import evidence_to_dict
from tests.opened_packs import CHART_VALUE, Opened, Rows, opened, plain, squeezed
from tests.result_files import draft, finish, write_result
from tests.study_runs import LABELS, finished_run
from tests.test_xlsx import expected_costs

FORMATS = ("pptx", "xlsx", "pdf", "html", "ipynb")
PRICE, PEOPLE, POC_HOURS = 417.0, 3900.0, 37.0
WORTH, LOSS = 67.5, 113.0  # of a right answer, of a wrong one
PLACES = 2  # the runs of a study that share the machine: each pays its part
METRICS = ("accuracy", "macro_f1")


# -- a finished study in a store -----------------------------------------------------------------


def uneven(run: RunRecord, test: Any) -> FinishedRun:
    """Return a run whose every number differs from those of the other runs."""
    arm, seed, labels = str(run.arm), int(run.seed or 0), list(test["label"])
    place = ["kasa", "lora", "frozen_head", "tfidf"].index(str(run.method))
    every = (11, 8, 6, 3)[place]
    predicted = [
        LABELS[(LABELS.index(label) + 1 + seed % 2) % 3]
        if (5 * i + 2 * seed + place) % every == 0 or i % 29 == seed
        else label
        for i, label in enumerate(labels)
    ]
    seconds = (163.43, 131.71, 7.83, 0.64)[place] * (1 + 0.083 * seed)
    done = finished_run(arm, seed, labels, predicted, rows=list(test["row"]))
    return replace(
        done,
        prepare_seconds=0.37 + 2.9 * (place == 0) + 0.11 * seed,
        train_seconds=seconds,
        evaluate_seconds=0.9 + 0.07 * seed,
        total_seconds=3.3 * seconds + 5.29 + seed,
        baseline_memory_bytes=401_000_000 + 1_300_000 * (3 * place + seed),
        peak_memory_bytes=1_407_000_000 - 211_000_000 * place + 7_700_000 * seed,
        num_trainable_params=(78_336, 73_728, 1_155, 2_310)[place],
        num_total_params=22_789_000 + 17 * place,
    )


@dataclass(frozen=True)
class Made:
    """The study in its store, and its evidence."""

    home: Path
    study: Study
    runs: tuple[RunRecord, ...]
    evidence: Evidence


def gathered(store: Store, study_id: str) -> Made:
    evidence = gather(store, study_id)
    return Made(store.home, evidence.study, tuple(store.runs(study_id)), evidence)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str]:
    folder = tmp_path_factory.mktemp("numbers")
    store = Store(tmp_path_factory.mktemp("workspace"))
    study_id = draft(store, folder, profile="standard")
    study = store.study(study_id).study
    study = replace(
        study,
        protocol=replace(study.protocol, parallel_runs=PLACES),
        gates=Gates(metric_min=0.7, train_minutes_max=2, peak_memory_gb_max=1.25, money_max=40),
        prices=Prices(machine_per_hour=PRICE, source="Offer of the spring", dated="2026-10-01"),
        operation=Operation(61_300.0, WORTH, LOSS, PEOPLE, POC_HOURS),
    )
    store.update_study(study_id, study)
    finish(store, study_id, make=uneven)
    return store, study_id


@pytest.fixture(scope="module")
def made(stored: tuple[Store, str]) -> Made:
    return gathered(*stored)


@pytest.fixture(scope="module")
def altered(stored: tuple[Store, str], made: Made) -> Evidence:
    """Return the evidence of the same study with one run's measurements changed."""
    store, study_id = stored
    rows = store.rows(study_id)
    run, test = made.runs[0], rows[rows["part"] == "test"]
    labels = list(test["label"])
    worse = finished_run(str(run.arm), 0, labels, labels[5:] + labels[:5], rows=list(test["row"]))
    changes = {"total_seconds": 999.0, "train_seconds": 303.0, "peak_memory_bytes": 1_900_000_000}
    write_result(run.folder, replace(worse, **changes))
    evidence = gather(store, study_id)
    write_result(run.folder, uneven(run, test))
    return evidence


def rendered(kind: str, evidence: Evidence, lang: str, **options: Any) -> bytes:
    makers: dict[str, Any] = {
        "pptx": render_pptx,
        "xlsx": render_xlsx,
        "pdf": render_pdf,
        "html": render_html,
        "ipynb": render_notebook,
    }
    content = makers[kind](evidence, PackOptions(lang, **options))
    return content.encode() if isinstance(content, str) else bytes(content)


@pytest.fixture(scope="module")
def packs(made: Made) -> Any:
    """Return what renders the study's pack in a format and language, once."""
    return cache(lambda kind, lang: rendered(kind, made.evidence, lang))


@pytest.fixture(scope="module")
def altered_packs(altered: Evidence) -> Any:
    """Return what renders the altered study's pack in English, once."""
    return cache(lambda kind: rendered(kind, altered, "en"))


@pytest.fixture(scope="module")
def trees(made: Made) -> Any:
    return cache(lambda lang: report_sections(made.evidence, translator(lang)))


# -- what the store says -------------------------------------------------------------------------


@dataclass(frozen=True)
class Runs:
    """An arm's runs as their files have them, seeds ascending."""

    measured: list[dict[str, Any]]
    predictions: list[list[dict[str, str]]]

    def all(self, name: str) -> list[float]:
        return [float(run[name]) for run in self.measured]

    def metric(self, name: str) -> list[float]:
        return [float(run["metrics"][name]) for run in self.measured]

    def mean(self, name: str) -> float:
        return fmean(self.metric(name) if name in METRICS else self.all(name))

    def paid(self) -> list[float]:
        return [seconds / PLACES / 3600 * PRICE for seconds in self.all("total_seconds")]


def results(made: Made) -> dict[str, Runs]:
    """Return every arm's runs, read with json and csv alone."""
    found: dict[str, Runs] = {}
    for run in sorted(made.runs, key=lambda run: int(run.seed or 0)):
        own = found.setdefault(str(run.arm), Runs([], []))
        folder = made.home / "runs" / run.id
        own.measured.append(json.loads((folder / "result.json").read_text("utf-8"))["measured"])
        with (folder / "predictions.csv").open(encoding="utf-8", newline="") as lines:
            own.predictions.append(list(csv.DictReader(lines)))
    return found


@dataclass(frozen=True)
class Wanted:
    """A table's row: what stands first in it, and what below some of its headings."""

    group: str
    label: str
    cells: dict[str, str]


def wanted_rows(made: Made, text: Translator) -> Iterator[Wanted]:
    """Yield the rows that a report must have, from the store's files."""
    found, labels = results(made), arm_labels(made.study, text)
    for arm, runs in found.items():
        yield Wanted("arms", labels[arm], _arm_cells(runs, text))
        yield Wanted("gates", labels[arm], _gate_cells(runs, text))
        spent = sum(runs.paid()) + POC_HOURS * PEOPLE
        poc = text("meeting.horizon.poc")
        yield Wanted("costs", labels[arm], {poc: text.money(spent, "JPY")})
        yield from _class_rows(runs, text)
    for run in made.runs:
        measured = found[str(run.arm)].measured[int(run.seed or 0)]
        yield Wanted("runs", run.id, _run_cells(run, measured, labels[str(run.arm)], text))
    for metric in METRICS:
        for (a, one), (b, other) in pairs(found):
            cells = {
                "difference": text.points(one.mean(metric) - other.mean(metric)),
                "seeds": text.number(len(one.measured)),
                "test_rows": text.number(len(one.predictions[0])),
            }
            names = {text(f"report.column.{name}"): cell for name, cell in cells.items()}
            yield Wanted(metric, text("report.pair", a=labels[a], b=labels[b]), names)


def pairs(found: dict[str, Runs]) -> Iterator[tuple[tuple[str, Runs], tuple[str, Runs]]]:
    """Yield every pair of arms as the report has it: those against the base's own head first."""
    arms = list(found.items())
    yield from ((one, other) for place, other in enumerate(arms) for one in arms[:place])


def _spread(values: list[float], text: Translator) -> str:
    low, high = (text.percent(end).removesuffix("%") for end in (min(values), max(values)))
    between = "" if low == high and len(values) == 1 else f" ({low}–{high})"
    return f"{text.percent(fmean(values))}{between}"


def _arm_cells(runs: Runs, text: Translator) -> dict[str, str]:
    seconds = ("prepare_seconds", "train_seconds", "total_seconds")
    # Memory is the highest peak of a run's process.
    peak, before = max(runs.all("peak_memory_bytes")), max(runs.all("baseline_memory_bytes"))
    params = [
        text.number(runs.measured[0][f"num_{name}_params"]) for name in ("trainable", "total")
    ]
    return {
        text("report.column.seeds"): text.number(len(runs.measured)),
        **{text(f"metrics.{name}"): _spread(runs.metric(name), text) for name in METRICS},
        **{text(f"metrics.{name}"): text.seconds(runs.mean(name)) for name in seconds},
        text("report.column.memory"): f"{text.bytes(peak)} ({text.bytes(before)})",
        text("report.column.params"): " / ".join(params),
        text("metrics.money"): text.money(fmean(runs.paid()), "JPY"),
    }


def _gate_cells(runs: Runs, text: Translator) -> dict[str, str]:
    """Return mean, lowest and highest of the costs, and of the metric the mean."""
    tuned = [
        a + b for a, b in zip(runs.all("prepare_seconds"), runs.all("train_seconds"), strict=True)
    ]
    costs = (
        ("train_minutes_max", text.unit(2, "minute"), tuned, text.seconds),
        ("money_max", text.money(40, "JPY"), runs.paid(), lambda paid: text.money(paid, "JPY")),
    )
    name = text("metrics.accuracy")
    least = text("verdict.gate.metric_min", metric=name, value=text.percent(0.7))
    cells = {least: text.percent(runs.mean("accuracy"))}
    for gate, most, values, words in costs:
        low, high = words(min(values)), words(max(values))
        between = "" if low == high else f" ({text('report.interval', low=low, high=high)})"
        cells[text(f"verdict.gate.{gate}", metric=name, value=most)] = between
    return cells


def class_counts(runs: Runs, label: str) -> tuple[int, int, int]:
    """Return over all seeds: rows of a class, answers that name it, and those that are right."""
    answers = [row for table in runs.predictions for row in table]
    true = [row for row in answers if row["label"] == label]
    right = sum(row["predicted"] == label for row in true)
    return len(true), sum(row["predicted"] == label for row in answers), right


def _class_rows(runs: Runs, text: Translator) -> Iterator[Wanted]:
    names = ("rows_over_seeds", "recall", "precision")
    for label in LABELS:
        true, named, right = class_counts(runs, label)
        shares = (text.percent(right / whole, 0) for whole in (true, named))
        cells = zip(names, (text.number(true), *shares), strict=True)
        yield Wanted("classes", label, {text(f"report.column.{name}"): c for name, c in cells})


def _run_cells(
    run: RunRecord, measured: dict[str, Any], label: str, text: Translator
) -> dict[str, str]:
    chosen = ", ".join(f"{name} = {value:g}" for name, value in measured["selected"].items())
    return {
        text("report.column.arm"): label,
        text("report.column.seed"): str(run.seed),
        text("metrics.accuracy"): text.percent(measured["metrics"]["accuracy"]),
        text("metrics.train_seconds"): text.seconds(measured["train_seconds"]),
        text("report.column.selected"): chosen,
    }


# -- is it there ---------------------------------------------------------------------------------


def not_in_tables(wanted: Iterator[Wanted], tables: tuple[Rows, ...]) -> list[Wanted]:
    """Return the rows that no table has below their headings."""
    known = [[[plain(cell) for cell in row] for row in table] for table in tables]
    return [row for row in wanted if not any(_holds(table, row) for table in known)]


def _holds(table: list[list[str]], wanted: Wanted) -> bool:
    header = table[0]
    if not {plain(name) for name in wanted.cells} <= set(header):
        return False
    places = {header.index(plain(name)): plain(cell) for name, cell in wanted.cells.items()}
    return any(
        row[0] == plain(wanted.label) and all(cell in row[at] for at, cell in places.items())
        for row in table[1:]
    )


def not_in_print(wanted: Iterator[Wanted], words: str) -> list[Wanted]:
    """Return the rows whose cells do not follow each other in a document's words."""
    found = squeezed(plain(words))
    missing = []
    for row in wanted:
        parts = [re.escape(squeezed(plain(cell))) for cell in (row.label, *row.cells.values())]
        if not re.search(".{0,60}?".join(parts), found):
            missing.append(row)
    return missing


# What stands as a table of words in each format; the sheet has numbers instead, and the slides draw
# the differences.
GROUPS = {
    "html": {"arms", "gates", "costs", "classes", "runs", *METRICS},
    "ipynb": {"arms", "gates", "costs", "classes", "runs", *METRICS},
    "pptx": {"arms", "gates", "costs"},
    "pdf": {"arms", "gates", "costs", "accuracy"},
}


def wrong_rows(kind: str, found: Opened, made: Made, lang: str) -> list[Wanted]:
    wanted = (row for row in wanted_rows(made, translator(lang)) if row.group in GROUPS[kind])
    if kind == "pdf":
        return not_in_print(wanted, found.text)
    return not_in_tables(wanted, found.tables)


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("kind", GROUPS)
def test_tables_hold_the_numbers_of_the_result_files(
    kind: str, lang: str, made: Made, packs: Any
) -> None:
    assert len({row.group for row in wanted_rows(made, translator(lang))}) == 7
    assert wrong_rows(kind, opened(kind, packs(kind, lang)), made, lang) == []


# -- the sheet: raw numbers ----------------------------------------------------------------------

Cells = list[list[Any]]


def sheets(content: bytes) -> list[Cells]:
    book = load_workbook(io.BytesIO(content), data_only=True)
    return [[list(row) for row in sheet.values] for sheet in book.worksheets]


def wanted_numbers(made: Made, text: Translator) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield what stands first in a row of the sheet, and its numbers by heading."""
    found, labels = results(made), arm_labels(made.study, text)
    costs = {"train_seconds": 1.0, "total_seconds": 1.0, "peak_memory_bytes": 1e-6}
    for arm, runs in found.items():
        numbers = {text(f"metrics.{name}"): runs.mean(name) for name in METRICS}
        for name, scale in costs.items():
            most = max if name == "peak_memory_bytes" else fmean
            numbers[text(f"metrics.axis.{name}")] = scale * most(runs.all(name))
        params = runs.measured[0]["num_trainable_params"]
        numbers[text("metrics.num_trainable_params")] = params
        yield labels[arm], numbers | {text("metrics.money"): fmean(runs.paid())}
    for run in made.runs:
        place = int(run.seed or 0)
        runs = found[str(run.arm)]
        own = {text(f"metrics.{name}"): runs.metric(name)[place] for name in METRICS}
        for name, scale in costs.items():
            own[text(f"metrics.axis.{name}")] = scale * runs.all(name)[place]
        own[text("sheet.column.prepare")] = runs.all("prepare_seconds")[place]
        own[text("sheet.column.before")] = runs.all("baseline_memory_bytes")[place] / 1e6
        yield run.id, own | {text("metrics.money"): runs.paid()[place]}


def not_in_sheets(
    wanted: Iterator[tuple[str, dict[str, float]]], found: list[Cells]
) -> list[tuple[str, dict[str, float]]]:
    return [
        (label, numbers)
        for label, numbers in wanted
        if not any(_row_holds(cells, label, numbers) for cells in found)
    ]


def _row_holds(cells: Cells, label: str, numbers: dict[str, float]) -> bool:
    """Say whether below a row of these headings another begins with the label and has them."""
    for place, header in enumerate(cells):
        if numbers.keys() <= set(header):
            at = {header.index(name): pytest.approx(n, rel=1e-12) for name, n in numbers.items()}
            rows = (row for row in cells[place + 1 :] if row[0] == label)
            return any(all(row[i] == number for i, number in at.items()) for row in rows)
    return False


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_sheet_holds_the_numbers_of_the_result_files(lang: str, made: Made, packs: Any) -> None:
    found = sheets(packs("xlsx", lang))
    wanted = list(wanted_numbers(made, translator(lang)))
    assert len(wanted) == 4 + 12
    assert not_in_sheets(iter(wanted), found) == []


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_sheet_holds_every_prediction(lang: str, made: Made, packs: Any) -> None:
    text, found = translator(lang), results(made)
    answers = Counter(
        (run.id, int(row["row"]), row["label"], row["predicted"])
        for run in made.runs
        for row in found[str(run.arm)].predictions[int(run.seed or 0)]
    )
    keys = (
        "report.column.run_id",
        "report.column.row",
        "report.column.label",
        "sheet.column.predicted",
    )
    names = [text(key) for key in keys]
    (cells,) = (each for each in sheets(packs("xlsx", lang)) if set(names) <= set(each[0]))
    places = [cells[0].index(name) for name in names]
    assert Counter(tuple(row[place] for place in places) for row in cells[1:]) == answers
    assert len(answers) == 12 * 60


# -- charts --------------------------------------------------------------------------------------


def arm_means(made: Made, name: str = "accuracy") -> list[float]:
    return [runs.mean(name) for runs in results(made).values()]


def gaps(made: Made) -> list[float]:
    return [
        100 * (a.mean("accuracy") - b.mean("accuracy")) for (_, a), (_, b) in pairs(results(made))
    ]


def pptx_values(content: bytes) -> list[list[float]]:
    """Return the numbers of every series of every chart on the slides."""
    found = []
    for slide in Presentation(io.BytesIO(content)).slides:
        for shape in slide.shapes:
            if shape.has_chart:
                root = shape.chart._chartSpace
                holders = [
                    n for n in root.iter() if str(n.tag).endswith(("}val", "}xVal", "}yVal"))
                ]
                found += [[float(v.text) for v in holder.iter(CHART_VALUE)] for holder in holders]
    return [values for values in found if values]


def figures(content: bytes) -> dict[str, Any]:
    tree = lxml_html.document_fromstring(content.decode())
    return dict(json.loads(tree.get_element_by_id("figures").text))


def wrong_charts(kind: str, content: bytes, made: Made) -> list[str]:
    """Return the charts whose numbers are not the store's, by what they show."""
    means, found = arm_means(made), results(made)
    if kind == "html":
        return _wrong_figures(figures(content), made)
    if kind == "pptx":
        series = pptx_values(content)
        costs = [[runs.mean("train_seconds")] for runs in found.values()]
        wanted = {
            "means": [means],
            "gaps": [gaps(made)],
            "costs": costs,
            "marks": [[m] for m in means],
        }
        return [
            name for name, all_of in wanted.items() if not all(_among(v, series) for v in all_of)
        ]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if "charts/chart" in name]
        charts = [archive.read(name).decode() for name in names]
    values = [
        [float(v) for v in re.findall(r"<c:v>(-?[\d.]+(?:E-?\d+)?)</c:v>", c)] for c in charts
    ]
    wanted = {"means": [means[::-1]], "gaps": [gaps(made)[::-1]]}
    return [name for name, (one,) in wanted.items() if not any(_within(one, v) for v in values)]


def _among(wanted: list[float], series: list[list[float]]) -> bool:
    return any(values == pytest.approx(wanted, rel=1e-9) for values in series)


def _within(wanted: list[float], values: list[float]) -> bool:
    """Say whether numbers follow each other somewhere in a chart's values."""
    starts = range(len(values) - len(wanted) + 1)
    return any(values[at : at + len(wanted)] == pytest.approx(wanted, rel=1e-9) for at in starts)


def _wrong_figures(drawn: dict[str, Any], made: Made) -> list[str]:
    found = results(made)
    data = {key: list(figure["data"]) for key, figure in drawn.items()}
    dots = [trace["x"] for trace in data["dots-accuracy"]][::2]
    bars = [trace["x"][0] for trace in data["dots-accuracy"]][1::2]
    marks = [
        (t["x"][0], t["y"][0]) for t in data["tradeoff-accuracy-money"] if t["mode"] == "markers"
    ]
    wanted: dict[str, tuple[Any, Any]] = {
        "dots": (dots[::-1], [runs.metric("accuracy") for runs in found.values()]),
        "bars": (bars[::-1], arm_means(made)),
        "gaps": ([trace["x"][0] for trace in data["differences-accuracy"]][::-1], gaps(made)),
        "costs": ([x for x, _ in marks], [fmean(runs.paid()) for runs in found.values()]),
        "marks": ([y for _, y in marks], arm_means(made)),
    }
    for arm, runs in found.items():
        counts = Counter((row["label"], row["predicted"]) for t in runs.predictions for row in t)
        shares = [
            [counts[a, b] / sum(counts[a, c] for c in LABELS) for b in LABELS] for a in LABELS
        ]
        wanted[arm] = (data[f"confusion-{arm}"][0]["z"], [pytest.approx(row) for row in shares])
    return [
        name
        for name, (values, others) in wanted.items()
        if list(values) != (others if name in {*found, "dots"} else pytest.approx(others, rel=1e-9))
    ]


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("kind", ["html", "pptx", "xlsx"])
def test_charts_hold_the_numbers_of_the_result_files(
    kind: str, lang: str, made: Made, packs: Any
) -> None:
    assert wrong_charts(kind, packs(kind, lang), made) == []


# -- nothing of its own --------------------------------------------------------------------------

NUMBER = re.compile(r"(?:(?<![A-Za-z0-9_.)])[-+±])?(?<![A-Za-z_.\d])\d+(?:,\d{3})*(?:\.\d+)?%?")
HASH = re.compile(r"\b(?=[0-9a-f]*[a-f])[0-9a-f]{7,}\b")


def numbers_of(words: str) -> set[str]:
    """Return the numbers among words, with sign and per cent; hashes and currencies left out."""
    return set(NUMBER.findall(HASH.sub(" ", re.sub("[¥￥]", "", plain(words)))))


def tree_words(sections: tuple[Section, ...], lang: str) -> str:
    """Return all that the section tree says, on the screen and to the speaker."""
    parts = [to_text(sections), *(words for s in sections for words in (s.message, *s.notes))]
    return "\n".join(parts)


def charts_of(sections: tuple[Section, ...]) -> Iterator[Chart]:
    for section in sections:
        for block in section.blocks:
            yield from block.charts if isinstance(block, Charts) else ()


def tables_of(sections: tuple[Section, ...]) -> Iterator[Table]:
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Table):
                yield block
            elif isinstance(block, Charts):
                yield from block.tables


def chart_numbers(sections: tuple[Section, ...], text: Translator) -> set[str]:
    """Return what print writes beside its charts: values, interval ends, sums, and axis ticks."""
    words: list[str] = []
    for data in (chart.data for chart in charts_of(sections) if chart.data):
        ways: dict[str, Any] = {
            "fraction": text.percent,
            "points": lambda value: text.points(value / 100),
            "money": lambda value: text.money(value, "JPY"),
        }
        way = ways.get(data.unit, str)
        values = [v for one in data.series for v in (*one.values, *one.low, *one.high)]
        if data.kind == "stacked":
            values = [sum(parts) for parts in zip(*(s.values for s in data.series), strict=True)]
        words += [way(value) for value in values]
        axes = draw(data, text, 490).axes[0]
        words += [
            tick.get_text() for axis in (axes.xaxis, axes.yaxis) for tick in axis.get_ticklabels()
        ]
    return numbers_of("\n".join(words))


def own_numbers(
    kind: str, made: Made, sections: tuple[Section, ...], lang: str, pages: int
) -> set[str]:
    """Return the numbers that a format may have beyond the tree's, each with its reason."""
    text, record = translator(lang), made.evidence.record
    day = f"{record.created_at.astimezone():%Y-%m-%d}"
    paging = " ".join(str(page) for page in range(1, pages + 1))
    why = {
        # The slides' title and their charts' headings are the tree's; they bring nothing.
        "pptx": "",
        # The day of the study below the title, page numbers, and print's own charts.
        "pdf": f"{day} {paging}",
        "html": "",
        # Where Jupyter and the studio are found: commands, not results.
        "ipynb": " ".join(
            text(f"notebook.setup.{name}") for name in ("python", "workspace", "elsewhere")
        ),
        # The day, and the horizon of the cost model in the sheet's own words.
        "xlsx": day,
    }
    found = numbers_of(why[kind])
    return found | chart_numbers(sections, text) if kind == "pdf" else found


def foreign_numbers(words: str, known: set[str]) -> set[str]:
    return numbers_of(words) - known


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("kind", FORMATS)
def test_no_words_bring_a_number_of_their_own(
    kind: str, lang: str, made: Made, packs: Any, trees: Any
) -> None:
    sections, found = trees(lang), opened(kind, packs(kind, lang))
    known = numbers_of(tree_words(sections, lang))
    assert len(known) > 100
    known |= own_numbers(kind, made, sections, lang, len(found.words))
    assert foreign_numbers(found.text, known) == set()


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("kind", ["html", "ipynb", "pptx", "pdf"])
def test_every_table_is_one_of_the_tree_cell_by_cell(
    kind: str, lang: str, made: Made, packs: Any, trees: Any
) -> None:
    tables = list(tables_of(trees(lang)))
    found = opened(kind, packs(kind, lang))
    assert foreign_tables(kind, found, tables) == []
    if kind in {"html", "ipynb"}:  # these leave nothing out
        assert len(found.tables) == len(tables) > 15


def foreign_tables(kind: str, found: Opened, tables: list[Table]) -> list[Any]:
    """Return the tables of a file that the tree has not, or whose rows print has not."""
    known = [[[plain(cell) for cell in row] for row in (t.header, *t.rows)] for t in tables]
    if kind != "pdf":
        shown = [[[plain(cell) for cell in row] for row in table] for table in found.tables]
        return [table for table in shown if table not in known]
    words = squeezed(plain(found.text))
    printed = [t for t in known if squeezed("".join(t[1])) in words]
    assert len(printed) > 8
    return [row for table in printed for row in table[:12] if squeezed("".join(row)) not in words]


# -- the sheet brings no number of its own -------------------------------------------------------

# What a unit may make of a stored number: points, MB, GB, minutes.
SCALES = (1.0, 100.0, 1e-6, 1e-9, 1 / 60)


def stored_numbers(made: Made, sections: tuple[Section, ...]) -> list[float]:
    """Return every number of the study: files, settings, verdicts, cost model and charts."""
    evidence = made.evidence
    files: list[Any] = [runs.measured for runs in results(made).values()]
    files += [row["row"] for runs in results(made).values() for t in runs.predictions for row in t]
    shares = [vars(share) for own in evidence.classes.values() for share in own.values()]
    settings = (made.study.to_dict(), made.study.protocol.__dict__, evidence.card.to_dict())
    prices = (vars(made.study.prices), vars(made.study.operation), made.study.prices.hourly)
    gates = [vars(gate) for gate in evidence.gates]
    own = [*_walk([files, evidence_to_dict(evidence), shares, settings, prices, gates])]
    costs = expected_costs(evidence)
    first, three = (costs[f"{horizon}: Cost in all"] for horizon in ("First year", "Three years"))
    own += [*_walk(list(costs.values())), *((b - a) / 2 for a, b in zip(first, three, strict=True))]
    own += [paid for runs in results(made).values() for paid in (*runs.paid(), sum(runs.paid()))]
    for runs in results(made).values():
        spent, right_share = runs.all("total_seconds"), runs.mean("accuracy")
        own += [sum(spent) / PLACES, fmean(spent) / PLACES]
        own.append(WORTH * right_share - LOSS * (1 - right_share))
        for label in LABELS:
            true, named, right = class_counts(runs, label)
            own += [true, right / true, right / named]
    for data in (chart.data for chart in charts_of(sections) if chart.data):
        for one in data.series:
            own += [h - v for h, v in zip(one.high, one.values, strict=False)]
            own += [v - low for low, v in zip(one.low, one.values, strict=False)]
    return own


def _walk(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _walk(each)
    elif isinstance(value, str):
        yield from _walk(float(value)) if re.fullmatch(r"\d+", value) else ()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def _digits(number: float) -> str:
    return f"{number:.10e}"


def unknown_cells(found: list[Cells], known: list[float]) -> list[float]:
    same = {_digits(scale * number) for number in known for scale in SCALES}
    cells = {
        cell for sheet in found for row in sheet for cell in row if isinstance(cell, int | float)
    }
    return sorted(cell for cell in cells if _digits(cell) not in same)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_cell_of_the_sheet_holds_a_number_of_its_own(
    lang: str, made: Made, packs: Any, trees: Any
) -> None:
    found = sheets(packs("xlsx", lang))
    assert unknown_cells(found, stored_numbers(made, trees(lang))) == []


# -- the comparisons can fail --------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["html", "ipynb", "pptx", pytest.param("pdf", marks=pytest.mark.slow)]
)
def test_one_altered_run_is_noticed_in_every_table(
    kind: str, made: Made, altered_packs: Any
) -> None:
    found = opened(kind, altered_packs(kind))
    wrong = wrong_rows(kind, found, made, "en")
    assert {row.group for row in wrong} >= GROUPS[kind] - {"classes", "macro_f1"}
    of_arms = [row.label for row in wrong if row.group in {"arms", "gates", "costs"}]
    assert of_arms == ["KaSA (r=8)"] * len(of_arms)


def test_one_altered_run_is_noticed_in_the_sheet_and_in_charts(
    made: Made, altered_packs: Any
) -> None:
    text = translator("en")
    content = altered_packs("xlsx")
    wrong = not_in_sheets(wanted_numbers(made, text), sheets(content))
    assert [label for label, _ in wrong] == ["KaSA (r=8)", made.runs[0].id]
    assert wrong_charts("xlsx", content, made) == ["means", "gaps"]
    assert len(unknown_cells(sheets(content), stored_numbers(made, ()))) > 10
    drawn = wrong_charts("html", altered_packs("html"), made)
    assert drawn == ["dots", "bars", "gaps", "costs", "marks", "kasa-r8"]
    slides = wrong_charts("pptx", altered_packs("pptx"), made)
    assert slides == ["means", "gaps", "costs", "marks"]


def test_one_altered_cell_is_noticed(made: Made, packs: Any, trees: Any) -> None:
    mean = translator("en").percent(fmean(results(made)["kasa-r8"].metric("accuracy")))
    known = numbers_of(tree_words(trees("en"), "en"))
    assert mean in known
    assert "99.7%" not in known
    for kind in ("html", "ipynb", "pptx"):
        found = opened(kind, packs(kind, "en"))
        tables = tuple(
            tuple(tuple(c.replace(mean, "99.7%") for c in r) for r in t) for t in found.tables
        )
        false = Opened(tuple(words.replace(mean, "99.7%") for words in found.words), tables)
        assert foreign_numbers(false.text, known) == {"99.7%"}
        assert foreign_tables(kind, false, list(tables_of(trees("en")))) != []
        assert {"arms", "gates"} <= {row.group for row in wrong_rows(kind, false, made, "en")}


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("¥1,234.5 and -3.1 to +2", {"1,234.5", "-3.1", "+2"}),
        ("−1.1ポイント、88.1%（87.3–88.9）", {"-1.1", "88.1%", "87.3", "88.9"}),
        ("KaSA (r=8), SHA-256 7a647e4c4c70, macro-F1", {"8", "256"}),
        ("±1.0 in 10-20 of r8", {"±1.0", "10", "20"}),
    ],
)
def test_numbers_are_found_among_words(words: str, numbers: set[str]) -> None:
    assert numbers_of(words) == numbers
