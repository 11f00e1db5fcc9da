"""A guard before an engine's socket that lets GET pass and nothing else, as people put there.

``async with GetOnly(path, upstream) as guard``: it listens on a Unix socket at ``path``;
``guard.passed`` and ``guard.refused`` are the request lines that came.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self

_REFUSAL = b'{"message":"only GET may pass"}\n'
_HEAD = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"


class GetOnly:
    def __init__(self, path: Path, upstream: Path) -> None:
        self.path = path
        self.upstream = upstream
        self.passed: list[str] = []
        self.refused: list[str] = []
        self._listening: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._listening is not None
        self._listening.close()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of one connection, which is all that our client sends on it."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            line = head.split(b"\r\n", 1)[0].decode("latin-1")
            if line.startswith("GET "):
                self.passed.append(line)
                await self._pass(head, writer)
            else:
                self.refused.append(line)
                writer.write(_HEAD.format(len(_REFUSAL)).encode() + _REFUSAL)
                await writer.drain()
        writer.close()

    async def _pass(self, head: bytes, client: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_unix_connection(self.upstream)
        try:
            writer.write(head)
            while data := await reader.read(64 * 1024):
                client.write(data)
                await client.drain()
        finally:
            writer.close()
