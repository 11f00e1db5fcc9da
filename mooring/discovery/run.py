"""The agent: looks at its machine, keeps the reports until delivered, does what it is asked.

look -> outbox -> server; every loop's body is one turn. Nothing about Docker delays the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog
from structlog.contextvars import bound_contextvars

from mooring.core.backoff import Backoff
from mooring.core.errors import MooringError, why_os
from mooring.core.ids import new_id
from mooring.core.outbox import Outbox, Waiting
from mooring.core.tasks import Tasks
from mooring.core.uplink import Fault, Progress, Uplink, UplinkError
from mooring.discovery import containers, local
from mooring.discovery.identity import hostname, machine_identity
from mooring.model.machine import Machine
from mooring.model.report import Engines, RunMark, SetAside

log = structlog.get_logger(__name__)

POLL = 25.0
"""Seconds that a poll lets the server wait for work."""
FAREWELL = 0.5
"""Seconds to say goodbye in."""
PAUSE = 0.5
"""Seconds before a poll that the server would answer with what it said before."""
MAX_REASON = 1000
"""Characters of a run's reason that a server takes."""
BACKOFF = Backoff(first=0.25, cap=15.0)
PHASES = ("interfaces", "containers")


@dataclass(frozen=True, slots=True)
class Options:
    """``every``: seconds between two routine looks. ``deadline``: seconds for a call to Docker."""

    every: float = 60.0
    deadline: float = 5.0
    backoff: Backoff = BACKOFF


class Agent:
    """One machine's agent. ``run`` works until it is cancelled."""

    def __init__(
        self,
        outbox: Outbox,
        uplink: Uplink,
        options: Options = Options(),
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.outbox = outbox
        self.uplink = uplink
        self.options = options
        self.environ = environ
        self.identity = machine_identity() or outbox.id
        self._active: dict[str, asyncio.Task[None] | None] = {}
        self._progress: asyncio.Queue[tuple[str, Progress]] = asyncio.Queue(maxsize=100)
        self._tasks = Tasks("agent")
        self._seeing = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._more = asyncio.Event()
        self._hurry = asyncio.Event()
        self._first = True

    async def run(self) -> None:
        """Look, deliver and ask for work until cancelled; then say goodbye."""
        log.info(
            "agent_started",
            server=self.uplink.server,
            outbox=self.outbox.id,
            waiting=len(self.outbox),
        )
        async with self._tasks as tasks:
            backoff = self.options.backoff
            tasks.supervise("look", self.look_by_itself, every=self.options.every)
            tasks.supervise("deliver", self.deliver, backoff=backoff, hurry=self._hurry)
            tasks.supervise("poll", self.poll, backoff=backoff)
            tasks.supervise("progress", self.tell_progress, backoff=backoff)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                await tasks.end()
                await self._say_goodbye()

    # --- look

    async def look_by_itself(self) -> None:
        """One turn: the first look is a run of its own, the others are routine."""
        run = None
        if self._first:
            # Also if it fails: then its run has failed, and the next look is routine.
            self._first = False
            run = RunMark(new_id(), "start", time.time())
            self._active[run.id] = None
        await self.look(run)

    async def look(self, run: RunMark | None) -> None:
        """Look at the machine and, beside it, at its container engines; report each when seen."""
        with bound_contextvars(**({"run": run.id} if run else {})):
            try:
                await self._look(run)
            except Exception as error:
                known = isinstance(error, MooringError)
                reason = str(error) if known else f"an error in the agent: {error!r}"
                log.error("look_failed", reason=reason)
                self._say(run, Progress("failed", "", 0.0, reason=reason[:MAX_REASON]))
                raise
            finally:
                if run:
                    self._active.pop(run.id, None)

    async def _look(self, run: RunMark | None) -> None:
        began = time.perf_counter()
        log.info("look_started", trigger=run.trigger if run else "routine")
        self._say(run, Progress("starting", "", 0.0))
        engines = self._tasks.start("engines", self._ask_engines())
        try:
            self._say(run, Progress("running", "", 0.0, PHASES[0], 0, len(PHASES)))
            async with self._seeing:
                machine = await asyncio.to_thread(self._report_machine, run)
            self._more.set()
            self._say(run, Progress("running", "", 0.0, PHASES[1], 1, len(PHASES)))
            body, aside = await engines
        finally:
            engines.cancel()
        last = replace(run, final=True) if run else None
        await asyncio.to_thread(self.outbox.put, "containers", body, last, aside)
        self._more.set()
        log.info(
            "look_ended",
            interfaces=len(machine.interfaces),
            subnets=len(machine.subnets),
            containers=sum(len(engine.containers) for engine in body.engines),
            set_aside=len(aside),
            elapsed_ms=round((time.perf_counter() - began) * 1000),
        )

    async def _ask_engines(self) -> tuple[Engines, tuple[SetAside, ...]]:
        """Engines that hang hold up each other's askers, and never a look at the machine."""
        async with self._asking:
            return await containers.look(self.environ, self.options.deadline)

    def _report_machine(self, run: RunMark | None) -> Machine:
        machine = local.look(self.identity)
        for i in machine.interfaces:
            log.debug(
                "interface_seen",
                interface=i.name,
                kind=i.kind.value,
                addresses=[str(a.ip) for a in i.addresses],
            )
        self.outbox.put("machine", machine, run)
        return machine

    # --- deliver

    async def deliver(self) -> None:
        """One turn: the oldest report, if there is one; else wait for one."""
        waiting = await asyncio.to_thread(self.outbox.take)
        if waiting is None:
            await self._more.wait()
            self._more.clear()
            return
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
            raise
        except BaseException:
            self.outbox.release()
            raise
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
            self._say(run, Progress("failed", "", 0.0, reason=reason[:MAX_REASON]))

    def _log_delivered(
        self, waiting: Waiting, result: str, aside: int, fields: dict[str, object], began: float
    ) -> None:
        say = log.info if waiting.runs else log.debug
        elapsed = round((time.perf_counter() - began) * 1000, 1)
        say("report_delivered", result=result, set_aside=aside, elapsed_ms=elapsed, **fields)

    # --- ask for work

    async def poll(self) -> None:
        """One turn: say that we are there, wait for work, and begin or stop it."""
        work = await self.uplink.poll(self.outbox.id, _name(), self._active_runs(), POLL)
        if len(self.outbox):
            # The server is there: whatever waits need not wait longer.
            self._hurry.set()
        news = [run for run in work.runs if run not in self._active]
        for run in work.cancelled:
            task = self._active.get(run)
            if task is not None:
                log.info("run_cancelled", run=run)
                task.cancel()
        for run in news:
            log.info("run_received", run=run)
            mark = RunMark(run, "request", time.time())
            self._active[run] = self._tasks.start("run", self._requested(mark))
        if (work.runs or work.cancelled) and not news:
            # The server says at once again what it has not yet heard to have begun or ended.
            await asyncio.sleep(PAUSE)

    async def _requested(self, run: RunMark) -> None:
        # Why a look failed it has said itself, in the log and to the server.
        with contextlib.suppress(MooringError):
            await self.look(run)

    def _active_runs(self) -> list[str]:
        return sorted(set(self._active) | self.outbox.runs())

    # --- tell

    def _say(self, run: RunMark | None, progress: Progress) -> None:
        if run is None:
            return
        said = replace(progress, trigger=run.trigger, started_at=run.started_at)
        try:
            self._progress.put_nowait((run.id, said))
        except asyncio.QueueFull:
            log.debug("progress_dropped", run=run.id)

    async def tell_progress(self) -> None:
        """One turn: the next word on a run. It is lost if the server is away; reports are not."""
        run, progress = await self._progress.get()
        await self.uplink.progress(self.outbox.id, run, progress)

    async def _say_goodbye(self) -> None:
        try:
            async with asyncio.timeout(FAREWELL):
                await self.uplink.poll(
                    self.outbox.id, _name(), self._active_runs(), 0, leaving=True
                )
        except (UplinkError, TimeoutError) as error:
            log.debug("farewell_not_heard", reason=str(error))
        log.info("agent_ended", waiting=len(self.outbox))


def _name() -> str:
    return hostname() or "agent"
