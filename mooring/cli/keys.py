"""``mooring keys``: API keys, made on the server's machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from cyclopts import App, Parameter, validators

from mooring.cli.options import DataDir
from mooring.core.errors import UsageError
from mooring.core.places import default_data_dir, make_folder

if TYPE_CHECKING:
    from pathlib import Path

    from mooring.server.db.engine import AsyncConnection

app = App(name="keys", help="API keys of users and agents; works on the server's machine.")

Result = TypeVar("Result")


@app.command
def create(
    *,
    name: Annotated[str, Parameter(help="What the key is for, in a person's words.")],
    role: Annotated[
        Literal["viewer", "member", "admin", "owner"],
        Parameter(help="What a user's key may do; an agent's may report and nothing else."),
    ] = "viewer",
    agent: Annotated[bool, Parameter(negative="", help="An agent's key.")] = False,
    network: Annotated[
        str | None, Parameter(help="The network whose agents it is for; needed if there are many.")
    ] = None,
    expires: Annotated[
        float | None,
        Parameter(validator=validators.Number(gt=0), help="After how many days it ends."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    if network and not agent:
        raise UsageError(
            "making a key", "--network goes with --agent", "a user's key is for every network"
        )
    if not name.strip() or len(name) > 100:
        raise UsageError("making a key", "--name needs 1 to 100 characters")
    ends = None if expires is None else datetime.now(UTC) + timedelta(days=expires)

    async def make(connection: AsyncConnection) -> tuple[str, str | None]:
        from mooring.server import auth

        now = time.time()
        network_id = network_name = None
        if agent:
            network_id, network_name = await _network(connection, network, now)
        secret, _ = await auth.create_key(
            connection,
            name=name.strip(),
            kind="agent" if agent else "user",
            role="viewer" if agent else role,
            network_id=network_id,
            expires_at=ends.timestamp() if ends else None,
            now=now,
        )
        return secret, network_name

    secret, network_name = _in_database(data_dir, make)
    print(secret)
    what = f"agents of the network {network_name!r}" if agent else f"the role {role}"
    until = f"until {ends:%Y-%m-%d %H:%M} UTC" if ends else "until it is revoked"
    _aside(f"For {what}, {until}. It is printed this once: keep it.")


@app.command(name="list")
def show(*, data_dir: DataDir = None) -> None:
    """List the keys, without their secrets."""
    from rich.console import Console
    from rich.table import Table

    async def read(connection: AsyncConnection) -> list[dict[str, object]]:
        from mooring.server.db import keys
        from mooring.server.db.listing import Ask

        return [dict(row) for row in (await keys.page(connection, Ask(limit=1000))).rows]

    table = Table(box=None, pad_edge=False)
    for column in ("name", "key", "kind", "role", "state"):
        table.add_column(column)
    for row in _in_database(data_dir, read):
        table.add_row(
            str(row["name"]),
            f"mooring_{row['prefix']}_…",
            str(row["kind"]),
            str(row["role"]) if row["kind"] == "user" else "",
            _state(row),
        )
    Console().print(table)


@app.command
def revoke(prefix: str, *, data_dir: DataDir = None) -> None:
    """End a key at once. PREFIX is what `mooring keys list` shows of it."""
    wanted = prefix.removeprefix("mooring_").split("_")[0]

    async def end(connection: AsyncConnection) -> bool:
        from mooring.server.db import keys
        from mooring.server.db.listing import Ask

        page = await keys.page(connection, Ask(limit=2, q=wanted))
        found = [row for row in page.rows if row["prefix"] == wanted]
        return bool(found) and await keys.revoke(connection, found[0]["id"], time.time())

    if not _in_database(data_dir, end):
        raise UsageError(
            f"revoking the key {prefix!r}", "there is no such key, or it was revoked before"
        )
    _aside("Revoked.")


def _state(row: dict[str, object]) -> str:
    if row["revoked_at"]:
        return "revoked"
    ends = row["expires_at"]
    if isinstance(ends, float):
        day = datetime.fromtimestamp(ends, UTC)
        return f"expired {day:%Y-%m-%d}" if ends < time.time() else f"until {day:%Y-%m-%d}"
    return "valid"


async def _network(connection: AsyncConnection, name: str | None, now: float) -> tuple[str, str]:
    from mooring.server.db import networks

    if name is None:
        await networks.ensure_home(connection, now)
    known = await networks.names(connection)
    row = await networks.by_name(connection, name or known[0])
    if row is None or (name is None and len(known) > 1):
        why = "--network is needed" if name is None else f"there is no network {name!r}"
        raise UsageError("making an agent's key", why, f"one of: {', '.join(known)}")
    return row["id"], row["name"]


def _in_database(
    data_dir: Path | None, work: Callable[[AsyncConnection], Awaitable[Result]]
) -> Result:
    from mooring.server import settings as server_settings
    from mooring.server.db.engine import Database, database_url
    from mooring.server.db.migrate import upgrade

    folder = make_folder(data_dir or default_data_dir())
    settings = server_settings.read()
    url = database_url(server_settings.database_address(settings, folder))

    async def main() -> Result:
        database = Database(url)
        try:
            await upgrade(database)
            async with database.write() as connection:
                return await work(connection)
        finally:
            await database.close()

    return asyncio.run(main())


def _aside(text: str) -> None:
    """Say something to the person without getting into what a script reads."""
    import sys

    print(text, file=sys.stderr)
