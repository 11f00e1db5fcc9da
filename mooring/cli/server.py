"""``mooring server``: the server alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from mooring import __version__
from mooring.cli.options import DataDir, Host, LogFormat, LogLevel, Port
from mooring.cli.running import run_until_signal, settle
from mooring.core import log as logging
from mooring.core.errors import MooringError
from mooring.core.places import default_data_dir, make_folder, only_one


def server(
    *,
    host: Host = "127.0.0.1",
    port: Port = 8930,
    data_dir: DataDir = None,
    log_level: LogLevel = "info",
    log_format: LogFormat = "text",
) -> None:
    """Run the server: store, API and page. Agents report to it from elsewhere.

    SQLite in the data folder, or the database of MOORING_DATABASE_URL.
    """
    logging.set_up(log_level, log_format)
    folder = make_folder(data_dir or default_data_dir())

    async def main() -> None:
        async with a_server(folder, host, port) as running:
            settle()
            await running.watch()

    with only_one(folder, "server"):
        run_until_signal(main())


@dataclass
class Running:
    """A server that serves: its address as a browser on this machine reaches it, and its task."""

    url: str
    state: object
    task: asyncio.Task[None]

    async def watch(self) -> None:
        """Wait while it serves. Raises ``MooringError`` if it ends by itself."""
        await asyncio.wait([self.task])
        raise MooringError("serving", "the server ended by itself; its log says why")


@contextlib.asynccontextmanager
async def a_server(folder: Path, host: str, port: int) -> AsyncIterator[Running]:
    """Open the database, listen, serve, and say where."""
    # The web framework takes a moment to load: a wrong folder or option is said before.
    from mooring.server import settings as server_settings
    from mooring.server.db import networks, users
    from mooring.server.db.engine import Database, database_url
    from mooring.server.db.migrate import upgrade
    from mooring.server.serve import listen, serving
    from mooring.server.state import State

    settings = server_settings.read()
    url = database_url(server_settings.database_address(settings, folder))
    listener = listen(host, port)
    with contextlib.closing(listener):
        database = Database(url)
        try:
            await upgrade(database)
            state = State(database, settings)
            async with database.write() as connection:
                await networks.ensure_home(connection, state.clock())
                first_time = await users.count(connection) == 0
            async with serving(state, listener) as task:
                address = _address(listener, host)
                _greet(address, folder, state.setup_token if first_time else None)
                yield Running(address, state, task)
        finally:
            await database.close()


def _address(listener: socket.socket, host: str) -> str:
    port = listener.getsockname()[1]
    if host in ("0.0.0.0", "", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _greet(address: str, folder: Path, token: str | None) -> None:
    print(f"Mooring {__version__}")
    print(f"  page    {address}")
    if token:
        print(f"  set up  {address}/setup?token={token}")
        print("          makes the owner's account, once; nothing can be seen without it")
    print(f"  data    {folder}", flush=True)
