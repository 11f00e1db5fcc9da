"""The two ends of a measured way, and a delay between them: programs of their own, without Mooring.

``pipe.py serve PORT`` is what a container runs: it sends and takes bytes as fast as the kernel
does. ``pipe.py relay LISTEN HOST:PORT SECONDS`` lets everything that passes wait so long, each way.
The other functions are the client's side. Imports nothing beyond the standard library, so that
any Python can run it.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

DOWN, UP, SMALL, STALL = b"d", b"u", b"s", b"n"
"""What a client asks: so many bytes, to take so many, a little, to read nothing for so long."""
ANSWER = 1024
"""Bytes of the answer to a small request."""
_ASK = struct.Struct("!cQ")
_PIECE = 4 * 1024 * 1024
_READ = 1024 * 1024
_FOR_EVER = 1 << 62
_RELAYED = 512
"""Pieces of up to ``_READ`` bytes that wait in a relay, one way: far more than any window."""


# --- the client's side


def download(address: tuple[str, int], size: int) -> float:
    """Seconds from connecting to the last byte."""
    began = time.perf_counter()
    with _asking(address, DOWN, size) as connection:
        _take(connection, size)
    return time.perf_counter() - began


def upload(address: tuple[str, int], size: int) -> float:
    """Seconds from connecting until the server has said that it has all."""
    began = time.perf_counter()
    with _asking(address, UP, size) as connection, _piece() as piece:
        _give(connection, piece, size)
        if connection.recv(1) != b"k":
            raise ConnectionError("the server did not get all")
    return time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class Requests:
    """Seconds: of all together, and of each."""

    total: float
    each: list[float]


def request_at_once(address: tuple[str, int], count: int) -> Requests:
    """So many connections at once; each asks a little and hears ``ANSWER`` bytes."""
    began = time.perf_counter()
    each: list[float] = []
    with selectors.DefaultSelector() as ready:
        for _ in range(count):
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(address)
            ready.register(connection, selectors.EVENT_WRITE, [time.perf_counter(), 0])
        while len(each) < count:
            events = ready.select(60)
            if not events:
                raise TimeoutError(f"{count - len(each)} of {count} requests got no answer")
            for key, happened in events:
                connection, state = key.fileobj, key.data
                assert isinstance(connection, socket.socket)
                if happened & selectors.EVENT_WRITE:
                    connection.sendall(_ASK.pack(SMALL, ANSWER))
                    ready.modify(connection, selectors.EVENT_READ, state)
                    continue
                got = len(connection.recv(2 * ANSWER))
                state[1] += got
                if not got and state[1] < ANSWER:
                    raise ConnectionError("a request was cut off")
                if state[1] >= ANSWER:
                    each.append(time.perf_counter() - state[0])
                    ready.unregister(connection)
                    connection.close()
    return Requests(time.perf_counter() - began, each)


@contextmanager
def unread(address: tuple[str, int], first: int = 0) -> Iterator[None]:
    """The server sends for as long as this lasts; nothing is read but the ``first`` bytes."""
    with _asking(address, DOWN, _FOR_EVER) as connection:
        _take(connection, first)
        yield


@contextmanager
def untaken(address: tuple[str, int], seconds: int) -> Iterator[None]:
    """As much is sent as goes, for so long; the server reads nothing of it."""
    with _asking(address, STALL, seconds) as connection, _piece() as piece:
        sending = threading.Thread(target=_give_quietly, args=(connection, piece), daemon=True)
        sending.start()
        yield
        # The server ends it, and then there is nobody to send to.
        sending.join()


def _give_quietly(connection: socket.socket, piece: int) -> None:
    try:
        _give(connection, piece, _FOR_EVER)
    except OSError:
        return


@contextmanager
def _asking(address: tuple[str, int], what: bytes, size: int) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=30) as connection:
        connection.settimeout(None)
        connection.sendall(_ASK.pack(what, size))
        yield connection


# --- what both do


def _take(connection: socket.socket, size: int) -> None:
    # The kernel counts the bytes and throws them away: whoever reads is not what is measured.
    room = bytearray(_READ)
    while size:
        got = connection.recv_into(room, min(size, _READ), socket.MSG_TRUNC)
        if not got:
            raise ConnectionError(f"{size} bytes are missing")
        size -= got


def _give(connection: socket.socket, piece: int, size: int) -> None:
    while size:
        size -= os.sendfile(connection.fileno(), piece, 0, min(size, _PIECE))


@contextmanager
def _piece() -> Iterator[int]:
    """A file in memory to send from, again and again."""
    file = os.memfd_create("piece")
    try:
        os.write(file, os.urandom(_PIECE))
        yield file
    finally:
        os.close(file)


# --- the server


def serve(port: int) -> None:
    """Small requests are answered by one thread; whoever moves much gets one of its own."""
    with (
        socket.create_server(("0.0.0.0", port), backlog=1024) as listening,
        selectors.DefaultSelector() as ready,
        _piece() as piece,
    ):
        answer = os.urandom(ANSWER)
        ready.register(listening, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj is listening:
                    ready.register(listening.accept()[0], selectors.EVENT_READ)
                    continue
                client = key.fileobj
                ready.unregister(client)
                _answer(client, piece, answer)


def _answer(client: socket.socket, piece: int, answer: bytes) -> None:
    asked = client.recv(_ASK.size, socket.MSG_WAITALL)
    if len(asked) < _ASK.size:
        client.close()
        return
    what, size = _ASK.unpack(asked)
    if what == SMALL:
        client.sendall(answer)
        client.close()
    else:
        threading.Thread(target=_move, args=(client, piece, what, size), daemon=True).start()


def _move(client: socket.socket, piece: int, what: bytes, size: int) -> None:
    try:
        with client:
            if what == DOWN:
                _give(client, piece, size)
            elif what == UP:
                _take(client, size)
                client.sendall(b"k")
            else:
                time.sleep(size)
    except OSError:
        return


# --- the delay


async def relay(listen: int, target: tuple[str, int], delay: float) -> None:
    """Everything that passes waits, each way; nothing is lost and nothing limits but memory."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("0.0.0.0", listen), backlog=1024) as listening:
        listening.setblocking(False)
        async with asyncio.TaskGroup() as group:
            while True:
                client, _ = await loop.sock_accept(listening)
                group.create_task(_join(client, target, delay))


async def _join(client: socket.socket, target: tuple[str, int], delay: float) -> None:
    loop = asyncio.get_running_loop()
    with client, socket.socket() as server:
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await loop.sock_connect(server, target)
            async with asyncio.TaskGroup() as group:
                for one, other in ((client, server), (server, client)):
                    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_RELAYED)
                    group.create_task(_hear(one, queue, delay))
                    group.create_task(_tell(other, queue))
        except (OSError, ExceptionGroup):
            # One of the two is gone; so is the other then.
            return


async def _hear(
    end: socket.socket, queue: asyncio.Queue[tuple[float, bytes]], delay: float
) -> None:
    loop = asyncio.get_running_loop()
    while True:
        data = await loop.sock_recv(end, _READ)
        await queue.put((loop.time() + delay, data))
        if not data:
            return


async def _tell(end: socket.socket, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due, data = await queue.get()
        await asyncio.sleep(due - loop.time())
        if not data:
            end.shutdown(socket.SHUT_WR)
            return
        await loop.sock_sendall(end, data)


def main() -> None:
    match sys.argv[1:]:
        case ["serve", port]:
            serve(int(port))
        case ["relay", listen, target, delay]:
            host, _, port = target.rpartition(":")
            asyncio.run(relay(int(listen), (host, int(port)), float(delay)))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
