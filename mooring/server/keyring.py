"""What is done to keys, by whoever may: through the API and by the command line alike. Each
function takes a ``Change``, and says in it what was done; no secret gets into that."""

from __future__ import annotations

from mooring.model.event import Changed, Entity, Operation
from mooring.server import auth
from mooring.server.change import Change
from mooring.server.db import keys, users
from mooring.server.merge import Row
from mooring.server.roles import Conflict, check_rank


async def make(
    change: Change,
    name: str,
    *,
    role: str | None = None,
    network: Row | None = None,
    expires_at: float | None = None,
) -> tuple[str, Row]:
    """A new key, and its row: with a role for its user, or for the agents of a network."""
    if network is None:
        role = role or "viewer"
        check_rank(change.who.name, change.who.role, role, f"make a key of role {role}")
        what = f"role {role}"
    else:
        what = f"for agents of the network {network['name']}"
    secret, row = await auth.create_key(
        change.connection,
        name=name,
        kind="user" if network is None else "agent",
        role=role if network is None and role else "viewer",
        network_id=network["id"] if network else None,
        expires_at=expires_at,
        now=change.now,
        user_id=change.who.user_id if network is None else None,
    )
    change.note(_changed(row, Operation.CREATED), name, detail=what)
    return secret, row


async def make_for_agent(
    change: Change, name: str, agent: Row, network: Row, expires_at: float | None
) -> tuple[str, Row]:
    """A new key for one agent, in its network."""
    secret, row = await make(change, name, network=network, expires_at=expires_at)
    await keys.tie(change.connection, agent["id"], row["id"])
    change.add(Changed(Entity.AGENT, Operation.CHANGED, agent["id"], agent["network_id"]))
    return secret, {**row, "agents": [{"id": agent["id"], "name": agent["name"]}]}


async def rotate(change: Change, row: Row, grace: float) -> tuple[str, Row]:
    """Another secret for a key; the old one opens for ``grace`` seconds more.

    Whoever has the secret acts in the name of the key's user: nobody gets one of a user above.
    """
    _check_alive(change, row)
    if row["user_id"] not in (None, change.who.user_id):
        whose = (await users.by_ids(change.connection, [row["user_id"]]))[row["user_id"]]
        what = f"make a secret for {whose['name']}, who is {whose['role']}"
        check_rank(change.who.name, change.who.role, whose["role"], what)
    secret, prefix = auth.new_key()
    hashed = auth.hash_secret(secret)
    until = change.now + grace
    after = await keys.rotate(change.connection, row, prefix, hashed, change.now, until)
    detail = f"the old secret opens for {round(grace)} s more" if grace else ""
    change.note(_changed(row), row["name"], action="rotated", detail=detail)
    return secret, after


async def revoke(change: Change, row: Row) -> Row:
    """End a key at once. Raises ``Conflict`` when it was revoked before."""
    if not await keys.revoke(change.connection, row["id"], change.now):
        raise Conflict("the key was revoked before")
    change.note(_changed(row), row["name"], action="revoked")
    for agent in row["agents"]:
        change.add(Changed(Entity.AGENT, Operation.CHANGED, agent["id"], row["network_id"]))
    return {**row, "revoked_at": change.now}


async def rename(change: Change, row: Row, name: str) -> Row:
    if name == row["name"]:
        return row
    await keys.rename(change.connection, row["id"], name)
    change.note(_changed(row), row["name"], action="renamed", detail=f"to {name}")
    return {**row, "name": name}


async def remove(change: Change, row: Row) -> None:
    """Forget a key that opens nothing any more. Raises ``Conflict`` for another."""
    if is_alive(row, change.now):
        raise Conflict("the key still opens what it is for: revoke it first")
    await keys.remove(change.connection, row["id"])
    change.note(_changed(row, Operation.DELETED), row["name"])


def is_alive(row: Row, now: float) -> bool:
    return state(row, now) == "valid"


def state(row: Row, now: float) -> str:
    """Whether a key is valid, expired or revoked."""
    if row["revoked_at"] is not None:
        return "revoked"
    return "expired" if row["expires_at"] is not None and row["expires_at"] <= now else "valid"


def _check_alive(change: Change, row: Row) -> None:
    if not is_alive(row, change.now):
        raise Conflict(f"the key is {state(row, change.now)}: make another")


def _changed(row: Row, operation: Operation = Operation.CHANGED) -> Changed:
    return Changed(Entity.KEY, operation, row["id"], row["network_id"])
