"""The database: SQLite by default, PostgreSQL by URL. Gives connections in a transaction."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Table, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from mooring.core.errors import UsageError
from mooring.server.merge import Row

__all__ = ["READ_ONLY", "AsyncConnection", "Database", "database_url"]

READ_ONLY = "mooring_read_only"
CONNECT_WITHIN = 10
"""Seconds that PostgreSQL has to answer when it is called."""
LOCKED_WITHIN = 15.0
"""Seconds that a writer of SQLite waits for another."""
TURN = 500
"""Rows that are made dicts of before others have a turn."""
_OPTIONS = frozenset({"host", "passfile", "port", "ssl", "target_session_attrs"})


def database_url(text: str) -> str:
    """A database's URL as typed, with the driver that we use; ``UsageError`` if it is neither."""
    attempted = "reading the database's address (MOORING_DATABASE_URL)"
    remedy = "such as postgresql://user:password@host/mooring"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise UsageError(attempted, "it is not a URL", remedy) from None
    drivers = {
        "sqlite": "sqlite+aiosqlite",
        "postgres": "postgresql+asyncpg",
        "postgresql": "postgresql+asyncpg",
    }
    name = url.drivername
    if name in drivers:
        url = url.set(drivername=drivers[name])
    elif name not in drivers.values():
        raise UsageError(attempted, f"expected postgresql or sqlite, got {name!r}", remedy)
    if "sslmode" in url.query:  # as libpq calls it
        url = url.difference_update_query(["sslmode"]).update_query_dict(
            {"ssl": url.query["sslmode"]}
        )
    unknown = set(url.query) - _OPTIONS
    if unknown:
        known = ", ".join(sorted(_OPTIONS))
        raise UsageError(attempted, f"expected {known} after the ?, got {min(unknown)!r}", remedy)
    return url.render_as_string(hide_password=False)


def insert_into(connection: AsyncConnection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that can say what happens to a row that is there already."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


async def insert_new(
    connection: AsyncConnection, table: Table, values: Mapping[str, Any], key: Sequence[str]
) -> bool:
    """Insert a row unless there is one with its ``key``; whether it was inserted.

    Waits for another connection that is inserting the same.
    """
    statement = insert_into(connection, table).values(values)
    unless = statement.on_conflict_do_nothing(index_elements=key)
    return (await connection.execute(unless)).rowcount == 1


async def rows_of(result: CursorResult[Any]) -> list[Row]:
    """All rows of a result, each a dict by its columns. Between many, others have a turn."""
    names = tuple(result.keys())
    rows: list[Row] = []
    for part in result.partitions(TURN):
        rows += [dict(zip(names, row, strict=True)) for row in part]
        if len(part) == TURN:
            await asyncio.sleep(0)
    return rows


class Database:
    """One database. ``write`` and ``read`` give a connection in a transaction of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sqlite = url.startswith("sqlite")
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_pre_ping=not self.sqlite,
            connect_args={} if self.sqlite else {"timeout": CONNECT_WITHIN},
        )
        if self.sqlite:
            event.listen(self.engine.sync_engine, "connect", _configure_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)
            self._reader = self.engine.execution_options(**{READ_ONLY: True})
        else:
            self._reader = self.engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        # SQLite has one writer, and whom it lets in next is chance: here they queue.
        self._turn = asyncio.Lock() if self.sqlite else contextlib.nullcontext()

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Commits when the block ends, rolls back when it raises."""
        async with self._turn, self.engine.begin() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One consistent picture; changes nothing and waits for no writer."""
        async with self._reader.connect() as connection:
            yield connection

    async def close(self) -> None:
        await self.engine.dispose()


def _configure_sqlite(connection: Any, record: object) -> None:
    # The driver's own idea of when a transaction begins loses updates: we begin them ourselves.
    connection.isolation_level = None
    connection.run_async(_use_wal)
    cursor = connection.cursor()
    for pragma in (
        # A report that was answered "stored" is gone from its agent: it must survive a power cut.
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={LOCKED_WITHIN * 1000:.0f}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


async def _use_wal(driver: Any) -> None:
    """While somebody writes to a new file, SQLite refuses this at once, whatever its timeout."""
    limit = time.monotonic() + LOCKED_WITHIN
    while True:
        try:
            await driver.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > limit:
                raise
            await asyncio.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once: upgrading a read transaction later can only fail.
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
