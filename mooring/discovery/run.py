"""Discovery as one of a program's duties: looks at its machine, again and again and when asked;
scans networks when asked.

look -> report; every loop's body is one turn. Nothing about Docker delays the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from structlog.contextvars import bound_contextvars

from mooring.core.errors import MooringError
from mooring.core.identity import machine_identity
from mooring.core.ids import new_id
from mooring.core.progress import Progress
from mooring.core.reporting import MAX_REASON, Reporter
from mooring.core.tasks import Tasks
from mooring.discovery import containers, local
from mooring.discovery.scan_run import Scans, Wiring
from mooring.model.machine import Machine
from mooring.model.report import Engines, RunMark, SetAside
from mooring.model.scan import ScanOrder

log = structlog.get_logger(__name__)

PHASES = ("interfaces", "containers")


@dataclass(frozen=True, slots=True)
class Options:
    """``every``: seconds between two routine looks. ``deadline``: seconds for a call to Docker.

    ``scans``: how it scans networks; None for an agent that may not.
    """

    every: float = 60.0
    deadline: float = 5.0
    scans: Wiring | None = None

    @property
    def duties(self) -> tuple[str, ...]:
        return ("discovery", "scan") if self.scans else ("discovery",)


class Agent:
    """One machine's agent. ``run`` works until it is cancelled.

    Make it before ``reporter`` is entered: the first poll already names the first look's run.
    A server takes a run that it has heard of, and a poll does not name, for lost.
    """

    def __init__(
        self,
        reporter: Reporter,
        options: Options = Options(),
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.options = options
        self.environ = environ
        self.identity = machine_identity() or reporter.outbox.id
        self._reporter = reporter
        self._active: dict[str, asyncio.Task[None] | None] = {}
        self._tasks = Tasks("agent")
        self._scans = Scans(reporter, options.scans, self._tasks) if options.scans else None
        self._seeing = asyncio.Lock()
        self._asking = asyncio.Lock()
        self._first: RunMark | None = RunMark(new_id(), "start", time.time())
        self._active[self._first.id] = None
        reporter.worker = self

    async def run(self) -> None:
        """Look, by itself and when it is asked, until cancelled."""
        log.info("agent_started")
        async with self._tasks as tasks:
            tasks.supervise("look", self.look_by_itself, every=self.options.every)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                await tasks.end()
                log.info("agent_ended")

    # --- look

    async def look_by_itself(self) -> None:
        """One turn: the first look is a run of its own, the others are routine."""
        # Also if it fails: then its run has failed, and the next look is routine.
        run, self._first = self._first, None
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
                self._reporter.say(run, Progress("failed", "", 0.0, reason=reason[:MAX_REASON]))
                raise
            finally:
                if run:
                    self._active.pop(run.id, None)

    async def _look(self, run: RunMark | None) -> None:
        began = time.perf_counter()
        log.info("look_started", trigger=run.trigger if run else "routine")
        self._reporter.say(run, Progress("starting", "", 0.0))
        engines = self._tasks.start("engines", self._ask_engines())
        try:
            self._reporter.say(run, Progress("running", "", 0.0, PHASES[0], 0, len(PHASES)))
            async with self._seeing:
                machine = await asyncio.to_thread(self._see)
                await self._reporter.report("machine", machine, run)
            self._reporter.say(run, Progress("running", "", 0.0, PHASES[1], 1, len(PHASES)))
            body, aside = await engines
        finally:
            engines.cancel()
        last = replace(run, final=True) if run else None
        await self._reporter.report("containers", body, last, aside)
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

    def _see(self) -> Machine:
        machine = local.look(self.identity)
        for i in machine.interfaces:
            log.debug(
                "interface_seen",
                interface=i.name,
                kind=i.kind.value,
                addresses=[str(a.ip) for a in i.addresses],
            )
        return machine

    # --- what is asked for

    def active(self) -> Iterable[str]:
        """The runs that it works on."""
        return (*self._active, *(self._scans.active() if self._scans else ()))

    async def allowed(self) -> Sequence[str] | None:
        """The networks that it may be asked to scan."""
        return await self._scans.allowed() if self._scans else None

    def begin(self, run: RunMark, order: ScanOrder | None) -> None:
        """Begin what somebody asked for: a look, or a scan where there is an order."""
        if order is None:
            self._active[run.id] = self._tasks.start("run", self._requested(run))
        elif self._scans is None:
            reason = "this agent does not scan: it was started with --no-scan"
            self._reporter.say(run, Progress("failed", "", 0.0, reason=reason))
        else:
            self._scans.begin(run, order)

    def cancel(self, run: str) -> None:
        """Stop what somebody asked for."""
        if self._scans:
            self._scans.cancel(run)
        task = self._active.get(run)
        if task is not None:
            log.info("run_cancelled", run=run)
            task.cancel()

    async def _requested(self, run: RunMark) -> None:
        # Why a look failed it has said itself, in the log and to the server.
        with contextlib.suppress(MooringError):
            await self.look(run)
