"""A Chromium of its own, driven by its protocol alone, and what its tabs take.

Not through Playwright: that keeps the answers of requests in the tab it drives, up to 100 MB.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.e2e.site import BROWSER_ARGS

MIB = 1024 * 1024
WEIGHT = 128
"""MiB by which a tab is made heavier for a moment, to see which process is its."""
PATIENCE = 60.0


class Failed(Exception):
    """What the browser or the page said instead of an answer."""


class Chromium:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """The answer to one command; events in between are let go."""
        number = next(self._ids)
        said: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        self._connection.send(json.dumps(said | ({"sessionId": session} if session else {})))
        while True:
            heard = json.loads(self._connection.recv(timeout=PATIENCE))
            if heard.get("id") == number:
                if "error" in heard:
                    raise Failed(f"{method}: {heard['error']['message']}")
                return heard["result"]

    def processes(self, kind: str) -> set[int]:
        found = self.ask("SystemInfo.getProcessInfo")["processInfo"]
        return {int(p["id"]) for p in found if p["type"] == kind}

    def open(self, name: str, url: str, width: int = 1280, height: int = 800) -> Tab:
        """A tab in a window of its own, so that it is always in sight."""
        size = {"width": width, "height": height}
        target = self.ask("Target.createTarget", url=url, newWindow=True, **size)["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        tab = Tab(name, self, attached["sessionId"])
        tab.wait("document.querySelector('nav[aria-label=Main]') || document.forms.length")
        return tab


@dataclass(slots=True)
class Tab:
    """A page, and the process that draws it once ``find_process`` has found it."""

    name: str
    browser: Chromium
    session: str
    pid: int = 0

    def evaluate(self, expression: str) -> Any:
        answer = self.browser.ask(
            "Runtime.evaluate",
            self.session,
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in answer:
            raise Failed(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait(self, condition: str, within: float = PATIENCE) -> None:
        limit = time.monotonic() + within
        while not self.evaluate(f"!!({condition})"):
            if time.monotonic() > limit:
                raise Failed(f"{self.name}: never {condition}")
            time.sleep(0.05)

    def press(self, name: str) -> None:
        """Press a button as soon as it is there."""
        all_of_them = "[...document.querySelectorAll('button')]"
        button = f"{all_of_them}.find((b) => b.innerText.trim() === '{name}')"
        self.wait(button)
        self.evaluate(f"{button}.click()")

    def go(self, url: str) -> None:
        self.browser.ask("Page.navigate", self.session, url=url)

    def mouse(self, kind: str, x: float, y: float, buttons: int = 1) -> None:
        self.browser.ask(
            "Input.dispatchMouseEvent",
            self.session,
            type=kind,
            x=x,
            y=y,
            button="left",
            buttons=buttons,
            clickCount=1,
        )

    def find_process(self) -> None:
        """The browser does not say which process is whose: the one that grows with the page."""
        before = {one: process_memory(one)[1] for one in self.browser.processes("renderer")}
        self.evaluate(f"window.weight = new Uint8Array({WEIGHT} * {MIB}).fill(1); 0")
        now = self.browser.processes("renderer") & before.keys()
        grown = {one: process_memory(one)[1] - before[one] for one in now}
        self.evaluate("delete window.weight; 0")
        self.browser.ask("HeapProfiler.collectGarbage", self.session)
        self.pid = max(grown, key=grown.__getitem__)
        if grown[self.pid] < WEIGHT * 0.9:
            raise Failed(f"no process grew as the tab {self.name} did: {grown}")

    def kept(self) -> float:
        """MiB that the process alone has written, once garbage is collected.

        Its share (PSS) also changes when another browser on the machine begins or ends.
        """
        for _ in range(2):
            self.browser.ask("HeapProfiler.collectGarbage", self.session)
            time.sleep(0.3)
        return _rollup(self.pid)["Private_Dirty"]

    def memory(self) -> tuple[float, float, float]:
        """MiB: the process's share (PSS), all it has resident (RSS), the JavaScript heap."""
        used: float = self.browser.ask("Runtime.getHeapUsage", self.session)["usedSize"]
        pss, rss = process_memory(self.pid)
        return pss, rss, used / MIB


def process_memory(pid: int) -> tuple[float, float]:
    """PSS and RSS of a process, in MiB."""
    found = _rollup(pid)
    return found["Pss"], found["Rss"]


def _rollup(pid: int) -> dict[str, float]:
    """What the kernel sums up of a process's memory, in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    parts = (line.split() for line in lines)
    return {name.rstrip(":"): float(kib) / 1024 for name, kib, *_ in parts}


@contextmanager
def chromium(program: str, folder: Path) -> Iterator[Chromium]:
    """A browser with a profile of its own, while the block runs."""
    arguments = ["--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(
        [program, *BROWSER_ARGS, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        said = b""
        while not (found := re.search(rb"listening on (ws://\S+)", said)):
            line = process.stderr.readline()
            if not line:
                raise Failed(f"the browser did not start:\n{said.decode(errors='replace')}")
            said += line
        with connect(found[1].decode(), max_size=None, ping_interval=None) as connection:
            yield Chromium(connection)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stderr is not None
        process.stderr.close()


def logged_in(browser: Chromium, link: str) -> Tab:
    """A tab in which the owner's account has just been made by the one-time link."""
    tab = browser.open("first", link)
    tab.wait("document.forms.length && document.querySelectorAll('input').length >= 2")
    said = json.dumps({"name": "ada", "password": "a long enough password"})
    status = tab.evaluate(
        "fetch('/api/v1/setup', {method: 'POST', headers: {'Content-Type': 'application/json'},"
        f" body: JSON.stringify(Object.assign({said},"
        " {token: new URLSearchParams(location.search).get('token')}))}).then((a) => a.status)"
    )
    if status not in (200, 201):
        raise Failed(f"the owner's account was not made: {status}")
    return tab


def asked(tab: Tab, method: str, path: str, body: object = None) -> Any:
    """What the API answers to the tab's session."""
    how: dict[str, Any] = {"method": method}
    if body is not None:
        how |= {"body": json.dumps(body), "headers": {"Content-Type": "application/json"}}
    return tab.evaluate(
        f"fetch({json.dumps('/api/v1/' + path)}, {json.dumps(how)}).then(async (a) =>"
        " { if (!a.ok) throw new Error(await a.text()); return a.json() })"
    )


def agent_key(tab: Tab) -> str:
    network = asked(tab, "GET", "networks")["items"][0]["id"]
    draft = {"name": "bench", "kind": "agent", "network_id": network}
    return str(asked(tab, "POST", "keys", draft)["key"])
