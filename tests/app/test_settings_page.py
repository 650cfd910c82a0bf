"""The Settings page through AppTest: hub access, the workspace, this computer."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from kasa.runs.store import Store

MAIN = str(Path(__file__).resolve().parents[2] / "app" / "main.py")


def open_page(lang: str = "en") -> AppTest:
    page = AppTest.from_file(MAIN, default_timeout=60)
    page.query_params["lang"] = lang
    page.run()
    page.switch_page("../pages/settings.py").run()
    assert not page.exception
    return page


def test_hub_access_is_off_until_it_is_switched_on(workspace: Path) -> None:
    assert not Store().hub_access()
    page = open_page()
    assert page.toggle(key="hub_access").value is False
    page.toggle(key="hub_access").set_value(True).run()
    assert not page.exception
    assert Store().hub_access()
    assert open_page("ja").toggle(key="hub_access").value is True
    page.toggle(key="hub_access").set_value(False).run()
    assert not Store().hub_access()


@pytest.mark.parametrize(("lang", "cores"), [("en", " cores, "), ("ja", " コア、")])
def test_workspace_and_computer_are_named(workspace: Path, lang: str, cores: str) -> None:
    page = open_page(lang)
    assert page.code[0].value == str(workspace)
    facts = page.markdown[-1].value
    assert cores in facts
    assert " GB" in facts
