"""Offline before anything is imported, the order of the tests, and the folders they share."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from kasa.model.source import ModelSource
    from kasa.tuning.outcome import Parts

os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TOKENIZERS_PARALLELISM="false",
    STREAMLIT_BROWSER_GATHER_USAGE_STATS="false",
)

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several of these processes, and what they start, share the machine: one thread each, and idle
    # ones sleep.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # Started in the background, a shell leaves Ctrl-C ignored, and every child would inherit that;
    # some tests send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "msedge")


def chromium_path() -> str | None:
    """Return KASA_CHROMIUM, or the first Chromium-like browser on the PATH."""
    named = os.environ.get("KASA_CHROMIUM")
    if named:
        return named if Path(named).is_file() else None
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def why_no_browser() -> str | None:
    """Return what the browser tests lack, or None."""
    if importlib.util.find_spec("playwright") is None:
        return "browser tests need playwright: run `python -m app test`"
    if chromium_path() is None:
        return "browser tests need Chromium: install it or set KASA_CHROMIUM to its path"
    return None


def is_browser_test(item: pytest.Item) -> bool:
    return item.get_closest_marker("browser") is not None or "browser" in item.path.parts


def place(item: pytest.Item) -> int:
    if is_browser_test(item):
        # The journeys take minutes: begun first, they end while the other process is at work.
        return -1 if "journeys" in item.path.name else 2
    return 1 if item.get_closest_marker("slow") else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=place)  # a stable sort: the order inside each group stays


def pytest_runtest_setup(item: pytest.Item) -> None:
    if not is_browser_test(item):
        return
    reason = why_no_browser()
    if reason and os.environ.get("KASA_BROWSER_TESTS") == "required":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have measured, from whichever process."""
    for report in terminalreporter.getreports("passed"):
        for name, figure in report.user_properties:
            terminalreporter.write_line(f"{name}: {figure}")


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let local times in a report be the same on every machine."""
    if not hasattr(time, "tzset"):
        pytest.skip("needs a platform whose time zone a test can set")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty workspace folder that kasa uses in this test and its child processes.

    A dispatcher that is still at work there ends with the test, and its workers with it.
    """
    folder = tmp_path / "workspace"
    folder.mkdir()
    monkeypatch.setenv("KASA_HOME", str(folder))
    yield folder
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if str(folder) in child.cmdline():
                for each in (child, *child.children(recursive=True)):
                    each.kill()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Return one Chromium for the whole session; Playwright allows no second one beside it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        yield browser
        browser.close()


def shared(name: str) -> Path:
    folder = ROOT.parent / "shared" / name
    if not folder.is_dir():
        pytest.skip(f"this test reads ../shared/{name}, which is not beside the project")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of public data sets beside the project."""
    return shared("data")


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """Return the folder of tiny trained causal models beside the project."""
    return shared("models")


@pytest.fixture(scope="module")
def parts() -> Parts:
    """Return the sample's work orders as the parts of a small study."""
    from tests.tiny_models import work_orders

    return work_orders()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> ModelSource:
    """Return a tiny BERT with random weights that knows the words of the rows."""
    from tests.tiny_models import all_texts, write_tiny_bert

    return write_tiny_bert(tmp_path_factory.mktemp("model"), all_texts(parts))
