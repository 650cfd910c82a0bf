"""What tests of pages do alike: open a page of a study, and read its words and buttons."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from kasa.runs.store import Store

MAIN = Path(__file__).resolve().parents[2] / "app" / "main.py"


def still_store(monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return the workspace's store, its queue standing still."""
    for place in ("app.shell", "kasa.runs.local"):
        monkeypatch.setattr(f"{place}.ensure_dispatcher", lambda _: None)
    return Store()


def open_page(name: str, study_id: str | None, lang: str = "en") -> AppTest:
    """Return a page, run on a study or on none."""
    page = AppTest.from_file(str(MAIN), default_timeout=60)
    page.query_params["lang"] = lang
    if study_id:
        page.query_params["study"] = study_id
    page.run()
    return checked(page.switch_page(f"../pages/{name}.py").run())


def checked(page: AppTest) -> AppTest:
    """Return the page, on which nothing failed unexplained."""
    assert [each.value for each in page.exception] == []
    return page


def words(page: AppTest) -> str:
    """Return what stands on a page in sentences."""
    parts = [*page.markdown, *page.caption, *page.warning, *page.error, *page.info]
    return "\n".join(str(part.value) for part in parts).replace("\\", "")


def keys(page: AppTest) -> set[str | None]:
    """Return the keys of a page's buttons."""
    return {button.key for button in page.button}
