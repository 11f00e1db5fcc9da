"""The listeners on this machine: a plan in, what is now true out; connections go to the gate.

Listeners outlive the link: while it is down a connection is accepted and held.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from mooring.core.errors import why_os
from mooring.core.tasks import Tasks
from mooring.forward.plan import Plan
from mooring.forward.transport import Gate, Lost, Refused, Tally, Transport
from mooring.forward.udp import Port, Relay
from mooring.forward.whose import holders
from mooring.model.forward import Place, Wanted

log = structlog.get_logger(__name__)

_ONE_CLIENT = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EINTR})
"""What accepting says of one client that was gone before it was accepted."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is held while the link is down. Nothing is read from a held client meanwhile."""

    hold: float = 30.0
    """Seconds that a connection waits for a link."""
    held: int = 512
    """Connections that wait at once, of all listeners together."""
    backlog: int = 512


@dataclass(slots=True)
class Listener:
    """One listening socket, whom it serves now, and what it has carried."""

    want: Wanted
    since: float
    socket: socket.socket
    tally: Tally = field(default_factory=Tally)
    task: asyncio.Task[None] | None = None
    udp: Port | None = None


@dataclass(slots=True)
class Counts:
    """Connections of all listeners since the start, for the metrics."""

    waited: int = 0
    """That found no link and were held."""
    failed: int = 0
    """That were reset: refused by the remote side, held for too long, or one too many."""


class Tunnels:
    """All listeners of one remote host.

    ``trouble`` is called when a connection finds the link dead or hanging, with the words.
    """

    def __init__(
        self,
        gate: Gate,
        tasks: Tasks,
        trouble: Callable[[str], None],
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.time,
        host: str = "",
    ) -> None:
        """``host`` is for the log."""
        self._log = log.bind(host=host)
        self._gate = gate
        self._tasks = tasks
        self._trouble = trouble
        self._limits = limits
        self._clock = clock
        self._listeners: dict[Place, Listener] = {}
        self._held = 0
        self._past = Tally()
        """What listeners that are closed have carried."""
        self._ending: list[Tally] = []
        """Of closed listeners that may have connections still."""
        self._closed = False
        self._relay = Relay(gate)
        self._relaying: asyncio.Task[None] | None = None
        self._ran_out = -1
        """The generation of the gate in which a connection was held for too long."""
        self.counts = Counts()
        self.forbidden = ""
        """What the remote side said to the last client, if it forbids to connect to ports."""

    @property
    def actual(self) -> dict[Place, Wanted]:
        """The listeners that there really are, and whom each serves."""
        return {place: listener.want for place, listener in self._listeners.items()}

    @property
    def listeners(self) -> dict[Place, Listener]:
        return dict(self._listeners)

    @property
    def held(self) -> int:
        """How many connections wait for the link now."""
        return self._held

    @property
    def carried(self) -> Tally:
        """What all listeners have carried since the start; bytes where they could be counted."""
        total = Tally()
        now = [listener.tally for listener in self._listeners.values()]
        for tally in (self._past, *self._ending, *now):
            _add(total, tally)
        return total

    async def apply(self, plan: Plan) -> dict[Place, str]:
        """Close, retarget, open. Answers the places that could not be opened, and why."""
        await self._close(plan.close)
        if self._closed:
            return {}
        for want in plan.retarget:
            listener = self._listeners[want.place]
            old, listener.want = listener.want.target, want
            if listener.udp:
                listener.udp.target = want.target
            if old != want.target:
                self._log.info(
                    "forward_retargeted",
                    place=str(want.place),
                    target=str(want.target),
                    container=want.container,
                )
        failed = []
        for want in plan.open:
            try:
                self._open(want)
            except OSError as error:
                failed.append((want, error))
        taken = [want.place for want, error in failed if error.errno == errno.EADDRINUSE]
        who = await asyncio.to_thread(holders, taken) if taken else {}
        return {want.place: _why(want, error, who.get(want.place)) for want, error in failed}

    async def close(self) -> None:
        """Let every port go, for good. Connections that are carried end with the owner's tasks."""
        self._closed = True
        await self._close(tuple(self._listeners))

    # --- listening

    def _open(self, want: Wanted) -> None:
        place = want.place
        family = socket.AF_INET6 if ":" in place.ip else socket.AF_INET
        kind = socket.SOCK_DGRAM if place.protocol == "udp" else socket.SOCK_STREAM
        listening = socket.socket(family, kind)
        try:
            listening.setblocking(False)
            if kind == socket.SOCK_STREAM:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((place.ip, place.port))
            if kind == socket.SOCK_STREAM:
                listening.listen(self._limits.backlog)
        except OSError:
            listening.close()
            raise
        listener = Listener(want, self._clock(), listening)
        if kind == socket.SOCK_STREAM:
            listener.task = self._tasks.start(f"accept {place}", self._accept(listener))
        else:
            listener.udp = Port(listening, want.target, listener.tally)
            listener.task = self._tasks.start(f"receive {place}", self._relay.serve(listener.udp))
            if not self._relaying:
                self._relaying = self._tasks.start("udp", self._relay.run())
        self._listeners[place] = listener
        self._log.info(
            "forward_opened",
            place=str(place),
            target=str(want.target),
            container=want.container,
        )

    async def _close(self, places: tuple[Place, ...]) -> None:
        listeners = [self._listeners.pop(place) for place in places if place in self._listeners]
        tasks = [listener.task for listener in listeners if listener.task]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for tally in self._ending:
            if not tally.active:
                _add(self._past, tally)
        self._ending = [tally for tally in self._ending if tally.active]
        for listener in listeners:
            listener.socket.close()
            self._ending.append(listener.tally)
            self._log.info(
                "forward_closed",
                place=str(listener.want.place),
                container=listener.want.container,
                connections=listener.tally.connections,
            )

    async def _accept(self, listener: Listener) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listener.socket)
            except OSError as error:
                if error.errno not in _ONE_CLIENT:
                    # Out of descriptors or memory: others may give some back.
                    self._log.warning(
                        "accept_failed", place=str(listener.want.place), why=why_os(error)
                    )
                    await asyncio.sleep(0.1)
                continue
            listener.tally.connections += 1
            self._tasks.start(f"client of {listener.want.place}", self._serve(listener, client))

    # --- one client

    async def _serve(self, listener: Listener, client: socket.socket) -> None:
        """Carry a client over the link; while there is none, hold it for its time."""
        listener.tally.active += 1
        after = 0
        patience = asyncio.get_running_loop().time() + self._limits.hold
        try:
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                link, after = await self._wait(after, patience)
                try:
                    await self._carry(link, listener, client)
                    return
                except Lost as error:
                    self._trouble(str(error))
        except Refused as error:
            listener.tally.refused += 1
            listener.tally.detail = str(error)
            self.forbidden = error.why if error.prohibited else ""
            self.counts.failed += 1
            self._log.info("connection_refused", place=str(listener.want.place), why=error.why)
            _refuse(client)
        except asyncio.CancelledError:
            client.close()
            raise
        except OSError as error:
            # Of this client's socket: it was gone before it was served.
            self._log.debug("client_gone", place=str(listener.want.place), why=why_os(error))
            client.close()
        finally:
            listener.tally.active -= 1

    async def _carry(self, link: Transport, listener: Listener, client: socket.socket) -> None:
        """Carry a client, and see whether there was somebody to answer it.

        Docker's proxy accepts for a container that listens on nothing, and closes at once.
        """
        tally, want = listener.tally, listener.want
        empty = tally.empty
        await link.carry(client, want.target, tally)
        tally.detail = self.forbidden = ""
        if tally.empty != empty:
            tally.detail = (
                f"a connection was closed there without a word: see whether anything in "
                f"{want.container} listens on port {want.container_port}"
            )
            self._log.info(
                "connection_empty",
                place=str(want.place),
                container=want.container,
                port=want.container_port,
            )

    async def _wait(self, after: int, patience: float) -> tuple[Transport, int]:
        """The link, at once or when it is there. Raises ``Refused`` when that takes too long."""
        if self._gate.link is None or self._gate.generation <= after:
            if self._held >= self._limits.held:
                raise Refused("holding a connection for the link", f"{self._held} wait already")
            self.counts.waited += 1
        self._held += 1
        try:
            async with asyncio.timeout_at(patience):
                return await self._gate.next(after)
        except TimeoutError:
            why = f"it was not back within {self._limits.hold:g} s"
            if self._ran_out != self._gate.generation:
                # The first of an outage; how many there were is counted.
                self._ran_out = self._gate.generation
                self._log.warning("held_in_vain", why=why, held=self._held)
            raise Refused("holding a connection for the link", why) from None
        finally:
            self._held -= 1


def _add(total: Tally, tally: Tally) -> None:
    total.connections += tally.connections
    total.bytes_in = (total.bytes_in or 0) + (tally.bytes_in or 0)
    total.bytes_out = (total.bytes_out or 0) + (tally.bytes_out or 0)


def _refuse(client: socket.socket) -> None:
    """End a connection so that its client sees a reset, as if nobody had listened."""
    if client.fileno() >= 0:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()


def _why(want: Wanted, error: OSError, who: str | None) -> str:
    """Why a place can't be listened on, and what to do."""
    place = want.place
    if error.errno == errno.EADDRINUSE:
        other = place.port + 1 if place.port < 65535 else place.port - 1
        return (
            f"{place} is taken by {who or 'another program'}: end it, or have another port, "
            f"such as --remap {want.target.port}={other}"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{place} needs rights that Mooring does not have: use --remap "
            f"{want.target.port}={place.port + 8000}, or allow it with "
            f"sysctl net.ipv4.ip_unprivileged_port_start={place.port}"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{place.ip} is not an address of this machine: see --bind"
    return f"{place} can't be listened on: {why_os(error)}"
