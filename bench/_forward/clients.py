"""Clients that connect one after another, whatever happens, and what became of each.

Runs on an asyncio loop in the client's namespace; takes the first byte and lets go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from mooring.core.tasks import Tasks

SERVE = """
import socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=1024)
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    try:
        connection.sendall(b"hello\\n")
        connection.close()
    except OSError:
        pass
"""
"""A server for many of them: busybox's nc has room for one that waits."""


@dataclass(slots=True)
class Client:
    """Times by ``time.perf_counter``. ``end`` is its first byte, or when it came to nothing."""

    began: float
    outcome: str = "waiting"
    """Then ``byte``, ``refused``, ``reset``, ``closed`` (without a byte) or ``gone`` (given up)."""
    end: float = 0.0


@asynccontextmanager
async def connecting(address: str, port: int, every: float) -> AsyncIterator[list[Client]]:
    """Meanwhile a client begins every so many seconds; those that still wait have 5 s then."""
    clients: list[Client] = []
    waiting: set[asyncio.Task[None]] = set()

    async def begin(tasks: Tasks) -> None:
        due = time.perf_counter()
        while True:
            clients.append(Client(time.perf_counter()))
            task = tasks.start("client", _one(clients[-1], address, port))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
            due += every
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    async with Tasks("clients") as tasks:
        async with Tasks("begin") as beginning:
            beginning.start("begin", begin(tasks))
            yield clients
        if waiting:
            await asyncio.wait(set(waiting), timeout=5)


async def _one(client: Client, address: str, port: int) -> None:
    outcome = "gone"
    try:
        reader, writer = await asyncio.open_connection(address, port)
        try:
            outcome = "byte" if await reader.read(1) else "closed"
        finally:
            client.end = time.perf_counter()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    except ConnectionRefusedError:
        outcome = "refused"
    except OSError:
        outcome = "reset" if outcome == "gone" else outcome
    finally:
        client.end = client.end or time.perf_counter()
        client.outcome = outcome
