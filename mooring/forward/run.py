"""One remote host: linked, listed, watched; its published ports listened on here, always.

docker list -> wanted -> plan -> tunnels. Every link is made, tried, used and lost in ``turn``.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from mooring.core.docker import Client, EngineError
from mooring.core.errors import MooringError, UsageError, why_os
from mooring.core.tasks import Tasks
from mooring.forward import blocked
from mooring.forward import life as lives
from mooring.forward.address import Address
from mooring.forward.condition import Condition
from mooring.forward.diagnose import FORBIDDEN, Look, diagnose
from mooring.forward.keep import Keep
from mooring.forward.news import News
from mooring.forward.ports import Ports
from mooring.forward.reach import Reach
from mooring.forward.remote_docker import find
from mooring.forward.seats import Seat, Seats
from mooring.forward.stream import Stream
from mooring.forward.transport import (
    Blocked,
    Connect,
    Gate,
    Lost,
    Options,
    Refused,
    Silent,
    Transport,
)
from mooring.forward.transport import Stream as Bytes
from mooring.forward.tunnels import Limits, Tunnels
from mooring.forward.wanted import Rules
from mooring.forward.watch import Docker, Pace, Watch
from mooring.model.container import EngineState
from mooring.model.forward import Diagnosis, LinkState, Pattern, RemoteHost

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """What is wanted of one remote host. ``docker_host`` None: where the remote's Docker is."""

    rules: Rules = field(default_factory=Rules)
    ssh: Options = field(default_factory=Options)
    docker_host: str | None = None
    limits: Limits = field(default_factory=Limits)
    pace: Pace = field(default_factory=Pace)


class Remote:
    """One remote host, kept. ``run`` works until it is cancelled; everything else only looks."""

    def __init__(
        self,
        address: Address,
        settings: Settings,
        connect: Connect,
        keep: Keep,
        seat: Seat | None = None,
        news: News | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``seat`` and ``news`` are for several hosts in one process."""
        self.address = address
        self.settings = settings
        self.keep = keep
        self.hurry = asyncio.Event()
        """Set it to retry at once: the network is back, or somebody asks."""
        self.condition = Condition(str(address), keep, news or News(), clock)
        self._connect = connect
        self._reach = Reach()
        self._pace = settings.pace
        self._gate = Gate()
        self._tasks = Tasks(f"forward {address.host}")
        self.tunnels = Tunnels(
            self._gate, self._tasks, self._suspect, settings.limits, clock, str(address)
        )
        seat = seat or Seats().take(str(address))
        self.ports = Ports(self.tunnels, settings.rules, keep, seat, self._pace.linger, clock)
        self._watch = Watch(self.condition, self.ports, keep, self._pace)
        self._stopping = False
        self._link: Transport | None = None
        self._gone: asyncio.Task[Lost] | None = None
        self._docker: Docker | None = None
        self._docker_fault: MooringError | None = None
        self.docker_socket: str | None = None
        """Where the remote's Docker listens there, as last found; None for no Unix socket."""

    async def run(self) -> None:
        """Link, list, watch, until cancelled; let every port go at the end."""
        # Whatever is logged in the tasks of this host is about this host.
        structlog.contextvars.bind_contextvars(host=self.condition.host)
        async with self._tasks as tasks:
            tasks.supervise("save", self._save, every=2)
            tasks.supervise("reach", self._reach.turn)
            tasks.supervise("link", self.turn)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._stopping = True
                await self.tunnels.close()
                self.condition.to(LinkState.STOPPED)
                self.keep.save()

    async def _save(self) -> None:
        if write := self.keep.changes():
            await asyncio.to_thread(write)

    # --- the life of a link

    async def turn(self) -> None:
        """One link, from waiting for its time to its loss."""
        await self._wait()
        self.condition.to(LinkState.CONNECTING)
        try:
            link = await self._make()
            try:
                await self._use(link)
            finally:
                self._gate.shut()
                self._link = self._gone = self._docker = None
                closing = self._tasks.start("close", self._close(link))
                if self._stopping:
                    await closing
        except Blocked as error:
            self._reach.rest()
            self.condition.lose(error, Pattern.AUTHENTICATION, blocked=True)
        except EngineError as error:
            self.condition.lose(error, Pattern.DOCKER_SILENT)
        except MooringError as error:
            self._reach.lost(error)
            silent = isinstance(error, Silent)
            self.condition.lose(error, Pattern.STALE_LINK if silent else Pattern.NETWORK)

    async def _make(self) -> Transport:
        """A link. A try that hangs is begun anew once its host is reached again.

        Raises ``Blocked`` and ``Lost``.
        """
        while True:
            self._reach.back.clear()
            async with Tasks("connect") as tasks:
                try:
                    async with asyncio.timeout(None) as patience:
                        tasks.start("back", self._reach.give_up(patience))
                        link = await self._connect(self.address, self.settings.ssh)
                    self._reach.linked(link.peer)
                    return link
                except TimeoutError:
                    if not patience.expired():
                        raise

    async def _wait(self) -> None:
        life = self.condition.life
        seconds = lives.wait(life, random.random)
        if life.state in (LinkState.BACKOFF, LinkState.BLOCKED) and seconds > 0:
            log.info("link_retry", host=self.condition.host, in_s=round(seconds, 2))
            await self._pause(seconds)
        self.hurry.clear()

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless somebody is in a hurry, the host is back, or the link is lost."""
        async with Tasks("pause") as tasks:
            waiting: list[asyncio.Task[Any]] = [
                tasks.start("hurry", self.hurry.wait()),
                tasks.start("back", self._reach.back.wait()),
            ]
            if self._gone:
                waiting.append(self._gone)
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    async def _close(self, link: Transport) -> None:
        """Close a link; one through which nothing comes any more takes its time."""
        try:
            async with asyncio.timeout(self._pace.close):
                await link.close()
        except TimeoutError:
            log.warning("link_close_hangs", host=self.condition.host)

    async def _use(self, link: Transport) -> None:
        """Work over a link until it is lost (``Lost``) or a person must act (``Blocked``)."""
        self._link = link
        self._watch.trust()
        async with Tasks("link") as tasks:
            gone = self._gone = tasks.start("lost", link.lost())
            # What is forwarded already needs no Docker, and whoever is held waits for no more.
            self._gate.open(link)
            self.condition.came_back()
            self.condition.to(LinkState.VERIFYING)
            docker = await self._find_docker(link)
            failures = 0
            while True:
                self._docker = docker
                self.condition.to(LinkState.SYNCING)
                stream = Stream(self.condition.clock())
                try:
                    await self._watch.until_wrong(stream, docker, gone)
                    fault = await self._what_failed(stream, link, docker, gone)
                except asyncio.CancelledError:
                    stream.ended("stop", clean=True)
                    raise
                finally:
                    # Those of the links before say nothing of this one.
                    failures = min(failures + 1, self.condition.record(stream))
                if fault:
                    await self._wait_for_docker(link, docker, fault)
                elif failures:
                    # Docker answers, and still the stream or the list fails: not at full speed.
                    await self._pause(lives.BACKOFF.delay(failures - 1, random.random))
                # Whoever found the link hanging tries it once more.
                self._gate.open(link)

    async def _what_failed(
        self, stream: Stream, link: Transport, docker: Docker, gone: asyncio.Task[Lost]
    ) -> MooringError | None:
        """Find out what failed, once. Answers what Docker's fault is, None when all is well.

        Raises ``Lost`` when it is the link.
        """
        ping: float | BaseException | None = None
        command: float | BaseException | None = None
        if not gone.done():
            self.condition.to(LinkState.SUSPECT, stream.detail)
            ping, command = await asyncio.gather(
                docker.ping(), self._still_there(link), return_exceptions=True
            )
            if isinstance(ping, float):
                if stream.ended_by == "suspected":
                    # Only what somebody wanted to reach there does not answer.
                    stream.ended("suspected", clean=True)
                return None
        # Whoever noticed first: a command over it, or the link's own end.
        fault = gone.result() if gone.done() else command
        if isinstance(fault, Lost):
            stream.ended("link_silent" if isinstance(fault, Silent) else "link_lost", fault.why)
        if isinstance(fault, BaseException):
            raise fault
        if isinstance(ping, EngineError | Refused):
            stream.ended("docker_silent", ping.why)
            return ping
        assert isinstance(ping, BaseException)
        raise ping

    async def _still_there(self, link: Transport) -> float:
        """Milliseconds that a command took over the link. Raises ``Lost`` when none passes."""
        began = time.perf_counter()
        probe = self._pace.probe
        try:
            async with asyncio.timeout(probe + 1):
                await link.run("true", deadline=probe)
        except Refused:
            # An account without a shell: that it was refused is an answer too.
            log.debug("command_refused", host=self.condition.host)
        except (Silent, TimeoutError) as error:
            attempted = f"using the link to {self.condition.host}"
            why = f"nothing came back over it within {probe:g} s"
            raise Silent(attempted, why) from error
        return (time.perf_counter() - began) * 1000

    # --- Docker behind the link

    async def _find_docker(self, link: Transport) -> Docker:
        """Find Docker, and wait for it if it does not answer: on this same link.

        Raises ``Blocked`` when there is no right to ask it.
        """
        failures = 0
        while True:
            try:
                opener, where = await find(link, self.settings.docker_host)
                version = await Client(where, opener, deadline=self._pace.probe).version()
                self.condition.docker = f"{version.kind} {version.version} at {where}"
                unix = where.startswith("unix://")
                self.docker_socket = where.removeprefix("unix://") if unix else None
                return Docker(opener, where, version.spoken, self._pace)
            except UsageError as error:
                raise Blocked(error.attempted, error.why, error.remedy) from error
            except (EngineError, Refused) as error:
                if isinstance(error, EngineError) and error.state is EngineState.DENIED:
                    raise Blocked(error.attempted, error.why, error.remedy) from error
                failures += 1
                await self._docker_fails(link, error, failures, LinkState.VERIFYING)

    async def _wait_for_docker(self, link: Transport, docker: Docker, fault: MooringError) -> None:
        """Wait on a link that works: what is forwarded goes on working without Docker."""
        self.condition.count(Pattern.DOCKER_SILENT)
        was, failures = self.condition.docker, 0
        while True:
            failures += 1
            await self._docker_fails(link, fault, failures, LinkState.SUSPECT)
            try:
                self.condition.ping_ms = await docker.ping()
            except (EngineError, Refused) as error:
                fault = error
            else:
                self.condition.docker = was
                return

    async def _docker_fails(
        self, link: Transport, fault: MooringError, failures: int, state: LinkState
    ) -> None:
        """Say so, wait, and see that it is not the link."""
        self.condition.docker, self._docker_fault = fault.why, fault
        if failures == 1 or self.condition.life.detail != str(fault):
            self.condition.to(state, str(fault))
        await self._pause(min(5.0, 0.125 * 2**failures))
        self.hurry.clear()
        await self._still_there(link)

    async def docker(self) -> Bytes:
        """A stream to the remote Docker, at once or when there is a link.

        Raises ``Refused`` when that takes too long, or when Docker refuses.
        """
        attempted = f"reaching Docker on {self.address}"
        hold = self.settings.limits.hold
        useless: Docker | None = None
        try:
            async with asyncio.timeout(hold):
                while True:
                    count = self.condition.news.count
                    docker = self._docker
                    if docker is None or docker is useless:
                        await self.condition.news.after(count)
                        continue
                    try:
                        return await docker.open()
                    except Lost as error:
                        useless = docker
                        self._suspect(str(error))
                    except OSError as error:
                        raise Refused(attempted, why_os(error)) from error
        except TimeoutError:
            why = f"it was not back within {hold:g} s: {self.condition.life.detail}"
            raise Refused(attempted, why) from None

    # --- what others see and say

    def _suspect(self, why: str) -> None:
        self._watch.suspect(why)

    def nudge(self, why: str) -> None:
        """Something happened to this machine: try at once, and see whether the link is good."""
        self.hurry.set()
        self._watch.look(why)

    def status(self) -> RemoteHost:
        """The host as it is now: the listeners that there really are, and what can't be."""
        condition = self.condition
        away = None if self._gate.link else condition.away_since or condition.life.since
        host = condition.host_with(self.ports.forwards(held_since=away))
        if self._link is None or host.detail or not self.tunnels.forbidden:
            return host
        return replace(host, detail=f"{FORBIDDEN} ({self.tunnels.forbidden})")

    def look(self) -> Look:
        """What a diagnosis knows without trying anything."""
        forbidden = self.tunnels.forbidden if self._link is not None else ""
        address = self.address
        host, port = self._reach.peer or (address.host, address.port or 22)
        return replace(
            self.condition.look(), forbidden=forbidden, name=address.host, host=host, port=port,
            login=blocked.login(address, self.settings.ssh),
        )  # fmt: skip

    async def diagnose(self) -> Diagnosis:
        """The pattern in the records and in a live look; changes nothing."""
        look = self.look()
        if self._link is not None:
            look = await self._look(self._link, look)
        return diagnose(list(self.keep.records), look)

    async def _look(self, link: Transport, look: Look) -> Look:
        async def ping() -> float:
            if self._docker is None:
                raise self._docker_fault or Lost("asking Docker", "it was not found so far")
            return await self._docker.ping()

        command, docker = await asyncio.gather(
            self._still_there(link), ping(), return_exceptions=True
        )
        if isinstance(command, float):
            look = replace(look, ssh_ms=command)
        if isinstance(docker, float):
            return replace(look, docker_ms=docker)
        if isinstance(docker, MooringError):
            # An engine's remedies are for the machine that it runs on.
            there = "on the remote host: " if isinstance(docker, EngineError) else ""
            remedy = there + docker.remedy if docker.remedy else ""
            return replace(look, docker_detail=docker.why, remedy=remedy)
        return replace(look, docker_detail=str(docker))
