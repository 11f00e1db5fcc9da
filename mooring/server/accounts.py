"""What is done to users, by whoever may: through the API and by the command line alike. Each
function takes a ``Change``, and says in it what was done."""

from __future__ import annotations

from typing import Any

from mooring.model.event import Changed, Entity, Operation
from mooring.server import auth
from mooring.server.change import Change
from mooring.server.db import users
from mooring.server.merge import Row
from mooring.server.roles import Conflict, at_least, check_owner_stays, check_rank

_ALTERED = ("name", "role", "disabled_at", "invitation_hash", "invitation_expires_at")


async def invite(change: Change, name: str, role: str) -> tuple[Row, str]:
    """A new user, and what its one-time link holds."""
    check_rank(change.who.name, change.who.role, role, f"make a user of role {role}")
    await users.lock(change.connection)
    await _free(change, name)
    row = await users.create(change.connection, name, role, change.now)
    change.note(_changed(row, Operation.CREATED), name, detail=f"role {role}")
    return await _new_link(change, row)


async def new_link(change: Change, row: Row) -> tuple[Row, str]:
    """Another one-time link, by which the user chooses a new password."""
    _may_touch(change, row)
    if row["disabled_at"] is not None:
        raise Conflict(f"{row['name']} is disabled: a link would open nothing")
    change.note(_changed(row), row["name"], action="invited")
    return await _new_link(change, row)


async def accept(change: Change, row: Row, password_hash: str) -> Row:
    """A user chose a password by a one-time link, which is used up with that."""
    after = await _set_password(change, row, password_hash)
    change.note(_changed(row), row["name"], action="password set")
    return after


async def change_password(change: Change, row: Row, password_hash: str) -> None:
    """A user's own new password; all other sessions end."""
    await _set_password(change, row, password_hash, but=change.who.session_id)
    change.note(_changed(row), row["name"], action="password changed")


async def alter(
    change: Change,
    row: Row,
    *,
    name: str | None = None,
    role: str | None = None,
    disabled: bool | None = None,
) -> Row:
    """A user with another name or role, or who may no longer or may again log in."""
    _may_touch(change, row)
    after, said = dict(row), []
    if name is not None and name != row["name"]:
        await _free(change, name, row["id"])
        after["name"] = name
        said.append(f"renamed to {name}")
    if role is not None and role != row["role"]:
        check_rank(change.who.name, change.who.role, role, f"give the role {role}")
        after["role"] = role
        said.append(f"role {row['role']} to {role}")
    if disabled is not None and disabled != (row["disabled_at"] is not None):
        after["disabled_at"] = change.now if disabled else None
        said.append("disabled" if disabled else "enabled")
    if not said:
        return row
    check_owner_stays(row, after, await users.active_owners(change.connection))
    if after["disabled_at"] is not None or not at_least(row["role"], after["role"]):
        # Who made the link, or has it, may be below what it would now open.
        after |= {"invitation_hash": None, "invitation_expires_at": None}
    values = {column: after[column] for column in _ALTERED}
    await users.change(change.connection, row["id"], **values)
    if after["disabled_at"] is not None:
        await end_sessions(change, row)
    change.note(_changed(row), row["name"], detail=", ".join(said))
    return after


async def remove(change: Change, row: Row) -> None:
    """Delete a user, whose sessions and keys end with that."""
    _may_touch(change, row)
    check_owner_stays(row, None, await users.active_owners(change.connection))
    await end_sessions(change, row)
    await users.remove(change.connection, row["id"])
    change.note(_changed(row, Operation.DELETED), row["name"])


async def end_sessions(change: Change, row: Row, but: str | None = None) -> None:
    for ended in await users.close_sessions(change.connection, row["id"], but):
        change.add(Changed(Entity.SESSION, Operation.DELETED, ended))


async def end_session(change: Change, session: Row, whose: Row, action: str) -> None:
    # A key is no more than it is, also where its user would be.
    if change.who.kind != "user" or change.who.user_id != whose["id"]:
        _may_touch(change, whose)
    await users.close_session(change.connection, session["id"])
    ended = Changed(Entity.SESSION, Operation.DELETED, session["id"])
    detail = f"from {session['address']}" if session["address"] else ""
    change.note(ended, whose["name"], action=action, detail=detail)


async def _new_link(change: Change, row: Row) -> tuple[Row, str]:
    secret, hashed = auth.new_invitation()
    values = {
        "invitation_hash": hashed,
        "invitation_expires_at": change.now + auth.INVITATION_SECONDS,
    }
    await users.change(change.connection, row["id"], **values)
    return {**row, **values}, secret


async def _set_password(
    change: Change, row: Row, password_hash: str, but: str | None = None
) -> Row:
    values: dict[str, Any] = {
        "password_hash": password_hash,
        "invitation_hash": None,
        "invitation_expires_at": None,
    }
    await users.change(change.connection, row["id"], **values)
    await end_sessions(change, row, but)
    return {**row, **values}


async def _free(change: Change, name: str, but: str | None = None) -> None:
    """No two users are called the same. Raises ``Conflict``."""
    same = await users.by_login(change.connection, name)
    if same is not None and same["id"] != but:
        raise Conflict(f"there is a user called {same['name']!r} already")


def _may_touch(change: Change, row: Row) -> None:
    what = f"change {row['name']}, who is {row['role']}"
    check_rank(change.who.name, change.who.role, row["role"], what)


def _changed(row: Row, operation: Operation = Operation.CHANGED) -> Changed:
    return Changed(Entity.USER, operation, row["id"])
