"""Runs the server on a socket until it is told to stop; then ends within two seconds."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import structlog
import uvicorn

from mooring.core.errors import MooringError, why_os
from mooring.core.tasks import Tasks
from mooring.server.app import create_app
from mooring.server.state import State

log = structlog.get_logger(__name__)

GRACE = 1
"""Seconds that open requests have to end when the server stops."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; 0 is any free port. Raises ``MooringError`` that says why not."""
    attempted = f"listening on {host} port {port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise MooringError(
            attempted, f"{host!r} is not an address of this machine: {error.strerror}"
        ) from error
    family, kind, protocol, _, address = found[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(2048)
    except OSError as error:
        opened.close()
        remedy = "end the program that has it, or choose another with --port"
        if isinstance(error, PermissionError):
            remedy = "ports below 1024 need root; choose another with --port"
        raise MooringError(attempted, why_os(error), remedy) from error
    opened.setblocking(False)
    return opened


class _Server(uvicorn.Server):
    """Leaves signals alone: whoever runs the server decides when it stops."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(state: State, listener: socket.socket) -> AsyncIterator[asyncio.Task[None]]:
    """Serve while the block runs; the task that it gives ends early only if serving failed."""
    config = uvicorn.Config(
        create_app(state),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        server_header=False,
        # Who is believed is a setting of ours: see api/behind.
        proxy_headers=False,
        lifespan="on",
    )
    server = _Server(config)
    async with Tasks("serve") as tasks:
        task = tasks.start("http", server.serve(sockets=[listener]))
        try:
            ready = tasks.start("ready", server.ready.wait())
            await asyncio.wait([ready, task], return_when=asyncio.FIRST_COMPLETED)
            yield task
        finally:
            # Streams and waiting polls end with the bus; then nothing holds the server open.
            state.bus.close()
            server.should_exit = True
            await asyncio.wait([task], timeout=GRACE + 1)
