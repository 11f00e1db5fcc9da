"""A proxy before a real server that breaks what passes: errors, hangs, cuts, refusals, delays.

``async with Proxy(upstream_port) as proxy: proxy.fault = Fault.CUT``. HTTP/1.1 with
Content-Length on both sides, which is what an agent and a server speak; on loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from enum import StrEnum
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"


class Fault(StrEnum):
    """What is done to a request. Some strike before the server has seen it, some after."""

    NONE = "none"
    ERROR = "error"
    """500 at once; the server sees nothing."""
    ERROR_AFTER = "error-after"
    """The server does what it is asked, and the client is told 500."""
    HANG = "hang"
    """Taken and never answered; the server sees nothing."""
    HANG_AFTER = "hang-after"
    """The server does what it is asked, and the client never hears of it."""
    CUT = "cut"
    """The server does what it is asked, and the answer breaks off in the middle."""
    RESET = "reset"
    """The connection is reset at the request's end."""
    REFUSE = "refuse"
    """Nobody listens, and what was connected is cut."""
    SLOW = "slow"
    """A second's wait before the server sees it."""


BEFORE = frozenset({Fault.ERROR, Fault.HANG, Fault.RESET, Fault.REFUSE})
"""Faults of which the server hears nothing."""

_ERROR = b"HTTP/1.1 500 Oh\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nno!\n"


class Proxy:
    """``counts`` says how many requests met each fault."""

    def __init__(self, upstream: int, port: int = 0) -> None:
        self.upstream = upstream
        self.port = port
        self.counts: Counter[Fault] = Counter()
        self._fault = Fault.NONE
        self._listening: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._deafen()
        await self.cut()

    async def meet(self, fault: Fault) -> None:
        """From now on every request meets this fault; those that hang are let go."""
        self._fault = fault
        if fault is Fault.REFUSE:
            self._deafen()
            self.counts[fault] += len(self._serving)
            await self.cut()
        elif self._listening is None:
            await self._listen()

    async def cut(self) -> None:
        """Cut every connection, whatever passes on it."""
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        if serving:
            await asyncio.wait(serving)

    async def _listen(self) -> None:
        self._listening = await asyncio.start_server(self._serve, LOOPBACK, self.port)
        self.port = self._listening.sockets[0].getsockname()[1]

    def _deafen(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            # One of the two has gone; so does this connection, as a proxy's does.
            writer.transport.abort()
        except asyncio.CancelledError:
            # Cut; asyncio.streams would log a cancelled handler as a failure.
            writer.transport.abort()
        finally:
            self._serving.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection goes on."""
        request = await _message(reader)
        fault = self._fault
        self.counts[fault] += 1
        if fault is Fault.SLOW:
            await asyncio.sleep(1)
        if fault is Fault.HANG:
            await reader.read()
        if fault is Fault.ERROR:
            writer.write(_ERROR)
            await writer.drain()
            return True
        if fault in BEFORE:
            writer.transport.abort()
            return False
        answer = await self._forward(request, reader)
        if fault is Fault.HANG_AFTER:
            await reader.read()
            return False
        if fault is Fault.CUT:
            writer.write(answer[: len(answer) // 2])
            await writer.drain()
            return False
        writer.write(_ERROR if fault is Fault.ERROR_AFTER else answer)
        await writer.drain()
        return True

    async def _forward(self, request: bytes, client: asyncio.StreamReader) -> bytes:
        """The server's answer; given up, with the connection to it, when the client goes."""
        reader, writer = await asyncio.open_connection(LOOPBACK, self.upstream)
        try:
            writer.write(request)
            await writer.drain()
            async with asyncio.TaskGroup() as group:
                answer = group.create_task(_message(reader))
                leaves = group.create_task(client.read(1))
                await asyncio.wait((answer, leaves), return_when=asyncio.FIRST_COMPLETED)
                leaves.cancel()
                if not answer.done():
                    answer.cancel()
            if answer.cancelled():
                raise ConnectionAbortedError
            return answer.result()
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A request or an answer, whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head + await reader.readexactly(length)
