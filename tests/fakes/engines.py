"""Container engines that misbehave: a Unix socket that hangs, answers garbage, trickles, floods.

``async with engine(Mode.HANG, path) as fake: …`` in a test, or in a process of its own:
``python -m tests.fakes.engines --mode hang --socket PATH``, which prints ``ready`` once a client
can connect and ends on SIGTERM. It remembers what was asked of it in ``fake.requests``.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from enum import StrEnum
from pathlib import Path

ANSWERS = Path(__file__).parents[1] / "data" / "docker"
RECORDED = ANSWERS / "engine-20.10"


class Mode(StrEnum):
    """What an engine does to whoever connects."""

    HEALTHY = "healthy"
    """Answers what was recorded."""
    HANG = "hang"
    """Accepts, reads and never answers, until the client goes."""
    HANG_LATER = "hang-later"
    """Answers /version, and nothing after it."""
    NEVER_ACCEPT = "never-accept"
    """Its backlog is full: connecting is EAGAIN for ever."""
    GARBAGE = "garbage"
    """Bytes that are not HTTP."""
    NOT_JSON = "not-json"
    """A web page."""
    WRONG_SHAPE = "wrong-shape"
    """JSON, but not an engine's."""
    ERROR = "error"
    """HTTP 500 with an engine's message."""
    TRICKLE = "trickle"
    """One byte in 0.2 s for ever: a limit on single reads would never strike."""
    ENDLESS = "endless"
    """A body without end, as fast as it is read."""
    TINY_CHUNKS = "tiny-chunks"
    """The same in chunks of one byte, the most work for the reader."""
    HUGE_HEADER = "huge-header"
    """A header without end."""
    CLOSE = "close"
    """Closes at once."""


MISBEHAVING = tuple(mode for mode in Mode if mode is not Mode.HEALTHY)

TRICKLE_S = 0.2


class FakeEngine:
    """A running one. ``mode`` may be changed: it counts for the next connection."""

    def __init__(self, mode: Mode, path: Path, answers: Path) -> None:
        self.mode = mode
        self.path = path
        self.answers = answers
        self.requests: list[str] = []
        """Every request line that came, such as ``GET /version HTTP/1.1``."""
        self.connections = 0
        """How many are open now."""

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self.mode is not Mode.CLOSE:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head.split(b"\r\n", 1)[0].decode("latin-1"))
                await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            # The client has had enough; that is what these engines are for.
            pass
        finally:
            self.connections -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = self.requests[-1].split(" ")[1]
        mode = self.mode
        if mode is Mode.HANG_LATER:
            mode = Mode.HEALTHY if path == "/version" else Mode.HANG
        if mode is Mode.HEALTHY:
            writer.write(self._recorded(path))
            await writer.drain()
        elif mode is Mode.HANG:
            await reader.read()
        else:
            await _MISBEHAVIOUR[mode](writer)

    def _recorded(self, path: str) -> bytes:
        name = re.sub(r"^/v\d+\.\d+|\?.*$|/json(?=\?|$)", "", path).strip("/")
        file = self.answers / f"{name}.json"
        if not file.is_file():
            return _http(b'{"message":"page not found"}\n', "404 Not Found")
        return _http(file.read_bytes())


def _http(body: bytes, status: str = "200 OK", kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _once(data: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return say


def _for_ever(
    start: bytes, more: bytes, wait: float = 0.0
) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(more)
            await writer.drain()
            await asyncio.sleep(wait)

    return say


_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_MISBEHAVIOUR: dict[Mode, Callable[[asyncio.StreamWriter], Awaitable[None]]] = {
    Mode.GARBAGE: _once(bytes(range(256)) * 16),
    Mode.NOT_JSON: _once(_http(b"<html>It works!</html>", kind="text/html")),
    Mode.WRONG_SHAPE: _once(_http(b'{"items": [1, 2, 3], "ApiVersion": {"a": null}}')),
    Mode.ERROR: _once(_http(b'{"message":"database is locked"}\n', "500 Internal Server Error")),
    Mode.TRICKLE: _for_ever(_OK + b"Content-Length: 100000\r\n\r\n[", b" ", TRICKLE_S),
    Mode.ENDLESS: _for_ever(_OK + b"\r\n[", b" " * 65536),
    Mode.TINY_CHUNKS: _for_ever(_CHUNKED, b"1\r\n \r\n" * 10_000),
    Mode.HUGE_HEADER: _for_ever(_OK + b"X-Noise: ", b"x" * 65536),
}


@asynccontextmanager
async def engine(mode: Mode, path: Path, answers: Path = RECORDED) -> AsyncIterator[FakeEngine]:
    """A fake engine at a path that is not there yet; gone, with its connections, at the end."""
    fake = FakeEngine(mode, path, answers)
    if mode is Mode.NEVER_ACCEPT:
        with _full(path):
            yield fake
        path.unlink()
        return
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await fake.serve(reader, writer)
        except asyncio.CancelledError:
            # The end of the fake; asyncio.streams would log a cancelled handler as a failure.
            writer.transport.abort()
        finally:
            serving.discard(task)

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield fake
    finally:
        server.close()
        for task in serving:
            task.cancel()
        if serving:
            await asyncio.wait(serving)
        path.unlink(missing_ok=True)


def _full(path: Path) -> ExitStack:
    """A listening socket whose backlog is full, with the clients that fill it; to be closed."""
    stack = ExitStack()
    server = stack.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(str(path))
    server.listen(0)
    while True:
        client = stack.enter_context(socket.socket(socket.AF_UNIX))
        client.setblocking(False)
        try:
            client.connect(str(path))
        except BlockingIOError:
            return stack


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.engines")
    parser.add_argument("--mode", type=Mode, choices=list(Mode), required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--answers", type=Path, default=RECORDED)
    options = parser.parse_args()
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    async with engine(options.mode, options.socket, options.answers):
        print("ready", flush=True)
        await end.wait()


if __name__ == "__main__":
    asyncio.run(_main())
