"""From the home page to a report in the meeting, as a person clicks it, in both languages."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Download, expect

from kasa.report.pack import FORMATS
from tests.browser.conftest import WIDE, Visit
from tests.browser.studio import Server, Visitor, wait_for
from tests.small_studies import NOTES

NAMES = ("model", "spectrum", "data", "experiment", "results", "decide", "report")


@dataclass(frozen=True)
class Words:
    """What the page says in one language where a test must read it."""

    titles: dict[str, str]
    all_ended: str
    step: str
    headline: str
    report: str
    verdict: str


def titles(*words: str) -> dict[str, str]:
    return dict(zip(NAMES, words, strict=True))


EN = Words(
    titles("Base model", "Spectrum", "Data", "Experiment", "Results", "Decide", "Report"),
    "4 of 4 runs have ended",
    "step ",
    "on this data",
    "PoC report:",
    "Verdict",
)
JA = Words(
    titles("ベースモデル", "スペクトル", "データ", "実験", "結果", "判断", "レポート"),
    "2 件中 2 件終了",
    "ステップ中",
    "このデータでは",
    "PoC レポート：",
    "判定",
)


def choose_a_cell(visitor: Visitor) -> None:
    """Click on the fifth of six columns and rows of the heatmap; the box below follows."""
    box = visitor.key("spectrum_weight").get_by_role("combobox")
    expect(box).to_have_value("Layer 0 · attention.output.dense")
    grid = visitor.key("spectrum_grid").locator(".nsewdrag").first
    size = grid.bounding_box()
    assert size is not None
    grid.click(position={"x": size["width"] * 4.5 / 6, "y": size["height"] * 4.5 / 6})
    expect(box).to_have_value("Layer 4 · intermediate.dense")
    visitor.settle()


def compute_spectra(visitor: Visitor) -> None:
    if visitor.key("spectrum_start").count():
        visitor.click("spectrum_start")
    visitor.key("spectrum_grid").wait_for(timeout=120_000)
    visitor.settle()
    expect(visitor.page.locator(".js-plotly-plot")).to_have_count(3)


def quick_settings(visitor: Visitor, epochs: int) -> None:
    """Choose the quick profile, one rate and few passes, so that the test is a short one."""
    visitor.key("profile").get_by_role("radio").first.click()
    visitor.settle()
    visitor.key("advanced").locator("summary").click()
    visitor.settle()
    take_out(visitor, "rates_quick", "0.001")
    visitor.fill("epochs_quick", str(epochs))


def take_out(visitor: Visitor, key: str, name: str) -> None:
    """Take one choice out of a multiselect; a page just redrawn may swallow a click."""
    tag = visitor.key(key).locator("[data-baseweb=tag], [data-tag]").filter(has_text=name)
    cross = tag.get_by_role("button").or_(tag.locator("[role=presentation]"))
    for _ in range(4):
        cross.first.click()
        visitor.settle()
        if not tag.count():
            break
    expect(tag).to_have_count(0)


def run_to_the_end(visitor: Visitor, server: Server, words: Words) -> None:
    """Start, see a working run's progress and curve, and wait for the end."""
    store, study_id = server.store, visitor.study_id()
    visitor.key("start").get_by_role("button").click()
    expect(visitor.key("stop")).to_be_visible()
    step = visitor.page.get_by_test_id("stProgress").filter(has_text=words.step).first
    expect(step).to_be_visible(timeout=120_000)
    expect(visitor.key("live_loss").locator(".main-svg").first).to_be_visible()
    wait_for(lambda: not any(r.active for r in store.runs(study_id)), "the runs", 400)
    assert {run.status for run in store.runs(study_id)} == {"finished"}
    expect(visitor.page.get_by_text(words.all_ended)).to_be_visible()


def taken(visitor: Visitor, name: str, folder: Path) -> Path:
    """Choose one format of the report and download it."""
    place = list(FORMATS).index(name)
    visitor.key("report_format").get_by_role("radio").nth(place).click()
    visitor.settle()
    return download(visitor, f"download_{name}", folder)


def download(visitor: Visitor, key: str, folder: Path) -> Path:
    with visitor.page.expect_download(timeout=120_000) as waiting:
        visitor.key(key).get_by_role("button").click()
    file: Download = waiting.value
    path = folder / file.suggested_filename
    file.save_as(path)
    return path


def check_everything(visitor: Visitor, server: Server, folder: Path) -> None:
    """Take all formats at once; what was taken, one by one and together, stands in the log."""
    with zipfile.ZipFile(download(visitor, "download_all", folder)) as archive:
        assert [Path(name).suffix for name in archive.namelist()] == [
            Path(f"x{kind.suffix}").suffix for kind in FORMATS.values()
        ]
        assert archive.testzip() is None
    study_id, entries = visitor.study_id(), server.store.ledger.entries()
    told = [each.facts for each in entries if each.event == "report_written"]
    formats = [each["format"] for each in told if each["study"] == study_id]
    assert formats == ["html", "csv", ", ".join(FORMATS)]


def check_report(report: Path, chromium: Browser, words: Words, lang: str) -> None:
    """Open the report without a network: right language, charts drawn, nothing fetched."""
    context = chromium.new_context(offline=True, viewport={"width": WIDE[0], "height": WIDE[1]})
    page = context.new_page()
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.on("pageerror", lambda error: seen.append(f"error: {error}"))
    page.on("console", lambda line: seen.append(line.text) if line.type == "error" else None)
    page.goto(report.as_uri())
    assert page.get_attribute("html", "lang") == lang
    expect(page.locator("h1")).to_contain_text(words.report)
    expect(page.locator("h2").filter(has_text=words.verdict).first).to_be_visible()
    charts = page.locator(".js-plotly-plot .main-svg:first-child")
    expect(charts.first).to_be_visible()
    assert charts.count() >= 4
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.wait_for_timeout(500)
    assert [url for url in seen if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()


def check_tables(archive: Path, num_runs: int) -> None:
    with zipfile.ZipFile(archive) as tables:
        assert {"runs.csv", "arms.csv", "verdicts.csv", "predictions.csv"} <= set(tables.namelist())
        text = tables.read("runs.csv").decode("utf-8-sig")
    assert len(list(csv.DictReader(io.StringIO(text)))) == num_runs


@pytest.mark.timeout(900)
def test_the_english_sample_from_home_to_the_meeting(
    studio: Server, visit: Visit, chromium: Browser, tmp_path: Path
) -> None:
    visitor = visit(studio, locale="en-US").open()
    visitor.click("try_sample_en").title(EN.titles["model"])
    visitor.click("next_step").title(EN.titles["spectrum"])
    compute_spectra(visitor)
    choose_a_cell(visitor)
    visitor.click("next_step").title(EN.titles["data"])
    # The sample is part of the study already; another share is kept like any other change.
    visitor.key("data_test_share").get_by_role("slider").press("ArrowRight")
    expect(visitor.key("data_save")).to_be_visible()
    visitor.click("data_save").click("next_step").title(EN.titles["experiment"])
    quick_settings(visitor, epochs=1)
    run_to_the_end(visitor, studio, EN)
    assert studio.store.study(visitor.study_id()).study.protocol.test_fraction == 0.26
    visitor.click("next_step").title(EN.titles["results"])
    expect(visitor.key("headline")).to_contain_text(EN.headline)
    expect(visitor.page.locator(".js-plotly-plot .main-svg:first-child")).to_have_count(7)
    visitor.click("next_step").title(EN.titles["decide"])
    visitor.click("next_step").title(EN.titles["report"])
    check_report(taken(visitor, "html", tmp_path), chromium, EN, "en")
    check_tables(taken(visitor, "csv", tmp_path), num_runs=4)
    check_everything(visitor, studio, tmp_path)


def own_rows() -> bytes:
    """Return 120 rows as a Japanese Excel would save them."""
    crews = {"electrical": "電気", "hydraulic": "油圧"}
    rows = [
        f"{row}番ライン {notes[row % 3]} {row % 7},{crews[crew]}"
        for row in range(60)
        for crew, notes in NOTES.items()
    ]
    return "\r\n".join(["内容,担当", *rows]).encode("cp932")


@pytest.mark.timeout(900)
def test_a_japanese_file_of_ones_own_from_home_to_the_meeting(
    studio: Server, visit: Visit, chromium: Browser, tmp_path: Path
) -> None:
    visitor = visit(studio, locale="ja-JP").open()
    visitor.click("new_study").title(JA.titles["model"])
    visitor.click("next_step").title(JA.titles["spectrum"])
    compute_spectra(visitor)
    visitor.click("next_step").title(JA.titles["data"])
    visitor.page.get_by_text("自分のファイル").click()
    visitor.settle().upload("作業記録.csv", own_rows())
    expect(visitor.page.get_by_text("120行・2列")).to_be_visible()
    visitor.click("data_save").click("next_step").title(JA.titles["experiment"])
    # KaSA and the frozen base stay out, so that this second journey is short.
    for name in ("KaSA", "ベースモデル固定＋線形モデル"):
        take_out(visitor, "arms", name)
    quick_settings(visitor, epochs=12)  # steps enough to be seen at work
    visitor.click("estimate")
    expect(visitor.page.get_by_test_id("stMetricValue")).to_have_count(3, timeout=200_000)
    run_to_the_end(visitor, studio, JA)
    visitor.click("next_step").title(JA.titles["results"])
    expect(visitor.key("headline")).to_contain_text(JA.headline)
    visitor.click("next_step").title(JA.titles["decide"])
    visitor.click("next_step").title(JA.titles["report"])
    check_report(taken(visitor, "html", tmp_path), chromium, JA, "ja")
    check_tables(taken(visitor, "csv", tmp_path), num_runs=2)
