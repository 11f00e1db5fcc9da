"""One remote host: linked, listed, watched; its published ports listened on here, always.

docker list -> wanted -> plan -> tunnels. Events only say that it is time to list again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import structlog

from mooring.core import docker_events
from mooring.core.docker import Client, EngineError
from mooring.core.docker_events import StreamEnded
from mooring.core.errors import MooringError
from mooring.core.tasks import Tasks
from mooring.forward import life as lives
from mooring.forward.address import Address
from mooring.forward.diagnose import Diagnosis, Look, diagnose
from mooring.forward.keep import Keep, Moment
from mooring.forward.life import Life
from mooring.forward.plan import plan
from mooring.forward.remote_docker import Opener, find
from mooring.forward.transport import (
    Blocked,
    Connect,
    Gate,
    Lost,
    Options,
    Refused,
    Transport,
)
from mooring.forward.tunnels import Limits, Listener, Tunnels
from mooring.forward.wanted import Rules, Wish, remembered, wanted
from mooring.model.container import Container
from mooring.model.forward import (
    Drop,
    Forward,
    ForwardState,
    LinkState,
    Place,
    RemoteHost,
    StreamRecord,
    Wanted,
)

log = structlog.get_logger(__name__)

PING_EVERY = 15.0
PROBE = 5.0
"""Seconds that Docker, or a command, may take to answer a check."""
LIST_EVERY = 60.0
CONFLICT_EVERY = 5.0
LINGER = 2.0
"""Seconds for which a port outlives its container: one that crashes and restarts keeps it."""
SLEPT = 2.0
"""Seconds that the clock must have jumped for us to have slept."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is wanted of one remote host. ``docker_host`` None: look where the remote's Docker is."""

    rules: Rules = field(default_factory=Rules)
    ssh: Options = field(default_factory=Options)
    docker_host: str | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(slots=True)
class Counts:
    """What has happened since the start, for the metrics."""

    outages: dict[str, int] = field(default_factory=dict)
    away_s: float = 0.0
    drift: int = 0
    event_to_listening_ms: list[float] = field(default_factory=list)


class Remote:
    """One remote host, kept. ``run`` works until it is cancelled; everything else only looks."""

    def __init__(
        self,
        address: Address,
        settings: Settings,
        connect: Connect,
        keep: Keep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.address = address
        self.settings = settings
        self.keep = keep
        self.counts = Counts()
        self.hurry = asyncio.Event()
        """Set it to retry at once: the network is back, or somebody asks."""
        self.changed = asyncio.Event()
        """Set whenever ``status`` would say something new."""
        self._connect = connect
        self._clock = clock
        self._life = Life(since=clock())
        self._gate = Gate()
        self._wish = Wish()
        self._failed: dict[Place, str] = {}
        self._leaving: dict[Place, tuple[Wanted, float]] = {}
        self._started: dict[str, float] = {}
        self._dirty = asyncio.Event()
        self._suspicion: asyncio.Queue[str] = asyncio.Queue(1)
        self._event_at: float | None = None
        self._docker = ""
        self._ping_ms: float | None = None
        self._drop: Drop | None = None
        self._link: Transport | None = None
        self._client: Client | None = None

    async def run(self) -> None:
        """Link, list, watch, for ever; let every port go at the end."""
        async with Tasks(f"forward {self.address.host}") as tasks:
            self.tunnels = Tunnels(
                self._gate, tasks, self._suspect, self.settings.limits, self._clock
            )
            tasks.supervise("save", self._save, every=2)
            tasks.supervise("link", self.turn)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._to(LinkState.STOPPED)
                self.keep.save()
                await self.tunnels.close()

    # --- the life of a link

    async def turn(self) -> None:
        """One link, from waiting for its time to its loss."""
        await self._wait()
        self._to(LinkState.CONNECTING)
        try:
            link = await self._connect(self.address, self.settings.ssh)
            try:
                await self._use(link)
            finally:
                self._gate.shut()
                self._link = self._client = None
                await link.close()
        except Blocked as error:
            self._lose(str(error), "authentication", blocked=True)
        except MooringError as error:
            self._lose(str(error), self._pattern(error))

    async def _wait(self) -> None:
        seconds = lives.wait(self._life, random.random)
        if self._life.state in (LinkState.BACKOFF, LinkState.BLOCKED) and seconds > 0:
            log.info("link_retry", host=str(self.address), in_s=round(seconds, 2))
            await _either(self.hurry.wait(), asyncio.sleep(seconds))
        self.hurry.clear()

    async def _use(self, link: Transport) -> None:
        """Work over a link until it is lost (``Lost``) or a person must act (``Blocked``)."""
        self._to(LinkState.VERIFYING)
        opener, where = await find(link, self.settings.docker_host)
        client = Client(where, opener, deadline=PROBE)
        version = await client.version()
        self._docker = f"{version.kind} {version.version} at {where}"
        self._link, self._client = link, client
        self._gate.open(link)
        self._came_back()
        async with Tasks("link") as tasks:
            gone = tasks.start("lost", link.lost())
            while True:
                self._to(LinkState.SYNCING)
                why = await self._watch(opener, client, version.spoken, gone)
                if gone.done():
                    raise Lost("keeping the link", gone.result())
                self._to(LinkState.SUSPECT, why)
                await self._check(link, client)

    async def _check(self, link: Transport, client: Client) -> None:
        """Find out what failed. Returns when the link is good: then only the stream is renewed.

        A Docker that does not answer is waited for on this same link: what is forwarded works
        without it.
        """
        failures = 0
        while True:
            try:
                await self._ping(client)
                return
            except EngineError as error:
                failures += 1
                await self._still_there(link)
                self._docker = error.why
                self._to(LinkState.SUSPECT, f"the link works and Docker does not: {error.why}")
                if failures == 1:
                    self._count("docker_not_answering")
                await asyncio.sleep(min(5.0, 0.25 * 2**failures))

    async def _still_there(self, link: Transport) -> float:
        """Milliseconds that a command took over the link. Raises ``Lost`` when none passes."""
        began = time.perf_counter()
        try:
            await link.run("true", deadline=PROBE)
        except Refused:
            # An account without a shell: that it was refused is an answer too.
            return (time.perf_counter() - began) * 1000
        return (time.perf_counter() - began) * 1000

    # --- watching

    async def _watch(
        self, opener: Opener, client: Client, version: str, gone: asyncio.Task[str]
    ) -> str:
        """Follow events, list, ping, until something is wrong; answers what, and records it."""
        began = time.perf_counter()
        seen = _Seen()
        ended_by, detail, clean = "docker_failed", "", False
        try:
            async with asyncio.timeout(PROBE):
                reader, writer = await opener()
        except (TimeoutError, MooringError, OSError) as error:
            detail = str(error)
            self._record(began, seen, ended_by, detail, clean)
            return f"Docker's events can't be followed: {detail}"
        self._dirty.set()
        async with Tasks("watch") as tasks:
            parts = {
                "eof": tasks.start("events", self._follow(reader, writer, version, seen)),
                "docker_failed": tasks.start("sync", self._sync_for_ever(client)),
                "ping_failed": tasks.start("ping", self._ping_for_ever(client)),
                "slept": tasks.start("clock", _jumped()),
                "suspected": tasks.start("suspicion", self._suspicion.get()),
            }
            waiting = [gone, *parts.values()]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                ended_by, detail = "link_lost", gone.result()
            for name, part in parts.items():
                if part.done() and ended_by == "docker_failed":
                    ended_by, detail, clean = _how(name, part)
        writer.close()
        self._record(began, seen, ended_by, detail, clean)
        return detail or ended_by

    async def _follow(
        self,
        reader: docker_events.Reader,
        writer: docker_events.Writer,
        version: str,
        seen: _Seen,
    ) -> None:
        path = docker_events.request(version, self.keep.since)
        async for event in docker_events.events(reader, writer, path, seen.answered):
            seen.event()
            self.keep.since = max(self.keep.since or 0, event.at)
            if event.kind == "container" and event.action == "start":
                self._started[event.id] = event.at / 1e9
            if self._event_at is None:
                self._event_at = time.perf_counter()
            self._dirty.set()

    async def _sync_for_ever(self, client: Client) -> None:
        while True:
            self._dirty.clear()
            await self._sync(client)
            if self._life.state is LinkState.SYNCING:
                self._to(LinkState.LIVE)
            wait = LIST_EVERY
            if self._leaving:
                wait = LINGER / 2
            elif self._failed:
                wait = CONFLICT_EVERY
            try:
                async with asyncio.timeout(wait):
                    await self._dirty.wait()
            except TimeoutError:
                self._event_at = None

    async def _sync(self, client: Client) -> None:
        """List, and make the listeners be what is wanted."""
        by_event = self._event_at is not None
        first = self._life.state is not LinkState.LIVE
        containers, _ = await client.containers()
        self._wish = self._wanted(containers)
        desired = [*self._wish.forwards, *self._lingering()]
        before = self.tunnels.actual
        todo = plan(desired, before)
        retried = {want.place for want in todo.open} & set(self._failed)
        self._failed = await self.tunnels.apply(todo)
        opened = [w for w in todo.open if w.place not in self._failed and w.place not in retried]
        self._note(before, todo.close, [*opened])
        for place, why in self._failed.items():
            if place not in retried:
                log.warning("forward_conflict", place=str(place), why=why)
                self.keep.note(Moment(self._clock(), "conflict", str(place), detail=why))
        if by_event and self._event_at is not None:
            self._timed((time.perf_counter() - self._event_at) * 1000)
        elif not first and (opened or todo.retarget):
            self.counts.drift += len(opened) + len(todo.retarget)
            log.warning("drift_found", opened=len(opened), retargeted=len(todo.retarget))
        self._event_at = None
        self.changed.set()

    def _wanted(self, containers: tuple[Container, ...]) -> Wish:
        known = {c.id for c in containers}
        self._started = {i: at for i, at in self._started.items() if i in known}
        wish = wanted(containers, self.settings.rules, self._started, self.keep.sticky)
        self.keep.stick(remembered(self.keep.sticky, wish))
        return wish

    def _lingering(self) -> list[Wanted]:
        """Forwards whose container has just gone, unless their place is wanted by another."""
        now = asyncio.get_running_loop().time()
        places = {want.place for want in self._wish.forwards}
        for place, want in self.tunnels.actual.items():
            if place not in places:
                self._leaving.setdefault(place, (want, now))
        self._leaving = {
            place: (want, since)
            for place, (want, since) in self._leaving.items()
            if place not in places and now - since < LINGER
        }
        return [want for want, _ in self._leaving.values()]

    def _timed(self, milliseconds: float) -> None:
        self.counts.event_to_listening_ms.append(milliseconds)
        del self.counts.event_to_listening_ms[:-1000]

    def _note(
        self, before: dict[Place, Wanted], closed: tuple[Place, ...], opened: list[Wanted]
    ) -> None:
        now = self._clock()
        for place in closed:
            self.keep.note(Moment(now, "closed", str(place), before[place].container))
        for want in opened:
            self.keep.note(Moment(now, "opened", str(want.place), want.container))

    # --- checks

    async def _ping_for_ever(self, client: Client) -> None:
        while True:
            await asyncio.sleep(PING_EVERY)
            await self._ping(client)
            self._life = lives.seen_steady(self._life, self._clock())

    async def _ping(self, client: Client) -> float:
        began = time.perf_counter()
        await client.get("/_ping")
        self._ping_ms = round((time.perf_counter() - began) * 1000, 2)
        return self._ping_ms

    def _suspect(self, why: str) -> None:
        """A connection found the link dead or hanging."""
        if self._suspicion.empty():
            self._suspicion.put_nowait(why)

    # --- states

    def _to(self, state: LinkState, detail: str = "") -> None:
        self._life = lives.to(self._life, state, self._clock(), detail)
        log.info(
            "link_" + state.value,
            host=str(self.address),
            generation=self._life.generation,
            **({"detail": detail} if detail else {}),
        )
        if state is LinkState.LIVE:
            self.keep.note(Moment(self._clock(), "link_live", detail=self._docker))
        self.changed.set()

    def _lose(self, detail: str, pattern: str, *, blocked: bool = False) -> None:
        was_live = self._life.live_since is not None
        self._life = lives.lost(self._life, self._clock(), detail, blocked=blocked)
        if was_live or self._drop is None or self._drop.seconds is not None:
            self._drop = Drop(self._clock(), pattern, None)
            self._count(pattern)
        log.warning(
            "link_blocked" if blocked else "link_lost",
            host=str(self.address),
            pattern=pattern,
            failures=self._life.failures,
            reason=detail,
        )
        self.keep.note(Moment(self._clock(), "link_lost", detail=detail[:500]))
        self.changed.set()

    def _came_back(self) -> None:
        if self._drop and self._drop.seconds is None:
            seconds = round(self._clock() - self._drop.at, 3)
            self._drop = replace(self._drop, seconds=seconds)
            self.counts.away_s += seconds

    def _count(self, pattern: str) -> None:
        self.counts.outages[pattern] = self.counts.outages.get(pattern, 0) + 1

    def _pattern(self, error: MooringError) -> str:
        if isinstance(error, EngineError):
            return "docker_not_answering"
        return (
            "stale_link"
            if "answer" in error.why or "within" in error.why
            else ("network_interruption")
        )

    def _record(self, began: float, seen: _Seen, ended_by: str, detail: str, clean: bool) -> None:
        now = time.perf_counter()
        total = (now - began) * 1000
        last = seen.last or began
        self.keep.record(
            StreamRecord(
                started_at=self._clock() - total / 1000,
                startup_ms=_since(began, seen.answered_at),
                first_event_ms=_since(began, seen.first),
                events=seen.count,
                idle_ms=round((now - last) * 1000, 1),
                total_ms=round(total, 1),
                clean=clean,
                consecutive_failures=self._life.failures,
                ended_by=ended_by,
                detail=detail[:300],
            )
        )
        log.info("events_ended", ended_by=ended_by, events=seen.count, total_ms=round(total))

    async def _save(self) -> None:
        await asyncio.to_thread(self.keep.save)

    # --- looking

    def status(self) -> RemoteHost:
        """The host as it is now: the listeners that there really are, and what can't be."""
        held = self._gate.link is None
        forwards = [self._forward(listener, held) for listener in self.tunnels.listeners.values()]
        by_place = {want.place: want for want in self._wish.forwards}
        for place, why in self._failed.items():
            want = by_place.get(place)
            forwards.append(
                Forward(
                    local=f"{place.ip}:{place.port}",
                    remote=f"{want.target.host}:{want.target.port}" if want else "",
                    protocol=place.protocol,
                    container=want.container if want else "",
                    state=ForwardState.CONFLICT,
                    since=self._life.since,
                    detail=why,
                )
            )
        forwards += [
            Forward("", str(u.port), u.protocol, u.container, u.state, 0.0, detail=u.detail)
            for u in self._wish.unmet
        ]
        forwards.sort(key=lambda f: (f.local.rpartition(":")[2].zfill(5), f.protocol))
        return RemoteHost(
            host=str(self.address),
            state=self._life.state,
            since=self._life.since,
            generation=self._life.generation,
            consecutive_failures=self._life.failures,
            docker=self._docker,
            ping_ms=self._ping_ms,
            last_drop=self._drop,
            forwards=tuple(forwards),
            detail=self._life.detail,
        )

    def _forward(self, listener: Listener, held: bool) -> Forward:
        want, tally = listener.want, listener.tally
        state = ForwardState.HELD if held else ForwardState.LISTENING
        if want.place in self._leaving:
            state = ForwardState.LINGERING
        return Forward(
            local=f"{want.place.ip}:{want.place.port}",
            remote=f"{want.target.host}:{want.target.port}",
            protocol=want.place.protocol,
            container=want.container,
            state=state,
            since=listener.since,
            connections=tally.connections,
            bytes_in=tally.bytes_in,
            bytes_out=tally.bytes_out,
            detail=tally.detail,
        )

    async def diagnose(self) -> Diagnosis:
        """The pattern in the records and in a live look; changes nothing."""
        look = Look(self._life.state, self._life.detail, now=self._clock())
        if self._link is not None and self._client is not None:
            try:
                look = replace(look, ssh_ms=await self._still_there(self._link))
                look = replace(look, docker_ms=await self._ping(self._client))
            except MooringError as error:
                look = replace(look, docker_detail=error.why)
        return diagnose(list(self.keep.records), look)


@dataclass(slots=True)
class _Seen:
    """What one stream of events brought, on the process's clock."""

    answered_at: float | None = None
    first: float | None = None
    last: float | None = None
    count: int = 0

    def answered(self) -> None:
        self.answered_at = time.perf_counter()

    def event(self) -> None:
        self.last = time.perf_counter()
        self.first = self.first or self.last
        self.count += 1


def _how(name: str, part: asyncio.Task[object]) -> tuple[str, str, bool]:
    """What ended a stream, in a word and in words, and whether cleanly."""
    error = part.exception()
    if isinstance(error, StreamEnded):
        return name, str(error), error.clean
    if error is not None and not isinstance(error, MooringError | OSError):
        raise error
    if error is None:
        result = part.result()
        return name, str(result) if result else name, name == "slept"
    return name, str(error), False


def _since(began: float, then: float | None) -> float | None:
    return None if then is None else round((then - began) * 1000, 1)


async def _jumped() -> str:
    """Ends when the machine slept: the clock that counts sleep has run ahead of the other."""

    def asleep() -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()

    before = asleep() if hasattr(time, "CLOCK_BOOTTIME") else 0.0
    while True:
        await asyncio.sleep(1)
        if hasattr(time, "CLOCK_BOOTTIME") and asleep() - before > SLEPT:
            return "this machine slept"


async def _either(*awaitables: Awaitable[object]) -> None:
    """Wait for the first of several; the others are cancelled."""
    async with Tasks("either") as tasks:
        waiting = [tasks.start("wait", _await(a)) for a in awaitables]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)


async def _await(awaitable: Awaitable[object]) -> None:
    await awaitable
