"""Hosts and their parts, as they are listed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from sqlalchemy import ColumnElement, Table, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.server.db import ports
from mooring.server.db.listing import Ask, Listing, Paged, equal, fetch, folded
from mooring.server.db.tables import (
    address,
    agent,
    container,
    host,
    interface,
    neighbour,
    port,
    route,
    set_aside,
    subnet,
)
from mooring.server.merge import Row
from mooring.server.names import name_order
from mooring.server.scans import by_number
from mooring.server.turns import each

SHOWN_ADDRESSES = 8
SHOWN_SERVICES = 20

_HOSTS = Listing(
    host,
    {
        "name": host.c.name_order,
        "os": folded(host.c.os),
        "vendor": folded(host.c.vendor),
        "kind": host.c.service_category,
        "first_seen": host.c.first_seen,
        "last_seen": host.c.last_seen,
    },
    "name",
)

PARTS = {
    "interface": Listing(
        interface,
        {
            "name": interface.c.name_order,
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
        {
            "ip": neighbour.c.ip_order,
            "interface": neighbour.c.interface,
            "state": neighbour.c.state,
        },
        "interface",
        (neighbour.c.ip, neighbour.c.mac, neighbour.c.interface),
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
    service: str | None = None,
) -> Paged:
    """Hosts, each with its addresses, subnets, services, agent and counts."""
    where: list[ColumnElement[bool]] = []
    if network_id:
        where.append(host.c.network_id == network_id)
    if subnet_id:
        inside = select(address.c.host_id).where(
            address.c.subnet_id == subnet_id, address.c.gone_at.is_(None)
        )
        where.append(host.c.id.in_(inside))
    if service:
        where.append(ports.with_service(service))
    where += matching(ask.q)
    paged = await fetch(connection, _HOSTS, ask, *where)
    return Paged(await _with_facts(connection, paged.rows), paged.next, paged.total)


def matching(q: str | None) -> list[ColumnElement[bool]]:
    """That a host is meant by these words: by a name, an address, its maker, its system."""
    where = []
    for word in (q or "").split():
        by_address = select(address.c.host_id).where(
            address.c.ip.icontains(word, autoescape=True), address.c.gone_at.is_(None)
        )
        columns = (host.c.name, host.c.hostname, host.c.os, host.c.mac, host.c.vendor)
        texts = [column.icontains(word, autoescape=True) for column in columns]
        where.append(or_(*texts, host.c.id.in_(by_address)))
    return where


async def by_id(connection: AsyncConnection, host_id: str) -> Row | None:
    row = (await connection.execute(select(host).where(host.c.id == host_id))).mappings().first()
    return (await _with_facts(connection, [dict(row)]))[0] if row else None


async def parts(connection: AsyncConnection, noun: str, ask: Ask, host_id: str | None) -> Paged:
    """The present interfaces, routes, neighbours or items set aside."""
    listing = PARTS[noun]
    where = equal(listing.table, host_id=host_id)
    if "gone_at" in listing.table.c:
        where.append(listing.table.c.gone_at.is_(None))
    return await fetch(connection, listing, ask, *where)


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


async def present_addresses(
    connection: AsyncConnection, ids: Collection[str]
) -> dict[str, set[str]]:
    """The present addresses of hosts, in whatever subnet, by host."""
    query = select(address.c.host_id, address.c.ip).where(
        address.c.host_id.in_(ids), address.c.gone_at.is_(None)
    )
    found: dict[str, set[str]] = defaultdict(set)
    for host_id, ip in await connection.execute(query):
        found[host_id].add(ip)
    return found


def _by_number(row: Row) -> tuple[int, int]:
    return by_number(row["ip"])


async def reached_at(
    connection: AsyncConnection, host_id: str, from_host: str | None
) -> tuple[str, ...]:
    """A host's addresses in subnets that it shares, or that are of the host that asks."""
    query = (
        select(address.c.ip)
        .join(subnet, subnet.c.id == address.c.subnet_id)
        .where(
            address.c.host_id == host_id,
            address.c.gone_at.is_(None),
            (subnet.c.scope == "") | (subnet.c.host_id == from_host),
            subnet.c.kind.not_in(tuple(_LAST)),
        )
        .distinct()
    )
    found = (await connection.execute(query)).scalars()
    return tuple(sorted(found, key=by_number))[:SHOWN_ADDRESSES]


async def rename(connection: AsyncConnection, stored: Row, given: str | None, name: str) -> None:
    values = {"given_name": given, "name": name, "name_order": name_order(name)}
    await connection.execute(update(host).where(host.c.id == stored["id"]).values(values))


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
        for table in (interface, container, port, set_aside)
    }
    services = await ports.of_hosts(connection, ids)

    def with_facts(row: Row) -> Row:
        its = addresses[row["id"]]
        return {
            **row,
            "kind": row["service_category"],
            "services": _services(row["services"], services[row["id"]]),
            "agent_id": agents.get(row["id"]),
            "addresses": [a["ip"] for a in its[:SHOWN_ADDRESSES]],
            "subnet_ids": list(dict.fromkeys(a["subnet_id"] for a in its if a["subnet_id"])),
            **{f"{name}_count": of[row["id"]] for name, of in counts.items()},
        }

    return await each(with_facts, rows)


def _services(own: list[Row], at_ports: list[Row]) -> list[dict[str, str]]:
    """Each service once; its own first."""
    by_name: dict[str, Row] = {}
    for service in (*own, *at_ports):
        by_name.setdefault(service["name"], service)
    columns = ("name", "title", "category")
    return [{c: s[c] for c in columns} for s in list(by_name.values())[:SHOWN_SERVICES]]


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
