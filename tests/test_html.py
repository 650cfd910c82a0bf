from __future__ import annotations

import csv
import io
import os
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kasa.errors import TrainingError
from kasa.report.csv_files import csv_files, neutral
from kasa.report.options import PackOptions
from kasa.report.pack import render, write_pack
from kasa.report.sections import report_sections
from kasa.report.tree import Table, to_text
from kasa.study import Gates, Protocol
from kasa.text import translator
from kasa.verdict.evidence import Evidence
from tests.study_runs import (
    example_evidence,
    example_rows,
    example_runs,
    example_study,
    finished_run,
    run_record,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = "<script>alert('x')</script>\"&<b>"


pytestmark = pytest.mark.usefixtures("utc")


def partial_evidence() -> Evidence:
    """Return a study of one seed, two runs at a time, 30 seconds a trial, and no gate.

    KaSA failed, TF-IDF works.
    """
    runs = example_runs(["lora-r8", "frozen_head"], [0])
    kasa, tfidf = example_runs(["kasa-r8", "tfidf"], [0])
    error = TrainingError("file_not_found", path="model.safetensors")
    records = [run_record(kasa, "failed", error), *map(run_record, runs)]
    records.append(run_record(tfidf, "running"))
    study = example_study(
        protocol=Protocol("quick", parallel_runs=2, trial_seconds=30), gates=Gates()
    )
    return example_evidence(runs, study, records)


def hostile_evidence() -> Evidence:
    """Return a study whose title, labels and texts are markup and formulas."""
    labels = [HOSTILE, "=1+1"] * 10
    runs = [finished_run(arm, 0, labels, labels[::-1]) for arm in ("kasa-r8", "lora-r8")]
    runs[1].predictions["predicted"] = labels
    rows = example_rows(20)
    rows.loc[rows["part"] == "test", "text"] = "@SUM(A1)<img src=x onerror=alert(1)>"
    rows.loc[rows["part"] == "test", "label"] = labels
    return example_evidence(runs, example_study(title=HOSTILE), rows=rows)


# -- the words, held against golden files: KASA_UPDATE_GOLDEN=1 writes them anew -----------------


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("name", ["report", "report_partial"])
def test_the_words_of_the_report(name: str, lang: str) -> None:
    evidence = example_evidence() if name == "report" else partial_evidence()
    text = to_text(report_sections(evidence, translator(lang)))
    golden = GOLDEN / f"{name}_{lang}.md"
    if os.environ.get("KASA_UPDATE_GOLDEN") == "1":
        golden.write_text(text, "utf-8")
    assert text == golden.read_text("utf-8")


def test_the_verdict_comes_first_and_every_section_has_something() -> None:
    sections = report_sections(example_evidence(), translator("en"))
    assert sections[0].key == "verdict"
    assert len({section.key for section in sections}) == len(sections) == 24
    assert all(section.blocks for section in sections)


def test_tables_are_rectangular() -> None:
    for evidence in (example_evidence(), partial_evidence(), hostile_evidence()):
        for section in report_sections(evidence, translator("ja")):
            for table in (block for block in section.blocks if isinstance(block, Table)):
                assert {len(row) for row in table.rows} == {len(table.header)}, section.key


def test_every_run_is_named() -> None:
    text = to_text(report_sections(partial_evidence(), translator("en")))
    for run in ("kasa-r8-s0", "lora-r8-s0", "frozen_head-s0", "tfidf-s0"):
        assert run in text


# -- the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_one_file_without_a_request(tmp_path: Path, lang: str) -> None:
    (path,) = write_pack(example_evidence(), PackOptions(lang), ["html"], tmp_path)
    page = path.read_text("utf-8")
    assert path.stat().st_size < 8e6
    assert f'<html lang="{lang}">' in page
    assert page.count("plotly.js v") == 1
    assert "default-src &#39;none&#39;" in page
    outside = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert "http" not in outside.replace("http-equiv", "")


# -- tables -------------------------------------------------------------------------------------


def read(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def test_csv_files_hold_the_evidence(tmp_path: Path) -> None:
    evidence = example_evidence()
    paths = write_pack(evidence, PackOptions(), ["csv"], tmp_path / "out")
    names = ["runs.csv", "arms.csv", "verdicts.csv", "predictions.csv"]
    assert [path.name for path in paths] == names
    runs, arms, verdicts, predictions = (read(path.read_bytes()) for path in paths)
    assert (len(runs), len(arms), len(verdicts), len(predictions)) == (12, 4, 12, 12 * 120)
    assert float(runs[0]["test_accuracy"]) == evidence.finished[0].metrics["accuracy"]
    assert runs[0]["peak_memory_bytes"] == "910000000"
    assert float(arms[0]["accuracy_mean"]) == evidence.summaries[0].metrics["accuracy"].mean
    assert float(verdicts[0]["difference"]) == evidence.verdicts[0].difference
    assert verdicts[0]["runs"].split() == list(evidence.verdicts[0].run_ids)
    assert predictions[0]["run"] == "kasa-r8-s0"


def test_csv_opens_in_excel_in_japanese() -> None:
    labels = ["傷", "汚れ"] * 5
    evidence = example_evidence([finished_run("lora-r8", 0, labels, labels)])
    content = csv_files(evidence)["predictions.csv"]
    assert content.startswith(b"\xef\xbb\xbf")
    assert read(content)[0]["label"] == "傷"


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("＝1+1", "'＝1+1"),
        ("\x00=1\u202e", "'=1"),
        ("a=1", "a=1"),
        (-1.5, -1.5),
        (None, None),
    ],
)
def test_formulas_are_neutralised(cell: object, safe: object) -> None:
    assert neutral(cell) == safe


def test_the_zip_holds_the_same_files_and_is_the_same_each_time() -> None:
    evidence = partial_evidence()
    made = render("csv", evidence, PackOptions())
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert files == csv_files(evidence)
    assert "model.safetensors" in read(files["runs.csv"])[0]["error"]
    assert render("csv", evidence, PackOptions("ja")) == made


def test_csv_without_a_finished_run() -> None:
    evidence = example_evidence([], records=[run_record(example_runs(["tfidf"], [0])[0], "queued")])
    files = csv_files(evidence)
    assert len(read(files["runs.csv"])) == 1
    assert read(files["predictions.csv"]) == []


# -- in a browser -------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_report_in_chromium(tmp_path: Path, chromium: Browser, width: int, lang: str) -> None:
    (path,) = write_pack(example_evidence(), PackOptions(lang), ["html"], tmp_path)
    requests: list[str] = []
    complaints: list[str] = []
    page = chromium.new_page(viewport={"width": width, "height": 844})
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector("#confusion .chart .main-svg")
    drawn = page.locator("figure:visible .main-svg").count()
    page.locator("#tradeoff select").select_option("2")
    page.wait_for_selector('[data-figure="tradeoff-accuracy-peak_memory_bytes"] .main-svg')
    overflow = page.evaluate("document.documentElement.scrollWidth") > width
    page.close()
    assert requests == [path.as_uri()]
    assert complaints == []
    assert drawn >= 5
    assert not overflow
