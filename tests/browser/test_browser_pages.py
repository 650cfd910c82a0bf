"""Every page in both languages, on a desk and on a phone; reload, second tab, bad uploads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from kasa.dataspec import DataSpec
from kasa.jobs.spectrum import execute
from kasa.model.source import resolve_model
from kasa.runs.files import write_json
from kasa.runs.job import Job
from kasa.runs.store import Store
from kasa.spectral.spectrum import spectrum_key
from kasa.study import Study
from kasa.text import CATALOGUE, LANGUAGES, catalogue
from tests.browser.conftest import PHONE, WIDE, Visit
from tests.browser.studio import ROOT, Server, Visitor
from tests.known_answers import bert_tensors, write_model
from tests.result_files import draft, finish

PAGES = (
    *("", "model", "spectrum", "data", "knowledge", "experiment", "results", "explain"),
    *("try_it", "decide", "report", "handling", "settings"),
)
CHARTS = {"spectrum": 3, "data": 1, "results": 8, "decide": 2, "report": 4}
KEY = re.compile(r"\b[a-z_]+(?:\.[a-z_0-9]+)+\b")
# What sticks out to the right of the window, and what the page would have to be scrolled for.
OVERFLOW = """() => {
  const main = document.querySelector('[data-testid=stMain]');
  const root = document.documentElement;
  return [root.scrollWidth - innerWidth, main.scrollWidth - main.clientWidth];
}"""


def overflow(visitor: Visitor) -> list[int]:
    """Return what sticks out once the page has followed its window, which a busy machine delays."""
    for _ in range(50):
        found: list[int] = visitor.page.evaluate(OVERFLOW)
        if found == [0, 0]:
            break
        visitor.page.wait_for_timeout(100)
    return found


@pytest.fixture(scope="module")
def studies(studio: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return a finished study for most pages and one with computed spectra for theirs."""
    folder = tmp_path_factory.mktemp("studies")
    finished = draft(studio.store, folder)
    finish(studio.store, finished)
    return dict.fromkeys(PAGES, finished) | {"spectrum": with_spectra(studio.store, folder)}


def with_spectra(store: Store, folder: Path) -> str:
    model = str(write_model(folder / "model", bert_tensors()))
    job = store.add_job("spectrum", {"model": model}, spectrum_key(resolve_model(model)))
    measured = execute(Job(job.id, "spectrum", {"model": model}, job.folder))
    write_json(job.folder / "result.json", {"measured": measured})
    store.mark(job.id, "finished")
    return store.create_study(Study("Spectra", model, DataSpec("", "", "")))


@pytest.fixture(scope="module")
def walker(studio: Server, chromium: Browser) -> Iterator[Visitor]:
    """Return one visitor for all pages; Streamlit's own scripts are then fetched only once."""
    context = chromium.new_context()
    context.set_default_timeout(20_000)
    yield Visitor(context, studio.url)
    context.close()


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", PAGES, ids=lambda name: name or "home")
def test_every_page_on_a_phone_and_on_a_desk(
    walker: Visitor, studies: dict[str, str], name: str, lang: str
) -> None:
    visitor = walker
    visitor.complaints.clear()
    visitor.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    visitor.open(name, lang, studies[name])
    charts = visitor.page.locator(".js-plotly-plot .main-svg:first-child")
    for width, height in (PHONE, WIDE):
        visitor.page.set_viewport_size({"width": width, "height": height})
        visitor.settle()
        expect(charts).to_have_count(CHARTS.get(name, 0))
        visitor.page.wait_for_timeout(300)  # charts follow the window a moment later
        assert overflow(visitor) == [0, 0], f"{width} pixels wide"
        too_wide = [
            box
            for box in (chart.bounding_box() for chart in charts.all())
            if box and box["x"] + box["width"] > width
        ]
        assert too_wide == []
    known = {*catalogue(lang, ROOT / "app" / "locale"), *catalogue(lang, CATALOGUE)}
    assert known.isdisjoint(KEY.findall(visitor.page.inner_text("body")))
    # Studies keep the language of their titles; the page's own title follows the reader.
    japanese = re.search("[ぁ-んァ-ヶ一-龠]", visitor.page.locator("h1").inner_text())
    assert bool(japanese) is (lang == "ja")


def test_a_click_on_a_mark_shows_that_methods_runs(
    walker: Visitor, studies: dict[str, str]
) -> None:
    walker.open("results", lang="en", study=studies["results"])
    marks = walker.key("tradeoff_chart").locator(".scatterlayer .points path")
    expect(marks).to_have_count(4)
    marks.last.scroll_into_view_if_needed()
    box = marks.last.bounding_box()
    assert box is not None
    walker.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    runs = walker.key("chosen_runs")
    expect(runs).to_contain_text("TF-IDF + linear model")
    expect(runs.locator("tbody tr")).to_have_count(1)
    walker.settle()


def test_the_rules_can_fail(studio: Server, visit: Visit) -> None:
    """Plant what the other tests look for, and see that each is noticed."""
    visitor = visit(studio).open("settings", "en")
    visitor.page.evaluate(
        """() => {
          const wide = document.createElement('div');
          wide.style = 'width: 3000px; height: 1px';
          wide.dataset.testid = 'stException';
          document.querySelector('[data-testid=stMain]').append(wide);
          console.error('planted');
          fetch('http://example.invalid/').catch(() => 0);
        }"""
    )
    assert visitor.page.evaluate(OVERFLOW)[1] > 500
    with pytest.raises(AssertionError):
        visitor.check()
    visitor.page.wait_for_timeout(300)
    found = "\n".join(visitor.complaints)
    assert "console: planted" in found
    assert "request to the outside: http://example.invalid/" in found
    visitor.complaints.clear()
    visitor.page.reload()


def test_the_language_of_the_browser_and_the_switch(studio: Server, visit: Visit) -> None:
    visitor = visit(studio, locale="ja-JP").open()
    visitor.title("自社データでのチューニングは、割に合うか")
    visitor.menu("設定").title("設定")
    visitor.key("lang_switch").get_by_role("radio", name="English").click()
    visitor.title("Settings")
    for name, title in (("1 Model", "Base model"), ("Home", "Does tuning a language model")):
        visitor.menu(name)
        expect(visitor.page.locator("h1")).to_contain_text(title)
    visitor.page.reload()
    expect(visitor.page.locator("h1")).to_contain_text("Does tuning a language model")
    # Undo it: the choice belongs to the workspace, which the other tests use too.
    (studio.home / "settings.json").unlink()


def test_reload_and_second_tab_show_the_same_study(
    studio: Server, visit: Visit, tmp_path: Path
) -> None:
    study_id = draft(studio.store, tmp_path)
    visitor = visit(studio).open(lang="en")
    visitor.click(f"open_{study_id}").title("Base model")
    visitor.menu("5 Experiment").title("Experiment")
    named = visitor.page.get_by_text("Study: Which *defect*?")
    expect(named).to_be_visible()
    assert visitor.study_id() == study_id
    visitor.page.reload()
    visitor.title("Experiment")
    expect(named).to_be_visible()
    second = visitor.watch(visitor.page.context.new_page())
    second.goto(visitor.page.url)
    expect(second.locator("h1")).to_have_text("Experiment")
    expect(second.get_by_text("Study: Which *defect*?")).to_be_visible()
    # What one tab changes, the other shows after a reload.
    visitor.fill("study_title", "Which crew?")
    second.reload()
    expect(second.get_by_text("Study: Which crew?")).to_be_visible()


BAD_FILES = {
    "cut off.xlsx": b"PK\x03\x04 cut off",
    "empty.csv": b"",
    "picture.csv": bytes(range(256)) * 40,
    "../../evil.jsonl": b'{"text": 1,\n',
}


def test_bad_uploads_are_explained_and_the_studio_goes_on(studio: Server, visit: Visit) -> None:
    visitor = visit(studio).open("data", "en")
    visitor.page.get_by_text("My own file").click()
    visitor.settle()
    for name, content in BAD_FILES.items():
        visitor.upload(name, content)
        alert = visitor.page.get_by_test_id("stAlertContentError")
        expect(alert, name).to_contain_text("What to do:")
    good = "\n".join(["text,label", *(f"pump {row} leaks,{'ab'[row % 2]}" for row in range(60))])
    visitor.upload("good.csv", good.encode())
    expect(visitor.page.get_by_text("60 rows, 2 columns")).to_be_visible()
    expect(visitor.page.get_by_test_id("stAlertContentError")).to_have_count(0)
    assert not list(studio.home.rglob("*evil*"))
