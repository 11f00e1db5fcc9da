"""Brings a database to this code's form, or says plainly why it can't."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from mooring import __version__
from mooring.core.errors import MooringError
from mooring.server.db.engine import CONNECT_WITHIN, Database
from mooring.server.db.tables import metadata

HEAD = "0011"
"""The newest of ``migrations/versions``; written here so that a start needs no Alembic."""
_LOCK = 0x6D6F6F72
_SCRIPTS = Path(__file__).with_name("migrations")


async def upgrade(database: Database) -> None:
    """Apply what is missing, all or nothing.

    Raises ``MooringError`` when the database can't be reached, is not ours, or was made by a
    newer version.
    """
    name = shown(database)
    try:
        if database.sqlite:
            # The driver's thread would outlive the loop, with a trace, when it can't be opened.
            sqlite3.connect(database.engine.url.database or ":memory:").close()
        async with database.write() as connection:
            if not database.sqlite:
                # Several servers may start at once on one PostgreSQL.
                await connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _LOCK})
            await connection.run_sync(_upgrade, name)
    except (DBAPIError, sqlite3.Error, OSError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise MooringError(
            f"opening the database {name}",
            _why(cause),
            "check that it is a database of Mooring, that it runs, and that it can be written",
        ) from error


def _why(cause: BaseException | None) -> str:
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused: nothing listens there"
    if isinstance(cause, TimeoutError):
        return f"no answer within {CONNECT_WITHIN} s"
    return str(cause).strip() or type(cause).__name__


def shown(database: Database) -> str:
    """The database's address as a person may see it, without its password."""
    return database.engine.url.render_as_string(hide_password=True)


def _upgrade(connection: Connection, name: str) -> None:
    tables = set(inspect(connection).get_table_names())
    revision = None
    if "alembic_version" in tables:
        row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
        revision = row[0] if row else None
    elif tables & set(metadata.tables):
        raise MooringError(
            f"opening the database {name}",
            "it holds tables that Mooring did not make",
            "give Mooring a database of its own",
        )
    if revision == HEAD:
        return
    _run(connection, revision, name)


def _run(connection: Connection, revision: str | None, name: str, to: str = "head") -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    script = ScriptDirectory.from_config(config)
    if revision is not None and revision not in {s.revision for s in script.walk_revisions()}:
        raise MooringError(
            f"opening the database {name}",
            f"a newer Mooring made it: it is of revision {revision}, "
            f"and Mooring {__version__} knows revisions up to {HEAD}",
            "install the newer version again, or start with another --data-dir",
        )

    def steps(current: Any, context: Any) -> Any:
        return script._upgrade_revs(to, current)

    with EnvironmentContext(config, script, fn=steps) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()
