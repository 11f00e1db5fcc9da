"""Subnets, as they are listed and drawn."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.server.db.listing import Ask, Listing, Paged, fetch
from mooring.server.db.tables import address, host, subnet
from mooring.server.merge import Row

KEPT_UNTOLD = 86400.0
"""Seconds for which a shared network of container engines stays though none tells of it: no
host need have an address in it, and hosts are away for a while."""

_SUBNETS = Listing(
    subnet,
    {
        "cidr": subnet.c.cidr_order,
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


async def seen(connection: AsyncConnection, ids: Collection[str], now: float) -> None:
    """Note that subnets were seen just now."""
    await _each(connection, ids, last_seen=now)


async def gone(connection: AsyncConnection, ids: Collection[str], now: float) -> None:
    """Note that subnets are there no longer."""
    await _each(connection, ids, gone_at=now)


async def _each(connection: AsyncConnection, ids: Collection[str], **values: float) -> None:
    # One statement per row, sent as one: a list of ids has an end in both databases.
    if ids:
        statement = update(subnet).where(subnet.c.id == bindparam("row_id")).values(**values)
        await connection.execute(statement, [{"row_id": row_id} for row_id in ids])


async def retire(
    connection: AsyncConnection, network_id: str, now: float, *, seen_before: float | None = None
) -> dict[str, str]:
    """Let shared subnets go in which no host has an address; answers them, id and CIDR.

    Not those seen at ``seen_before`` or later.
    """
    used = select(address.c.id).where(
        address.c.subnet_id == subnet.c.id, address.c.gone_at.is_(None)
    )
    machines = subnet.c.source == "machine"
    if seen_before is not None:
        machines &= subnet.c.last_seen < seen_before
    query = select(subnet.c.id, subnet.c.cidr).where(
        subnet.c.network_id == network_id,
        subnet.c.scope == "",
        subnet.c.gone_at.is_(None),
        machines | (subnet.c.last_seen < now - KEPT_UNTOLD),
        ~used.exists(),
    )
    retired = dict((await connection.execute(query)).all())
    await gone(connection, retired, now)
    return retired


async def own(connection: AsyncConnection, host_id: str) -> dict[str, str]:
    """A host's own present subnets, id and CIDR."""
    query = select(subnet.c.id, subnet.c.cidr).where(
        subnet.c.host_id == host_id, subnet.c.gone_at.is_(None)
    )
    return dict((await connection.execute(query)).all())


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
