"""``mooring keys``: API keys, made on the server's machine."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter, validators

from mooring.cli.console import aside, at_console, day, minute
from mooring.cli.options import DataDir, Format
from mooring.core.errors import UsageError

if TYPE_CHECKING:
    from mooring.server.change import Change
    from mooring.server.merge import Row

Prefix = Annotated[str, Parameter(name="PREFIX", help="What `mooring keys list` shows of it.")]

app = App(name="keys", help="API keys of users and agents; works on the server's machine.")

DAY = 86400.0
HOUR = 3600.0


@app.command
def create(
    *,
    name: Annotated[str, Parameter(help="What the key is for, in a person's words.")],
    role: Annotated[
        Literal["viewer", "member", "admin", "owner"] | None,
        Parameter(help="What the key may do [default: viewer]; not of an agent's key."),
    ] = None,
    agent: Annotated[
        bool, Parameter(negative="", help="An agent's key: it reports, and nothing else.")
    ] = False,
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
    attempted = "making a key"
    if network and not agent:
        raise UsageError(
            attempted, "--network goes with --agent", "a user's key is for every network"
        )
    if role and agent:
        raise UsageError(attempted, "--role does not go with --agent: an agent only reports")
    if not name.strip() or len(name) > 100:
        raise UsageError(attempted, "--name needs 1 to 100 characters")
    ends = None if expires is None else time.time() + expires * DAY

    async def make(change: Change) -> tuple[str, str | None]:
        from mooring.server import keyring

        row = await _network(change, network) if agent else None
        secret, _ = await keyring.make(
            change, name.strip(), role=role or "viewer", network=row, expires_at=ends
        )
        return secret, row["name"] if row else None

    secret, of = at_console(data_dir, make, attempted, new=True)
    print(secret)
    what = f"agents of the network {of!r}" if agent else f"the role {role or 'viewer'}"
    until = f"until {minute(ends)} UTC" if ends else "until it is revoked"
    aside(f"For {what}, {until}. It is printed this once: keep it.")


@app.command(name="list")
def show(*, format: Format = "table", data_dir: DataDir = None) -> None:  # noqa: A002
    """List the keys, without their secrets."""

    async def read(change: Change) -> list[Row]:
        from mooring.server import keyring
        from mooring.server.db import keys, networks

        of = await networks.names_by_id(change.connection)
        return [
            {
                "name": row["name"],
                "key": f"mooring_{row['prefix']}_…",
                "kind": row["kind"],
                "role": row["role"] if row["kind"] == "user" else None,
                "network": of.get(row["network_id"]),
                "user": row["user_name"],
                "agents": [agent["name"] for agent in row["agents"]],
                "state": keyring.state(row, change.now),
                "expires_at": row["expires_at"],
                "last_used_at": row["last_used_at"],
            }
            for row in await keys.everything(change.connection)
        ]

    rows = at_console(data_dir, read, "listing the keys")
    if format == "json":
        print(json.dumps(rows, indent=2))
    else:
        _print(rows)


def _print(rows: list[Row]) -> None:
    from mooring.cli.tables import add, console, table

    unbroken = ("key", "state", "last used (UTC)")
    shown = table("name", "key", "for", "state", "last used (UTC)", unbroken=unbroken)
    for row in rows:
        whose = f"{row['role']} ({row['user']})" if row["user"] else row["role"]
        agents = f": {', '.join(row['agents'])}" if row["agents"] else ""
        use = whose if row["kind"] == "user" else f"agents of {row['network']}{agents}"
        ends = row["expires_at"]
        state = f"until {day(ends)}" if row["state"] == "valid" and ends else row["state"]
        add(shown, row["name"], row["key"], use, state, minute(row["last_used_at"]))
    console().print(shown)


@app.command
def rotate(
    prefix: Prefix,
    /,
    *,
    grace: Annotated[
        float,
        Parameter(
            validator=validators.Number(gte=0, lte=720),
            help="For how many hours the old secret opens beside the new one.",
        ),
    ] = 0,
    data_dir: DataDir = None,
) -> None:
    """Give a key another secret and print it, once."""
    attempted = f"rotating the key {prefix!r}"

    async def turn(change: Change) -> str:
        from mooring.server import keyring

        secret, _ = await keyring.rotate(
            change, await _key(change, prefix, attempted), grace * HOUR
        )
        return secret

    print(at_console(data_dir, turn, attempted))
    old = f"opens for {grace:g} h more" if grace else "opens nothing from now on"
    aside(f"It is printed this once: keep it. What it was before {old}.")


@app.command
def revoke(prefix: Prefix, /, *, data_dir: DataDir = None) -> None:
    """End a key at once."""
    attempted = f"revoking the key {prefix!r}"

    async def end(change: Change) -> str:
        from mooring.server import keyring

        row = await keyring.revoke(change, await _key(change, prefix, attempted))
        return str(row["name"])

    aside(f"Revoked: {at_console(data_dir, end, attempted)}.")


async def _key(change: Change, prefix: str, attempted: str) -> Row:
    """The key with this prefix, however much of it was typed or copied."""
    from mooring.server.db import keys

    wanted = prefix.removeprefix("mooring_").split("_")[0].rstrip("…")
    for row in await keys.everything(change.connection):
        if row["prefix"] == wanted:
            return row
    raise UsageError(attempted, "there is no such key", "`mooring keys list` shows those there are")


async def _network(change: Change, name: str | None) -> Row:
    from mooring.server.db import networks

    if name is None:
        await networks.ensure_home(change.connection, change.now)
    known = await networks.names(change.connection)
    row = await networks.by_name(change.connection, name or known[0])
    if row is None or (name is None and len(known) > 1):
        why = "--network is needed" if name is None else f"there is no network {name!r}"
        raise UsageError("making an agent's key", why, f"one of: {', '.join(known)}")
    return row
