"""Reports the buses of this machine to a server: at every change, and now and then what is counted.

Runs beside the plugin and asks it through its socket; the plugin waits for none of it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mooring.can import ask, report
from mooring.can.journal import FILES
from mooring.can.kernel import drained, link_events
from mooring.can.look import look
from mooring.can.report import Told
from mooring.core.errors import MooringError
from mooring.core.reporting import Reporter
from mooring.core.tasks import Tasks
from mooring.model.can import CanWiring

SUBJECT = "can"
ANSWERS = 5.0
"""Seconds in which a driver says how it is, busy or not."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds."""

    glance: float = 1.0
    """Between two glances at whether anything has changed."""
    most: float = 30.0
    """After which everything is looked at, and what is only counted is reported."""


class Reports:
    """One machine's reports of its buses; ``identity`` is the machine's."""

    def __init__(
        self,
        state: Path,
        socket: Path,
        reporter: Reporter,
        identity: str | None,
        pace: Pace = Pace(),
    ) -> None:
        self._state = state
        self._socket = socket
        self._reporter = reporter
        self._identity = identity
        self._pace = pace
        self._links = link_events()
        self._sign: object = None
        self._looked = 0.0
        self._said: CanWiring | None = None
        self._said_at = 0.0

    async def turn(self) -> None:
        """One turn: a glance, and a look and a report if there is news."""
        now = asyncio.get_running_loop().time()
        told = await asyncio.to_thread(_told, self._socket)
        sign = self._glance(told)
        if sign != self._sign or now - self._looked >= self._pace.most:
            found = await asyncio.to_thread(look, self._state, self._socket)
            body = report.wiring(found, told, self._identity)
            if self._is_news(body, now - self._said_at):
                await self._reporter.report(SUBJECT, body)
                self._said, self._said_at = body, now
            # A look that failed is repeated.
            self._sign, self._looked = sign, now
        await asyncio.sleep(self._pace.glance)

    def _glance(self, told: Told | None) -> object:
        """Something that is another one if anything but a counter may have changed: no look yet."""
        changed = tuple(_changed(self._state / name) for name in FILES)
        # A link that came or went is told once; the next glance is back to what it was.
        links = drained(self._links)
        driver = told and (told.version, told.totals.since, told.recoveries[-1:])
        return changed, links, driver

    def _is_news(self, body: CanWiring, age: float) -> bool:
        if self._said is None:
            return True
        if body == self._said:
            return False
        return age >= self._pace.most or report.outline(body) != report.outline(self._said)


def _told(socket: Path) -> Told | None:
    try:
        return msgspec.convert(ask.ask(socket, "Mooring.Status", seconds=ANSWERS), Told)
    except (MooringError, msgspec.ValidationError):
        # Another version's answer, or none: the report says that the driver is not there.
        return None


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


async def report_until(over: asyncio.Event, reports: Reports) -> None:
    """Report until it is over, or this is cancelled."""
    async with Tasks("can reports") as tasks:
        tasks.supervise("report", reports.turn)
        await over.wait()
