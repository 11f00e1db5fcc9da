"""Containers, as they are listed."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, String, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.server.db.listing import Ask, Listing, Paged, equal, fetch, folded
from mooring.server.db.tables import container, host
from mooring.server.merge import Row

# Compose's projects together, and within them by name.
_PROJECT = func.coalesce(container.c.compose_project, "", type_=String())

_CONTAINERS = Listing(
    container,
    {
        "name": container.c.name_order,
        "image": folded(container.c.image),
        "state": container.c.state,
        "service": folded(container.c.service_title),
        "project": folded(_PROJECT) + " " + container.c.name_order,
        "last_seen": container.c.last_seen,
    },
    "name",
    (
        container.c.name,
        container.c.image,
        container.c.compose_project,
        container.c.container_id,
        container.c.service_title,
    ),
)


async def page(
    connection: AsyncConnection,
    ask: Ask,
    *,
    network_id: str | None = None,
    **columns: str | None,
) -> Paged:
    """Present containers with their hosts' names; ``columns`` as they are asked for."""
    where: list[ColumnElement[bool]] = [
        container.c.gone_at.is_(None),
        *equal(container, **columns),
    ]
    if network_id:
        of_network = select(host.c.id).where(host.c.network_id == network_id)
        where.append(container.c.host_id.in_(of_network))
    paged = await fetch(connection, _CONTAINERS, ask, *where)
    return Paged(await _with_hosts(connection, paged.rows), paged.next, paged.total)


async def by_id(connection: AsyncConnection, container_id: str) -> Row | None:
    query = select(container).where(container.c.id == container_id)
    row = (await connection.execute(query)).mappings().first()
    return (await _with_hosts(connection, [dict(row)]))[0] if row else None


async def _with_hosts(connection: AsyncConnection, rows: Collection[Row]) -> list[Row]:
    hosts = await host_names(connection, {row["host_id"] for row in rows})
    return [{**hosts[row["host_id"]], **row} for row in rows]


async def host_names(connection: AsyncConnection, ids: Collection[str]) -> dict[str, Row]:
    """The ``network_id`` and ``host_name`` of hosts."""
    query = select(host.c.id, host.c.network_id, host.c.name.label("host_name")).where(
        host.c.id.in_(ids)
    )
    return {row["id"]: dict(row) for row in (await connection.execute(query)).mappings()}
