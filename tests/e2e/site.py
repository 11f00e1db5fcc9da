"""A real ``mooring up`` as a process and a real browser on it: for tests and screenshots."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[2]
OWNER = "ada"
PASSWORD = "a long enough password"
PATIENCE = 20.0

# WebGL on a processor, and no traffic of the browser's own.
BROWSER_ARGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


class Mooring:
    """A server in a folder of its own, on a port that it keeps over restarts.

    ``command``: ``up`` with an agent that looks at this machine, ``server`` without.
    """

    def __init__(self, folder: Path, command: str = "up", *arguments: str) -> None:
        self.folder = folder
        self.command = (command, *arguments)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.link: str | None = None
        """The one-time link, while there is no owner."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return once the page is served. RuntimeError with its output if it is not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        program = str(Path(sys.executable).with_name("mooring"))
        data = self.folder / "data"
        command = [program, *self.command, "--port", str(self.port), "--data-dir", str(data)]
        with (self.folder / "said.txt").open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + PATIENCE
        while not re.search(rf"page\s+{re.escape(self.url)}", self.said()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"mooring did not start:\n{self.said()}")
            time.sleep(0.02)
        found = re.search(r"http://\S+/setup\?token=\S+", self.said())
        self.link = found.group() if found else None

    def said(self) -> str:
        """All that its last start has printed."""
        return (self.folder / "said.txt").read_text(errors="replace")

    def send(self, sign: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(sign)

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> float:
        """End it; the seconds that it took. One that does not end in ten seconds is killed."""
        process, self._process = self._process, None
        if process is None:
            return 0.0
        begun = time.monotonic()
        process.send_signal(sign)
        process.send_signal(signal.SIGCONT)  # one that was stopped hears nothing
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return time.monotonic() - begun


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def open_browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_ARGS)
        try:
            yield browser
        finally:
            browser.close()


def set_up(page: Page, link: str) -> None:
    """Make the owner's account from the one-time link, as a person does."""
    page.goto(link)
    page.get_by_label("Name").fill(OWNER)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()
    page.get_by_role("navigation", name="Main").wait_for()


def agent_key(page: Page, url: str) -> str:
    """A key for the agents of the only network, made by whoever is logged in on the page."""
    (network,) = page.context.request.get(f"{url}/api/v1/networks").json()["items"]
    answer = page.context.request.post(
        f"{url}/api/v1/keys",
        data={"name": "sample", "kind": "agent", "network_id": network["id"]},
        headers={"Origin": url},
    )
    assert answer.ok, answer.text()
    key: str = answer.json()["key"]
    return key


def log_in(page: Page, password: str = PASSWORD) -> None:
    log_in_as(page, OWNER, password)


def log_in_as(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
