"""A ProxyCommand of the user's: a command in, a socket that leads through it out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

_KEPT = 1000
_END_WITHIN = 1.0


class Proxy(asyncio.SubprocessProtocol):
    """The running command. What it says on standard error is kept.

    Not asyncssh's own, which takes the end of standard error for the end of the connection.
    """

    def __init__(self) -> None:
        self._process: asyncio.SubprocessTransport | None = None
        self._said = b""
        self._ended = asyncio.Event()

    @classmethod
    async def start(cls, command: str) -> tuple[Proxy, socket.socket]:
        """By a shell, and with a word before it, as ssh does it. Raises OSError."""
        shell = os.environ.get("SHELL") or "/bin/sh"
        ours, theirs = socket.socketpair()
        proxy = cls()
        try:
            ours.setblocking(False)
            await asyncio.get_running_loop().subprocess_exec(
                lambda: proxy,
                *(shell, "-c", f"exec {command}"),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return proxy, ours

    @property
    def said(self) -> str:
        """The last line of it."""
        lines = self._said.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._process = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._said = (self._said + data)[-_KEPT:]

    def process_exited(self) -> None:
        self._ended.set()

    async def end(self) -> None:
        if self._process is None:
            return
        self._process.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_WITHIN):
                await self._ended.wait()
