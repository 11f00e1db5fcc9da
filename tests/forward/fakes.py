"""A remote host without SSH: a link with memory, a Docker engine, and programs that listen.

Only the far edge is made up: sockets, streams and HTTP are real, on loopback and Unix sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mooring.forward.address import Address
from mooring.forward.transport import (
    Blocked,
    Lost,
    Options,
    Peer,
    Ran,
    Refused,
    Silent,
    Stream,
    Tally,
)
from mooring.model.forward import Target

SOCKET = "/var/run/docker.sock"


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.asynccontextmanager
async def program(name: str) -> AsyncIterator[int]:
    """A program that says its name to whoever connects, then answers what it hears.

    At the end of what it hears it says "bye" and closes. Yields its port.
    """

    open_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        with contextlib.suppress(OSError):
            writer.write(f"{name}\n".encode())
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write(b"bye")
        writer.close()
        open_now.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await _abort(open_now)


class Host:
    """A remote host as its links see it: Docker's socket, and what listens there.

    ``programs`` maps the host's ports to real ones here. What happens to it lasts over links.
    """

    def __init__(self, docker: Path | None = None) -> None:
        self.docker = docker
        self.programs: dict[int, int] = {}
        self.links: list[Link] = []
        self.refuses: Exception | None = None
        """What connecting raises."""
        self.peer: Peer | None = None
        self.denies = False
        """The user may not use Docker's socket."""
        self.path = f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"
        """Where its programs are."""

    async def connect(self, address: Address, options: Options) -> Link:
        await asyncio.sleep(0)
        if self.refuses:
            raise self.refuses
        link = Link(self)
        self.links.append(link)
        return link

    @property
    def link(self) -> Link:
        return self.links[-1]

    def unreachable(self) -> None:
        self.refuses = Lost("connecting", "no route to host")

    def locked(self) -> None:
        self.refuses = Blocked("logging in", "the key was denied", "ssh-add")


class Link:
    """One connection to a host; a ``Transport``. It remembers what went over it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.ran: list[str] = []
        self.carried: list[Target] = []
        self.closed = False
        self.frozen = asyncio.Event()
        """Set: nothing comes through any more, and nobody says so."""
        self.peer: Peer | None = host.peer
        self._why = ""
        self._dead = False
        self._gone = asyncio.Event()
        self._streams: list[asyncio.StreamWriter] = []
        self._processes: list[asyncio.subprocess.Process] = []

    def kill(self, why: str = "reset by peer", *, told: bool = True) -> None:
        """The connection breaks; whoever waits for that is told, or not yet."""
        self._why = why
        self._dead = True
        if told:
            self._gone.set()
        for writer in self._streams:
            writer.transport.abort()

    async def _alive(self) -> None:
        if self.frozen.is_set():
            await asyncio.sleep(60)
        if self._dead:
            raise Lost("using the link", self._why)

    async def run(self, command: str, *, deadline: float) -> Ran:
        self.ran.append(command)
        try:
            async with asyncio.timeout(deadline):
                await self._alive()
        except TimeoutError:
            raise Silent("running a command", f"no answer within {deadline:g} s") from None
        if "mooring:" in command:
            here = f"mooring:here={SOCKET}\n" if self.host.docker else ""
            shut = f"mooring:shut={SOCKET}\n" if self.host.denies else ""
            return Ran(0, f"mooring:user=deploy\nmooring:host=build\n{shut or here}", "")
        return Ran(0, "", "")

    async def open_unix(self, path: str) -> Stream:
        await self._alive()
        if self.host.docker is None or path != SOCKET:
            raise Refused(f"opening {path}", "no such file or directory")
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.host.docker))
        except OSError as error:
            raise Refused(f"opening {path}", str(error)) from error
        self._streams.append(writer)
        return reader, writer

    async def open_process(self, command: str) -> Stream:
        """Runs it here, in a shell, as the remote side would."""
        await self._alive()
        self.ran.append(command)
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                command,
                stdin=theirs,
                stdout=theirs,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PATH": self.host.path},
            )
        self._processes.append(process)
        reader, writer = await asyncio.open_connection(sock=ours)
        self._streams.append(writer)
        return reader, writer

    async def carry(self, client: socket.socket, target: Target, tally: Tally) -> None:
        await self._alive()
        self.carried.append(target)
        port = self.host.programs.get(target.port)
        if port is None:
            raise Refused(f"connecting to {target}", "connection refused")
        there_reader, there = await asyncio.open_connection("127.0.0.1", port)
        here_reader, here = await asyncio.open_connection(sock=client)
        self._streams += [there, here]

        ended: list[asyncio.StreamReader] = []

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
            total = 0
            with contextlib.suppress(OSError):
                while data := await reader.read(65536):
                    total += len(data)
                    writer.write(data)
                    await writer.drain()
                ended.append(reader)
                writer.write_eof()
            return total

        try:
            came, went = await asyncio.gather(pump(there_reader, here), pump(here_reader, there))
            tally.empty += int(not came and ended[0] is there_reader)
            tally.bytes_in = (tally.bytes_in or 0) + came
            tally.bytes_out = (tally.bytes_out or 0) + went
        finally:
            here.close()
            there.close()

    async def lost(self) -> Lost:
        await self._gone.wait()
        return Lost("keeping the link", self._why)

    async def close(self) -> None:
        self.closed = True
        for writer in self._streams:
            writer.close()
        for process in self._processes:
            await process.wait()


# --- a Docker engine


@dataclass
class Running:
    id: str
    name: str
    ports: list[dict[str, Any]]
    state: str = "running"
    labels: dict[str, str] = field(default_factory=dict)
    created: float = 1_700_000_000.0


class Engine:
    """A Docker engine of which containers can be started and stopped, and which can misbehave."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.containers: dict[str, Running] = {}
        self.hangs = False
        """It accepts and does not answer, as a stopped daemon does."""
        self.mute = False
        """Events are lost."""
        self.forbids = ""
        """A part of paths that are answered with 403, as by a proxy before the socket."""
        self.listed = 0
        self.streams = 0
        self.asked_since: list[str | None] = []
        self._events: list[tuple[int, bytes]] = []
        self._news = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None

    async def up(self) -> None:
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def down(self) -> None:
        """The daemon ends: streams end without their final chunk."""
        assert self._server
        self._server.close()
        await _abort(self._writers)
        self.path.unlink(missing_ok=True)

    async def hang_up(self) -> None:
        """Every stream ends, and the daemon goes on."""
        await _abort(self._writers)

    def start(self, name: str, *ports: int | dict[str, Any], **more: Any) -> Running:
        """Start a container that publishes these ports (or says this of them itself)."""
        made = Running(f"{next(self._numbers):064x}", name, _published(ports), **more)
        self.containers[name] = made
        self._tell("start", made)
        return made

    def stop(self, name: str) -> None:
        gone = self.containers.pop(name)
        self._tell("die", gone)

    def rename(self, name: str, new: str) -> None:
        renamed = self.containers.pop(name)
        renamed.name = new
        self.containers[new] = renamed
        self._tell("rename", renamed)

    def connect(self, name: str, *ports: int) -> None:
        """Connect a container to a network, by which it publishes these ports from now on."""
        container = self.containers[name]
        container.ports = _published(ports)
        self._tell("connect", container, "network")

    def _tell(self, action: str, about: Running, kind: str = "container") -> None:
        if self.mute:
            return
        at = 1_700_000_000_000_000_000 + len(self._events)
        actor = {"ID": about.id, "Attributes": {"name": about.name}}
        event = {"Type": kind, "Action": action, "Actor": actor, "timeNano": at}
        self._events.append((at, json.dumps(event).encode() + b"\n"))
        self._news.set()
        self._news = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            if self.hangs:
                await reader.read()
                return
            await self._answer(request.split()[1], writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # The end of a test, too, which asyncio's server would shout about.
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        if self.forbids and self.forbids in path:
            self.listed += 1
            await _send(writer, b'{"message":"not for you"}', "403 Forbidden")
        elif path == "/_ping":
            await _send(writer, b"OK")
        elif path == "/version":
            await _send(writer, json.dumps({"Version": "20.10.24", "ApiVersion": "1.41"}).encode())
        elif path == "/v1.41/containers/json?all=1":
            self.listed += 1
            await _send(writer, json.dumps([_shown(c) for c in self.containers.values()]).encode())
        elif path.startswith("/v1.41/events"):
            since = path.partition("since=")[2] or None
            self.asked_since.append(since)
            await self._follow(writer, int(since.replace(".", "")) if since else None)
        else:
            await _send(writer, b'{"message":"page not found"}', "404 Not Found")

    async def _follow(self, writer: asyncio.StreamWriter, since: int | None) -> None:
        self.streams += 1
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        told = len(self._events)
        if since is not None:
            told = next((n for n, (at, _) in enumerate(self._events) if at >= since), told)
        while True:
            news = self._news
            for _, line in self._events[told:]:
                writer.write(b"%x\r\n%b\r\n" % (len(line), line))
            told = len(self._events)
            await writer.drain()
            await news.wait()


async def _abort(writers: set[asyncio.StreamWriter]) -> None:
    """End connections at once, and give those who serve them a moment to notice."""
    for writer in list(writers):
        writer.transport.abort()
    for _ in range(5):
        await asyncio.sleep(0)


def _published(ports: Iterable[int | dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"IP": "0.0.0.0", "PrivatePort": p, "PublicPort": p, "Type": "tcp"}
        if isinstance(p, int)
        else p
        for p in ports
    ]


def _shown(c: Running) -> dict[str, Any]:
    return {
        "Id": c.id,
        "Names": [f"/{c.name}"],
        "Image": "image",
        "Created": c.created,
        "State": c.state,
        "Ports": c.ports,
        "Labels": c.labels,
    }


async def _send(writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK") -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def until(true: Any, what: str = "", seconds: float = 15.0) -> None:
    """Wait until something is so; fails after ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what or true}") from None


async def hear(port: int, host: str = "127.0.0.1") -> str:
    """The name that the program behind a port says."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()
