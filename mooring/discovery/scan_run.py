"""Runs of kind scan: an order in; reports of blocks, progress and a story out, one scan at a time.

Drives the scanner and asks ports what they are as they are found; knows nothing of how.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
from structlog.contextvars import bound_contextvars

from mooring.core.errors import MooringError
from mooring.core.progress import MAX_TEXT, Line, Progress
from mooring.core.reporting import MAX_REASON, Reporter
from mooring.core.tasks import Tasks
from mooring.discovery import scan_estimate
from mooring.discovery.scan import plan as plans
from mooring.discovery.scan.events import (
    Advanced,
    BlockAsked,
    Event,
    Found,
    HostDone,
    HostFound,
    PhaseBegan,
    PortsFound,
    Warned,
)
from mooring.discovery.scan_findings import Findings
from mooring.discovery.scan_services import Asking
from mooring.model.net import IpAddress, IpNetwork
from mooring.model.report import RunMark
from mooring.model.scan import MAX_ALLOWED, Depth, ScanOrder
from mooring.model.service import OpenPort, Service

log = structlog.get_logger(__name__)

REPORT_EVERY = 2.0
"""Seconds between two reports of one block while more is found in it."""
LOOK_FOR_NEWS = 0.25
MAX_ALIKE = 20
"""Lines of one kind that a run's story has; the log has them all."""


class Scanner(Protocol):
    """Finds hosts and their open ports; closing what ``scan`` answers ends it at once."""

    def scan(self, plan: plans.Plan, depth: Depth) -> AsyncGenerator[Event, None]: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What a scan is done with."""

    scanner: Scanner
    looked_at: Callable[[Depth], Sequence[tuple[int, int]]]
    """The TCP ports of a depth, as ranges."""
    ask: Callable[[IpAddress, int], Awaitable[OpenPort]]
    """What answers on a TCP port."""
    ask_udp: Callable[[IpAddress], Awaitable[Sequence[OpenPort]]]
    """The UDP ports of a host that answer, and what is there."""
    know: Callable[[Found], tuple[str, tuple[Service, ...]]]
    """A host's vendor, and its services that no port shows."""
    warnings: tuple[str, ...] = ()
    """What of them is not as it should be."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """How each scan comes by what it needs."""

    here: Callable[[], plans.Here]
    """What this machine is attached to now. May take a while; it is called in a thread."""
    tools: Callable[[], Tools]
    """Likewise."""
    allowed: tuple[IpNetwork, ...] = ()
    """Networks that may be scanned beside those that are attached."""


class Scans:
    """The scans that an agent is asked for: one at a time, the others wait."""

    def __init__(self, reporter: Reporter, wiring: Wiring, tasks: Tasks) -> None:
        self._reporter = reporter
        self._wiring = wiring
        self._tasks = tasks
        self._turn = asyncio.Lock()
        self._active: dict[str, asyncio.Task[None]] = {}

    def active(self) -> Iterable[str]:
        return tuple(self._active)

    async def allowed(self) -> Sequence[str] | None:
        """The networks that may be scanned, as they are now; None when that can't be told."""
        try:
            here = await asyncio.to_thread(self._wiring.here)
        except MooringError as error:
            # A scan tells it to whoever asks for one.
            log.debug("networks_not_seen", reason=str(error))
            return None
        ranges = plans.ranges(here.links, self._wiring.allowed)
        return [str(network) for network in ranges] if len(ranges) <= MAX_ALLOWED else None

    def begin(self, run: RunMark, order: ScanOrder) -> None:
        self._active[run.id] = self._tasks.start("scan", self._do(run, order))

    def cancel(self, run: str) -> None:
        task = self._active.get(run)
        if task is not None:
            log.info("run_cancelled", run=run)
            task.cancel()

    async def _do(self, run: RunMark, order: ScanOrder) -> None:
        scan = ScanRun(run, order, self._reporter, self._wiring, self._tasks)
        with bound_contextvars(run=run.id):
            try:
                if self._turn.locked():
                    scan.wait()
                async with self._turn:
                    await scan.do()
            except MooringError as error:
                scan.fail(str(error))
            except Exception as error:
                scan.fail(f"an error in the agent: {error!r}")
                raise
            finally:
                self._active.pop(run.id, None)


class ScanRun:
    """One scan. ``do`` ends when its last report is kept, or raises why it could not go on."""

    def __init__(
        self, run: RunMark, order: ScanOrder, reporter: Reporter, wiring: Wiring, tasks: Tasks
    ) -> None:
        self.run = run
        self.order = order
        self._reporter = reporter
        self._wiring = wiring
        self._lines: list[Line] = []
        self._alike: Counter[str] = Counter()
        self._said = Progress("starting", "", 0.0)
        self._phase_began = 0.0
        self._done_before = 0
        """What was done of the phase when it began: ports are asked while others are looked for."""
        self._tasks = tasks
        self._keeping = asyncio.Lock()

    def wait(self) -> None:
        """Another scan has the turn."""
        self._said = replace(self._said, phase="waiting")
        self._tell("scan_waits", "Another scan of this agent is under way; this one waits for it")

    def fail(self, reason: str) -> None:
        self._said = replace(self._said, state="failed", reason=reason[:MAX_REASON])
        self._tell("scan_failed", f"The scan failed: {reason}", "error", reason=reason)

    async def do(self) -> None:
        """Raises ``MooringError``: what was ordered may not be scanned, or can't be reported."""
        began = time.monotonic()
        self._said = replace(self._said, phase=None)
        self._say()
        here = await asyncio.to_thread(self._wiring.here)
        planned = plans.permitted(
            self.order.targets, here, self._wiring.allowed, option="mooring agent --allow-scan"
        )
        tools = await asyncio.to_thread(self._wiring.tools)
        depth = self.order.depth
        found = Findings(planned, depth, () if depth is Depth.NONE else tools.looked_at(depth))
        self._tell_plan(planned, tools)
        try:
            await self._scan(planned, tools, found)
        except BaseException:
            # What was found before it ended stays; a cancelled run takes no more time than this.
            with contextlib.suppress(MooringError):
                await self._report(found, found.news())
            log.info("scan_ended_early", hosts=found.hosts, ports=found.open_ports)
            raise
        elapsed = time.monotonic() - began
        self._tell(
            "scan_ended",
            f"Found {_count(found.hosts, 'host')}, {_count(found.open_ports, 'open port')} and "
            f"{_count(found.services, 'service')} in {elapsed:.1f} s",
            hosts=found.hosts,
            ports=found.open_ports,
            services=found.services,
            elapsed_ms=round(elapsed * 1000),
        )
        await self._report(found, found.news() or [found.first()], final=True)

    async def _scan(self, planned: plans.Plan, tools: Tools, found: Findings) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                news = group.create_task(self._report_news(found), name="scan.news")
                asking = Asking(
                    tools,
                    group,
                    answered=found.answered,
                    failed=lambda text: self._write("port_not_asked", text, "warning"),
                    advanced=self._asked,
                )
                await self._find(planned, tools, found, asking)
                if found.depth is not Depth.NONE:
                    await self._begin_next("services", asking.total, found, asking.done)
                    await asking.wait()
                self._end_phase(found)
                news.cancel()
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _find(
        self, planned: plans.Plan, tools: Tools, found: Findings, asking: Asking
    ) -> None:
        async with contextlib.aclosing(tools.scanner.scan(planned, found.depth)) as events:
            async for event in events:
                match event:
                    case PhaseBegan(phase, total):
                        await self._begin_next(phase, total, found)
                    case Advanced(done, remaining_s):
                        self._advance(done, remaining_s)
                    case HostFound(host):
                        if found.host(host, *tools.know(host)):
                            log.debug("host_found", ip=str(host.ip), signs=list(host.signs))
                    case BlockAsked(cidr):
                        found.asked(cidr)
                    case PortsFound(ip, ports):
                        found.ports(ip, ports)
                    case HostDone():
                        self._host_done(event, found, asking)
                    case Warned(what, why, remedy):
                        text = f"{what}: {why}" + (f" ({remedy})" if remedy else "")
                        self._tell(
                            "scan_warned", text, "warning", what=what, why=why, remedy=remedy
                        )

    async def _begin_next(self, phase: str, total: int, found: Findings, done: int = 0) -> None:
        """The phase before ends, and what was found in it is reported."""
        if self._said.phase is not None:
            self._end_phase(found)
            await self._report(found, found.news())
        self._begin_phase(phase, total, done)

    def _host_done(self, host: HostDone, found: Findings, asking: Asking) -> None:
        found.ports(host.ip, host.ports)
        if host.all_open:
            found.all_open(host.ip)
            self._tell(
                "host_open_on_all_ports",
                f"{host.ip} takes connections on every port that it is asked, as a tarpit or a "
                "firewall does: what answers there is not asked",
                "warning",
                ip=str(host.ip),
            )
            return
        if host.sure:
            found.looked(host.ip, depth=found.depth)
        asking.add(host.ip, host.ports)

    def _asked(self, done: int) -> None:
        if self._said.phase == "services":
            self._advance(done, None)

    # --- reports

    async def _report_news(self, found: Findings) -> None:
        while True:
            await asyncio.sleep(LOOK_FOR_NEWS)
            await self._report(found, found.news(time.monotonic(), REPORT_EVERY))

    async def _report(
        self, found: Findings, blocks: Sequence[IpNetwork], *, final: bool = False
    ) -> None:
        """Report blocks, the last one as the run's last if it is ``final``."""
        for cidr in blocks:
            mark = replace(self.run, final=final and cidr == blocks[-1])
            # One that is being kept is kept also when the scan is cancelled: begun again, the
            # older snapshot could come to lie behind the newer one.
            await asyncio.shield(self._tasks.start("report", self._keep(found, cidr, mark)))

    async def _keep(self, found: Findings, cidr: IpNetwork, mark: RunMark) -> None:
        async with self._keeping:
            scan, aside = found.snapshot(cidr, time.monotonic())
            await self._reporter.report(f"scan:{cidr}", scan, mark, aside)

    # --- what is said

    def _tell_plan(self, planned: plans.Plan, tools: Tools) -> None:
        depth = self.order.depth
        attached = dict.fromkeys(block.subnet for block in planned.blocks)
        networks = [str(network) for network in self.order.targets or attached]
        shown = ", ".join(networks[:10]) + (" and more" if len(networks) > 10 else "")
        self._tell(
            "scan_started",
            f"Scanning {shown}" + {"none": " for hosts", "full": ", all ports"}.get(depth, ""),
            networks=networks,
            depth=depth.value,
            blocks=len(planned.blocks),
        )
        for text in planned.left_out:
            self._tell("network_left_out", f"Not scanned: {text}", reason=text)
        for text in tools.warnings:
            self._tell("scan_warned", text, "warning", why=text)

    def _begin_phase(self, phase: str, total: int, done: int = 0) -> None:
        self._phase_began, self._done_before = time.monotonic(), done
        self._said = replace(self._said, state="running", phase=phase, done=done, total=total)
        self._advance(done, None)
        doing = {
            "hosts": f"Asking {_count(total, 'address', 'es')} who is there",
            "ports": f"Looking at {_count(total, 'port')}",
            "services": "Asking the open ports what answers there",
        }
        self._tell("phase_began", doing.get(phase, phase), phase=phase, total=total)

    def _end_phase(self, found: Findings) -> None:
        self._advance(self._said.total or 0, None)
        phase = self._said.phase
        elapsed = time.monotonic() - self._phase_began
        count = {
            "hosts": _count(found.hosts, "host"),
            "ports": _count(found.open_ports, "open port"),
            "services": _count(found.services, "service"),
        }
        self._tell(
            "phase_ended",
            f"{count.get(phase or '', '')} found in {elapsed:.1f} s",
            phase=phase,
            hosts=found.hosts,
            ports=found.open_ports,
            services=found.services,
            elapsed_ms=round(elapsed * 1000),
        )

    def _advance(self, done: int, told_s: float | None) -> None:
        phase, total = self._said.phase or "", self._said.total or 0
        elapsed = time.monotonic() - self._phase_began
        left = scan_estimate.remaining_s(
            self.order.depth,
            phase,
            done - self._done_before,
            total - self._done_before,
            elapsed,
            told_s,
        )
        self._said = replace(self._said, done=done, remaining_s=left)
        self._say()

    def _tell(self, event: str, text: str, level: str = "info", **fields: object) -> None:
        """A line for the run's story and for the log."""
        getattr(log, level)(event, **fields)
        self._write(event, text, level)

    def _write(self, event: str, text: str, level: str) -> None:
        """A line for the run's story."""
        self._alike[event] += 1
        if self._alike[event] <= MAX_ALIKE:
            self._lines.append(Line(time.time(), event, text[:MAX_TEXT], level))
        self._say()

    def _say(self) -> None:
        said = replace(self._said, lines=tuple(self._lines))
        self._lines.clear()
        self._reporter.say(self.run, said)


def _count(number: int, what: str, plural: str = "s") -> str:
    return f"{number:,} {what}{'' if number == 1 else plural}"
