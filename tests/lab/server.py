"""A real server on loopback in this process: its address, keys for it, and what it has stored.

``async with a_server(folder) as server: …``. On SQLite in ``folder``; ``template`` is a database
that was migrated before, which saves 0.2 s.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Table, select

from mooring.server import auth
from mooring.server.auth import Passwords
from mooring.server.db import networks, runs, tables
from mooring.server.db.engine import Database
from mooring.server.db.migrate import upgrade
from mooring.server.serve import listen, serving
from mooring.server.settings import Settings
from mooring.server.state import State


@dataclass
class Server:
    """``state`` is the server's own; what is written through it the server knows at once."""

    url: str
    state: State

    async def agent_key(self, network: str = networks.HOME) -> str:
        """A new agent's key of a network, which is made if there is none of that name."""
        now = time.time()
        async with self.state.database.write() as connection:
            row = await networks.by_name(connection, network)
            row = row or await networks.create(connection, network, now)
            secret, _ = await auth.create_key(
                connection,
                name=f"key of {network}",
                kind="agent",
                role="viewer",
                network_id=row["id"],
                expires_at=None,
                now=now,
            )
        return secret

    async def user_key(self, role: str = "owner") -> str:
        async with self.state.database.write() as connection:
            secret, _ = await auth.create_key(
                connection,
                name="test",
                kind="user",
                role=role,
                network_id=None,
                expires_at=None,
                now=time.time(),
            )
        return secret

    async def rows(self, table: Table, *where: Any) -> list[dict[str, Any]]:
        """Rows of one of ``mooring.server.db.tables``, oldest first where they have an id."""
        query = select(table).where(*where)
        if "id" in table.c:
            query = query.order_by(table.c.id)
        async with self.state.database.read() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def runs(self) -> list[dict[str, Any]]:
        return await self.rows(tables.run)

    async def run(self, run_id: str) -> dict[str, Any] | None:
        async with self.state.database.read() as connection:
            return await runs.by_id(connection, run_id)


@cache
def _passwords() -> Passwords:
    """Made once: it hashes a password, which takes longer than the start of a server."""
    return Passwords()


@contextlib.asynccontextmanager
async def a_server(
    folder: Path, template: Path | None = None, port: int = 0
) -> AsyncIterator[Server]:
    """A server; on the same ``folder`` and ``port`` again it is the same one, restarted."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "mooring.sqlite3"
    if template and not file.exists():
        shutil.copy(template, file)
    database = Database(f"sqlite+aiosqlite:///{file}")
    listener = listen("127.0.0.1", port)
    with listener:
        try:
            await upgrade(database)
            state = State(database, Settings(), passwords=_passwords())
            async with database.write() as connection:
                await networks.ensure_home(connection, state.clock())
            async with serving(state, listener):
                yield Server(f"http://127.0.0.1:{listener.getsockname()[1]}", state)
        finally:
            await database.close()
