"""What the server's tests share: a server in this process, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog
from fastapi import FastAPI
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import Engine, event

from mooring.server.app import create_app
from mooring.server.auth import Passwords
from mooring.server.db.engine import Database
from mooring.server.settings import Settings
from mooring.server.state import State
from tests.server.world import Clock, World


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """What is logged, instead of the log; the environment says nothing to the server."""
    with pytest.MonkeyPatch.context() as patch, structlog.testing.capture_logs() as entries:
        for name in list(os.environ):
            if name.startswith("MOORING_"):
                patch.delenv(name)
        yield entries


@pytest.fixture(scope="session")
def passwords() -> Iterator[Passwords]:
    """Hashing that takes no time: how much it takes is not what is tested here."""
    made = _Shared()
    made._hash = PasswordHash([Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1)])
    made._nobody = made._hash.hash("nobody")
    yield made
    super(_Shared, made).close()


class _Shared(Passwords):
    """Stays open when a server ends, for the next test's."""

    def close(self) -> None:
        pass


_FIRST: dict[bool, Engine] = {}


def _share_compiled(database: Database) -> None:
    """Let all databases of a kind share what was compiled: that takes longer than executing it."""
    engine = database.engine.sync_engine
    first = _FIRST.setdefault(database.sqlite, engine)
    for one in (engine, database._reader.sync_engine):
        one.dialect = one.pool._dialect = first.dialect
        one._compiled_cache = first._compiled_cache


def _carelessly(connection: Any, record: object) -> None:
    """No test needs its database after a power cut."""
    connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    opened = Database(migrated_url)
    _share_compiled(opened)
    if opened.sqlite:
        event.listen(opened.engine.sync_engine, "connect", _carelessly)
    yield opened
    await opened.close()


@pytest.fixture
def state(database: Database, passwords: Passwords) -> State:
    clock = Clock()
    return State(database, Settings(), passwords=passwords, clock=clock, steady=clock)


@pytest.fixture(scope="session")
def one_app(passwords: Passwords) -> FastAPI:
    return create_app(State(Database("sqlite+aiosqlite://"), Settings(), passwords=passwords))


@pytest.fixture
async def world(state: State, one_app: FastAPI, logs: list[Any]) -> AsyncIterator[World]:
    """A server without a socket, and whoever talks to it. No request may end in a 500."""
    async with World(state, one_app) as made:
        yield made
    for entry in logs:
        if entry["event"] == "request_failed":
            raise entry["exc_info"]
