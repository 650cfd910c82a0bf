"""The language: from the address, the last choice, or the browser; it stays from page to page."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

from kasa.runs.store import Store
from kasa.text import CATALOGUE, LANGUAGES, catalogue

ROOT = Path(__file__).resolve().parents[2]
MAIN = str(ROOT / "app" / "main.py")
PAGES = tuple(path.name for path in sorted((ROOT / "pages").glob("*.py")))
TITLES = {"en": "Settings", "ja": "設定"}
pytestmark = pytest.mark.usefixtures("workspace")


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return what the browser tells of itself; AppTest has none."""
    told = SimpleNamespace(locale="en-US")
    monkeypatch.setattr("app.i18n.st.context", told)
    return told


def open_page(name: str = "settings", lang: str | None = None) -> AppTest:
    page = AppTest.from_file(MAIN, default_timeout=60)
    if lang:
        page.query_params["lang"] = lang
    return go(page.run(), name)


def go(page: AppTest, name: str) -> AppTest:
    page.query_params.clear()  # as a click in the menu does
    page.switch_page(f"../pages/{name}.py").run()
    assert [each.value for each in page.exception] == []
    return page


@pytest.mark.parametrize(
    ("locale", "lang"), [("ja", "ja"), ("ja-JP", "ja"), ("en-GB", "en"), ("de", "en"), (None, "en")]
)
def test_the_browsers_language_at_first(
    browser: SimpleNamespace, locale: str | None, lang: str
) -> None:
    browser.locale = locale
    assert open_page().title[0].value == TITLES[lang]


def test_the_switch_changes_page_menu_and_address_and_is_kept(browser: SimpleNamespace) -> None:
    page = open_page()
    page.segmented_control(key="lang_switch").set_value("ja").run()
    assert page.title[0].value == TITLES["ja"]
    assert page.query_params["lang"] == "ja"
    for name in ("model", "experiment", "settings"):
        go(page, name)
    assert page.title[0].value == TITLES["ja"]
    assert page.query_params["lang"] == "ja"
    # The next visit, with a browser in English.
    assert Store().settings()["language"] == "ja"
    assert open_page().title[0].value == TITLES["ja"]


def test_the_address_wins_and_stays_over_pages(browser: SimpleNamespace) -> None:
    Store().save_settings(language="en")
    page = open_page(lang="ja")
    assert page.title[0].value == TITLES["ja"]
    assert go(go(page, "home"), "settings").title[0].value == TITLES["ja"]
    # Opening somebody's link does not change what this person chose.
    assert Store().settings()["language"] == "en"


def test_a_language_that_is_not_there_falls_back_to_the_choice(browser: SimpleNamespace) -> None:
    Store().save_settings(language="ja")
    assert open_page(lang="xx").title[0].value == TITLES["ja"]


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_in_every_language(name: str, lang: str) -> None:
    page = open_page(name.removesuffix(".py"), lang)
    shown = [str(part.value) for part in [*page.title, *page.markdown, *page.caption]]
    keys = {*catalogue(lang, ROOT / "app" / "locale"), *catalogue(lang, CATALOGUE)}
    assert shown
    assert not [word for line in shown for word in line.split() if word.strip("*") in keys]
