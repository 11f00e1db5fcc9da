"""Ports, and the services that were found there and elsewhere, as they are listed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    ColumnElement,
    String,
    Table,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.server import workloads
from mooring.server.db.containers import host_names
from mooring.server.db.engine import rows_of
from mooring.server.db.listing import Ask, Listing, Paged, equal, fetch, folded
from mooring.server.db.tables import address, container, host, port, subnet
from mooring.server.merge import Row
from mooring.server.turns import each

_HOST_NAME = select(host.c.name).where(host.c.id == port.c.host_id).scalar_subquery()

_PORTS = Listing(
    port,
    {
        "number": port.c.number,
        "protocol": port.c.protocol,
        "ip": port.c.ip_order,
        "service": folded(port.c.service_title),
        "category": port.c.service_category,
        "confidence": port.c.confidence,
        "first_seen": port.c.first_seen,
        "last_seen": port.c.last_seen,
    },
    "number",
    (
        port.c.ip,
        port.c.says,
        port.c.service,
        port.c.service_title,
        port.c.version,
        cast(port.c.number, String),
        _HOST_NAME,
    ),
)


async def page(
    connection: AsyncConnection,
    ask: Ask,
    *,
    network_id: str | None = None,
    host_id: str | None = None,
    container_id: str | None = None,
    service: str | None = None,
    protocol: str | None = None,
    number: int | None = None,
    gone: bool = False,
) -> Paged:
    """Ports, each with its host's name and the container that it leads to."""
    where = equal(port, host_id=host_id, service=service, protocol=protocol)
    where.append(port.c.gone_at.is_not(None) if gone else port.c.gone_at.is_(None))
    if number is not None:
        where.append(port.c.number == number)
    if network_id:
        of_network = select(host.c.id).where(host.c.network_id == network_id)
        where.append(port.c.host_id.in_(of_network))
    if container_id:
        where.append(await _of_container(connection, container_id))
    paged = await fetch(connection, _PORTS, ask, *where)
    return Paged(await _with_facts(connection, paged.rows), paged.next, paged.total)


async def by_id(connection: AsyncConnection, port_id: str) -> Row | None:
    row = (await connection.execute(select(port).where(port.c.id == port_id))).mappings().first()
    return (await _with_facts(connection, [dict(row)]))[0] if row else None


async def _of_container(connection: AsyncConnection, container_id: str) -> ColumnElement[bool]:
    """The ports that lead to a container."""
    query = select(container).where(container.c.id == container_id)
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        return port.c.id.is_(None)
    found = dict(row)
    published = [
        and_(port.c.host_id == found["host_id"], port.c.protocol == protocol, port.c.number == n)
        for protocol, n in sorted(workloads.published(found))
    ]
    around = (
        select(address.c.host_id)
        .join(subnet, subnet.c.id == address.c.subnet_id)
        .where(subnet.c.host_id == found["host_id"])
    )
    own = and_(port.c.ip.in_(workloads.attached(found)), port.c.host_id.in_(around))
    return or_(own, *published)


async def _with_facts(connection: AsyncConnection, rows: Collection[Row]) -> list[Row]:
    ids = {row["host_id"] for row in rows}
    hosts = await host_names(connection, ids)
    around = await _around(connection, rows)
    containers = await _containers(connection, ids | set(around.values()))

    def with_facts(row: Row) -> Row:
        owner = around.get((row["host_id"], row["ip"]), "")
        behind = workloads.leads_to(row, containers[row["host_id"]], containers[owner])
        known = bool(row["service"])
        return {
            **hosts[row["host_id"]],
            **row,
            "service": row["service"] or None,
            "title": row["service_title"] or None,
            "category": row["service_category"] or None,
            "confidence": row["confidence"] if known else None,
            "container_id": behind["id"] if behind else None,
            "container_name": behind["name"] if behind else None,
        }

    return await each(with_facts, rows)


async def _around(connection: AsyncConnection, rows: Collection[Row]) -> dict[tuple[str, str], str]:
    """Of ports whose address lies in a host's own subnet, that host."""
    query = (
        select(address.c.host_id, address.c.ip, subnet.c.host_id)
        .join(subnet, subnet.c.id == address.c.subnet_id)
        .where(
            address.c.host_id.in_({row["host_id"] for row in rows}),
            address.c.ip.in_({row["ip"] for row in rows}),
            subnet.c.host_id.is_not(None),
        )
    )
    return {(h, ip): owner for h, ip, owner in await connection.execute(query)}


async def _containers(
    connection: AsyncConnection, host_ids: Collection[str]
) -> dict[str, list[Row]]:
    columns = ("id", "host_id", "name", "state", "ports", "attachments")
    query = select(*(container.c[name] for name in columns)).where(
        container.c.host_id.in_(host_ids), container.c.gone_at.is_(None)
    )
    found: dict[str, list[Row]] = defaultdict(list)
    for row in (await connection.execute(query.order_by(container.c.id))).mappings():
        found[row["host_id"]].append(dict(row))
    return found


# --- services


def _found(table: Table, network_id: str | None, host_column: ColumnElement[str]) -> Any:
    """The services of one table: which, on which host, and in which table it stands."""
    where = [table.c.service != ""]
    if "gone_at" in table.c:
        where.append(table.c.gone_at.is_(None))
    if network_id:
        of_network = select(host.c.id).where(host.c.network_id == network_id)
        where.append(host_column.in_(of_network))
    return select(
        table.c.service.label("id"),
        table.c.service_title.label("title"),
        table.c.service_category.label("category"),
        host_column.label("host_id"),
        literal(1 if table is port else 0).label("port"),
        literal(1 if table is container else 0).label("container"),
    ).where(*where)


async def services(connection: AsyncConnection, ask: Ask, network_id: str | None = None) -> Paged:
    """Every service that was found, and on how many hosts, ports and containers."""
    found = union_all(
        _found(port, network_id, port.c.host_id),
        _found(container, network_id, container.c.host_id),
        _found(host, network_id, host.c.id),
    ).subquery()
    counted = (
        select(
            found.c.id,
            found.c.id.label("name"),
            func.max(found.c.title, type_=String()).label("title"),
            func.max(found.c.category, type_=String()).label("category"),
            func.count(found.c.host_id.distinct()).label("host_count"),
            func.sum(found.c.port).label("port_count"),
            func.sum(found.c.container).label("container_count"),
        )
        .group_by(found.c.id)
        .cte()
    )
    listing = Listing(
        counted,
        {
            "title": folded(counted.c.title),
            "category": counted.c.category,
            "host_count": counted.c.host_count,
        },
        "title",
        (counted.c.id, counted.c.title, counted.c.category),
    )
    return await fetch(connection, listing, ask)


def with_service(name: str) -> ColumnElement[bool]:
    """That a host has a service: its own, at a port or in a container."""
    at_ports = select(port.c.host_id).where(port.c.service == name, port.c.gone_at.is_(None))
    inside = select(container.c.host_id).where(
        container.c.service == name, container.c.gone_at.is_(None)
    )
    return (host.c.service == name) | host.c.id.in_(at_ports) | host.c.id.in_(inside)


async def of_hosts(connection: AsyncConnection, ids: Collection[str]) -> dict[str, list[Row]]:
    """The services at the ports of hosts, by host: name, title, category."""
    query = (
        select(
            port.c.host_id,
            port.c.service.label("name"),
            port.c.service_title.label("title"),
            port.c.service_category.label("category"),
        )
        .where(port.c.host_id.in_(ids), port.c.gone_at.is_(None), port.c.service != "")
        .distinct()
    )
    found: dict[str, list[Row]] = defaultdict(list)
    for row in await rows_of(await connection.execute(query)):
        found[row["host_id"]].append(row)
    for its in found.values():
        its.sort(key=lambda service: str(service["title"]).lower())
    return found
