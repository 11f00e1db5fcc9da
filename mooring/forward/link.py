"""One SSH connection by asyncssh, in this process: an address in, a ``Transport`` out."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

import asyncssh
import structlog
from asyncssh.channel import SSHChannel

from mooring.core.tasks import Tasks
from mooring.forward import blocked
from mooring.forward.address import Address
from mooring.forward.bridge import FIRST_WINDOW, Bridge, Shared, grant, keep_short, own_window
from mooring.forward.login import Guard, log_in, words
from mooring.forward.transport import (
    OPEN_WITHIN,
    OUTPUT,
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

log = structlog.get_logger(__name__)

_STREAM_BUFFER = 64 * 1024
_STREAM_WINDOW = 2 * 1024 * 1024
_UNSENT = 128 * 1024
"""Bytes that may wait in the kernel: more of them only make what comes after wait longer."""
_PACKET = 32 * 1024
_CLOSE_WITHIN = 1.0

_Channel = TypeVar("_Channel", bound=SSHChannel[bytes])


async def connect(address: Address, options: Options) -> Link:
    """Log in at a remote host. Raises ``Blocked`` and ``Lost``."""
    connection, guard = await log_in(address, options)
    log.debug(
        "ssh_connected",
        host=str(address),
        cipher=connection.get_extra_info("recv_cipher"),
        version=connection.get_extra_info("server_version"),
    )
    return Link(address, connection, guard)


class Link:
    """A ``Transport``."""

    def __init__(
        self, address: Address, connection: asyncssh.SSHClientConnection, guard: Guard
    ) -> None:
        self.address = address
        self._connection = connection
        self._guard = guard
        self._tasks = Tasks(f"ssh {address.host}")
        self._shared = Shared()
        self._closing = False
        own = connection.get_extra_info("socket")
        if own is not None:
            keep_short(own, _UNSENT)
        # asyncssh does nothing when its own socket is full; these are asyncio's names for it.
        connection.pause_writing = self._shared.pause_writing  # type: ignore[method-assign]
        connection.resume_writing = self._shared.resume_writing  # type: ignore[method-assign]

    @property
    def peer(self) -> Peer | None:
        return self._guard.peer

    async def run(self, command: str, *, deadline: float) -> Ran:
        session = _Capture()
        attempted = f"running {command[:60]!r} on {self.address}"
        try:
            async with asyncio.timeout(deadline):
                channel = await self._open(
                    attempted,
                    self._connection.create_session(
                        lambda: session,
                        command,
                        encoding=None,
                        request_pty=False,
                        x11_forwarding=False,
                    ),
                    deadline,
                )
                try:
                    channel.write_eof()
                    await session.ended.wait()
                finally:
                    channel.abort()
        except TimeoutError as error:
            raise Silent(attempted, f"no answer within {deadline:g} s") from error
        if self._guard.gone.is_set():
            raise blocked.lost(attempted, self._guard.why)
        return Ran(session.status, session.text(None), session.text(asyncssh.EXTENDED_DATA_STDERR))

    async def open_unix(self, path: str) -> Stream:
        ends = _Ends(self._why_dead)
        opening = self._connection.create_unix_connection(
            lambda: ends, path, encoding=None, window=_STREAM_WINDOW
        )
        await self._open(f"connecting to {path} on {self.address}", opening, OPEN_WITHIN)
        return ends.reader, ends

    async def open_process(self, command: str) -> Stream:
        ends = _Ends(self._why_dead)
        opening = self._connection.create_session(
            lambda: ends,
            command,
            encoding=None,
            window=_STREAM_WINDOW,
            request_pty=False,
            x11_forwarding=False,
        )
        await self._open(f"starting {command[:60]!r} on {self.address}", opening, OPEN_WITHIN)
        return ends.reader, ends

    async def carry(self, client: socket.socket, target: Target, tally: Tally) -> None:
        bridge = Bridge(client, tally, self._shared, self._why_dead)
        opening = self._connection.create_connection(
            lambda: bridge.far,
            target.host,
            target.port,
            encoding=None,
            window=FIRST_WINDOW,
            max_pktsize=_PACKET,
        )
        attempted = f"connecting to {target.host}:{target.port} on {self.address}"
        await self._open(attempted, opening, OPEN_WITHIN)
        await bridge.join()

    async def lost(self) -> Lost:
        await self._guard.gone.wait()
        return blocked.lost("keeping the link", self._guard.why)

    async def close(self) -> None:
        self._closing = True
        self._connection.close()
        await self._tasks.end()
        try:
            async with asyncio.timeout(_CLOSE_WITHIN):
                await self._connection.wait_closed()
        except TimeoutError:
            self._connection.abort()
        await self._guard.settle()

    def _why_dead(self) -> str:
        """Why the link is gone; empty while it is not."""
        if self._guard.gone.is_set():
            return self._guard.why
        return "it is being closed" if self._closing else ""

    async def _open(
        self,
        attempted: str,
        opening: Coroutine[Any, Any, tuple[_Channel, Any]],
        within: float,
    ) -> _Channel:
        """A channel. Raises ``Refused`` and ``Lost``; one that opens too late is closed again."""
        if why := self._why_dead():
            opening.close()
            raise blocked.lost(attempted, why)
        task = self._tasks.start("open", opening, awaited=True)
        try:
            done, _ = await asyncio.wait({task}, timeout=within)
        except asyncio.CancelledError:
            task.add_done_callback(_discard)
            raise
        if not done:
            task.add_done_callback(_discard)
            raise Silent(attempted, f"no answer within {within:g} s")
        try:
            channel, _ = task.result()
        except asyncssh.ChannelOpenError as error:
            # asyncssh refuses in the remote side's name when the connection is gone.
            why = self._why_dead()
            if why or error.reason == "SSH connection closed":
                raise blocked.lost(attempted, why or "the connection is gone") from error
            prohibited = error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
            why = f"the remote host refuses: {error.reason.lower()}"
            raise Refused(attempted, why, prohibited=prohibited) from error
        except (OSError, asyncssh.Error) as error:
            raise blocked.lost(attempted, self._why_dead() or words(error)) from error
        except asyncio.CancelledError as error:
            raise blocked.lost(attempted, self._why_dead() or "it is being closed") from error
        return channel


def _discard(task: asyncio.Task[tuple[Any, Any]]) -> None:
    """Nobody waits for this channel any more."""
    if task.cancelled() or task.exception() is not None:
        return
    channel, _ = task.result()
    channel.abort()


class _Capture(asyncssh.SSHClientSession[bytes]):
    """Keeps the beginning of what a command writes, and its exit status."""

    def __init__(self) -> None:
        self.status = 255
        self.ended = asyncio.Event()
        self._outputs: dict[asyncssh.DataType, bytearray] = {}

    def text(self, which: asyncssh.DataType) -> str:
        return self._outputs.get(which, bytearray()).decode(errors="replace")

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        kept = self._outputs.setdefault(datatype, bytearray())
        kept += data[: OUTPUT - len(kept)]

    def exit_status_received(self, status: int) -> None:
        self.status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self.status = _as_in_a_shell(signal)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


def _as_in_a_shell(name: str) -> int:
    number = getattr(signal, f"SIG{name}", None)
    return 128 + number if isinstance(number, int) else 255


class _Ends(asyncssh.SSHClientSession[bytes], asyncssh.SSHUNIXSession[bytes]):
    """Both ends of a stream: what comes goes to ``reader``; itself it is the writer."""

    def __init__(self, why_dead: Any) -> None:
        self.reader = asyncio.StreamReader(limit=_STREAM_BUFFER)
        self._why_dead = why_dead
        self._channel: SSHChannel[bytes] | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._gone = False
        self._taken = 0

    # What asyncssh calls

    def connection_made(self, chan: SSHChannel[bytes]) -> None:
        self._channel = chan
        own_window(chan)
        # It has the two methods that the reader needs to stop what comes, and no other is called.
        self.reader.set_transport(cast("asyncio.BaseTransport", chan))

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype is None:
            self.reader.feed_data(data)
        else:
            log.debug("remote_said", line=data[:500].decode(errors="replace").strip())
        self._taken += len(data)
        if self._taken >= _STREAM_WINDOW // 2 and self._channel and not self._channel.is_closing():
            grant(self._channel, self._taken)
            self._taken = 0

    def eof_received(self) -> bool:
        self.reader.feed_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._room.set()
        if exc is None:
            self.reader.feed_eof()
        else:
            self.reader.set_exception(ConnectionResetError(words(exc)))

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    # The writer

    def write(self, data: bytes, /) -> None:
        if self._channel is not None and not self._gone:
            self._channel.write(data)

    async def drain(self) -> None:
        await self._room.wait()
        if self._gone:
            raise ConnectionResetError(self._why_dead() or "the remote side has closed it")

    def write_eof(self) -> None:
        if self._channel is not None and not self._gone:
            self._channel.write_eof()

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
