"""One SSH connection by an OpenSSH master: an address in, a ``Transport`` out.

For what only OpenSSH does: its known-hosts commands, hardware keys, vendors' wrappers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import structlog

from mooring.core.docker import unix
from mooring.core.errors import why_os
from mooring.forward import blocked, mux
from mooring.forward import master as masters
from mooring.forward.address import Address
from mooring.forward.master import Control, Master
from mooring.forward.mux import Answer, Kind, WrongAnswer
from mooring.forward.transport import (
    OPEN_WITHIN,
    OUTPUT,
    Lost,
    Options,
    Peer,
    Ran,
    Reader,
    Refused,
    Silent,
    Stream,
    Tally,
)
from mooring.model.forward import Target

log = structlog.get_logger(__name__)

_PIECE = 64 * 1024
_ALIVE_WITHIN = 1.0
_HANGS = "the ssh master does not answer"
_PROBE = 5.0


async def connect(address: Address, options: Options) -> OpenSsh:
    """Log in at a remote host. Raises ``Blocked`` and ``Lost``."""
    master = await masters.start(address, options)
    log.debug("ssh_connected", host=str(address), control=str(master.control))
    return OpenSsh(master)


class OpenSsh:
    """A ``Transport``."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._host = str(master.address)
        self._peer = blocked.reached(list(master.said))
        self._closing = False
        self._paths: dict[str, str] = {}
        self._reached: set[str] = set()

    @property
    def peer(self) -> Peer | None:
        return self._peer

    async def run(self, command: str, *, deadline: float) -> Ran:
        attempted = f"running {command[:60]!r} on {self._host}"
        try:
            async with asyncio.timeout(deadline):
                return await self._run(attempted, command, deadline)
        except TimeoutError as error:
            raise Silent(attempted, f"no answer within {deadline:g} s") from error

    async def _run(self, attempted: str, command: str, deadline: float) -> Ran:
        loop = asyncio.get_running_loop()

        async def collect(end: socket.socket) -> str:
            kept = bytearray()
            while data := await loop.sock_recv(end, _PIECE):
                kept += data[: OUTPUT - len(kept)]
            return kept.decode(errors="replace")

        with _pairs(2) as ((out, their_out), (err, their_err)), _nothing() as nothing:
            theirs = (nothing, their_out.fileno(), their_err.fileno())
            async with self._greeted(attempted) as control:
                await self._ask(attempted, control, mux.session(1, command), theirs, deadline)
                their_out.close()
                their_err.close()
                shown, said = await asyncio.gather(collect(out), collect(err))
                try:
                    answer = await control.read()
                except (OSError, WrongAnswer) as error:
                    await self._check(attempted)
                    raise Refused(attempted, "the remote host runs no commands") from error
        return Ran(answer.value & 0xFF, shown, said)

    async def open_process(self, command: str) -> Stream:
        attempted = f"starting {command[:60]!r} on {self._host}"
        with (
            contextlib.ExitStack() as kept,
            _pairs(2) as ((write, their_in), (read, their_out)),
            _nothing() as nothing,
        ):
            theirs = (their_in.fileno(), their_out.fileno(), nothing)
            control = await self._greet(attempted)
            kept.callback(control.close)
            await self._ask(attempted, control, mux.session(1, command), theirs, OPEN_WITHIN)
            reader, from_them = await asyncio.open_connection(sock=read.dup())
            kept.callback(from_them.close)
            _, to_them = await asyncio.open_connection(sock=write.dup())
            kept.pop_all()
        return reader, _Ends(to_them, from_them, control)

    async def open_unix(self, path: str) -> Stream:
        attempted = f"connecting to {path} on {self._host}"
        if path not in self._paths:
            local = str(self._master.folder / f"{len(self._paths)}.sock")
            request = mux.forward_path(1, local, path)
            async with self._greeted(attempted) as control:
                await self._ask(attempted, control, request, (), OPEN_WITHIN)
            self._paths[path] = local
        try:
            async with asyncio.timeout(OPEN_WITHIN):
                reader, writer = await unix(self._paths[path])
        except (OSError, TimeoutError) as error:
            await self._check(attempted)
            raise Lost(attempted, why_os(error)) from error
        if path not in self._reached:
            await self._reach(attempted, reader, writer)
            self._reached.add(path)
        return _Late(reader, self._master), writer

    async def _reach(
        self, attempted: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Find out whether a connection to the master's own socket went through. Once per path.

        The master accepts before it asks the remote side, and says nothing. A command is asked
        for after it; when that is answered, so was the connection.
        """
        try:
            with contextlib.suppress(Refused):
                await self.run("true", deadline=OPEN_WITHIN)
        except Lost:
            writer.close()
            raise
        if reader.at_eof():
            writer.close()
            raise self._refused(attempted)

    async def carry(self, client: socket.socket, target: Target, tally: Tally) -> None:
        """The master takes the client's socket over: its bytes never come by here.

        A remote side that ends its data ends the connection: OpenSSH forwards descriptors so.
        """
        attempted = f"connecting to {target.host}:{target.port} on {self._host}"
        async with self._greeted(attempted) as control:
            answer = await self._hand_over(attempted, control, client, target)
            if answer.kind in (Kind.FAILURE, Kind.DENIED):
                await self._check(attempted)
                raise self._refused(attempted, answer.reason)
            tally.bytes_in = tally.bytes_out = None
            whole = False
            try:
                await control.ended()
                whole = await _alive(self._master)
            finally:
                if not whole:
                    # It broke, which the end of data would hide.
                    linger = struct.pack("ii", 1, 0)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                client.close()

    async def _hand_over(
        self, attempted: str, control: Control, client: socket.socket, target: Target
    ) -> Answer:
        """Give the client's socket to the master, and hear whether the remote side has connected.

        A master that has not answered yet may do so at any time, and reads from the client then.
        So it is waited for as long as the link is good, and else ended before the client is
        given back.
        """
        request = mux.stdio_forward(1, target.host, target.port)
        theirs = (client.fileno(), client.fileno())
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OPEN_WITHIN):
                    return await control.ask(request, theirs)
            with contextlib.suppress(Refused):
                await self.run("true", deadline=_PROBE)
            return await control.read()
        except (Lost, OSError, WrongAnswer) as error:
            await self._master.end(blocked.NO_SIGN if isinstance(error, Silent) else "")
            raise await self._gone(attempted) from error

    async def lost(self) -> Lost:
        await self._master.gone.wait()
        return blocked.lost("keeping the link", self._master.why)

    async def close(self) -> None:
        self._closing = True
        await self._master.end()

    # --- asking the master

    @contextlib.asynccontextmanager
    async def _greeted(self, attempted: str) -> AsyncIterator[Control]:
        """A control connection. What is asked on it ends with it."""
        control = await self._greet(attempted)
        try:
            yield control
        finally:
            control.close()

    async def _greet(self, attempted: str) -> Control:
        if self._closing or self._master.gone.is_set():
            raise await self._gone(attempted)
        try:
            async with asyncio.timeout(OPEN_WITHIN):
                return await Control.open(self._master.control)
        except TimeoutError as error:
            raise Silent(attempted, _HANGS) from error
        except (OSError, WrongAnswer) as error:
            raise await self._gone(attempted) from error

    async def _ask(
        self, attempted: str, control: Control, request: bytes, theirs: Sequence[int], within: float
    ) -> None:
        """Ask, and have it granted. Raises ``Refused`` and ``Lost``."""
        try:
            async with asyncio.timeout(within):
                answer = await control.ask(request, theirs)
        except TimeoutError as error:
            raise Silent(attempted, f"no answer within {within:g} s") from error
        except (OSError, WrongAnswer) as error:
            raise await self._gone(attempted) from error
        if answer.kind in (Kind.FAILURE, Kind.DENIED):
            await self._check(attempted)
            raise self._refused(attempted, answer.reason)

    async def _gone(self, attempted: str) -> Lost:
        """Why the master is gone. Its socket is so a moment before it has said its last words."""
        if self._closing:
            return Lost(attempted, "it is being closed")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ALIVE_WITHIN):
                await self._master.gone.wait()
        return blocked.lost(attempted, self._master.why)

    async def _check(self, attempted: str) -> None:
        """Raises ``Lost`` unless the master lives: its end must not look like a refusal.

        What it said of a refusal is known then.
        """
        try:
            async with asyncio.timeout(_ALIVE_WITHIN):
                await self._master.alive()
        except TimeoutError as error:
            raise Silent(attempted, _HANGS) from error
        except (OSError, WrongAnswer) as error:
            raise await self._gone(attempted) from error
        await self._master.heard()

    def _refused(self, attempted: str, reason: str = "") -> Refused:
        said = _open_failed(self._master) or reason or "it does not say why"
        prohibited = "administratively prohibited" in said
        return Refused(attempted, f"the remote host refuses: {said}", prohibited=prohibited)


def _open_failed(master: Master) -> str:
    """What the master last said of a channel that the remote side refused."""
    for line in reversed(master.said):
        _, found, reason = line.partition("open failed: ")
        if found:
            return reason.lower()
    return ""


async def _alive(master: Master) -> bool:
    try:
        async with asyncio.timeout(_ALIVE_WITHIN):
            await master.alive()
    except (OSError, WrongAnswer, TimeoutError):
        return False
    return True


# --- descriptors


@contextlib.contextmanager
def _pairs(count: int) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Pairs of sockets, ours (non-blocking) and theirs."""
    with contextlib.ExitStack() as stack:
        pairs = []
        for _ in range(count):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            stack.enter_context(ours)
            stack.enter_context(theirs)
            pairs.append((ours, theirs))
        yield pairs


@contextlib.contextmanager
def _nothing() -> Iterator[int]:
    """Where nothing comes from and everything is lost in."""
    with Path(os.devnull).open("r+b", buffering=0) as file:
        yield file.fileno()


# --- streams


class _Ends:
    """The writer of a process's stream. Closing it ends the process's channel."""

    def __init__(
        self, to_them: asyncio.StreamWriter, from_them: asyncio.StreamWriter, control: Control
    ) -> None:
        self._to_them = to_them
        self._from_them = from_them
        self._control = control

    def write(self, data: bytes, /) -> None:
        self._to_them.write(data)

    async def drain(self) -> None:
        await self._to_them.drain()

    def write_eof(self) -> None:
        self._to_them.write_eof()

    def close(self) -> None:
        self._to_them.close()
        self._from_them.close()
        self._control.close()


class _Late:
    """A reader that may find out only now that the remote side had refused."""

    def __init__(self, reader: Reader, master: Master) -> None:
        self._reader = reader
        self._master = master
        self._any = False

    async def read(self, n: int = -1, /) -> bytes:
        data = await self._reader.read(n)
        if not data and not self._any:
            await self._master.heard()
            if said := _open_failed(self._master):
                raise ConnectionRefusedError(f"the remote host refuses: {said}")
        self._any = True
        return data
