"""The agent: looks at its machine, keeps the reports until delivered, does what it is asked.

look -> outbox -> server; every loop's body is one turn. Nothing about Docker delays the machine.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog
from structlog.contextvars import bound_contextvars

from mooring.core.backoff import Backoff
from mooring.core.errors import MooringError
from mooring.core.ids import new_id
from mooring.core.outbox import Outbox, Waiting
from mooring.core.tasks import Tasks
from mooring.core.uplink import Fault, Progress, Uplink, UplinkError
from mooring.discovery import containers, local
from mooring.discovery.identity import hostname, machine_identity
from mooring.model.machine import Machine
from mooring.model.report import RunMark

log = structlog.get_logger(__name__)

POLL = 25.0
"""Seconds that a poll lets the server wait for work."""
FAREWELL = 0.5
"""Seconds to say goodbye in."""
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
        self._looking = asyncio.Lock()
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
        async with Tasks("agent") as tasks:
            self._tasks = tasks
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
            run = RunMark(new_id(), "start", time.time())
            self._active[run.id] = None
        await self.look(run)
        self._first = False

    async def look(self, run: RunMark | None) -> None:
        """Look at the machine and, beside it, at its container engines; report each when seen."""
        async with self._looking:
            with bound_contextvars(**({"run": run.id} if run else {})):
                try:
                    await self._look(run)
                except MooringError as error:
                    log.error("look_failed", reason=str(error))
                    self._say(run, Progress("failed", "", 0.0, reason=str(error)))
                    raise
                finally:
                    if run:
                        self._active.pop(run.id, None)

    async def _look(self, run: RunMark | None) -> None:
        began = time.perf_counter()
        log.info("look_started", trigger=run.trigger if run else "routine")
        self._say(run, Progress("starting", "", 0.0))
        async with asyncio.TaskGroup() as group:
            engines = group.create_task(
                containers.look(self.environ, self.options.deadline), name="agent.engines"
            )
            self._say(run, Progress("running", "", 0.0, PHASES[0], 0, len(PHASES)))
            machine = await asyncio.to_thread(self._report_machine, run)
            self._hurry.set()
            self._say(run, Progress("running", "", 0.0, PHASES[1], 1, len(PHASES)))
        body, aside = engines.result()
        last = replace(run, final=True) if run else None
        await asyncio.to_thread(self.outbox.put, "containers", body, last, aside)
        self._hurry.set()
        log.info(
            "look_ended",
            interfaces=len(machine.interfaces),
            subnets=len(machine.subnets),
            containers=sum(len(engine.containers) for engine in body.engines),
            set_aside=len(aside),
            elapsed_ms=round((time.perf_counter() - began) * 1000),
        )

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
            await self._hurry.wait()
            self._hurry.clear()
            return
        data = await asyncio.to_thread(waiting.read)
        fields = {"subject": waiting.subject, "number": waiting.number, "bytes": len(data)}
        if waiting.runs:
            fields["run"] = waiting.runs[-1].id
        began = time.perf_counter()
        log.debug("report_sent", **fields)
        try:
            answer = await self.uplink.report(data)
        except UplinkError as error:
            if error.fault is Fault.REFUSED:
                kept = await asyncio.to_thread(self.outbox.refuse, waiting, str(error))
                log.error("report_refused", reason=str(error), kept=str(kept), **fields)
                return
            self.outbox.release()
            raise
        except asyncio.CancelledError:
            self.outbox.release()
            raise
        await asyncio.to_thread(self.outbox.done, waiting)
        self._log_delivered(waiting, answer.result, answer.set_aside, fields, began)

    def _log_delivered(
        self, waiting: Waiting, result: str, aside: int, fields: dict[str, object], began: float
    ) -> None:
        say = log.info if waiting.runs else log.debug
        elapsed = round((time.perf_counter() - began) * 1000, 1)
        say("report_delivered", result=result, set_aside=aside, elapsed_ms=elapsed, **fields)

    # --- ask for work

    async def poll(self) -> None:
        """One turn: say that we are there, wait for work, and begin or stop it."""
        work = await self.uplink.poll(self.outbox.id, hostname(), self._active_runs(), POLL)
        if len(self.outbox):
            # The server is there: whatever waits need not wait longer.
            self._hurry.set()
        for run in work.cancelled:
            task = self._active.get(run)
            if task is not None:
                log.info("run_cancelled", run=run)
                task.cancel()
        for run in work.runs:
            if run not in self._active:
                log.info("run_received", run=run)
                mark = RunMark(run, "request", time.time())
                self._active[run] = self._tasks.start("run", self._requested(mark))
        if work.cancelled:
            # Until a cancelled run has ended here, the server says so again at once.
            await asyncio.sleep(0.5)

    async def _requested(self, run: RunMark) -> None:
        self._say(run, Progress("starting", "", 0.0))
        try:
            await self.look(run)
        except MooringError as error:
            log.warning("run_failed", run=run.id, reason=str(error))
        finally:
            self._active.pop(run.id, None)

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
                    self.outbox.id, hostname(), self._active_runs(), 0, leaving=True
                )
        except (UplinkError, TimeoutError) as error:
            log.debug("farewell_not_heard", reason=str(error))
        log.info("agent_ended", waiting=len(self.outbox))
