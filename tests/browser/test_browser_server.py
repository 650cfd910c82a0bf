"""What the server costs while nobody works, and how fast pages answer."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Tell, Visit
from tests.browser.studio import Server
from tests.result_files import draft, finish

MOST_BYTES = 400e6
MOST_SECONDS = 3.0


def test_an_idle_server_is_small_and_holds_no_torch(
    own_studio: Server, visit: Visit, tell: Tell
) -> None:
    visitor = visit(own_studio).open()
    visitor.title("Does tuning a language model on your data pay?")
    process = own_studio.process()
    size = process.memory_info().rss
    tell("idle server", f"{size / 1e6:.0f} MB")
    assert size < MOST_BYTES
    maps = Path(f"/proc/{process.pid}/maps")
    if not maps.exists():
        pytest.skip("only Linux lists what a process has loaded")
    assert "libtorch" not in maps.read_text("utf-8")
    assert "streamlit" in " ".join(process.cmdline())


def test_pages_answer_at_once_and_leave_torch_out(
    own_studio: Server, visit: Visit, tell: Tell, tmp_path: Path
) -> None:
    study_id = draft(own_studio.store, tmp_path)
    finish(own_studio.store, study_id)
    visitor = visit(own_studio).open(lang="en", study=study_id)
    pages = {
        "1 Model": "Base model",
        "3 Data": "Data",
        "4 Task knowledge": "Task knowledge",
        "5 Experiment": "Experiment",
        "6 Results": "Results",
        "7 Explain": "Explain",
        "8 Try it": "Try it",
        "9 Decide": "Decide",
        "10 Report": "Report",
        "Settings": "Settings",
    }
    took: dict[str, float] = {}
    for _ in range(2):  # the second time round, as in daily use
        for name, title in pages.items():
            begin = time.perf_counter()
            visitor.menu(name)
            expect(visitor.page.locator("h1")).to_have_text(title)
            took[name] = round(time.perf_counter() - begin, 2)
            visitor.settle()
    tell("page switch, seconds", str(took))
    assert max(took.values()) < MOST_SECONDS
    process = own_studio.process()
    tell("server after all pages", f"{process.memory_info().rss / 1e6:.0f} MB")
    maps = Path(f"/proc/{process.pid}/maps")
    if maps.exists():
        assert "libtorch" not in maps.read_text("utf-8")
