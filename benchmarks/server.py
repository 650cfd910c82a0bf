"""The idle server's memory, whether it loaded torch, and how long a page switch takes.

Starts the studio on an empty workspace, opens Home in headless Chromium, then switches pages through
the navigation and waits for each page's title. Before each click it waits until the page before is
drawn: the first chart and the first table of a visit cost the browser itself a second on a slow machine
(it reads plotly.js and the grid then), during which it takes no click; the server answers in 0.1 s.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil
from common import ROOT, conditions
from playwright.sync_api import Page, sync_playwright

PAGES = ("model", "spectrum", "data", "experiment", "results", "report", "settings")


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def streamlit_process(parent: int) -> psutil.Process:
    """Return the server among a launcher's children."""
    children = psutil.Process(parent).children(recursive=True)
    return next(child for child in children if "streamlit" in " ".join(child.cmdline()))


def switch_seconds(page: Page, name: str) -> float:
    """Return the seconds from the click in the navigation to the new page's title."""
    page.wait_for_timeout(1500)  # as for a person who has read the page before
    page.evaluate("() => new Promise(done => requestIdleCallback(done, {timeout: 10000}))")
    before = page.locator("h1").first.inner_text()
    start = time.perf_counter()
    page.locator(f'[data-testid="stSidebarNavLink"][href$="/{name}"]').click()
    page.wait_for_function("old => document.querySelector('h1')?.innerText !== old", arg=before)
    return time.perf_counter() - start


def main() -> None:
    """Print a row per figure."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    chromium = os.environ.get("KASA_CHROMIUM") or shutil.which("chromium") or shutil.which("chrome")
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "app", "--no-browser", "--port", str(port)]
        server = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"KASA_HOME": home})
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"{url}/_stcore/health", timeout=1).read()  # noqa: S310
                    break
                except OSError:
                    time.sleep(0.2)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
                )
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                page.goto(url)
                page.wait_for_selector("h1")
                time.sleep(2)
                process = streamlit_process(server.pid)
                print(f"Idle server after Home: {process.memory_info().rss / 1e6:.0f} MB RSS.")
                if sys.platform == "linux":
                    loaded = "libtorch" in Path(f"/proc/{process.pid}/maps").read_text("utf-8")
                    print(f"torch loaded: {loaded}.")
                for round_number in (1, 2):
                    spent = {name: switch_seconds(page, name) for name in PAGES}
                    words = ", ".join(f"{name} {value:.2f}" for name, value in spent.items())
                    print(f"Page switches, round {round_number} (s): {words}.")
                print(f"After all pages: {process.memory_info().rss / 1e6:.0f} MB RSS.")
                browser.close()
        finally:
            server.terminate()
            server.wait(20)
    print(conditions("streamlit", "playwright"))


if __name__ == "__main__":
    main()
