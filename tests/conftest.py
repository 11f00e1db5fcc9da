"""What all tests share: databases, fresh for each test, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog

from tests.parts import need
from tests.postgres import Cluster

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.real)]


# What a shell runs in the background ignores Ctrl-C, and so would all that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests with a browser last.

    Playwright runs an event loop in the main thread for as long as its browser is open, and no
    test that is a coroutine can run beside it.
    """
    items.sort(key=lambda item: item.get_closest_marker("e2e") is not None)


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """A command that is run in this process sets the log up: for itself, and for no later test."""
    configured, before = structlog.is_configured(), structlog.get_config()
    yield
    if configured:
        structlog.configure(**before)
    else:
        structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL of this test run's own; takes about a second, once."""
    cluster = Cluster(need("postgres"))
    yield cluster
    cluster.close()


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database: the test runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        yield _sqlite(tmp_path / "mooring.sqlite")
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    name = cluster.create()
    yield cluster.url(name)
    cluster.drop(name)


@pytest.fixture(params=BOTH)
def migrated_url(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path
) -> Iterator[str]:
    """The same with Mooring's tables in it, as a copy of a database that was migrated once."""
    if request.param == "sqlite":
        file = shutil.copy(sqlite_template, tmp_path / "mooring.sqlite")
        yield _sqlite(file)
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    name = cluster.create(cluster.template("migrated", _migrate))
    yield cluster.url(name)
    cluster.drop(name)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with Mooring's tables, made once by the migrations; to be copied, never opened."""
    file = tmp_path_factory.mktemp("template") / "mooring.sqlite"
    _migrate(_sqlite(file))
    return file


def _sqlite(file: Path) -> str:
    return f"sqlite+aiosqlite:///{file}"


def _migrate(url: str) -> None:
    from mooring.server.db.engine import Database
    from mooring.server.db.migrate import upgrade

    async def migrate() -> None:
        database = Database(url)
        try:
            await upgrade(database)
        finally:
            await database.close()

    # In a thread of its own: the tests' event loops are not touched.
    with ThreadPoolExecutor(1) as apart:
        apart.submit(asyncio.run, migrate()).result()
