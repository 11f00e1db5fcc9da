"""Search: hosts, services, containers, subnets and agents that are meant by a few words."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.server.api.door import NetworkId, Reading, Viewer
from mooring.server.api.scan_shapes import Findings, Found
from mooring.server.db import agents, containers, hosts, ports, subnets
from mooring.server.db.listing import Ask
from mooring.server.merge import Row

router = APIRouter(tags=["search"])


@router.get("/search")
async def search(
    q: Annotated[str, Query(max_length=200, description="Words: all must be found")],
    connection: Reading,
    _: Viewer,
    network_id: NetworkId = None,
    limit: Annotated[int, Query(ge=1, le=50, description="Of each sort at most")] = 5,
) -> Findings:
    """A few of each: hosts by name, address, hardware address or maker, and what they run."""
    if not q.strip():
        return Findings(items=[])
    return Findings(items=await _found(connection, Ask(limit=limit, q=q), network_id))


async def _found(connection: AsyncConnection, ask: Ask, network_id: str | None) -> list[Found]:
    found = [_host(row) for row in (await hosts.page(connection, ask, network_id)).rows]
    found += [
        Found(
            kind="service",
            id=row["name"],
            title=row["title"],
            detail=f"on {row['host_count']} host{'' if row['host_count'] == 1 else 's'}",
            host_id=None,
        )
        for row in (await ports.services(connection, ask, network_id)).rows
    ]
    found += [
        Found(
            kind="container",
            id=row["id"],
            title=row["name"],
            detail=f"{row['image']} on {row['host_name']}",
            host_id=row["host_id"],
        )
        for row in (await containers.page(connection, ask, network_id=network_id)).rows
    ]
    found += [
        Found(
            kind="subnet",
            id=row["id"],
            title=row["cidr"],
            detail=" ".join(filter(None, (row["name"], row["host_name"]))),
            host_id=row["host_id"],
        )
        for row in (await subnets.page(connection, ask, network_id)).rows
    ]
    found += [
        Found(
            kind="agent",
            id=row["id"],
            title=row["name"],
            detail=row["version"],
            host_id=row["host_id"],
        )
        for row in (await agents.page(connection, ask, network_id)).rows
    ]
    return found


def _host(row: Row) -> Found:
    detail = ", ".join(row["addresses"][:2])
    if row["vendor"]:
        detail = f"{detail} ({row['vendor']})" if detail else row["vendor"]
    return Found(kind="host", id=row["id"], title=row["name"], detail=detail, host_id=row["id"])
