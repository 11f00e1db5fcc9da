"""Subnets, as they are listed and drawn."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.server.db.listing import Ask, Listing, Paged, fetch
from mooring.server.db.tables import address, host, subnet
from mooring.server.merge import Row

_SUBNETS = Listing(
    subnet,
    {
        "cidr": subnet.c.cidr,
        "kind": subnet.c.kind,
        "first_seen": subnet.c.first_seen,
        "last_seen": subnet.c.last_seen,
    },
    "cidr",
    (subnet.c.cidr, subnet.c.name, subnet.c.kind),
)


async def page(connection: AsyncConnection, ask: Ask, network_id: str | None = None) -> Paged:
    """Present subnets, each with the number of hosts in it and the host whose own it is."""
    where: list[ColumnElement[bool]] = [subnet.c.gone_at.is_(None)]
    if network_id:
        where.append(subnet.c.network_id == network_id)
    paged = await fetch(connection, _SUBNETS, ask, *where)
    return Paged(await _with_facts(connection, paged.rows), paged.next, paged.total)


async def by_id(connection: AsyncConnection, subnet_id: str) -> Row | None:
    query = select(subnet).where(subnet.c.id == subnet_id)
    row = (await connection.execute(query)).mappings().first()
    return (await _with_facts(connection, [dict(row)]))[0] if row else None


async def _with_facts(connection: AsyncConnection, rows: Collection[Row]) -> list[Row]:
    ids = [row["id"] for row in rows]
    query = (
        select(address.c.subnet_id, func.count(address.c.host_id.distinct()))
        .where(address.c.subnet_id.in_(ids), address.c.gone_at.is_(None))
        .group_by(address.c.subnet_id)
    )
    counts: dict[str, int] = dict((await connection.execute(query)).all())
    owners = {row["host_id"] for row in rows if row["host_id"]}
    named = select(host.c.id, host.c.name).where(host.c.id.in_(owners))
    names = dict((await connection.execute(named)).all())
    return [
        {
            **row,
            "host_count": counts.get(row["id"], 0),
            "host_name": names.get(row["host_id"]),
        }
        for row in rows
    ]
