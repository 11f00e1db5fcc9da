"""API keys, of users and of agents. Only their hashes are here."""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.ids import new_id
from mooring.server.db.listing import Ask, Listing, Paged, fetch, folded
from mooring.server.db.tables import key, network
from mooring.server.merge import Row

_KEYS = Listing(
    key,
    {"name": folded(key.c.name), "created_at": key.c.created_at, "kind": key.c.kind},
    "name",
    (key.c.name, key.c.prefix),
)


async def page(connection: AsyncConnection, ask: Ask) -> Paged:
    return await fetch(connection, _KEYS, ask)


async def by_id(connection: AsyncConnection, key_id: str) -> Row | None:
    row = (await connection.execute(select(key).where(key.c.id == key_id))).mappings().first()
    return dict(row) if row else None


async def by_hash(connection: AsyncConnection, key_hash: str) -> Row | None:
    """The key, whatever its state, with the name of its network."""
    query = (
        select(key, network.c.name.label("network_name"))
        .join(network, network.c.id == key.c.network_id, isouter=True)
        .where(key.c.hash == key_hash)
    )
    row = (await connection.execute(query)).mappings().first()
    return dict(row) if row else None


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
) -> Row:
    row = {
        "id": new_id(),
        "name": name,
        "prefix": prefix,
        "hash": key_hash,
        "kind": kind,
        "role": role,
        "network_id": network_id,
        "created_at": now,
        "expires_at": expires_at,
        "last_used_at": None,
        "revoked_at": None,
    }
    await connection.execute(insert(key).values(row))
    return row


async def revoke(connection: AsyncConnection, key_id: str, now: float) -> bool:
    """False when it was revoked before."""
    changed = await connection.execute(
        update(key).where(key.c.id == key_id, key.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    return changed.rowcount == 1


async def remove_named(connection: AsyncConnection, name: str, kind: str) -> None:
    await connection.execute(delete(key).where(key.c.name == name, key.c.kind == kind))


async def used(connection: AsyncConnection, key_id: str, now: float) -> None:
    await connection.execute(update(key).where(key.c.id == key_id).values(last_used_at=now))
