"""The reporting of one program: its outbox, emptied to the server; work asked for and handed on.

Snapshots in, requests out; every loop's body is one turn. Never waits for the server but here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self

import msgspec
import structlog

from mooring.core.backoff import Backoff
from mooring.core.errors import MooringError, why_os
from mooring.core.outbox import Outbox, Waiting
from mooring.core.progress import Progress, Telling
from mooring.core.tasks import Tasks
from mooring.core.uplink import Fault, Uplink, UplinkError, Work
from mooring.model import wire_scan
from mooring.model.report import Body, RunMark, SetAside
from mooring.model.scan import ScanOrder

log = structlog.get_logger(__name__)

POLL = 25.0
"""Seconds that a poll lets the server wait for work."""
FAREWELL = 0.5
"""Seconds to deliver what was said last, and to say goodbye in."""
PAUSE = 0.5
"""Seconds before a poll that the server would answer with what it said before."""
KEY_AGAIN = 30.0
"""Seconds between two tries with a key that the server does not take."""
SHOUT_AGAIN = 600.0
"""Seconds after which the same words on the key are said again."""
MAX_REASON = 1000
"""Characters of a run's reason that a server takes."""
BACKOFF = Backoff(first=0.25, cap=15.0)


class Worker(Protocol):
    """Who does the runs that are asked of this program."""

    def active(self) -> Iterable[str]:
        """The runs that it works on."""
        ...

    async def allowed(self) -> Sequence[str] | None:
        """The networks that it may be asked to scan, as they are now; None if it does not say."""
        ...

    def begin(self, run: RunMark, order: ScanOrder | None) -> None:
        """Begin a scan, or a look when there is no order."""
        ...

    def cancel(self, run: str) -> None:
        """Stop a run, if it works on it."""
        ...


class Nobody:
    """Does no runs: a program that only reports."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def active(self) -> Iterable[str]:
        return ()

    async def allowed(self) -> None:
        return None

    def begin(self, run: RunMark, order: ScanOrder | None) -> None:
        reason = "this program only reports, and looks at nothing"
        self._reporter.say(run, Progress("failed", "", 0.0, reason=reason))

    def cancel(self, run: str) -> None:
        return


@dataclass(frozen=True, slots=True)
class Standing:
    """How this program stands with its server."""

    url: str
    last_heard: float | None
    """When the server last took something, in seconds since the epoch."""
    waiting: int
    """Reports that it does not have yet."""
    fault: str = ""
    """Why it did not take the last one."""


class Reporter:
    """Use it with ``async with``: it delivers and polls meanwhile, and says goodbye at the end.

    ``duties`` are what the program does, and ``name`` its name, both for the server's page.
    """

    def __init__(
        self,
        outbox: Outbox,
        uplink: Uplink,
        duties: tuple[str, ...],
        name: str,
        backoff: Backoff = BACKOFF,
    ) -> None:
        self.outbox = outbox
        self.uplink = uplink
        self.duties = duties
        self.name = name
        self.worker: Worker = Nobody(self)
        self._backoff = backoff
        self._telling = Telling()
        self._saying: set[str] = set()
        """The run of which something is being said."""
        self._said = asyncio.Event()
        """Something more is to be said of a run."""
        self._tasks = Tasks("reporter")
        self._more = asyncio.Event()
        self._hurry = asyncio.Event()
        self._welcome = asyncio.Event()
        """The server takes the key, as far as is known."""
        self._welcome.set()
        self._last_heard: float | None = None
        self._fault = ""
        self._shouted = ("", 0.0)

    async def __aenter__(self) -> Self:
        log.info(
            "reporting_started",
            server=self.uplink.server,
            duties=list(self.duties),
            outbox=self.outbox.id,
            waiting=len(self.outbox),
        )
        backoff = self._backoff
        self._tasks.supervise("deliver", self.deliver, backoff=backoff, hurry=self._hurry)
        self._tasks.supervise("poll", self.poll, backoff=backoff)
        self._tasks.supervise("progress", self.tell_progress, backoff=backoff)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._tasks.end()
        await self._say_goodbye()

    @property
    def standing(self) -> Standing:
        return Standing(self.uplink.server, self._last_heard, len(self.outbox), self._fault)

    # --- what is to be said

    async def report(
        self,
        subject: str,
        body: Body,
        run: RunMark | None = None,
        set_aside: tuple[SetAside, ...] = (),
    ) -> None:
        """Keep a snapshot until it is delivered. Raises ``MooringError`` when it can't be kept."""
        await asyncio.to_thread(self.outbox.put, subject, body, run, set_aside)
        self._more.set()

    def say(self, run: RunMark | None, progress: Progress) -> None:
        """Say how far a run is, and its story. Lost if the server is away for long, as reports
        are not."""
        if run is None:
            return
        said = replace(progress, trigger=run.trigger, started_at=run.started_at)
        if lost := self._telling.say(run.id, said, time.monotonic()):
            log.debug("progress_dropped", run=run.id, lines=lost)
        self._said.set()

    # --- deliver

    async def deliver(self) -> None:
        """One turn: the oldest report, if there is one; else wait for one."""
        await self._welcome.wait()
        waiting = await asyncio.to_thread(self.outbox.take)
        if waiting is None:
            await self._more.wait()
            self._more.clear()
            return
        await self._deliver(waiting)

    async def _deliver(self, waiting: Waiting) -> None:
        try:
            data = await asyncio.to_thread(waiting.read)
        except OSError as error:
            await self._refused(waiting, f"reading {waiting.path}: {why_os(error)}")
            return
        fields = {"subject": waiting.subject, "number": waiting.number, "bytes": len(data)}
        if waiting.runs:
            fields["run"] = waiting.runs[-1].id
        began = time.perf_counter()
        log.debug("report_sent", **fields)
        try:
            answer = await self.uplink.report(data)
        except UplinkError as error:
            if error.fault is Fault.REFUSED:
                await self._refused(waiting, str(error))
                return
            self.outbox.release()
            self._failed(error)
            if error.fault is Fault.KEY:
                return
            raise
        except BaseException:
            self.outbox.release()
            raise
        self._heard()
        await asyncio.to_thread(self.outbox.done, waiting)
        self._log_delivered(waiting, answer.result, answer.set_aside, fields, began)

    async def _refused(self, waiting: Waiting, reason: str) -> None:
        """Set a report aside that can never be delivered, and say so of its runs."""
        kept = await asyncio.to_thread(self.outbox.refuse, waiting, reason)
        log.error(
            "report_refused",
            subject=waiting.subject,
            number=waiting.number,
            reason=reason,
            kept=str(kept),
        )
        for run in waiting.runs:
            self.say(run, Progress("failed", "", 0.0, reason=reason[:MAX_REASON]))

    def _log_delivered(
        self, waiting: Waiting, result: str, aside: int, fields: dict[str, object], began: float
    ) -> None:
        say = log.info if waiting.runs else log.debug
        elapsed = round((time.perf_counter() - began) * 1000, 1)
        say("report_delivered", result=result, set_aside=aside, elapsed_ms=elapsed, **fields)

    # --- ask for work

    async def poll(self) -> None:
        """One turn: say that we are there, wait for work, and hand it on."""
        allowed = await self.worker.allowed()
        told = self._active()
        try:
            work = await self._poll(told, POLL, allowed)
        except UplinkError as error:
            self._failed(error)
            if error.fault is not Fault.KEY:
                raise
            # Somebody must act; nothing else is tried before this is.
            await asyncio.sleep(KEY_AGAIN)
            return
        self._heard()
        if len(self.outbox):
            # The server is there: whatever waits need not wait longer.
            self._hurry.set()
        # A run that we said we had is none that is asked for anew, though it may have ended since.
        known = told | self._active()
        for run in work.cancelled:
            self.worker.cancel(run)
        news = [run for run in work.runs if run not in known]
        for run in news:
            self._begin(RunMark(run, "request", time.time()), work.orders.get(run))
        if (work.runs or work.cancelled) and not news:
            # The server says at once again what it has not yet heard to have begun or ended.
            await asyncio.sleep(PAUSE)

    def _begin(self, run: RunMark, asked: msgspec.Raw | None) -> None:
        try:
            order = None if asked is None else wire_scan.order(asked)
        except ValueError as error:
            reason = f"this agent does not understand what it shall scan: {error}"
            log.error("order_not_understood", run=run.id, reason=reason)
            self.say(run, Progress("failed", "", 0.0, reason=reason[:MAX_REASON]))
            return
        log.info("run_received", run=run.id, kind="look" if order is None else "scan")
        self.worker.begin(run, order)

    def _active(self) -> set[str]:
        """The runs that are worked on, or of which something is still to be said.

        A run that the server does not find here it takes for lost, and not for failed with the
        reason that is on its way.
        """
        return self._kept() | self._telling.runs() | self._saying

    def _kept(self) -> set[str]:
        """The runs that are worked on, or of which a report waits on disk."""
        return set(self.worker.active()) | self.outbox.runs()

    async def _poll(
        self,
        active: set[str],
        wait: float,
        allowed: Sequence[str] | None = None,
        *,
        leaving: bool = False,
    ) -> Work:
        return await self.uplink.poll(
            self.outbox.id,
            self.name,
            sorted(active),
            wait,
            duties=self.duties,
            allowed=allowed,
            leaving=leaving,
        )

    async def tell_progress(self) -> None:
        """One turn: the next word on a run, or wait until there may be one."""
        self._said.clear()
        wait = self._telling.wait(time.monotonic())
        if wait != 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._said.wait()
            return
        await self._welcome.wait()
        if word := self._telling.next(time.monotonic()):
            await self._tell(*word)

    async def _tell(self, run: str, progress: Progress) -> None:
        self._saying = {run}
        try:
            await self.uplink.progress(self.outbox.id, run, progress)
        except UplinkError as error:
            if error.fault is Fault.REFUSED:
                # Of a run that has ended, mostly; it is told to no purpose again.
                log.debug("progress_refused", run=run, reason=error.why)
                return
            self._telling.back(run, progress)
            if error.fault is not Fault.KEY:
                raise
            self._failed(error)
        finally:
            self._saying = set()

    async def _say_goodbye(self) -> None:
        """Deliver what was said last, if that is possible now; say that we leave."""
        try:
            async with asyncio.timeout(FAREWELL):
                while self._welcome.is_set():
                    waiting = await asyncio.to_thread(self.outbox.take)
                    if waiting is None:
                        break
                    await self._deliver(waiting)
                while self._welcome.is_set() and (word := self._telling.next(time.monotonic())):
                    await self._tell(*word)
                # What is not said by now is not said any more.
                await self._poll(self._kept(), 0, leaving=True)
        except (MooringError, TimeoutError) as error:
            log.debug("farewell_not_heard", reason=str(error))
        log.info("reporting_ended", waiting=len(self.outbox))

    # --- how the server takes it

    def _heard(self) -> None:
        self._last_heard = time.time()
        self._fault = ""
        if not self._welcome.is_set():
            log.info("key_taken", server=self.uplink.server)
            self._shouted = ("", 0.0)
            self._welcome.set()

    def _failed(self, error: UplinkError) -> None:
        """Remember why; a key that is not taken is said once, for all loops, and then seldom."""
        self._fault = error.why
        if error.fault is not Fault.KEY:
            return
        self._welcome.clear()
        said, at = self._shouted
        now = time.monotonic()
        if said == error.why and now - at < SHOUT_AGAIN:
            return
        self._shouted = (error.why, now)
        log.error(
            "key_not_taken",
            reason=f"the server does not take the key: {error.why}",
            server=self.uplink.server,
            remedy="make one there with `mooring keys create --agent --network NAME`, and start "
            "this again with it; reports are kept until then",
            again_in_s=KEY_AGAIN,
        )
