"""The database: its address, its form, its transactions, and what is said when it is not right."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.errors import MooringError, UsageError
from mooring.core.ids import new_id
from mooring.model.report import Report
from mooring.server.db import agents, keys, migrate, networks, tables, users
from mooring.server.db.engine import Database, database_url
from mooring.server.db.migrate import HEAD, shown, upgrade
from mooring.server.ingest import ingest
from mooring.server.settings import Settings, database_address
from tests.server.buses import bus, endpoint, mended, wiring
from tests.server.scanned import port, scan
from tests.server.scanned import seen as seen_host

# --- its address


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("postgresql://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgres://u:p@h:5433/d", "postgresql+asyncpg://u:p@h:5433/d"),
        ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("sqlite:////var/lib/x.sqlite3", "sqlite+aiosqlite:////var/lib/x.sqlite3"),
        # As libpq and everybody's hosting say it.
        ("postgresql://u:p@h/d?sslmode=require", "postgresql+asyncpg://u:p@h/d?ssl=require"),
    ],
)
def test_an_address_is_read_as_people_write_it(typed: str, read: str) -> None:
    assert database_url(typed) == read


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "nonsense",
        "mysql://u:geheim@h/d",
        "postgresql+psycopg2://u:geheim@h/d",
        "postgresql://u:geheim@h:port/d",
        "postgresql://u:geheim@h/d?color=blue",
        "://",
    ],
)
def test_an_address_that_is_none_is_told_without_its_password(typed: str) -> None:
    with pytest.raises(UsageError) as refused:
        database_url(typed)
    assert "geheim" not in str(refused.value)
    assert "MOORING_DATABASE_URL" in str(refused.value)


@pytest.mark.slow
async def test_a_data_folder_may_be_called_anything(tmp_path: Path) -> None:
    for name in ("a b", "wie? so", "100%", "%41", "#1", "ä&ö=ü", "a:b@c"):
        folder = tmp_path / name
        folder.mkdir()
        database = Database(database_url(database_address(Settings(), folder)))
        await upgrade(database)
        await database.close()
        assert (folder / "mooring.sqlite3").is_file()


# --- its form


async def test_the_migrations_make_what_the_tables_say(migrated_url: str) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, tables.metadata))

    database = Database(migrated_url)
    async with database.write() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


async def test_the_index_of_what_is_gone_holds_nothing_that_is_there(migrated_url: str) -> None:
    # Else a list reads all that is there to show 25 of it: nobody counted which index is short.
    catalogue = (
        "SELECT sql FROM sqlite_master WHERE name LIKE 'ix%gone_at'"
        if migrated_url.startswith("sqlite")
        else "SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'ix%gone_at'"
    )
    database = Database(migrated_url)
    async with database.read() as connection:
        made = (await connection.execute(text(catalogue))).scalars().all()
    await database.close()
    assert len(made) == sum("gone_at" in table.c for table in tables.metadata.tables.values())
    assert [index for index in made if "gone_at IS NOT NULL" not in index] == []


def test_the_newest_revision_is_the_one_that_the_code_names() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate._SCRIPTS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_a_database_is_brought_to_its_form_once(database_url: str) -> None:
    database = Database(database_url)
    await upgrade(database)
    async with database.write() as connection:
        await networks.ensure_home(connection, 1.0)
    await upgrade(database)
    async with database.read() as connection:
        assert await networks.names(connection) == ["home"]
    await database.close()


async def fill(connection: AsyncConnection, rows: dict[str, dict[str, Any]]) -> None:
    """One row in each table, by its name: the tables of this code may be other ones."""
    for table, row in rows.items():
        names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
        await connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)


async def test_what_a_database_of_the_first_form_holds_is_kept(database_url: str) -> None:
    database = Database(database_url)
    seen = {"first_seen": 1.0, "last_seen": 2.0}
    texts = dict.fromkeys(("hostname", "os", "kernel", "architecture", "source"), "")
    before: dict[str, dict[str, Any]] = {
        "network": {"id": "n", "name": "home", "created_at": 1.0},
        "host": {"id": "h", "network_id": "n", "name": "10.0.0.2", **texts, **seen},
        "agent": {
            "id": "a",
            "network_id": "n",
            "host_id": "h",
            "outbox": "o",
            "name": "alpha",
            "version": "1",
            "capabilities": "[]",
            "engines": "[]",
            "online": True,
            **seen,
        },
        "set_aside": {
            "id": "s",
            "host_id": "h",
            "agent_id": "a",
            "subject": "machine",
            "kind": "route",
            "item": "x",
            "reason": "y",
            "at": 3.0,
        },
    }
    async with database.write() as connection:
        await connection.run_sync(migrate._run, None, "", "0001")
        await fill(connection, before)
    await upgrade(database)
    async with database.write() as connection:
        (agent,) = (await connection.execute(select(tables.agent))).mappings()
        assert (agent["name"], agent["duties"]) == ("alpha", ["discovery"])
        (host,) = (await connection.execute(select(tables.host))).mappings()
        assert (host["name"], host["name_order"]) == ("10.0.0.2", "210.10.10.12")
        (aside,) = (await connection.execute(select(tables.set_aside))).mappings()
        assert dict(aside) == before["set_aside"]
        await connection.execute(update(tables.set_aside).values(host_id=None))
        # What belonged to a host still goes with it.
        await connection.execute(text("DELETE FROM network"))
        assert (await connection.execute(select(tables.set_aside))).first() is None
    await database.close()


async def test_what_a_database_of_the_second_form_holds_is_kept(database_url: str) -> None:
    database = Database(database_url)
    seen = {"first_seen": 1.0, "last_seen": 2.0}
    before: dict[str, dict[str, Any]] = {
        "network": {"id": "n", "name": "home", "created_at": 1.0},
        "agent": {
            "id": "a",
            "network_id": "n",
            "outbox": "o",
            "name": "gw",
            "version": "1",
            "capabilities": "[]",
            "engines": "[]",
            "duties": '["forward"]',
            "online": True,
            **seen,
        },
        "remote_host": {
            "id": "r",
            "network_id": "n",
            "agent_id": "a",
            "address": "ssh://b",
            "state": "live",
            "settled": "live",
            "since": 1.0,
            "generation": 1,
            "consecutive_failures": 0,
            "docker": "",
            "detail": "",
            "diagnosis": "{}",
            "totals": "{}",
            **seen,
        },
        "moment": {
            "id": "m",
            "remote_host_id": "r",
            "at": 1.0,
            "what": "opened",
            "place": "127.0.0.1:80",
            "container": "web",
            "detail": "",
        },
    }
    async with database.write() as connection:
        await connection.run_sync(migrate._run, None, "", "0002")
        await fill(connection, before)
    await upgrade(database)
    body = wiring(bus("vcan0", endpoint("1a")), recoveries=(mended(),))
    async with database.write() as connection:
        (stored,) = (await connection.execute(select(tables.moment))).mappings()
        assert dict(stored) == before["moment"]
        (sender,) = (await connection.execute(select(tables.agent))).mappings()
        assert sender["duties"] == ["forward"]
        report = Report("can", "o", 1, 3.0, body)
        assert (await ingest(connection, dict(sender), report, 1, 3.0)).stored
        new = (tables.can_bus, tables.can_driver, tables.can_recovery)
        for table in new:
            assert len((await connection.execute(select(table))).all()) == 1
        await connection.execute(text("DELETE FROM network"))
        for table in new:
            assert (await connection.execute(select(table))).first() is None
    await database.close()


async def test_who_was_in_before_accounts_were_extended_stays_in(database_url: str) -> None:
    database = Database(database_url)
    seen = {"first_seen": 1.0, "last_seen": 2.0}
    lists = dict.fromkeys(("capabilities", "engines", "duties"), "[]")
    before: dict[str, dict[str, Any]] = {
        "network": {"id": "n", "name": "home", "created_at": 1.0},
        "agent": {
            "id": "a",
            "network_id": "n",
            "outbox": "o",
            "name": "gw",
            "version": "1",
            "online": True,
            **lists,
            **seen,
        },
        '"user"': {
            "id": "u",
            "name": "Bob",
            "login": "bob",
            "role": "owner",
            "password_hash": "h",
            "created_at": 1.0,
        },
        "session": {"hash": "s" * 64, "user_id": "u", "created_at": 1.0, "expires_at": 9.0},
        "key": {
            "id": "k",
            "name": "agents",
            "prefix": "p",
            "hash": "k" * 64,
            "kind": "agent",
            "role": "viewer",
            "network_id": "n",
            "created_at": 1.0,
        },
    }
    async with database.write() as connection:
        await connection.run_sync(migrate._run, None, "", "0004")
        await fill(connection, before)
    await upgrade(database)
    async with database.write() as connection:
        row = await users.of_session(connection, "s" * 64, 5.0)
        assert row is not None
        assert (row["name"], row["role"], row["session_used_at"]) == ("Bob", "owner", 1.0)
        assert await users.active_owners(connection) == 1
        key = await keys.by_hash(connection, "k" * 64)
        assert key is not None
        assert (key["network_name"], key["user_id"], key["old_hash"]) == ("home", None, None)
        agent = await agents.by_id(connection, "a")
        assert agent is not None
        assert (agent["awaited"], agent["given_name"]) == (False, None)
        await keys.tie(connection, "a", "k")
        assert [one["id"] for one in await keys.of_agent(connection, "a", 5.0)] == ["k"]
        await connection.execute(text("DELETE FROM network"))
        assert (await connection.execute(select(tables.agent_key))).first() is None
    await database.close()


async def test_what_a_database_of_the_third_form_holds_is_kept(database_url: str) -> None:
    database = Database(database_url)
    seen = {"first_seen": 1.0, "last_seen": 2.0}
    texts = dict.fromkeys(("hostname", "os", "kernel", "architecture", "source"), "")
    before: dict[str, dict[str, Any]] = {
        "network": {"id": "n", "name": "home", "created_at": 1.0},
        "host": {"id": "h", "network_id": "n", "name": "alpha", **texts, **seen},
        "agent": {
            "id": "a",
            "network_id": "n",
            "host_id": "h",
            "outbox": "o",
            "name": "alpha",
            "version": "1",
            "capabilities": "[]",
            "engines": "[]",
            "duties": '["discovery"]',
            "online": True,
            **seen,
        },
        "run": {
            "id": "r",
            "network_id": "n",
            "agent_id": "a",
            "trigger": "start",
            "state": "complete",
            "done": 0,
            "requested_at": 1.0,
            "summary": "{}",
        },
    }
    async with database.write() as connection:
        await connection.run_sync(migrate._run, None, "", "0003")
        await fill(connection, before)
    await upgrade(database)
    async with database.write() as connection:
        (kept,) = (await connection.execute(select(tables.run))).mappings()
        assert (kept["id"], kept["kind"], kept["order"], kept["phases"]) == ("r", "look", None, [])
        body = scan("10.0.0.0/24", seen_host("10.0.0.9", None, port(22, "ssh")))
        (sender,) = (await connection.execute(select(tables.agent))).mappings()
        report = Report("scan:10.0.0.0/24", "o", 1, 3.0, body)
        assert (await ingest(connection, dict(sender), report, 1, 3.0)).stored
        assert len((await connection.execute(select(tables.port))).all()) == 1
        await connection.execute(text("DELETE FROM network"))
        assert (await connection.execute(select(tables.port))).first() is None
    await database.close()


async def test_servers_that_start_at_once_agree(database_url: str) -> None:
    async def start() -> str:
        database = Database(database_url)
        await upgrade(database)
        async with database.write() as connection:
            home = await networks.ensure_home(connection, 1.0)
        await database.close()
        identity: str = home["id"]
        return identity

    assert len(set(await asyncio.gather(*(start() for _ in range(4))))) == 1


async def test_a_start_waits_for_another_that_has_just_made_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mooring.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        database = Database(f"sqlite+aiosqlite:///{path}")
        starting = asyncio.ensure_future(upgrade(database))  # noqa: TID251
        done, _ = await asyncio.wait([starting], timeout=0.3)
        assert not done
        other.execute("COMMIT")
        await starting
    await database.close()


async def refused(database: Database) -> MooringError:
    with pytest.raises(MooringError) as caught:
        await upgrade(database)
    await database.close()
    return caught.value


async def execute(url: str, *statements: str) -> None:
    database = Database(url)
    async with database.write() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await database.close()


async def names_of_tables(url: str) -> set[str]:
    database = Database(url)
    async with database.read() as connection:
        found = await connection.run_sync(lambda c: set(inspect(c).get_table_names()))
    await database.close()
    return found


async def test_a_database_of_a_newer_version_is_left_alone(migrated_url: str) -> None:
    await execute(migrated_url, "UPDATE alembic_version SET version_num = '9999'")
    error = await refused(Database(migrated_url))
    assert error.why.startswith("a newer Mooring made it: it is of revision 9999, and Mooring ")
    assert error.why.endswith(f"knows revisions up to {HEAD}")
    assert "install the newer version again" in error.remedy
    assert ":***@" in error.attempted or "sqlite" in error.attempted


@pytest.mark.parametrize("table", ["host", "user", "event"])
async def test_a_database_of_others_is_left_alone(database_url: str, table: str) -> None:
    await execute(database_url, f'CREATE TABLE "{table}" (id integer)')
    error = await refused(Database(database_url))
    assert error.why == "it holds tables that Mooring did not make"
    assert await names_of_tables(database_url) == {table}


async def test_a_database_beside_others_tables_is_taken(database_url: str) -> None:
    await execute(database_url, "CREATE TABLE something_else (id integer)")
    database = Database(database_url)
    await upgrade(database)
    await database.close()


async def test_a_migration_that_fails_leaves_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a power cut in the middle: all of it, or none."""
    from alembic.operations import Operations

    made = 0
    create = Operations.create_index

    def fail(*arguments: Any, **more: Any) -> Any:
        nonlocal made
        made += 1
        if made == 5:
            raise OSError("the disk is full")
        return create(*arguments, **more)

    monkeypatch.setattr(Operations, "create_index", fail)
    error = await refused(Database(database_url))
    assert "the disk is full" in error.why
    assert await names_of_tables(database_url) == set()


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    file = tmp_path / "mooring.sqlite3"
    file.write_bytes(b"not a database" * 1000)
    error = await refused(Database(f"sqlite+aiosqlite:///{file}"))
    assert error.why == "file is not a database"
    assert file.read_bytes() == b"not a database" * 1000


async def test_a_database_that_is_not_reached_is_told_without_its_password() -> None:
    # A port on which nobody listens.
    database = Database("postgresql+asyncpg://bob:geheim@127.0.0.1:9/mooring")
    error = await refused(database)
    assert error.attempted == (
        "opening the database postgresql+asyncpg://bob:***@127.0.0.1:9/mooring"
    )
    assert error.why == "connection refused: nothing listens there"
    assert "geheim" not in str(error)


@pytest.mark.real
async def test_a_wrong_password_and_a_missing_database_are_told(postgres: Any) -> None:
    url = postgres.url("nowhere")
    error = await refused(Database(url))
    assert error.why == 'database "nowhere" does not exist'
    user, _, host = url.rpartition("@")
    wrong = Database(f"{user}x@{host}")
    error = await refused(wrong)
    assert error.why == 'password authentication failed for user "mooring"'
    assert shown(wrong) == error.attempted.removeprefix("opening the database ")


# --- its transactions


async def test_what_raises_is_rolled_back(migrated_url: str) -> None:
    database = Database(migrated_url)

    async def fail() -> None:
        async with database.write() as connection:
            await networks.create(connection, "lost", 1.0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with database.read() as connection:
        assert await networks.names(connection) == []
    await database.close()


async def test_a_reader_can_change_nothing_on_postgresql_and_sees_one_picture(
    migrated_url: str,
) -> None:
    database = Database(migrated_url)
    async with database.read() as connection:
        assert await networks.names(connection) == []
        async with database.write() as writer:
            await networks.create(writer, "new", 1.0)
        assert await networks.names(connection) == []
    if not database.sqlite:
        with pytest.raises(DBAPIError, match="read-only"):
            async with database.read() as connection:
                await networks.create(connection, "newer", 1.0)
    # The connection is given back as it was.
    for n in range(3):
        async with database.write() as connection:
            await networks.create(connection, f"site {n}", 1.0)
    await database.close()


async def test_no_update_is_lost_and_nobody_is_told_that_the_database_is_locked(
    migrated_url: str,
) -> None:
    """A hundred who read, think and write, in two processes' worth of connections."""
    one, two = Database(migrated_url), Database(migrated_url)
    counter = new_id()
    async with one.write() as connection:
        await connection.execute(
            tables.network.insert().values(id=counter, name="counter", created_at=0.0)
        )

    async def add(database: Database) -> None:
        async with database.write() as connection:
            query = select(tables.network.c.created_at).where(tables.network.c.id == counter)
            if not database.sqlite:
                query = query.with_for_update()
            value = (await connection.execute(query)).scalar_one()
            await asyncio.sleep(0.001)
            change = update(tables.network).where(tables.network.c.id == counter)
            await connection.execute(change.values(created_at=value + 1))

    await asyncio.gather(*(add(database) for database in (one, two) * 50))
    async with one.read() as connection:
        query = select(tables.network.c.created_at)
        assert (await connection.execute(query)).scalar_one() == 100
    await one.close()
    await two.close()


async def test_readers_do_not_wait_for_a_writer(migrated_url: str) -> None:
    database = Database(migrated_url)
    async with database.write() as writer:
        await networks.create(writer, "new", 1.0)
        async with asyncio.timeout(2):
            async with database.read() as connection:
                assert await networks.names(connection) == []
    await database.close()


async def test_a_writer_that_is_cancelled_lets_the_next_one_in(migrated_url: str) -> None:
    database = Database(migrated_url)

    async def hold() -> None:
        async with database.write() as connection:
            await networks.create(connection, "cancelled", 1.0)
            await asyncio.sleep(60)

    async with asyncio.TaskGroup() as group:
        holding = group.create_task(hold())
        await asyncio.sleep(0.1)
        waiting = group.create_task(hold())
        await asyncio.sleep(0.05)
        waiting.cancel()
        holding.cancel()
    async with asyncio.timeout(5):
        async with database.write() as connection:
            await networks.create(connection, "next", 1.0)
    async with database.read() as connection:
        assert await networks.names(connection) == ["next"]
    await database.close()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
async def test_sqlite_keeps_what_was_answered_through_a_power_cut(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'x.sqlite3'}")
    async with database.write() as connection:
        found = {
            name: (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    await database.close()
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert sqlite3.sqlite_version_info >= (3, 35)


async def test_a_file_that_can_not_be_opened_is_told_before_the_driver_has_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[object] = []
    monkeypatch.setattr("aiosqlite.connect", lambda *a, **k: tried.append(a))
    database = Database(database_url("sqlite:////nothing/here.sqlite3"))
    with pytest.raises(MooringError) as caught:
        await upgrade(database)
    assert caught.value.why == "unable to open database file"
    assert not tried
