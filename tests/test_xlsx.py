from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from openpyxl.workbook import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from kasa.arms import Arm
from kasa.dataspec import DataSpec
from kasa.errors import StudyError
from kasa.metrics import METRICS
from kasa.prices import Operation, Prices
from kasa.report import xlsx_tables
from kasa.report.labels import arm_labels
from kasa.report.options import PackOptions
from kasa.report.xlsx import render_xlsx, sheet_tables
from kasa.report.xlsx_cells import LONGEST_TEXT, clean, money_format
from kasa.report.xlsx_costs import INPUTS
from kasa.study import Study
from kasa.text import LANGUAGES, catalogue, translator
from kasa.verdict import business
from kasa.verdict.business import HORIZONS, PARTS, case_of
from kasa.verdict.costs import run_cost
from kasa.verdict.evidence import Evidence, build_evidence
from tests.study_runs import (
    example_card,
    example_evidence,
    example_rows,
    example_runs,
    example_study,
    finished_run,
    run_record,
)
from tests.test_html import hostile_evidence, partial_evidence

EN, JA = PackOptions("en"), PackOptions("ja")
BENEFIT = Operation(answers_per_year=60_000, benefit_per_correct=65, loss_per_wrong=110)
OWNED = Prices(purchase=400_000, power_per_kwh=31, source="Offer 1234", dated="2026-10-01")
ERROR = re.compile(r"#(N/A|NAME|REF|DIV|VALUE|NUM|NULL)")


pytestmark = pytest.mark.usefixtures("utc")


# -- evidence -----------------------------------------------------------------------------------


def paying(**changes: Any) -> Evidence:
    """Return the example study with a benefit."""
    return example_evidence(study=example_study(operation=BENEFIT, **changes))


def regression() -> Evidence:
    """Return a study of scores, whose metrics say nothing about right answers."""
    scores = [f"{row % 5}.0" for row in range(40)]
    runs = []
    for arm, shift in (("kasa-r8", 0.5), ("lora-r8", 0.25)):
        run = finished_run(arm, 0, scores, [f"{float(s) + shift}" for s in scores])
        table = run.predictions.drop(columns="confidence")
        values = {"pearson": 0.91, "spearman": 0.88}
        runs.append(replace(run, predictions=table, metrics=values, validation=values, labels=()))
    arms = (Arm("kasa", 8), Arm("lora", 8))
    data = DataSpec("a.csv", "note", score="score")
    study = Study("Scores", "embedded", data, arms)
    rows = example_rows(40)
    rows["score"] = 1.0
    card = replace(example_card(example_study(), rows), labels={})
    record = replace(example_evidence().record, study=study)
    return build_evidence(record, [run_record(run) for run in runs], runs, rows, card)


CASES = {
    "benefit": paying,
    "costs only": example_evidence,
    "owned machine": lambda: paying(prices=OWNED),
    "never pays": lambda: example_evidence(
        study=example_study(operation=replace(BENEFIT, loss_per_wrong=1000))
    ),
    "regression": regression,
    "one arm": lambda: example_evidence(example_runs(["lora-r8"], [0])),
    "partial": partial_evidence,
    "hostile": hostile_evidence,
    "nothing yet": lambda: example_evidence(
        [], records=[run_record(example_runs(["tfidf"], [0])[0], "queued")]
    ),
}


@cache
def evidence_of(case: str) -> Evidence:
    return CASES[case]()


@cache
def rendered(case: str = "benefit", lang: str = "en") -> bytes:
    return render_xlsx(evidence_of(case), PackOptions(lang))


def opened(content: bytes, *, values: bool = True) -> Workbook:
    return load_workbook(io.BytesIO(content), data_only=values)


def sheet(book: Workbook, name: str, lang: str = "en") -> Worksheet:
    found = book[translator(lang)(f"sheet.name.{name}")]
    assert isinstance(found, Worksheet)
    return found


def cells(book: Workbook) -> Iterator[tuple[str, Any]]:
    for found in book.worksheets:
        for row in found.iter_rows():
            yield from ((f"{found.title}!{c.coordinate}", c.value) for c in row if c.value != "")


def table(found: Worksheet) -> list[dict[str, Any]]:
    """Return the rows of a sheet whose first row holds the headings, up to its first empty one."""
    header, *rows = found.iter_rows(values_only=True)
    full = []
    for row in rows:
        if all(value is None for value in row):
            break
        full.append(dict(zip(header, row, strict=True)))
    return full


def costs_cells(found: Worksheet) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return the inputs by their words, and the results by "band: words", a value an arm."""
    inputs, results, band = {}, {}, ""
    for row in found.iter_rows(min_row=5):
        if row[0].value and row[2].value:
            inputs[str(row[0].value)] = row[1].value
        if len(row) > 6 and row[5].value:
            values = [cell.value for cell in row[6:]]
            if all(value is None for value in values):
                band = str(row[5].value)
            else:
                results[f"{band}: {row[5].value}"] = values
    return inputs, results


def expected_costs(evidence: Evidence, lang: str = "en") -> dict[str, list[float | str]]:
    """Return what the results must be, from `kasa.verdict.business` alone."""
    text = translator(lang)
    cases = [case_of(evidence, summary.arm) for summary in evidence.summaries]

    def known(values: list[float | None]) -> list[float | str]:
        return ["–" if value is None else value for value in values]

    found: dict[str, list[float | str]] = {}
    for horizon in HORIZONS:
        band = text(f"meeting.horizon.{horizon}")
        for part in PARTS:
            name = f"{band}: {text(f'meeting.part.{part}')}"
            found[name] = [business.costs(case, horizon)[part] for case in cases]
        for name, way in (
            ("total", business.total),
            ("benefit", business.benefit),
            ("net", business.net),
        ):
            values = [way(case, horizon) for case in cases]
            found[f"{band}: {text(f'meeting.row.{name}')}"] = known(values)
        if horizon != "poc" and cases and cases[0].right is not None:
            for place, end in enumerate(("low", "high")):
                ends = [business.net_interval(case, horizon) for case in cases]
                values = [both and both[place] for both in ends]
                found[f"{band}: {text(f'sheet.costs.net_{end}')}"] = known(values)
    never, band = text("meeting.never"), text("sheet.costs.breakeven")
    found[f"{band}: {text('meeting.row.months')}"] = [
        (business.months_to_break_even(case) or never) if case.priced else "–" for case in cases
    ]
    found[f"{band}: {text('meeting.row.answers')}"] = [
        "–"
        if business.value_per_answer(case) is None
        else business.answers_to_break_even(case) or never
        for case in cases
    ]
    return found


def exactly(value: Any) -> Any:
    """Return what equals a value of a workbook: a file keeps 16 digits of a number."""
    return pytest.approx(value, rel=1e-14) if isinstance(value, list | float) else value


def same(measured: list[Any], wanted: list[Any]) -> bool:
    return len(measured) == len(wanted) and all(
        m == w if isinstance(w, str) else m == pytest.approx(w, rel=1e-9, abs=1e-6)
        for m, w in zip(measured, wanted, strict=True)
    )


# -- the costs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(
    "case", ["benefit", "costs only", "owned machine", "never pays", "one arm"]
)
def test_the_costs_sheet_shows_the_cost_models_numbers(case: str, lang: str) -> None:
    evidence, text = evidence_of(case), translator(lang)
    book = opened(rendered(case, lang))
    inputs, results = costs_cells(sheet(book, "costs", lang))
    wanted = expected_costs(evidence, lang)
    assert [name for name in wanted if not same(results[name], wanted[name])] == []
    assert len(inputs) == len(INPUTS)
    prices, operation = evidence.study.prices, evidence.study.operation
    assert inputs[text("meeting.input.machine_hour")] == exactly(prices.hourly)
    assert inputs[text("meeting.input.purchase")] == prices.purchase
    assert inputs[text("meeting.input.staff_per_hour")] == operation.staff("JPY")
    assert inputs[text("meeting.input.answers_per_year")] == operation.answers_per_year
    right = f"{text('sheet.costs.measured')}: {text('meeting.input.right')}"
    means = [summary.metrics["accuracy"].mean for summary in evidence.summaries]
    assert results[right] == exactly(means)


def test_every_result_is_a_formula_over_named_inputs() -> None:
    book = opened(rendered(), values=False)
    inputs, results = costs_cells(sheet(book, "costs"))
    measured = {"runs", "poc_seconds", "right", "right_low", "right_high"}
    known = {f"Measured in this study: {translator('en')(key)}" for key in (
        "sheet.costs.runs", *(f"meeting.input.{name}" for name in measured - {"runs"})
    )}  # fmt: skip
    for name, values in results.items():
        formulas = all(str(value).startswith("=") for value in values)
        assert formulas != (name in known), name
    assert inputs["Machine hour"].startswith("=IF(AND(N(purchase)>0")
    assert set(book.defined_names) == set(INPUTS)
    used = " ".join(str(value) for values in results.values() for value in values)
    used += inputs["Machine hour"]
    assert [name for name in INPUTS if name not in used] == []


def test_where_the_numbers_are_from() -> None:
    found = sheet(opened(rendered("owned machine")), "costs")
    sources = {row[0].value: row[3].value for row in found.iter_rows(min_row=5) if row[3].value}
    assert sources["Answers a year"] == sources["Purchase price of an own machine"] == "entered"
    assert sources["Years it is used"] == "assumed by the studio"
    assert sources["Machine hour"] == "from the purchase price"
    words = [str(value) for _, value in cells(opened(rendered("owned machine")))]
    assert any("Offer 1234" in value for value in words)


def test_only_the_inputs_are_coloured() -> None:
    found = sheet(opened(rendered()), "costs")
    filled = [c.row for c in found["B"][4:] if c.fill.fgColor.rgb == "FFFFF3C4"]
    assert len(filled) == len(INPUTS) - 1
    assert {str(rule.type) for rule in found.data_validations.dataValidation} == {"decimal"}


# -- recalculated by a spreadsheet program ------------------------------------------------------


def recalculated(contents: list[bytes], folder: Path) -> list[Workbook]:
    """Return workbooks as LibreOffice computes them; it is started once, which takes longest."""
    office = shutil.which("soffice")
    if office is None:
        reason = "recalculating a sheet needs LibreOffice (soffice) on the PATH"
        if os.environ.get("KASA_BROWSER_TESTS") == "required":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    names = [f"book{place}.xlsx" for place in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        (folder / name).write_bytes(content)
    command = [office, f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless"]
    command += ["--convert-to", "xlsx", "--outdir", str(folder / "out"), *names]
    home = os.environ | {"HOME": str(folder)}
    subprocess.run(command, cwd=folder, env=home, check=True, capture_output=True, timeout=400)
    return [load_workbook(folder / "out" / name, data_only=True) for name in names]


def without_cache(content: bytes, changes: dict[str, Any], lang: str) -> bytes:
    """Return a workbook with changed inputs and without any computed value: openpyxl keeps none."""
    book, text = opened(content, values=False), translator(lang)
    found = sheet(book, "costs", lang)
    for row in found.iter_rows(min_row=5):
        for name, value in changes.items():
            if row[0].value == text(f"meeting.input.{name}"):
                row[1].value = value
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


CHANGED: list[tuple[str, str, dict[str, Any]]] = [
    ("benefit", "ja", {}),
    ("benefit", "en", {"machine_per_hour": 1234.5}),
    ("owned machine", "en", {"life_years": 2.0, "power_watts": 900.0}),
    ("costs only", "en", {"answers_per_year": 50_000.0, "benefit_per_correct": 40.0}),
    ("benefit", "en", {"answers_per_year": None, "staff_per_hour": 100.0}),
    ("never pays", "ja", {"retrainings_per_year": 12.0, "labelling_seconds": 5.0}),
    ("regression", "en", {"serving_hours_per_year": 10.0}),
    ("partial", "ja", {}),
    ("nothing yet", "en", {}),
]


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> list[Workbook]:
    """Return every changed workbook with the values that LibreOffice computes."""
    contents = [
        without_cache(rendered(case, lang), changes, lang) for case, lang, changes in CHANGED
    ]
    return recalculated(contents, tmp_path_factory.mktemp("office"))


@pytest.mark.slow
@pytest.mark.parametrize("place", range(len(CHANGED)), ids=[case for case, _, _ in CHANGED])
def test_a_spreadsheet_computes_what_the_cost_model_says(
    place: int, computed: list[Workbook]
) -> None:
    (case, lang, changes), book = CHANGED[place], computed[place]
    evidence = evidence_of(case)
    assert [cell for cell, value in cells(book) if ERROR.match(str(value))] == []
    study = evidence.study
    prices = {name: value for name, value in changes.items() if hasattr(study.prices, name)}
    others = {name: value for name, value in changes.items() if name not in prices}
    changed = replace(
        study,
        prices=replace(study.prices, **prices),
        operation=replace(study.operation, **others),
    )
    wanted = expected_costs(replace(evidence, record=replace(evidence.record, study=changed)), lang)
    _, results = costs_cells(sheet(book, "costs", lang))
    if evidence.summaries:
        wrong = {name: results[name] for name in wanted if not same(results[name], wanted[name])}
        assert wrong == {}
    if "machine_per_hour" in changes:
        unchanged = expected_costs(evidence, lang)
        assert results["Three years: Cost in all"] != unchanged["Three years: Cost in all"]


# -- every number -------------------------------------------------------------------------------


def test_runs_hold_the_stores_numbers() -> None:
    evidence = evidence_of("benefit")
    rows = table(sheet(opened(rendered()), "runs"))
    assert len(rows) == len(evidence.finished) == 12
    for row, run in zip(rows, evidence.finished, strict=True):
        assert row["Run"] == run.id
        assert row["Seed"] == run.seed
        assert row["Accuracy"] == exactly(run.metrics["accuracy"])
        assert row["Macro-F1, validation"] == run.validation["macro_f1"]
        assert row["Training time (seconds)"] == run.train_seconds
        assert row["Total time (seconds)"] == run.total_seconds
        assert row["Peak memory (MB)"] == run.peak_memory_bytes / 1e6
        assert row["Trainable parameters"] == run.num_trainable_params
        assert row["Machine cost per run"] == exactly(run_cost(run.total_seconds, evidence.study))
        assert row["Started"] == datetime(2026, 11, 20, 9, 30)  # noqa: DTZ001 - Excel knows no zone


def test_a_failed_run_has_its_reason() -> None:
    rows = table(sheet(opened(rendered("partial")), "runs"))
    failed = next(row for row in rows if row["Run"] == "kasa-r8-s0")
    assert failed["Status"] == "failed"
    assert "model.safetensors" in failed["Why it has no result"]
    assert failed["Accuracy"] is None


def test_the_comparison_holds_every_verdict() -> None:
    evidence = evidence_of("benefit")
    labels = arm_labels(evidence.study, translator("en"))
    rows = table(sheet(opened(rendered()), "comparison"))
    for row, found in zip(rows, evidence.verdicts, strict=True):
        assert (row["Method A"], row["Method B"]) == (labels[found.a], labels[found.b])
        assert row["Value of A"] == exactly(found.a_value)
        names = [
            "Difference (points)",
            *(f"Difference (points), {e} end" for e in ("lower", "upper")),
        ]
        wanted = [100 * value for value in (found.difference, *found.interval)]
        assert [row[name] for name in names] == exactly(wanted)


def test_classes_hold_recall_and_precision() -> None:
    evidence = evidence_of("benefit")
    rows = table(sheet(opened(rendered()), "classes"))
    wanted = []
    for arm in evidence.summaries:
        for place, label in enumerate(arm.labels):
            right, counts = arm.confusion[place][place], arm.confusion[place]
            share = evidence.classes[arm.arm][label]
            named = sum(line[place] for line in arm.confusion)
            precise = right / named if named else None
            wanted.append([label, sum(counts), right / sum(counts), share.low, precise])
    names = ["Label", "Test rows × seeds", "Recall", "Recall, lower end", "Precision"]
    for row, values in zip(rows, wanted, strict=True):
        assert [row[name] for name in names] == [exactly(value) for value in values]


def test_predictions_are_all_there() -> None:
    evidence = evidence_of("benefit")
    rows = table(sheet(opened(rendered()), "predictions"))
    assert len(rows) == 12 * 120
    first = evidence.finished[0].predictions
    assert [row["Predicted label"] for row in rows[:120]] == list(first["predicted"])
    assert {type(row["Row"]) for row in rows} == {int}


def test_predictions_end_at_the_limit_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx_tables, "MOST_PREDICTIONS", 150)
    monkeypatch.setattr("kasa.report.xlsx.MOST_PREDICTIONS", 150)
    found = sheet(opened(render_xlsx(example_evidence(), EN)), "predictions")
    assert len(table(found)) == 150
    assert any("first 150 of 1,440" in str(row[0].value) for row in found.iter_rows(min_row=150))


def test_scores_are_numbers() -> None:
    rows = table(sheet(opened(rendered("regression")), "predictions"))
    assert {type(row["Predicted label"]) for row in rows} <= {int, float}


def test_the_summary_begins_with_the_verdict_and_holds_the_gates() -> None:
    evidence = evidence_of("benefit")
    found = sheet(opened(rendered()), "summary")
    rows = list(found.iter_rows(values_only=True))
    words = [str(row[0]) for row in rows if row[0]]
    assert words[2] == "Verdict"
    assert words[3].startswith("KaSA (r=8) and LoRA (r=8) cannot be told apart")
    assert words.index("Recommendation") < words.index("Requirements")
    gates = [row for row in rows if row[7] in {"met", "not met", "not settled"} or row[8]]
    numbers = [[value for value in row if isinstance(value, float | int)] for row in gates]
    for gate in evidence.gates:
        wanted = [gate.required, gate.measured, gate.low, gate.high]
        assert any(row[:4] == exactly(wanted) for row in numbers), gate
    arms = {row[0]: row for row in rows if isinstance(row[1], int)}
    first = evidence.summaries[0]
    low, high = evidence.intervals["accuracy"][first.arm]
    wanted = [first.metrics["accuracy"].mean, low, high]
    assert list(arms["KaSA (r=8)"][2:5]) == exactly(wanted)


def test_conditions_have_numbers_and_dates() -> None:
    book = opened(rendered())
    found = dict(sheet(book, "conditions").iter_rows(values_only=True, max_col=2))
    assert found["Created"] == datetime(2026, 11, 20, 9, 0)  # noqa: DTZ001 - Excel knows no zone
    assert found["Processor cores"] == 2
    assert found["torch"] == "2.13.0"
    assert found["Base model SHA-256"].startswith("53aa51172d14")


def test_number_formats() -> None:
    book = opened(rendered("benefit", "ja"))
    runs = sheet(book, "runs", "ja")
    formats = {cell.value: runs.cell(2, cell.column).number_format for cell in runs[1]}
    assert formats["正解率"] == "0.0%"
    assert formats["全パラメータ数"] == "#,##0"
    assert formats["1回あたりの計算費用"].startswith('"￥"#,##0.00')
    assert formats["開始日時"] == "yyyy-mm-dd hh:mm"


def test_money_is_shown_in_its_currency() -> None:
    assert money_format("USD", translator("en")) == '"$"#,##0.00;[Red]-"$"#,##0.00'
    assert money_format("JPY", translator("en")) == '"¥"#,##0;[Red]-"¥"#,##0'
    assert money_format("XAG", translator("en")).startswith('"XAG "#,##0')


# -- charts -------------------------------------------------------------------------------------


def test_charts_draw_the_numbers_of_the_cells() -> None:
    evidence = evidence_of("benefit")
    content = rendered()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if "charts/chart" in name]
        charts = [archive.read(name).decode() for name in names]
    assert len(charts) == 5  # metrics, costs, differences
    assert sum("<c:errBars>" in chart for chart in charts) == 4
    stacked = next(chart for chart in charts if '<c:grouping val="stacked"/>' in chart)
    cached = [float(value) for value in re.findall(r"<c:v>([\d.]+)</c:v>", stacked)]
    costs = [business.costs(case_of(evidence, s.arm), "three_years") for s in evidence.summaries]
    assert [value for value in cached if value > 1e6] == pytest.approx(
        [cost[part] for part in ("people", "serving") for cost in costs]
    )
    found = sheet(opened(content), "charts")
    assert opened(content).sheetnames[-1] == found.title
    mean = evidence.summaries[0].metrics["accuracy"].mean
    low = evidence.intervals["accuracy"]["kasa-r8"][0]
    rows = [row for row in found.iter_rows(values_only=True) if row[0] == "KaSA (r=8)"]
    assert list(rows[0][1:3]) == exactly([mean, mean - low])


# -- hostile cells, limits, looks ---------------------------------------------------------------


def test_formulas_in_labels_and_titles_are_text() -> None:
    evidence = hostile_evidence()
    study = replace(evidence.study, title='=HYPERLINK("http://x")&1')
    evidence = replace(evidence, record=replace(evidence.record, study=study))
    content = render_xlsx(evidence, replace(EN, company="=2+2", sections=()))
    book = opened(content, values=False)
    for found in book.worksheets:
        for row in found.iter_rows():
            for cell in row:
                formula = cell.data_type == "f"
                assert not formula or found.title == "Costs", (found.title, cell.coordinate)
    labels = {row["Label"] for row in table(sheet(opened(content), "predictions"))}
    assert "=1+1" in labels
    cell = next(c for c in sheet(book, "predictions")["E"] if c.value == "=1+1")
    assert cell.data_type == "s"
    assert cell.quotePrefix
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert not any(b"hyperlink" in archive.read(n) for n in archive.namelist() if "sheet" in n)


def test_cells_hold_what_xml_and_excel_can_hold() -> None:
    assert clean("a\x00b\x0bc\ud800d\ufffee\r\nf\rg") == "abcde\nf\ng"
    assert len(clean("𠮷" * 20_000).encode("utf-16-le")) <= 2 * LONGEST_TEXT
    assert clean("x" * LONGEST_TEXT) == "x" * LONGEST_TEXT
    assert len(clean("x" * 40_000)) == LONGEST_TEXT
    labels = ["bad\x01\x1b_x0041_", "長い" * 20_000, "-1", "+x", "@SUM(A1)", "https://a.b"]
    runs = [finished_run(arm, 0, labels, labels) for arm in ("kasa-r8", "lora-r8")]
    rows = table(sheet(opened(render_xlsx(example_evidence(runs), EN)), "predictions"))
    found = [row["Label"] for row in rows[: len(labels)]]
    assert found == ["bad_x0041_", clean(labels[1]), *labels[2:]]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_error_in_any_cell(case: str, lang: str) -> None:
    content = rendered(case, lang)
    found = list(cells(opened(content)))
    assert len(found) > 60
    assert [place for place, value in found if ERROR.match(str(value))] == []


def test_the_japanese_workbook_speaks_japanese() -> None:
    english = {
        sentence
        for key, sentence in catalogue("en").items()
        if sentence != catalogue("ja")[key] and len(sentence) > 3 and "{" not in sentence
    }
    for case in ("benefit", "partial", "regression"):
        content = rendered(case, "ja")
        found = [value for _, value in cells(opened(content)) if isinstance(value, str)]
        assert [value for value in found if value in english] == []
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            styles = archive.read("xl/styles.xml").decode()
        assert "Yu Gothic" in styles
        assert "Calibri" not in styles


def test_equal_evidence_gives_equal_bytes() -> None:
    evidence, options = evidence_of("benefit"), PackOptions("ja", company="Example & Co.")
    content = render_xlsx(evidence, options)
    time.sleep(1.1)  # the times in a zip file count in seconds
    assert render_xlsx(evidence, options) == content
    properties = opened(content).properties
    assert properties.created.date().isoformat() == "2026-11-20"
    assert str(properties.title).endswith("Which defect is it?")


def test_print_set_up_and_frozen_headers() -> None:
    book = opened(rendered("benefit", "ja"))
    for found in book.worksheets:
        assert found.page_setup.orientation == "landscape"
        assert found.page_setup.fitToWidth in {1, None}
        assert found.sheet_properties.pageSetUpPr.fitToPage
        assert len(found.title) <= 31
        widths = [dimension.width for dimension in found.column_dimensions.values()]
        assert max(widths) <= 61
    assert sheet(book, "predictions", "ja").print_title_rows == "$1:$1"
    assert sheet(book, "predictions", "ja").freeze_panes == "A2"
    assert sheet(book, "costs", "ja").freeze_panes == "A5"


def test_a_logo_stands_on_the_summary_in_its_shape() -> None:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (800, 200), "red").save(buffer, "PNG", dpi=(300, 300))
    book = opened(render_xlsx(evidence_of("benefit"), replace(EN, logo=buffer.getvalue())))
    (picture,) = sheet(book, "summary")._images
    marks = picture.anchor
    assert marks._from.row == 0
    with pytest.raises(StudyError):
        render_xlsx(evidence_of("benefit"), replace(EN, logo=b"no picture"))


# -- the choice of sheets, and the preview ------------------------------------------------------


def test_sections_choose_the_sheets() -> None:
    def names(**options: Any) -> list[str]:
        return opened(render_xlsx(evidence_of("benefit"), PackOptions("en", **options))).sheetnames

    everything = [
        "Summary",
        "Costs",
        "Comparison",
        "Runs",
        "Per class",
        "Predictions",
        "Conditions",
    ]
    assert names() == [*everything, "Chart data"]
    assert names(audience="management") == ["Summary", "Costs", "Conditions", "Chart data"]
    assert names(sections=("verdict", "runs")) == ["Summary", "Runs", "Conditions"]


@pytest.mark.parametrize("case", CASES)
def test_the_preview_shows_the_sheets(case: str) -> None:
    evidence = evidence_of(case)
    frames = sheet_tables(evidence, JA)
    names = opened(rendered(case, "ja")).sheetnames
    assert list(frames) == [name for name in names if name != "グラフのデータ"]
    for frame in frames.values():
        assert frame.columns.is_unique
    if evidence.summaries:
        assert len(frames["費用と効果"].columns) == 1 + len(evidence.summaries)


def test_a_metric_of_every_kind_has_a_number_format() -> None:
    assert {xlsx_tables.metric_kind(name) for name in METRICS} == {"fraction", "correlation"}
