"""Networks: sites, to which all else belongs."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.ids import new_id
from mooring.server.db import keys
from mooring.server.db.listing import Ask, Listing, Paged, fetch
from mooring.server.db.tables import agent, host, network, subnet
from mooring.server.merge import Row
from mooring.server.names import name_order

HOME = "home"
"""The network that a new database has."""

_NETWORKS = Listing(
    network,
    {"name": network.c.name_order, "created_at": network.c.created_at},
    "name",
    (network.c.name,),
)


async def page(connection: AsyncConnection, ask: Ask, now: float) -> Paged:
    """Networks, each with the number of its hosts, subnets, agents and agents' keys."""
    paged = await fetch(connection, _NETWORKS, ask)
    return Paged(await _with_counts(connection, paged.rows, now), paged.next, paged.total)


async def by_id(connection: AsyncConnection, network_id: str) -> Row | None:
    query = select(network).where(network.c.id == network_id)
    row = (await connection.execute(query)).mappings().first()
    return dict(row) if row else None


async def counted(connection: AsyncConnection, network_id: str, now: float) -> Row | None:
    """One network as it is listed."""
    row = await by_id(connection, network_id)
    return (await _with_counts(connection, [row], now))[0] if row else None


async def by_name(connection: AsyncConnection, name: str) -> Row | None:
    query = select(network).where(func.lower(network.c.name) == func.lower(name))
    row = (await connection.execute(query)).mappings().first()
    return dict(row) if row else None


async def names(connection: AsyncConnection) -> list[str]:
    return list((await names_by_id(connection)).values())


async def names_by_id(connection: AsyncConnection) -> dict[str, str]:
    query = select(network.c.id, network.c.name).order_by(network.c.name_order, network.c.id)
    return dict((await connection.execute(query)).all())


async def lock_names(connection: AsyncConnection) -> None:
    """Let nobody else name a network until the transaction ends: no two are called the same."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("LOCK TABLE network IN SHARE ROW EXCLUSIVE MODE"))


async def create(connection: AsyncConnection, name: str, now: float) -> Row:
    row = {"id": new_id(), "name": name, "created_at": now}
    await connection.execute(insert(network).values(row))
    return row


async def ensure_home(connection: AsyncConnection, now: float) -> Row:
    """The oldest network; made if there is none yet."""
    return await _oldest(connection) or await _first(connection, now)


async def _first(connection: AsyncConnection, now: float) -> Row:
    # Several servers may start at once on one empty database.
    await lock_names(connection)
    return await _oldest(connection) or await create(connection, HOME, now)


async def _oldest(connection: AsyncConnection) -> Row | None:
    query = select(network).order_by(network.c.created_at, network.c.id).limit(1)
    row = (await connection.execute(query)).mappings().first()
    return dict(row) if row else None


async def rename(connection: AsyncConnection, network_id: str, name: str) -> None:
    named = update(network).values(name=name, name_order=name_order(name))
    await connection.execute(named.where(network.c.id == network_id))


async def remove(connection: AsyncConnection, network_id: str) -> None:
    await connection.execute(delete(network).where(network.c.id == network_id))


async def _with_counts(connection: AsyncConnection, rows: Collection[Row], now: float) -> list[Row]:
    ids = [row["id"] for row in rows]
    counts = {"key": await keys.count_of_networks(connection, ids, now)}
    for table in (host, subnet, agent):
        query = select(table.c.network_id, func.count()).where(table.c.network_id.in_(ids))
        if "gone_at" in table.c:
            query = query.where(table.c.gone_at.is_(None))
        grouped = await connection.execute(query.group_by(table.c.network_id))
        counts[table.name] = dict(grouped.all())
    return [
        {**row, **{f"{name}_count": of.get(row["id"], 0) for name, of in counts.items()}}
        for row in rows
    ]
