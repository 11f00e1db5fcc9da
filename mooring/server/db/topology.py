"""The rows of the map."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, String, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.server.db.engine import rows_of
from mooring.server.db.tables import address, agent, container, host, port, subnet
from mooring.server.merge import Row


@dataclass(frozen=True, slots=True)
class Found:
    subnets: list[Row]
    hosts: list[Row]
    places: list[tuple[str, str]]
    total_hosts: int


async def read(connection: AsyncConnection, network_id: str | None, most: int) -> Found:
    """Present subnets, the first ``most`` hosts by name, and who is where."""

    def of_network(column: ColumnElement[str]) -> list[ColumnElement[bool]]:
        return [column == network_id] if network_id else []

    subnets = select(
        subnet.c.id, subnet.c.cidr, subnet.c.name, subnet.c.kind, subnet.c.host_id
    ).where(subnet.c.gone_at.is_(None), *of_network(subnet.c.network_id))
    watched = select(agent.c.id).where(agent.c.host_id == host.c.id).exists()
    # Whom a scan saw and no scan sees any more is listed, and not drawn.
    at = select(address.c.id).where(address.c.host_id == host.c.id, address.c.gone_at.is_(None))
    drawn = [*of_network(host.c.network_id), (host.c.source != "scan") | at.exists()]
    hosts = (
        select(
            host.c.id,
            host.c.name,
            host.c.service_category.label("kind"),
            watched.label("agent"),
        )
        .where(*drawn)
        .order_by(host.c.name_order, host.c.id)
        .limit(most)
    )
    places = (
        select(address.c.host_id, address.c.subnet_id)
        .join(host, host.c.id == address.c.host_id)
        .where(
            address.c.gone_at.is_(None),
            address.c.subnet_id.is_not(None),
            *of_network(host.c.network_id),
        )
        .distinct()
    )
    count = select(func.count()).select_from(host).where(*drawn)
    return Found(
        await rows_of(await connection.execute(subnets)),
        await rows_of(await connection.execute(hosts)),
        [(h, s) for h, s in await connection.execute(places)],
        (await connection.execute(count)).scalar_one(),
    )


async def workloads(
    connection: AsyncConnection, network_id: str | None, most: int
) -> tuple[list[Row], list[Row]]:
    """The first ``most`` services at the ports of hosts, and as many of their containers.

    A service stands once for each host, with ``numbers``: its ports as a text.
    """
    of_network = [host.c.network_id == network_id] if network_id else []
    at_ports = (
        select(
            port.c.host_id,
            port.c.service,
            func.max(port.c.service_title, type_=String()).label("title"),
            func.max(port.c.service_category, type_=String()).label("category"),
            func.aggregate_strings(cast(port.c.number, String), " ").label("numbers"),
        )
        .join(host, host.c.id == port.c.host_id)
        .where(port.c.gone_at.is_(None), port.c.service != "", *of_network)
        .group_by(port.c.host_id, port.c.service)
        .order_by(port.c.host_id, port.c.service)
        .limit(most)
    )
    names = ("id", "host_id", "name", "state", "ports", "service", "service_category")
    inside = (
        select(*(container.c[name] for name in names))
        .join(host, host.c.id == container.c.host_id)
        .where(container.c.gone_at.is_(None), *of_network)
        .order_by(container.c.host_id, container.c.name_order, container.c.id)
        .limit(most)
    )
    return (
        await rows_of(await connection.execute(at_ports)),
        await rows_of(await connection.execute(inside)),
    )
