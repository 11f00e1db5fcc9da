"""API keys, of users and of agents, and which agents use them. Only their hashes are here."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.ids import new_id
from mooring.server.db.engine import insert_new
from mooring.server.db.listing import Ask, Listing, Paged, equal, fetch
from mooring.server.db.tables import agent, agent_key, key, network, user
from mooring.server.merge import Row
from mooring.server.names import name_order

_KEYS = Listing(
    key,
    {
        "name": key.c.name_order,
        "created_at": key.c.created_at,
        "kind": key.c.kind,
        "last_used_at": func.coalesce(key.c.last_used_at, 0.0, type_=key.c.created_at.type),
    },
    "name",
    (key.c.name, key.c.prefix),
)


def _valid(now: float) -> ColumnElement[bool]:
    """Whether a key opens anything."""
    return and_(key.c.revoked_at.is_(None), or_(key.c.expires_at.is_(None), key.c.expires_at > now))


def _owned() -> ColumnElement[bool]:
    """Whether a key is nobody's, or its user may still log in."""
    return or_(key.c.user_id.is_(None), user.c.disabled_at.is_(None))


async def page(
    connection: AsyncConnection,
    ask: Ask,
    *,
    user_id: str | None = None,
    network_id: str | None = None,
    kind: str | None = None,
    agent_id: str | None = None,
) -> Paged:
    """Keys, each with its user's name and the agents that it is for."""
    where = equal(key, user_id=user_id, network_id=network_id, kind=kind)
    if agent_id:
        its = select(agent_key.c.key_id).where(agent_key.c.agent_id == agent_id)
        where.append(key.c.id.in_(its))
    paged = await fetch(connection, _KEYS, ask, *where)
    return Paged(await _named(connection, paged.rows), paged.next, paged.total)


async def everything(connection: AsyncConnection) -> list[Row]:
    """All keys by name, as they are listed."""
    rows = (await connection.execute(select(key).order_by(key.c.name_order, key.c.id))).mappings()
    return await _named(connection, [dict(row) for row in rows])


async def by_id(connection: AsyncConnection, key_id: str) -> Row | None:
    row = (await connection.execute(select(key).where(key.c.id == key_id))).mappings().first()
    return (await _named(connection, [dict(row)]))[0] if row else None


async def by_hash(connection: AsyncConnection, key_hash: str) -> Row | None:
    """The key that has or had this hash, whatever its state; with its network's and its user's."""
    query = (
        select(
            key,
            network.c.name.label("network_name"),
            user.c.name.label("user_name"),
            user.c.role.label("user_role"),
            user.c.disabled_at.label("user_disabled_at"),
        )
        .join(network, network.c.id == key.c.network_id, isouter=True)
        .join(user, user.c.id == key.c.user_id, isouter=True)
        .where(or_(key.c.hash == key_hash, key.c.old_hash == key_hash))
    )
    row = (await connection.execute(query)).mappings().first()
    return dict(row) if row else None


async def is_valid(connection: AsyncConnection, key_id: str, key_hash: str, now: float) -> bool:
    """Whether a key opens anything by the secret with this hash."""
    its = or_(key.c.hash == key_hash, and_(key.c.old_hash == key_hash, key.c.old_until > now))
    query = (
        select(key.c.id)
        .join(user, user.c.id == key.c.user_id, isouter=True)
        .where(key.c.id == key_id, its, _valid(now), _owned())
    )
    return (await connection.execute(query)).first() is not None


async def create(
    connection: AsyncConnection,
    *,
    name: str,
    prefix: str,
    key_hash: str,
    kind: str,
    role: str,
    network_id: str | None,
    expires_at: float | None,
    now: float,
    user_id: str | None,
) -> Row:
    row = {
        "id": new_id(),
        "name": name,
        "prefix": prefix,
        "hash": key_hash,
        "kind": kind,
        "role": role,
        "network_id": network_id,
        "user_id": user_id,
        "created_at": now,
        "expires_at": expires_at,
        "last_used_at": None,
        "revoked_at": None,
        "rotated_at": None,
        "old_hash": None,
        "old_until": None,
    }
    await connection.execute(insert(key).values(row))
    return (await _named(connection, [row]))[0]


async def rename(connection: AsyncConnection, key_id: str, name: str) -> None:
    named = update(key).values(name=name, name_order=name_order(name))
    await connection.execute(named.where(key.c.id == key_id))


async def rotate(
    connection: AsyncConnection, row: Row, prefix: str, key_hash: str, now: float, old_until: float
) -> Row:
    """Give a key another secret; the one that it had opens until ``old_until``."""
    values = {
        "prefix": prefix,
        "hash": key_hash,
        "old_hash": row["hash"],
        "old_until": old_until,
        "rotated_at": now,
    }
    await connection.execute(update(key).where(key.c.id == row["id"]).values(values))
    return {**row, **values}


async def revoke(connection: AsyncConnection, key_id: str, now: float) -> bool:
    """False when it was revoked before."""
    changed = await connection.execute(
        update(key).where(key.c.id == key_id, key.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    return changed.rowcount == 1


async def remove(connection: AsyncConnection, key_id: str) -> None:
    await connection.execute(delete(key).where(key.c.id == key_id))


async def remove_named(connection: AsyncConnection, name: str, kind: str) -> None:
    await connection.execute(delete(key).where(key.c.name == name, key.c.kind == kind))


async def used(connection: AsyncConnection, key_id: str, now: float) -> None:
    await connection.execute(update(key).where(key.c.id == key_id).values(last_used_at=now))


# --- of agents


async def tie(connection: AsyncConnection, agent_id: str, key_id: str) -> None:
    """Note that a key is an agent's: made for it, or used by it."""
    row = {"agent_id": agent_id, "key_id": key_id}
    await insert_new(connection, agent_key, row, ("agent_id", "key_id"))


async def of_agent(connection: AsyncConnection, agent_id: str, now: float) -> list[Row]:
    """The keys of an agent that open anything."""
    query = (
        select(key)
        .join(agent_key, agent_key.c.key_id == key.c.id)
        .where(agent_key.c.agent_id == agent_id, _valid(now))
        .order_by(key.c.created_at, key.c.id)
    )
    return [dict(row) for row in (await connection.execute(query)).mappings()]


async def count_of_agents(
    connection: AsyncConnection, agent_ids: Iterable[str], now: float
) -> dict[str, int]:
    """How many keys that open anything each of these agents has, where it has any."""
    query = (
        select(agent_key.c.agent_id, func.count())
        .join(key, key.c.id == agent_key.c.key_id)
        .where(agent_key.c.agent_id.in_(set(agent_ids)), _valid(now))
        .group_by(agent_key.c.agent_id)
    )
    return dict((await connection.execute(query)).all())


async def count_of_networks(
    connection: AsyncConnection, network_ids: Iterable[str], now: float
) -> dict[str, int]:
    """The same of networks."""
    query = (
        select(key.c.network_id, func.count())
        .where(key.c.network_id.in_(set(network_ids)), _valid(now))
        .group_by(key.c.network_id)
    )
    return dict((await connection.execute(query)).all())


async def _named(connection: AsyncConnection, rows: list[Row]) -> list[Row]:
    query = select(user.c.id, user.c.name).where(user.c.id.in_({r["user_id"] for r in rows}))
    names = dict((await connection.execute(query)).all())
    its = (
        select(agent_key.c.key_id, agent.c.id, agent.c.name)
        .join(agent, agent.c.id == agent_key.c.agent_id)
        .where(agent_key.c.key_id.in_([row["id"] for row in rows]))
        .order_by(agent.c.name_order, agent.c.id)
    )
    agents: dict[str, list[Row]] = {}
    for key_id, agent_id, name in (await connection.execute(its)).all():
        agents.setdefault(key_id, []).append({"id": agent_id, "name": name})
    return [
        {**row, "user_name": names.get(row["user_id"]), "agents": agents.get(row["id"], [])}
        for row in rows
    ]
