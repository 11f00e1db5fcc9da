"""Search: what of a site is meant by a few words, a few of each kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.server.api.door import NetworkId, Reading, Viewer
from mooring.server.api.scan_shapes import Findings, Found, FoundKind
from mooring.server.db import agents, containers, hosts, ports, schedules, subnets
from mooring.server.db.listing import Ask, Paged
from mooring.server.merge import Row
from mooring.server.port_words import wanted_port

router = APIRouter(tags=["search"])


@router.get("/search")
async def search(
    q: Annotated[str, Query(max_length=200, description="Words: all must be found")],
    connection: Reading,
    _: Viewer,
    network_id: NetworkId = None,
    limit: Annotated[int, Query(ge=1, le=50, description="Of each kind at most")] = 5,
) -> Findings:
    """A few of each: hosts by name, address, hardware address or maker, and what they run.

    A number, alone or beside other words, is a port too: `8080`, `443/tcp`, `nas:22`.
    """
    items: list[Found] = []
    totals: dict[FoundKind, int] = {}
    if q.strip():
        for kind, page, shape in KINDS:
            found = await page(connection, Ask(limit=limit, q=q), network_id)
            totals[kind] = found.total
            items += [shape(row) for row in found.rows]
    return Findings(items=items, totals={kind: n for kind, n in totals.items() if n})


async def _ports(connection: AsyncConnection, ask: Ask, network_id: str | None) -> Paged:
    wanted = wanted_port(ask.q or "")
    if wanted is None:
        return Paged([], None, 0)
    return await ports.page(
        connection,
        Ask(limit=ask.limit, q=wanted.beside),
        network_id=network_id,
        protocol=wanted.protocol,
        number=wanted.number,
    )


async def _containers(connection: AsyncConnection, ask: Ask, network_id: str | None) -> Paged:
    return await containers.page(connection, ask, network_id=network_id)


async def _schedules(connection: AsyncConnection, ask: Ask, network_id: str | None) -> Paged:
    return await schedules.page(connection, ask, network_id=network_id)


def _port(row: Row) -> Found:
    where = row["ip"]
    if row["host_name"] != where:
        where = f"{row['host_name']} ({where})"
    return Found(
        kind="port",
        id=row["id"],
        title=f"{row['number']}/{row['protocol']}",
        detail=f"{row['title']} on {where}" if row["title"] else f"on {where}",
        host_id=row["host_id"],
    )


def _host(row: Row) -> Found:
    detail = ", ".join(row["addresses"][:2])
    if row["vendor"]:
        detail = f"{detail} ({row['vendor']})" if detail else row["vendor"]
    return Found(kind="host", id=row["id"], title=row["name"], detail=detail, host_id=row["id"])


def _service(row: Row) -> Found:
    count = row["host_count"]
    return Found(
        kind="service",
        id=row["name"],
        title=row["title"],
        detail=f"on {count} host{'' if count == 1 else 's'}",
        host_id=None,
    )


def _container(row: Row) -> Found:
    return Found(
        kind="container",
        id=row["id"],
        title=row["name"],
        detail=f"{row['image']} on {row['host_name']}",
        host_id=row["host_id"],
    )


def _subnet(row: Row) -> Found:
    return Found(
        kind="subnet",
        id=row["id"],
        title=row["cidr"],
        detail=" ".join(filter(None, (row["name"], row["host_name"]))),
        host_id=row["host_id"],
    )


def _schedule(row: Row) -> Found:
    return Found(
        kind="schedule",
        id=row["id"],
        title=row["name"],
        detail=f"{row['cron']} {row['zone']}, by {row['agent_name']}",
        host_id=None,
    )


def _agent(row: Row) -> Found:
    return Found(
        kind="agent", id=row["id"], title=row["name"], detail=row["version"], host_id=row["host_id"]
    )


Lister = Callable[[AsyncConnection, Ask, str | None], Awaitable[Paged]]
KINDS: tuple[tuple[FoundKind, Lister, Callable[[Row], Found]], ...] = (
    ("port", _ports, _port),
    ("host", hosts.page, _host),
    ("service", ports.services, _service),
    ("container", _containers, _container),
    ("subnet", subnets.page, _subnet),
    ("schedule", _schedules, _schedule),
    ("agent", agents.page, _agent),
)
