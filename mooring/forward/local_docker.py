"""The remote Docker at a local Unix socket: what comes is carried there, byte for byte.

It neither reads nor changes what passes, so upgraded (hijacked) connections and half-closes pass
as they are. While the link is down a client is held, as it is on every forwarded port.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path

import structlog

from mooring.core.errors import MooringError, why_os
from mooring.core.tasks import Tasks
from mooring.forward import doors
from mooring.forward.transport import Reader, Refused, Stream, Writer

log = structlog.get_logger(__name__)

MAX_CLIENTS = 256
"""Connections at once; one more is answered with an error that Docker's clients show."""
_PIECE = 64 * 1024
_REQUEST = 1.0
"""Seconds in which a client that is turned away must have said what it wants."""


def path_for(state_dir: Path, folder: Path) -> Path:
    """Where a host's socket is: in its own folder, unless that makes too long a path."""
    path = folder / "docker.sock"
    if len(os.fsencode(path)) <= doors.LONGEST:
        return path
    return state_dir / f"{sha256(folder.name.encode()).hexdigest()[:8]}.sock"


class LocalDocker:
    """One remote Docker's socket here. ``docker`` opens a stream to it, or raises ``Refused``."""

    def __init__(self, path: Path, docker: Callable[[], Awaitable[Stream]]) -> None:
        self.path = path
        self._docker = docker
        self._clients = 0

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    async def run(self) -> None:
        """Serve until cancelled. Raises ``MooringError`` when it can't listen."""
        listening = doors.listen(self.path)
        try:
            async with Tasks("docker socket") as tasks:
                async for client in doors.clients(listening):
                    tasks.start("client", self._serve(client))
        finally:
            doors.leave(self.path, listening)

    async def _serve(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=client, limit=_PIECE)
        self._clients += 1
        try:
            if self._clients > MAX_CLIENTS:
                raise Refused("reaching Docker", f"{MAX_CLIENTS} connections are open already")
            there = await self._docker()
        except MooringError as error:
            await _turn_away(reader, writer, str(error))
        else:
            await _join((reader, writer), there)
        finally:
            self._clients -= 1
            writer.close()


async def _join(here: tuple[asyncio.StreamReader, asyncio.StreamWriter], there: Stream) -> None:
    """Carry both ways until both are done; when one breaks, so does the other."""
    try:
        async with Tasks("docker stream") as tasks:
            ways = [
                tasks.start("up", _pump(here[0], there[1]), awaited=True),
                tasks.start("down", _pump(there[0], here[1]), awaited=True),
            ]
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
            for way in done:
                if error := way.exception():
                    log.debug("docker_stream_broke", why=str(error))
                    here[1].transport.abort()
    finally:
        there[1].close()


async def _pump(reader: Reader, writer: Writer) -> None:
    while data := await reader.read(_PIECE):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def _turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, why: str) -> None:
    """Say why, as the engine would: Docker's clients show its message."""
    body = json.dumps({"message": f"mooring: {why}"}).encode()
    head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
    try:
        async with asyncio.timeout(_REQUEST):
            await reader.readuntil(b"\r\n\r\n")
    except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        log.debug("docker_client_said_nothing")
    except OSError as error:
        log.debug("docker_client_gone", why=why_os(error))
        return
    length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write((head + length).encode() + body)
    try:
        await writer.drain()
    except OSError as error:
        log.debug("docker_client_gone", why=why_os(error))
