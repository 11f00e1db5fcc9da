"""Reports what is forwarded: at every change of what there is, and now and then what is counted.

Forwarding waits for none of it: a server that is away, slow or refuses costs no forward anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import structlog

from mooring.core.errors import MooringError
from mooring.core.reporting import Reporter
from mooring.core.tasks import Tasks
from mooring.forward import report
from mooring.forward.site import Site
from mooring.model.forward import Forwards

log = structlog.get_logger(__name__)

SUBJECT = "forwards"


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds."""

    settle: float = 0.05
    """From news to a look: what happens at once is one report."""
    least: float = 0.95
    """From one report to the next look."""
    most: float = 30.0
    """After which what is only counted is reported too."""


class Reports:
    """One program's reports of its forwards."""

    def __init__(self, site: Site, reporter: Reporter, pace: Pace) -> None:
        self._site = site
        self._reporter = reporter
        self._pace = pace
        self._said: Forwards | None = None
        self._at = 0.0

    async def turn(self) -> None:
        """One turn: report if there is news, then wait until there may be."""
        seen = self._site.news.count
        now = asyncio.get_running_loop().time()
        body = self._site.reported()
        if self._is_news(body, now - self._at):
            await self._reporter.report(SUBJECT, body)
            self._said, self._at = body, now
            await asyncio.sleep(self._pace.least)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(max(now, self._at) + self._pace.most):
                await self._site.news.after(seen)
        await asyncio.sleep(self._pace.settle)

    def _is_news(self, body: Forwards, age: float) -> bool:
        if self._said is None:
            return True
        # The cheaper question first: mostly there is nothing.
        if report.counted(body) == report.counted(self._said):
            return False
        return age >= self._pace.most or report.outline(body) != report.outline(self._said)

    async def last(self) -> None:
        """Report that nothing is forwarded any more."""
        try:
            await self._reporter.report(SUBJECT, report.stopped(self._site.reported()))
        except MooringError as error:
            log.warning("last_report_lost", reason=str(error))


async def keep_and_report(site: Site, reporter: Reporter, pace: Pace = Pace()) -> None:
    """Keep a site's forwards until cancelled, and report them, to the end."""
    reports = Reports(site, reporter, pace)
    site.standing = lambda: reporter.standing
    async with Tasks("forward reports") as tasks:
        tasks.supervise("report", reports.turn)
        try:
            await site.run()
        finally:
            await tasks.end()
            await reports.last()
