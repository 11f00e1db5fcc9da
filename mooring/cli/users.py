"""``mooring users``: who may log in, arranged on the server's machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlencode

from cyclopts import App, Parameter

from mooring.cli.console import aside, at_console, minute
from mooring.cli.options import DataDir, Format
from mooring.core.errors import UsageError
from mooring.core.url import server_url

if TYPE_CHECKING:
    from mooring.server.change import Change
    from mooring.server.merge import Row

app = App(name="users", help="Who may log in on the page; works on the server's machine.")

Name = Annotated[str, Parameter(name="NAME", help="What the user is called.")]
Role = Literal["viewer", "member", "admin", "owner"]
Page = Annotated[str, Parameter(help="Where the page is, for the link.")]
HERE = "http://127.0.0.1:8930"


@app.command
def create(
    name: Name,
    /,
    *,
    role: Annotated[Role, Parameter(help="What the user may do.")] = "viewer",
    page: Page = HERE,
    data_dir: DataDir = None,
) -> None:
    """Make a user, and print the one-time link by which NAME chooses a password."""
    attempted = f"making the user {name!r}"
    page = server_url(page)
    if not name.strip() or len(name) > 100:
        raise UsageError(attempted, "a name has 1 to 100 characters")

    async def make(change: Change) -> tuple[Row, str]:
        from mooring.server import accounts

        return await accounts.invite(change, name.strip(), role)

    _say_link(page, *at_console(data_dir, make, attempted))


@app.command
def link(name: Name, /, *, page: Page = HERE, data_dir: DataDir = None) -> None:
    """Print a one-time link by which NAME chooses a new password, as when it was forgotten."""
    attempted = f"making a link for the user {name!r}"
    page = server_url(page)

    async def make(change: Change) -> tuple[Row, str]:
        from mooring.server import accounts

        return await accounts.new_link(change, await _user(change, name, attempted))

    _say_link(page, *at_console(data_dir, make, attempted))


@app.command(name="list")
def show(*, format: Format = "table", data_dir: DataDir = None) -> None:  # noqa: A002
    """List the users."""

    async def read(change: Change) -> list[Row]:
        from mooring.server.db import users

        return await users.everybody(change.connection)

    rows = at_console(data_dir, read, "listing the users")
    shown = ("name", "role", "state", "created_at", "last_login_at")
    if format == "json":
        print(json.dumps([{column: row[column] for column in shown} for row in rows], indent=2))
        return
    from mooring.cli.tables import add, console, table

    of = table("name", "role", "state", "last log-in (UTC)")
    for row in rows:
        add(of, row["name"], row["role"], row["state"], minute(row["last_login_at"]))
    console().print(of)


@app.command
def change(
    name: Name,
    /,
    *,
    role: Annotated[Role | None, Parameter(help="Another role.")] = None,
    disable: Annotated[
        bool | None,
        Parameter(negative="--enable", help="Whether the user is out, at once, or in again."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Give a user another role, or let it in no more."""
    attempted = f"changing the user {name!r}"
    if role is None and disable is None:
        raise UsageError(attempted, "nothing is to be changed", "--role, --disable or --enable")

    async def alter(change: Change) -> Row:
        from mooring.server import accounts

        row = await _user(change, name, attempted)
        return await accounts.alter(change, row, role=role, disabled=disable)

    row = at_console(data_dir, alter, attempted)
    aside(f"{row['name']}: {row['role']}, {'disabled' if row['disabled_at'] else 'enabled'}.")


@app.command
def remove(name: Name, /, *, data_dir: DataDir = None) -> None:
    """Delete a user, with its sessions and keys."""
    attempted = f"deleting the user {name!r}"

    async def end(change: Change) -> None:
        from mooring.server import accounts

        await accounts.remove(change, await _user(change, name, attempted))

    at_console(data_dir, end, attempted)
    aside(f"Deleted: {name}.")


async def _user(change: Change, name: str, attempted: str) -> Row:
    from mooring.server.db import users

    await users.lock(change.connection)
    row = await users.by_login(change.connection, name)
    if row is None:
        why = f"there is no user {name!r}"
        raise UsageError(attempted, why, "`mooring users list` shows those there are")
    return row


def _say_link(page: str, row: Row, secret: str) -> None:
    print(f"{page}/invitation?{urlencode({'token': secret, 'name': row['name']})}")
    until = minute(row["invitation_expires_at"])
    aside(f"{row['name']}, {row['role']}: the link works once, until {until} UTC.")
