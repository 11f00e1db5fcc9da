"""A container engine's API: one GET in, parsed nouns or one kind of error out; never changes it.

Every call has its deadline as a whole, and every answer its bound. How to connect is a parameter,
so an engine behind another kind of stream is asked in the same way.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket as sockets
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar
from urllib.parse import urlsplit

import h11

from mooring.core import docker_json
from mooring.core.docker_events import Reader, Writer
from mooring.core.docker_inspect import Inspected, inspected
from mooring.core.docker_json import Listed, Version
from mooring.core.errors import MooringError, why_os
from mooring.model.container import Container, EngineNetwork, EngineState

DEADLINE = 5.0
"""Seconds that one call may take, from before connecting to the last byte."""
MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of one answer, headers and all. A thousand containers are 2 to 5 MB."""
MAX_HEADER = 64 * 1024
PORT = 2375
"""Docker's registered port without TLS."""

_PIECE = 8 * 1024
_MAX_CHUNKS = 20_000
"""Of one answer; engines send kilobytes in each, and every one costs some 10 µs."""
_BACKLOG_RETRY = 0.05
_PARSE_APART = 256 * 1024
"""Bytes from which on an answer is parsed in a thread, so that the event loop is not held."""

Stream: TypeAlias = tuple[Reader, Writer]
SocketStream: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect: TypeAlias = Callable[[], Awaitable[Stream]]

Parsed = TypeVar("Parsed")

_REMEDIES = {
    EngineState.ABSENT: "install or start the engine, or name its socket in DOCKER_HOST",
    EngineState.REFUSED: "start it, such as with: systemctl start docker (or podman.socket)",
    EngineState.DENIED: "add the user that runs Mooring to the group of the socket, such as with: "
    "usermod -aG docker USER, and start Mooring anew; or run it as root",
    EngineState.TIMED_OUT: "the engine is stopped or stuck: see whether `docker ps` answers, and "
    "journalctl -u docker; it is asked again by itself",
    EngineState.BROKEN: "see whether a Docker or Podman engine listens there",
}


class EngineError(MooringError):
    """An engine that could not be asked, with the state that tells the remedy.

    ``expected`` is what should have come of ``attempted``; ``why`` what came instead.
    """

    def __init__(
        self,
        socket: str,
        state: EngineState,
        attempted: str,
        why: str,
        *,
        expected: str = "an answer",
        remedy: str = "",
    ) -> None:
        super().__init__(attempted, f"expected {expected}, but {why}", remedy or _REMEDIES[state])
        self.socket = socket
        self.state = state
        self.expected = expected


class Client:
    """One engine. ``version`` comes first: it finds which API the others are asked by.

    Every call connects anew (0.1 ms on a Unix socket), so calls may run side by side, and one
    that hangs holds up no other. All raise ``EngineError``.
    """

    def __init__(
        self, socket: str, connect: Connect | None = None, *, deadline: float = DEADLINE
    ) -> None:
        """``socket`` is ``unix:///path`` or ``tcp://host:port``; with ``connect`` only a name."""
        self.socket = socket
        self.deadline = deadline
        self._connect = connect or connector(socket)
        self._version: Version | None = None

    async def version(self) -> Version:
        """What the engine is; asked without a version, which every engine understands."""
        self._version = await self._read("/version", docker_json.version)
        return self._version

    async def known(self) -> Version:
        """What the engine is, asked for if nobody has yet."""
        return self._version or await self.version()

    async def containers(self) -> Listed[Container]:
        """All containers, also those that do not run, and what made no sense."""
        return await self._read(await self._path("/containers/json?all=1"), docker_json.containers)

    async def networks(self) -> Listed[EngineNetwork]:
        """All networks, and what made no sense."""
        path = await self._path("/networks")
        kind = (await self.known()).kind
        return await self._read(path, lambda answer: docker_json.networks(answer, kind))

    async def inspect(self, container: str) -> Inspected:
        """What one container's own answer has, and a list sometimes not."""
        path = await self._path(f"/containers/{container}/json")
        return await self._read(path, inspected)

    async def _path(self, path: str) -> str:
        version = await self.known()
        return f"/v{version.spoken}{path}"

    async def _read(self, path: str, parse: Callable[[bytes], Parsed]) -> Parsed:
        answer = await self.get(path)
        try:
            if len(answer) < _PARSE_APART:
                return parse(answer)
            return await asyncio.to_thread(parse, answer)
        except docker_json.WrongShape as error:
            raise self._broken(path, error.expected, f"got {error.got}") from error

    async def get(self, path: str) -> bytes:
        """The body of the answer to one GET, if its status is 200."""
        connected = False
        try:
            async with asyncio.timeout(self.deadline):
                reader, writer = await self._connect()
                connected = True
                try:
                    status, answer = await _exchange(reader, writer, path)
                finally:
                    writer.close()
        except TimeoutError as error:
            raise self._timed_out(path, connected) from error
        except h11.RemoteProtocolError as error:
            raise self._broken(path, "an answer in HTTP", f"got what is not ({error})") from error
        except _EndlessError as error:
            raise self._broken(path, f"an answer of at most {error}", "got more") from error
        except OSError as error:
            raise self._failed(path, connected, error) from error
        if status != 200:
            said = docker_json.message(answer)
            why = f"got HTTP {status}" + (f": {said}" if said else "")
            raise self._broken(path, "HTTP 200", why, _remedy(status, said))
        return answer

    def _broken(self, path: str, expected: str, why: str, remedy: str = "") -> EngineError:
        return EngineError(
            self.socket,
            EngineState.BROKEN,
            f"asking {self.socket} for {path}",
            why,
            expected=expected,
            remedy=remedy,
        )

    def _timed_out(self, path: str, connected: bool) -> EngineError:
        did = "it accepted the connection" if connected else "it did not accept the connection"
        return EngineError(
            self.socket,
            EngineState.TIMED_OUT,
            f"asking {self.socket} for {path}",
            f"{did} and {'' if connected else 'so '}did not give one",
            expected=f"an answer within {self.deadline:g} s",
        )

    def _failed(self, path: str, connected: bool, error: OSError) -> EngineError:
        if connected:
            return self._broken(path, "an answer", f"the connection broke: {_why(error)}")
        return EngineError(
            self.socket,
            _state_of(error),
            f"connecting to {self.socket}",
            f"got: {_why(error)}",
            expected="a connection",
        )


def _remedy(status: int, said: str) -> str:
    if status == 403:
        return "let what guards the socket allow GET of /version, /containers and /networks"
    if "HTTPS" in said:
        return "an engine that speaks only TLS can't be asked: name a Unix socket in DOCKER_HOST"
    return ""


_STATES = {
    errno.ENOENT: EngineState.ABSENT,
    errno.ENOTDIR: EngineState.ABSENT,
    errno.EHOSTUNREACH: EngineState.ABSENT,
    errno.ENETUNREACH: EngineState.ABSENT,
    errno.ECONNREFUSED: EngineState.REFUSED,
    errno.EACCES: EngineState.DENIED,
    errno.EPERM: EngineState.DENIED,
}


def _why(error: OSError) -> str:
    """The system's own words; asyncio and the resolver put numbers and addresses into theirs."""
    known = error.errno is not None and error.errno in errno.errorcode
    return os.strerror(error.errno).lower() if known and error.errno else why_os(error)


def _state_of(error: OSError) -> EngineState:
    """How a failed connection is told. A regular file refuses just as a socket of the dead."""
    if isinstance(error, sockets.gaierror):
        return EngineState.ABSENT
    return _STATES.get(error.errno or 0, EngineState.BROKEN)


# --- connecting


def connector(socket: str) -> Connect:
    """How to connect to ``unix:///path`` or ``tcp://host[:port]``. Raises ``EngineError``."""
    try:
        parts = urlsplit(socket)
        host, port, path = parts.hostname, parts.port, socket.removeprefix("unix://")
    except ValueError as error:
        raise _not_understood(socket, str(error)) from error
    if parts.scheme == "unix" and path.startswith("/") and "\0" not in path:
        return lambda: unix(path)
    if parts.scheme in ("tcp", "http"):
        return lambda: tcp(host or "localhost", port or PORT)
    if parts.scheme == "ssh":
        raise _not_understood(
            socket,
            "an engine on another host",
            f"reach its ports with: mooring forward run {socket[:200]}",
        )
    raise _not_understood(socket, "something else")


def _not_understood(socket: str, why: str, remedy: str = "") -> EngineError:
    return EngineError(
        socket[:200],
        EngineState.BROKEN,
        f"reading the engine's address {socket[:200]!r}",
        f"got {why}",
        expected="unix:///PATH or tcp://HOST:PORT",
        remedy=remedy or "such as DOCKER_HOST=unix:///var/run/docker.sock",
    )


async def unix(path: str) -> SocketStream:
    """Connect to a Unix socket. Raises OSError.

    While its backlog is full the kernel says EAGAIN, which asyncio takes for a connection and
    which anyio waits for at full speed; here it is tried again until somebody's deadline.
    """
    if not hasattr(sockets, "AF_UNIX"):
        raise FileNotFoundError(errno.ENOENT, "no Unix sockets on this system", path)
    connection = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
    try:
        connection.setblocking(False)
        while True:
            try:
                connection.connect(path)
                break
            except BlockingIOError:
                await asyncio.sleep(_BACKLOG_RETRY)
        return await asyncio.open_unix_connection(sock=connection, limit=_PIECE)
    except BaseException:
        connection.close()
        raise


async def tcp(host: str, port: int) -> SocketStream:
    """Connect to the first address of the host that accepts. Raises OSError, the last one's."""
    loop = asyncio.get_running_loop()
    failure = OSError(errno.ENOENT, "the host has no address")
    try:
        found = await loop.getaddrinfo(host, port, type=sockets.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(errno.ENOENT, f"not a host's name: {error}") from error
    for *_, address in found:
        try:
            return await asyncio.open_connection(str(address[0]), port, limit=_PIECE)
        except OSError as error:
            failure = error
    raise failure


# --- HTTP


class _EndlessError(Exception):
    pass


async def _exchange(reader: Reader, writer: Writer, path: str) -> tuple[int, bytes]:
    """One GET on a fresh connection: the status and the body."""
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER)
    headers = [("Host", "localhost"), ("Accept", "application/json"), ("Connection", "close")]
    request = http.send(h11.Request(method="GET", target=path, headers=headers))
    writer.write((request or b"") + (http.send(h11.EndOfMessage()) or b""))
    await writer.drain()
    status, body, received, chunks = 0, bytearray(), 0, 0
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            # Data that is there already does not suspend: give way by hand, for an endless
            # answer must not keep the deadline from coming.
            await asyncio.sleep(0)
            data = await reader.read(_PIECE)
            received += len(data)
            if received > MAX_ANSWER:
                raise _EndlessError(f"{MAX_ANSWER} bytes")
            http.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            chunks += 1
            if chunks > _MAX_CHUNKS:
                raise _EndlessError(f"{_MAX_CHUNKS} chunks")
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return status, bytes(body)
