"""What a tab takes: the memory of its renderer's process, and of its JavaScript."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page

MIB = 1024 * 1024
WEIGHT = 128


@dataclass(slots=True)
class Tab:
    """A page and the process that draws it."""

    name: str
    page: Page
    pid: int
    session: CDPSession

    def memory(self) -> tuple[float, float, float]:
        """MiB: the process's share (PSS), all it has resident (RSS), the JavaScript heap."""
        used: float = self.session.send("Runtime.getHeapUsage")["usedSize"]
        pss, rss = process_memory(self.pid)
        return pss, rss, used / MIB


def process_memory(pid: int) -> tuple[float, float]:
    """PSS and RSS of a process, in MiB."""
    kib = {"Pss": 0.0, "Rss": 0.0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in kib:
            kib[name] = float(rest.split()[0])
    return kib["Pss"] / 1024, kib["Rss"] / 1024


class Tabs:
    """Opens tabs and finds out which processes draw them."""

    def __init__(self, browser: Browser) -> None:
        self._session = browser.new_browser_cdp_session()

    def processes(self, kind: str) -> set[int]:
        found: list[dict[str, Any]] = self._session.send("SystemInfo.getProcessInfo")["processInfo"]
        return {int(p["id"]) for p in found if p["type"] == kind}

    def open(self, name: str, context: BrowserContext, path: str) -> Tab:
        page = context.new_page()
        page.goto(path)
        page.get_by_role("navigation", name="Main").wait_for()
        # The browser does not say which process is whose: the one that grows when the page does.
        before = {one: process_memory(one)[1] for one in self.processes("renderer")}
        page.evaluate(f"() => {{ window.weight = new Uint8Array({WEIGHT} * {MIB}).fill(1) }}")
        after = {one: process_memory(one)[1] for one in self.processes("renderer")}
        page.evaluate("() => { delete window.weight }")
        session = context.new_cdp_session(page)
        session.send("HeapProfiler.collectGarbage")
        grown = {one: after[one] - before.get(one, 0.0) for one in after if one in before}
        pid = max(grown, key=grown.__getitem__)
        if not WEIGHT * 0.9 < grown[pid]:
            raise RuntimeError(f"no process grew as the tab {name} did: {grown}")
        return Tab(name, page, pid, session)
