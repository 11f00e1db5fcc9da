"""Watches a remote Docker over one link: events, lists, pings, until something is wrong.

Events only say that it is time to list again; the list is the truth.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog

from mooring.core import docker_events
from mooring.core.docker import Client
from mooring.core.docker_lister import Lister
from mooring.core.errors import MooringError
from mooring.core.tasks import Tasks
from mooring.forward.condition import Condition
from mooring.forward.keep import Keep
from mooring.forward.ports import Ports
from mooring.forward.remote_docker import Opener
from mooring.forward.stream import Stream, how
from mooring.forward.transport import Lost
from mooring.forward.waking import slept
from mooring.model.forward import LinkState

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how long, in seconds."""

    ping_every: float = 8.0
    probe: float = 5.0
    """What Docker, or a command, may take to answer a check."""
    list_every: float = 60.0
    list_within: float = 30.0
    """What the list of containers may take: it is long, and the way may be slow."""
    conflict_every: float = 5.0
    linger: float = 2.0
    """For how long a port outlives its container: one that crashes and restarts keeps it."""
    told: float = 1.0
    """How late the event may come for a container that a list found first."""
    again: float = 1.0
    """How long after the last event it is listed once more: Docker tells of a container's end a
    moment before it lists it so."""
    close: float = 1.0


class Docker:
    """The remote Docker behind one link. ``version`` is the API's to speak."""

    def __init__(self, opener: Opener, where: str, version: str, pace: Pace) -> None:
        self.open = opener
        self.version = version
        # One after the other: over some links each takes a session, of which there are few.
        self.lister = Lister(Client(where, opener, deadline=pace.list_within), at_once=1)
        self._asked = Client(where, opener, deadline=pace.probe)

    async def ping(self) -> float:
        """Milliseconds until it answered. Raises ``EngineError``, ``Lost`` and ``Refused``."""
        began = time.perf_counter()
        await self._asked.get("/_ping")
        return round((time.perf_counter() - began) * 1000, 2)


class Watch:
    """Keeps ``ports`` as the containers are. One for all links of a host."""

    def __init__(self, condition: Condition, ports: Ports, keep: Keep, pace: Pace) -> None:
        self._condition = condition
        self._ports = ports
        self._keep = keep
        self._pace = pace
        self._dirty = asyncio.Event()
        self._suspicion: asyncio.Queue[str] = asyncio.Queue(1)
        self._wish: asyncio.Queue[str] = asyncio.Queue(1)
        self._heard_at: float | None = None
        self._set_aside = 0

    def suspect(self, why: str) -> None:
        """Somebody found the link dead or hanging."""
        if self._suspicion.empty():
            self._suspicion.put_nowait(why)

    def look(self, why: str) -> None:
        """Somebody wishes to know whether the link is good."""
        if self._wish.empty():
            self._wish.put_nowait(why)

    def trust(self) -> None:
        """There is a new link: what was suspected of the old one is no news."""
        for queue in (self._suspicion, self._wish):
            if not queue.empty():
                queue.get_nowait()

    async def until_wrong(self, stream: Stream, docker: Docker, gone: asyncio.Task[Lost]) -> None:
        """Follow, list, ping until something is wrong, or the link is ``gone``.

        ``stream`` knows what, where that can be known from here.
        """
        try:
            async with asyncio.timeout(self._pace.probe):
                reader, writer = await docker.open()
        except (TimeoutError, MooringError, OSError) as error:
            stream.ended("docker_failed", f"Docker's events can't be followed: {error}")
            return
        self._dirty.set()
        try:
            async with Tasks("watch") as tasks:
                bodies = {
                    "eof": self._follow(reader, writer, docker, stream),
                    "docker_failed": self._sync_for_ever(docker),
                    "ping_failed": self._ping_for_ever(docker),
                    "slept": slept(),
                    "suspected": self._suspicion.get(),
                    "asked": self._wish.get(),
                }
                parts = {n: tasks.start(n, body, awaited=True) for n, body in bodies.items()}
                await asyncio.wait([gone, *parts.values()], return_when=asyncio.FIRST_COMPLETED)
                ended = [how(name, part) for name, part in parts.items() if part.done()]
            if ended:
                by, detail, clean = ended[0]
                stream.ended(by, detail, clean=clean)
        finally:
            writer.close()

    async def _follow(
        self,
        reader: docker_events.Reader,
        writer: docker_events.Writer,
        docker: Docker,
        stream: Stream,
    ) -> None:
        path = docker_events.request(docker.version, self._keep.since)
        async for event in docker_events.events(reader, writer, path, stream.answered):
            stream.event()
            self._keep.since = max(self._keep.since or 0, event.at)
            if not docker_events.may_change_ports(event):
                continue
            if event.kind == "container" and event.action == "start":
                self._ports.started(event.id, event.at / 1e9)
            if self._heard_at is None:
                self._heard_at = time.perf_counter()
            self._dirty.set()

    async def _sync_for_ever(self, docker: Docker) -> None:
        while True:
            self._dirty.clear()
            first = self._condition.life.state is LinkState.SYNCING
            news = first or self._heard_at is not None
            unheard = await self._sync(docker)
            if first:
                self._condition.to(LinkState.LIVE)
            elif unheard and not await self._told(self._pace.told):
                self._condition.counts.drift += unheard
                log.warning("drift_found", host=self._condition.host, forwards=unheard)
            wait = self._pace.list_every
            if news:
                wait = self._pace.again
            elif self._ports.unsettled:
                wait = self._pace.linger / 2
            elif self._ports.in_conflict:
                wait = self._pace.conflict_every
            await self._told(wait)

    async def _told(self, seconds: float) -> bool:
        """Whether an event comes, or has come, within this time."""
        try:
            async with asyncio.timeout(seconds):
                await self._dirty.wait()
        except TimeoutError:
            return False
        return True

    async def _sync(self, docker: Docker) -> int:
        """List, and make the listeners be so. Answers how many changed that no event told of."""
        heard_at, self._heard_at = self._heard_at, None
        containers, aside = await docker.lister.containers()
        if len(aside) != self._set_aside:
            self._set_aside = len(aside)
            items = [f"{item.kind}: {item.reason}" for item in aside[:5]]
            log.warning("containers_set_aside", host=self._condition.host, items=items)
        done = await self._ports.show(containers)
        changed = len(done.opened) + len(done.retargeted)
        # Not only of these: what lingers or is in conflict, here or on another host, is news too.
        self._condition.news.tell()
        if heard_at is None:
            return changed
        if done.opened:
            self._condition.counts.listening((time.perf_counter() - heard_at) * 1000)
        return 0

    async def _ping_for_ever(self, docker: Docker) -> None:
        while True:
            self._condition.ping_ms = await docker.ping()
            self._condition.seen_steady()
            await asyncio.sleep(self._pace.ping_every)
