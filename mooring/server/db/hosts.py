"""Hosts and their parts, as they are listed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from ipaddress import ip_address

from sqlalchemy import ColumnElement, Table, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.server.db.listing import Ask, Listing, Paged, fetch, folded
from mooring.server.db.tables import (
    address,
    agent,
    container,
    host,
    interface,
    neighbour,
    route,
    set_aside,
    subnet,
)
from mooring.server.merge import Row

SHOWN_ADDRESSES = 8

_HOSTS = Listing(
    host,
    {
        "name": folded(host.c.name),
        "os": folded(host.c.os),
        "first_seen": host.c.first_seen,
        "last_seen": host.c.last_seen,
    },
    "name",
)

PARTS = {
    "interface": Listing(
        interface,
        {
            "name": folded(interface.c.name),
            "index": interface.c.index,
            "kind": interface.c.kind,
            "state": interface.c.state,
        },
        "index",
        (interface.c.name, interface.c.mac, interface.c.kind),
    ),
    "route": Listing(
        route,
        {"destination": route.c.destination, "metric": route.c.metric, "family": route.c.family},
        "family",
        (route.c.destination, route.c.gateway, route.c.interface),
    ),
    "neighbour": Listing(
        neighbour,
        {"ip": neighbour.c.ip, "interface": neighbour.c.interface, "state": neighbour.c.state},
        "interface",
        (neighbour.c.ip, neighbour.c.mac, neighbour.c.interface),
    ),
    "container": Listing(
        container,
        {
            "name": folded(container.c.name),
            "image": folded(container.c.image),
            "state": container.c.state,
            "last_seen": container.c.last_seen,
        },
        "name",
        (
            container.c.name,
            container.c.image,
            container.c.compose_project,
            container.c.container_id,
        ),
    ),
    "set_aside": Listing(
        set_aside,
        {"at": set_aside.c.at, "kind": set_aside.c.kind},
        "-at",
        (set_aside.c.kind, set_aside.c.item, set_aside.c.reason),
    ),
}


async def page(
    connection: AsyncConnection,
    ask: Ask,
    network_id: str | None = None,
    subnet_id: str | None = None,
) -> Paged:
    """Hosts, each with its addresses, subnets, agent and counts."""
    where: list[ColumnElement[bool]] = []
    if network_id:
        where.append(host.c.network_id == network_id)
    if subnet_id:
        inside = select(address.c.host_id).where(
            address.c.subnet_id == subnet_id, address.c.gone_at.is_(None)
        )
        where.append(host.c.id.in_(inside))
    for word in (ask.q or "").split():
        by_address = select(address.c.host_id).where(
            address.c.ip.icontains(word, autoescape=True), address.c.gone_at.is_(None)
        )
        where.append(
            host.c.name.icontains(word, autoescape=True)
            | host.c.hostname.icontains(word, autoescape=True)
            | host.c.os.icontains(word, autoescape=True)
            | host.c.id.in_(by_address)
        )
    paged = await fetch(connection, _HOSTS, ask, *where)
    return Paged(await _with_facts(connection, paged.rows), paged.next, paged.total)


async def by_id(connection: AsyncConnection, host_id: str) -> Row | None:
    row = (await connection.execute(select(host).where(host.c.id == host_id))).mappings().first()
    return (await _with_facts(connection, [dict(row)]))[0] if row else None


async def parts(connection: AsyncConnection, noun: str, ask: Ask, host_id: str | None) -> Paged:
    """The present interfaces, routes, neighbours, containers or items set aside."""
    listing = PARTS[noun]
    where: list[ColumnElement[bool]] = []
    if "gone_at" in listing.table.c:
        where.append(listing.table.c.gone_at.is_(None))
    if host_id:
        where.append(listing.table.c.host_id == host_id)
    return await fetch(connection, listing, ask, *where)


async def part(connection: AsyncConnection, noun: str, row_id: str) -> Row | None:
    table = PARTS[noun].table
    row = (await connection.execute(select(table).where(table.c.id == row_id))).mappings().first()
    return dict(row) if row else None


async def addresses_of(
    connection: AsyncConnection, interface_ids: Collection[str]
) -> dict[str, list[Row]]:
    """The present addresses of interfaces, by interface."""
    query = select(address).where(
        address.c.interface_id.in_(interface_ids), address.c.gone_at.is_(None)
    )
    found: dict[str, list[Row]] = defaultdict(list)
    for row in (await connection.execute(query)).mappings():
        found[row["interface_id"]].append(dict(row))
    for of_interface in found.values():
        of_interface.sort(key=_by_number)
    return found


def _by_number(row: Row) -> tuple[int, int]:
    """IPv4 before IPv6, and each by its number and not by its text."""
    ip = ip_address(row["ip"])
    return ip.version, int(ip)


async def rename(connection: AsyncConnection, stored: Row, given: str | None, name: str) -> None:
    await connection.execute(
        update(host).where(host.c.id == stored["id"]).values(given_name=given, name=name)
    )


async def remove(connection: AsyncConnection, host_id: str) -> None:
    await connection.execute(delete(host).where(host.c.id == host_id))


async def _with_facts(connection: AsyncConnection, rows: list[Row]) -> list[Row]:
    ids = [row["id"] for row in rows]
    addresses = await _addresses(connection, ids)
    watching = (
        select(agent.c.host_id, agent.c.id)
        .where(agent.c.host_id.in_(ids))
        .order_by(agent.c.last_seen)
    )
    agents = dict((await connection.execute(watching)).all())
    counts = {
        table.name: await _counts(connection, table, ids)
        for table in (interface, container, set_aside)
    }
    return [
        {
            **row,
            "agent_id": agents.get(row["id"]),
            "addresses": [a["ip"] for a in addresses[row["id"]]][:SHOWN_ADDRESSES],
            "subnet_ids": list(
                dict.fromkeys(a["subnet_id"] for a in addresses[row["id"]] if a["subnet_id"])
            ),
            **{f"{name}_count": of[row["id"]] for name, of in counts.items()},
        }
        for row in rows
    ]


# Those first by which other hosts can reach this one.
_FAR = {"lan": 0, "vpn": 1, "unknown": 2, "point_to_point": 3}
_LAST = {"link_local": 8, "loopback": 9}


async def _addresses(connection: AsyncConnection, ids: list[str]) -> dict[str, list[Row]]:
    query = (
        select(address.c.host_id, address.c.ip, address.c.subnet_id, subnet.c.kind)
        .join(subnet, subnet.c.id == address.c.subnet_id, isouter=True)
        .where(address.c.host_id.in_(ids), address.c.gone_at.is_(None))
    )
    found: dict[str, list[Row]] = defaultdict(list)
    for row in (await connection.execute(query)).mappings():
        found[row["host_id"]].append(dict(row))
    for of_host in found.values():
        of_host.sort(key=lambda a: (_FAR.get(a["kind"], _LAST.get(a["kind"], 5)), _by_number(a)))
    return found


async def _counts(connection: AsyncConnection, table: Table, ids: list[str]) -> dict[str, int]:
    query = (
        select(table.c.host_id, func.count())
        .where(table.c.host_id.in_(ids))
        .group_by(table.c.host_id)
    )
    if "gone_at" in table.c:
        query = query.where(table.c.gone_at.is_(None))
    found: defaultdict[str, int] = defaultdict(int)
    found.update(dict((await connection.execute(query)).all()))
    return found
