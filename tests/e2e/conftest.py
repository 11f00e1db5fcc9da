"""One server and one browser for all tests of the page; a fresh, logged-in window for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from tests.e2e.buses import Reporter
from tests.e2e.links import Forwarder
from tests.e2e.site import Mooring, agent_key, open_browser, set_up
from tests.parts import need

# A busy machine draws late.
expect.set_options(timeout=15_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    need("page")
    with open_browser(need("chromium")) as browser:
        yield browser


@pytest.fixture
def mooring(tmp_path: Path) -> Iterator[Mooring]:
    """A server of the test's own, without an owner."""
    need("page")
    server = Mooring(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def mooring_alone(tmp_path: Path) -> Iterator[Mooring]:
    """The same, to which nobody reports."""
    need("page")
    server = Mooring(tmp_path, "server")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mooring]:
    """The server of the tests that leave it as it is."""
    server = Mooring(tmp_path_factory.mktemp("shared"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def signed_in(browser: Browser, shared: Mooring) -> Any:
    """What a browser keeps of a log-in to the shared server."""
    context = browser.new_context()
    page = context.new_page()
    assert shared.link is not None
    set_up(page, shared.link)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def look(browser: Browser, shared: Mooring, signed_in: Any) -> Iterator[Window]:
    """A window on the shared server, logged in."""
    with Window(browser, shared.url, storage_state=signed_in) as window:
        yield window


@pytest.fixture
def own(browser: Browser, mooring: Mooring) -> Iterator[Window]:
    """A window on the test's own server, whose owner has just been made."""
    with Window(browser, mooring.url) as window:
        assert mooring.link is not None
        set_up(window.page, mooring.link)
        yield window


@pytest.fixture
def quiet(browser: Browser, tmp_path: Path) -> Iterator[Window]:
    """A window on a server of the test's own, to which nobody reports."""
    need("page")
    server = Mooring(tmp_path, "server")
    server.start()
    try:
        with Window(browser, server.url) as window:
            assert server.link is not None
            set_up(window.page, server.link)
            yield window
    finally:
        server.stop()


@pytest.fixture
def forwarding(quiet: Window) -> tuple[Window, Forwarder]:
    """The window, and the one program that reports to its server."""
    return quiet, Forwarder(quiet.url, agent_key(quiet.page, quiet.url))


@pytest.fixture
def wired(quiet: Window) -> tuple[Window, Reporter]:
    """The window, and the one machine with CAN buses that reports to its server."""
    return quiet, Reporter(quiet.url, agent_key(quiet.page, quiet.url))


class Window:
    """A browser's window; on closing it fails if the page complained or asked elsewhere."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.context = browser.new_context(base_url=url, bypass_csp=False, **options)
        self.context.set_default_timeout(10_000)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.forgiven: list[str] = ["status of 401"]
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", self._request)

    def __enter__(self) -> Window:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        if kind is None:
            assert self.complaints == []

    def forgive(self, words: str) -> None:
        """What the browser itself says of a server that is away is no fault of the page's."""
        self.forgiven.append(words)

    def api(self, path: str) -> Any:
        """What the API answers to this window's session."""
        answer = self.context.request.get(f"{self.url}/api/v1{path}")
        assert answer.ok, answer.text()
        return answer.json()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        if not any(words in message.text for words in self.forgiven):
            self.complaints.append(message.text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.complaints.append(f"asked for {request.url}")
