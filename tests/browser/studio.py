"""A real studio server in its own process, and a visitor who notices what must never happen."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import psutil
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Request,
    expect,
)

from kasa.runs.store import Store

ROOT = Path(__file__).resolve().parents[2]
# Streamlit looks for its own health page below the address of a page first; 404 is its answer.
OWN_PROBE = re.compile(r"/[a-z_]+/_stcore/(health|host-config)$")
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(done: Callable[[], bool], what: str, seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < ends, f"waited {seconds} s in vain: {what}"
        time.sleep(0.1)


class Server:
    """`python -m app` on a workspace of its own."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home.parent / f"server-{self.port}.log"
        self.launcher: subprocess.Popen[bytes] | None = None

    @property
    def store(self) -> Store:
        return Store(self.home)

    def start(self) -> Server:
        command = [sys.executable, "-m", "app", "--no-browser", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.launcher = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {"KASA_HOME": str(self.home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(self.answers, f"the server; see {self.log}")
        return self

    def answers(self) -> bool:
        assert self.launcher is not None
        assert self.launcher.poll() is None, self.log.read_text("utf-8")
        try:
            health = self.url + "/_stcore/health"
            with urllib.request.urlopen(health, timeout=2) as reply:  # noqa: S310 - our own server
                return bool(reply.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def process(self) -> psutil.Process:
        """Return the process that serves, a child of the launcher."""
        assert self.launcher is not None
        (server,) = psutil.Process(self.launcher.pid).children()
        return server

    def kill(self) -> None:
        """End launcher and server at once, as a power cut would."""
        assert self.launcher is not None
        server = self.process()
        self.launcher.kill()
        server.kill()
        self.launcher.wait(10)
        server.wait(10)

    def stop(self) -> None:
        if self.launcher is not None and self.launcher.poll() is None:
            self.launcher.send_signal(signal.SIGTERM)
            self.launcher.wait(20)
        self.end_runs()

    def end_runs(self) -> None:
        """Stop what a failed test left at work; the dispatcher goes when its queue is empty."""
        for run in self.store.active_runs():
            self.store.stop(run.id)


class Visitor:
    """A page of the studio in Chromium, which remembers every complaint and outside request."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.complaints: list[str] = []
        self.page = self.watch(context.new_page())

    def watch(self, page: Page) -> Page:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"error in the page: {error}"))
        page.on("request", self._on_request)
        page.on("websocket", lambda socket: self._on_address(socket.url))
        return page

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        if OWN_PROBE.search(urlsplit(message.location.get("url", "")).path):
            return
        self.complaints.append(f"console: {message.text} {message.location.get('url', '')}")

    def _on_request(self, request: Request) -> None:
        self._on_address(request.url)

    def _on_address(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.hostname != "127.0.0.1":
            self.complaints.append(f"request to the outside: {address}")

    # -- moving about ---------------------------------------------------------------------------

    def open(self, name: str = "", lang: str | None = None, study: str | None = None) -> Visitor:
        asked = {"lang": lang, "study": study}
        query = urlencode({key: value for key, value in asked.items() if value})
        self.page.goto(f"{self.url}/{name}?{query}")
        expect(self.page.locator("h1")).to_be_visible(timeout=20_000)
        return self.settle()

    def settle(self, seconds: float = 30) -> Visitor:
        """Wait until the page's script has ended, and check that it did not fail."""
        self.page.locator(IDLE).wait_for(timeout=1000 * seconds)
        self.check()
        return self

    def check(self) -> None:
        assert self.page.get_by_test_id("stException").count() == 0, self.page.inner_text("body")
        assert self.complaints == []

    def key(self, key: str) -> Locator:
        """Return the widget or container with this Streamlit key."""
        return self.page.locator(f".st-key-{key}")

    def click(self, key: str) -> Visitor:
        self.key(key).get_by_role("button").first.click()
        return self.settle()

    def title(self, words: str) -> Visitor:
        """Wait for the page with this title."""
        expect(self.page.locator("h1")).to_have_text(words, timeout=20_000)
        return self.settle()

    def menu(self, name: str) -> Visitor:
        self.page.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click()
        return self

    def fill(self, key: str, value: str) -> Visitor:
        field = self.key(key).locator("input")
        field.fill(value)
        field.press("Enter")
        # The script starts a moment after the key; what follows must see its end, not its start.
        self.page.wait_for_timeout(300)
        return self.settle()

    def upload(self, name: str, content: bytes) -> Visitor:
        file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        self.key("data_upload").locator("input[type=file]").set_input_files(file)
        self.page.wait_for_timeout(300)
        return self.settle()

    def study_id(self) -> str:
        """Return the study in the address."""
        found = re.search(r"[?&]study=(\w+)", self.page.url)
        assert found, self.page.url
        return found[1]

    def text(self) -> str:
        return self.page.get_by_test_id("stMain").inner_text()


def close_quietly(context: BrowserContext) -> None:
    try:
        context.close()
    except Error:  # the browser is gone already
        return
