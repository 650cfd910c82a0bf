"""Chromium, studio servers, and visitors that fail a test for what must never happen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from kasa.runs.store import Store

pytest.register_assert_rewrite("tests.browser.studio")

from tests.browser.studio import Server, Visitor, close_quietly  # noqa: E402 - rewritten first

# A busy machine may be slow; what does not come at all fails all the same.
expect.set_options(timeout=30_000)

WIDE, PHONE = (1440, 900), (390, 844)
Tell = Callable[[str, str], None]


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return one server for all tests that only come and go; each makes studies of its own."""
    home = tmp_path_factory.mktemp("studio") / "home"
    server = Server(home).start()
    yield server
    server.stop()


@pytest.fixture
def own_studio(tmp_path: Path) -> Iterator[Server]:
    """Return a server for one test, which may kill it."""
    server = Server(tmp_path / "home").start()
    yield server
    server.stop()


@pytest.fixture
def store(studio: Server) -> Store:
    return studio.store


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Return what keeps a measured figure for the summary below the tests."""

    def keep(name: str, figure: str) -> None:
        request.node.user_properties.append((name, figure))

    return keep


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Return what opens a studio in a fresh browser profile: a language, a size, no history."""
    with ExitStack() as stack:
        visitors: list[Visitor] = []

        def come(server: Server, locale: str = "en-US", size: tuple[int, int] = WIDE) -> Visitor:
            viewport = {"width": size[0], "height": size[1]}
            context = chromium.new_context(locale=locale, viewport=viewport)
            context.set_default_timeout(20_000)
            stack.callback(close_quietly, context)
            visitors.append(Visitor(context, server.url))
            return visitors[-1]

        yield come
        for visitor in visitors:
            visitor.check()
