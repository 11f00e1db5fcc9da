"""A server of its own with a scanning agent's reports, and the browser that looks at it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench._page.browser import Chromium, Tab, agent_key, chromium, logged_in
from tests.e2e.scanned import Scanner
from tests.e2e.site import Mooring


@dataclass(frozen=True, slots=True)
class Site:
    browser: Chromium
    url: str
    first: Tab
    """Where the owner is logged in."""
    agent: Scanner


@contextmanager
def a_site(program: str) -> Iterator[Site]:
    """While the block runs: a new server, its owner in a tab, an agent that it knows."""
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium(program, Path(folder) / "profile") as browser,
    ):
        server = Mooring(Path(folder) / "server", "server")
        server.start()
        try:
            first = logged_in(browser, server.link or "")
            agent = Scanner(server.url, agent_key(first))
            agent.poll()
            yield Site(browser, server.url, first, agent)
        finally:
            server.stop()


def aloud(text: str) -> None:
    """A line at once, where the figures come minutes apart."""
    print(text, flush=True)


def silently(text: str) -> None:
    """Where JSON alone is printed."""
