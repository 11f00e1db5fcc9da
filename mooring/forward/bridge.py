"""Joins an accepted connection with an SSH channel: bytes both ways, never more than a bound kept.

A side that does not read stops the other, half-closes pass, and a link that dies resets the client.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import Callable

import asyncssh
from asyncssh.channel import SSHChannel
from asyncssh.constants import MSG_CHANNEL_WINDOW_ADJUST
from asyncssh.packet import UInt32

from mooring.core.errors import why_os
from mooring.forward.transport import Lost, Refused, Tally

FIRST_WINDOW = 512 * 1024
"""Bytes that a remote side may send unasked at first, and so what a stalled client costs."""
WINDOW = 32 * 1024 * 1024
"""What the window grows to while its client keeps up; 32 MiB fill 640 MiB/s at 50 ms."""
BUDGET = 64 * 1024 * 1024
"""Bytes of window that all connections of a link together may have beyond their first."""
_KEEPS_UP = 0.5
"""Seconds in which a client must have read half a window for it to be doubled."""
_UNSENT = 128 * 1024
"""Bytes that may wait in the kernel for a client: those it has read say whether it keeps up."""


def own_window(channel: SSHChannel[bytes]) -> None:
    """Grant this channel's window by ``grant`` alone.

    asyncssh grants a whole one as soon as it has delivered the first of what waits: a reader that
    is slow would pile up one upon another.
    """
    channel._init_recv_window = 0


def grant(channel: SSHChannel[bytes], size: int) -> None:
    """Let the remote side send so many bytes more."""
    channel._recv_window += size
    channel.send_packet(MSG_CHANNEL_WINDOW_ADJUST, UInt32(size))


def keep_short(connection: socket.socket, unsent: int) -> None:
    """Let no more than ``unsent`` bytes wait in the kernel: they would hide who does not read."""
    tcp = connection.family in (socket.AF_INET, socket.AF_INET6)
    if tcp and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, unsent)


class Shared:
    """What the connections of one link share: its socket, and the windows that they may grow to.

    They stop reading from their clients while the link's own socket is full, so that what is
    sent next (a sign of life, a question to Docker) does not wait behind megabytes.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.budget = budget
        self.bridges: set[Bridge] = set()
        self.full = False

    def pause_writing(self) -> None:
        self.full = True
        for bridge in self.bridges:
            bridge.steer()

    def resume_writing(self) -> None:
        self.full = False
        for bridge in self.bridges:
            bridge.steer()


class Bridge:
    """One connection. Made around an open channel: ``far`` is its session.

    ``dead`` tells why the link is gone, or is empty while it lives.
    """

    def __init__(
        self, client: socket.socket, tally: Tally, shared: Shared, dead: Callable[[], str]
    ) -> None:
        self.far = _Far(self)
        self.tally = tally
        self.channel: asyncssh.SSHTCPChannel[bytes] | None = None
        self._near = _Near(self)
        self._shared = shared
        self._dead = dead
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._untouched = True
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._channel_full = False
        self._paused = False
        self._near_ended = False
        self._near_gone = False
        self._unanswered = True
        """Whether nothing has come from the remote side yet."""
        self._far_ended = False
        self._far_gone = False
        self._extra = 0
        self._window = FIRST_WINDOW
        self._taken = 0
        # The first that is taken may only have gone into the kernel's buffers.
        self._granted = -math.inf

    async def join(self) -> None:
        """Carry until both sides are done. Raises ``Lost`` if the link dies before any byte.

        The client is closed, unless it raises.
        """
        try:
            await self._attach()
            await self._done
        except asyncio.CancelledError:
            self._reset()
            raise
        except OSError as error:
            raise Refused("taking a connection over", why_os(error)) from error
        finally:
            self._shared.bridges.discard(self)
            self._shared.budget += self._extra
            self._extra = 0
            if self.channel is not None:
                self.channel.abort()
            if self._transport is not None:
                self._transport.abort()
        if self._untouched and (why := self._dead()):
            raise Lost("carrying a connection", why)
        self._client.close()

    async def _attach(self) -> None:
        # A copy goes to asyncio, so that the socket outlives it while nothing was carried.
        copy = self._client.dup()
        try:
            copy.setblocking(False)
            keep_short(copy, _UNSENT)
            self._transport, _ = await self._loop.connect_accepted_socket(lambda: self._near, copy)
        except BaseException:
            copy.close()
            raise
        # Told of every byte that waits for the client's socket, and when none does any more.
        self._transport.set_write_buffer_limits(high=0)
        self._shared.bridges.add(self)
        self.steer()
        # The remote side may have been quicker.
        if not self._untouched:
            self._client.close()
        if self._far_gone:
            self.far_lost()
        elif self._far_ended:
            self._end_near()
        elif self.channel is not None:
            self.channel.resume_reading()

    # --- what happens on the client's side

    def near_data(self, data: bytes) -> None:
        self._carried()
        if self.channel is None or self.channel.is_closing():
            return
        self.tally.bytes_out = (self.tally.bytes_out or 0) + len(data)
        self.channel.write(data)

    def near_eof(self) -> None:
        self._near_ended = True
        if self.channel is not None and not self._far_gone:
            self.channel.write_eof()

    def near_lost(self, error: Exception | None) -> None:
        self._near_ended = self._near_gone = True
        if self.channel is not None and not self._far_gone:
            if error is None:
                self.channel.close()
            else:
                self.channel.abort()
        self._finish()

    def near_full(self, full: bool) -> None:
        if self.channel is None or self._far_gone:
            return
        if full:
            self.channel.pause_reading()
        else:
            self.channel.resume_reading()
            if self._far_ended:
                self._end_near()

    # --- what happens on the remote side

    def far_data(self, data: bytes) -> None:
        self._carried()
        if self._transport is None or self._near_gone:
            return
        size = len(data)
        self._unanswered = False
        self.tally.bytes_in = (self.tally.bytes_in or 0) + size
        self._transport.write(data)
        self._taken += size
        if self._taken >= self._window // 2:
            self._grant()

    def far_eof(self) -> None:
        self._carried()
        self._ended_empty()
        self._far_ended = True
        self._end_near()

    def far_lost(self) -> None:
        self._far_gone = True
        if self._transport is not None and not self._near_gone:
            if not self._dead():
                self._ended_empty()
                self._transport.close()
                return
            if not self._untouched:
                self._reset()
            self._transport.abort()
        self._finish()

    def _ended_empty(self) -> None:
        """The remote side ends the connection: was it the first to, and had nothing come?"""
        if self._unanswered and not self._near_ended:
            self.tally.empty += 1
        self._unanswered = False

    def far_full(self, full: bool) -> None:
        self._channel_full = full
        self.steer()

    # --- both

    def steer(self) -> None:
        """Read from the client only while the channel and the link have room."""
        pause = self._channel_full or self._shared.full
        if self._transport is None or self._near_gone or pause == self._paused:
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _grant(self) -> None:
        """Let the remote side send as much again as the client has taken, and more if it keeps up.

        A window is doubled when half of it was read in good time; that of a connection that
        nobody reads from stays as it is.
        """
        if self.channel is None or self.channel.is_closing():
            return
        now = self._loop.time()
        more = min(self._window, WINDOW - self._window, self._shared.budget)
        if now - self._granted > _KEEPS_UP:
            more = 0
        self._shared.budget -= more
        self._extra += more
        self._window += more
        self._granted = now
        size, self._taken = self._taken + more, 0
        grant(self.channel, size)

    def _end_near(self) -> None:
        """Pass the end of the remote side's data on, once the client has been sent all of it.

        Not by asyncio's ``write_eof``, which leaves the loop an error when the client has gone.
        """
        if self._transport is None or self._near_gone or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() == 0:
            try:
                self._transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
            except OSError:
                self._transport.abort()

    def _carried(self) -> None:
        """Something was: from now on the client belongs to this link."""
        if self._untouched:
            self._untouched = False
            if self._transport is not None:
                self._client.close()

    def _reset(self) -> None:
        """Let the client see that its connection broke: the end of data would look like all."""
        if self._transport is not None and not self._near_gone:
            own = self._transport.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _finish(self) -> None:
        if self._near_gone and self._far_gone and not self._done.done():
            self._done.set_result(None)


class _Near(asyncio.Protocol):
    """The client's connection."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def data_received(self, data: bytes) -> None:
        self._bridge.near_data(data)

    def eof_received(self) -> bool:
        self._bridge.near_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._bridge.near_lost(exc)

    def pause_writing(self) -> None:
        self._bridge.near_full(True)

    def resume_writing(self) -> None:
        self._bridge.near_full(False)


class _Far(asyncssh.SSHTCPSession[bytes]):
    """The channel."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        # Nothing is delivered until the client's side is there to take it.
        chan.pause_reading()
        own_window(chan)
        self._bridge.channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self._bridge.far_data(data)

    def eof_received(self) -> bool:
        self._bridge.far_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        # asyncssh ends its channels before it says that the connection is gone; a moment later
        # it is known which of the two it was.
        asyncio.get_running_loop().call_soon(self._bridge.far_lost)

    def pause_writing(self) -> None:
        self._bridge.far_full(True)

    def resume_writing(self) -> None:
        self._bridge.far_full(False)
