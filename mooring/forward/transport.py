"""What a link must be able to do, whichever SSH implementation carries it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from mooring.core.errors import MooringError
from mooring.forward.address import Address
from mooring.model.forward import Target

OPEN_WITHIN = 3.0
"""Seconds after which a channel that has not opened speaks for a link that hangs."""
OUTPUT = 64 * 1024
"""Bytes that are kept of each of a remote command's outputs."""


class Lost(MooringError):
    """The link failed or can't be made now; it is tried again."""


class Silent(Lost):
    """Nobody said that the link is gone, and nothing comes through it."""


class Blocked(MooringError):
    """The link can't be made until a person acts: authentication, host key, rights."""


class Refused(MooringError):
    """The link works, and the remote side refused this one channel.

    ``prohibited`` when its sshd forbids such channels at all (AllowTcpForwarding,
    AllowStreamLocalForwarding), else nobody listens there.
    """

    def __init__(
        self, attempted: str, why: str, remedy: str = "", *, prohibited: bool = False
    ) -> None:
        super().__init__(attempted, why, remedy)
        self.prohibited = prohibited


@dataclass(frozen=True, slots=True)
class Options:
    """How to connect. What is None is for ``~/.ssh/config`` and the defaults to say."""

    identity: Path | None = None
    known_hosts: Path | None = None
    connect_timeout: float = 10.0
    """Seconds for the connection and the log-in together."""
    keepalive: float = 15.0
    """Seconds between two signs of life; two may be missed."""
    config: Path | None = None
    """An ssh_config to read instead of the user's and the system's."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a remote command did. Outputs are cut at 64 KiB."""

    status: int
    stdout: str
    stderr: str


@dataclass(slots=True)
class Tally:
    """What one listener has carried. ``None`` bytes where the transport can't count."""

    connections: int = 0
    active: int = 0
    bytes_in: int | None = 0
    """From the remote host."""
    bytes_out: int | None = 0
    refused: int = 0
    empty: int = 0
    """Connections that the remote side ended first, and without a byte; where that is seen."""
    detail: str = ""
    """What the remote side said to the last connection that it refused."""


class Reader(Protocol):
    async def read(self, n: int = -1, /) -> bytes: ...


class Writer(Protocol):
    def write(self, data: bytes, /) -> None: ...
    async def drain(self) -> None: ...
    def write_eof(self) -> None: ...
    def close(self) -> None: ...


Stream: TypeAlias = tuple[Reader, Writer]
Peer: TypeAlias = tuple[str, int]
"""An IP address and a port."""


class Transport(Protocol):
    """One SSH connection.

    Every method but ``close`` raises ``Lost`` when it is gone, and ``Silent`` when nothing came
    back in time.
    """

    @property
    def peer(self) -> Peer | None:
        """Where its TCP connection leads: to the host, or to the first host that it jumps by.

        None when it is a command of the user's that connects.
        """
        ...

    async def run(self, command: str, *, deadline: float) -> Ran:
        """Run a command on the remote host. Also raises ``Refused``.

        One that does not end within ``deadline`` seconds is ``Silent``, and so is the link that
        it ran over, as far as one can tell.
        """
        ...

    async def open_unix(self, path: str) -> Stream:
        """A stream to a Unix socket of the remote host. Also raises ``Refused``.

        For a path that was reached before, the first read may be what finds out that it is
        refused: ConnectionRefusedError.
        """
        ...

    async def open_process(self, command: str) -> Stream:
        """A remote command's standard input and output as a stream. Also raises ``Refused``."""
        ...

    async def carry(self, client: socket.socket, target: Target, tally: Tally) -> None:
        """Join an accepted, non-blocking connection with ``target`` until both sides are done.

        Takes the socket over and closes it, except when it raises: ``Lost`` before anything was
        carried (so that the caller may hold the client and try the next link), ``Refused`` when
        the remote side refuses. Half-closes pass both ways; a side that does not read stops the
        other, with bounded memory. A link that dies in the middle resets the client. Of ``tally``
        only the bytes and ``empty`` are touched.
        """
        ...

    async def lost(self) -> Lost:
        """Wait until the connection is gone; answers why. Others may notice a moment earlier."""
        ...

    async def close(self) -> None: ...


Connect: TypeAlias = Callable[[Address, Options], Awaitable[Transport]]


@dataclass(slots=True)
class Gate:
    """Where a connection waits for a link: the one that is live, or the next one.

    ``generation`` grows with each link that is let through, and when one that was suspected turns
    out to be good: whoever waits for another tries it once more.
    """

    generation: int = 0
    _link: Transport | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def link(self) -> Transport | None:
        return self._link

    def open(self, link: Transport) -> None:
        self.generation += 1
        self._tell(link)

    def shut(self) -> None:
        self._tell(None)

    def _tell(self, link: Transport | None) -> None:
        self._link = link
        self._news.set()
        self._news = asyncio.Event()

    async def next(self, after: int = 0) -> tuple[Transport, int]:
        """The link that is live, if its generation is above ``after``; else waits for it."""
        while self._link is None or self.generation <= after:
            await self._news.wait()
        return self._link, self.generation
