"""The rows of the map."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.server.db.tables import address, agent, host, subnet
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
    hosts = (
        select(host.c.id, host.c.name, watched.label("agent"))
        .where(*of_network(host.c.network_id))
        .order_by(host.c.name, host.c.id)
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
    count = select(func.count()).select_from(host).where(*of_network(host.c.network_id))
    return Found(
        [dict(row) for row in (await connection.execute(subnets)).mappings()],
        [dict(row) for row in (await connection.execute(hosts)).mappings()],
        [(h, s) for h, s in await connection.execute(places)],
        (await connection.execute(count)).scalar_one(),
    )
