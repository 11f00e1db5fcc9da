"""The map: subnets, hosts, and which host has an address in which subnet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import APIRouter, Response

from mooring.server.api.door import NetworkId, Reading, Viewer
from mooring.server.api.scan_shapes import MapWorkloads
from mooring.server.api.shapes import Map
from mooring.server.db import topology as rows
from mooring.server.topology import l3, workloads

router = APIRouter(tags=["map"])

MAX_HOSTS = 20_000
MAX_WORKLOADS = 10_000


@router.get("/map", response_model=Map)
async def read_map(connection: Reading, _: Viewer, network_id: NetworkId = None) -> Response:
    """The L3 picture, at most 20,000 hosts of it."""
    found = await rows.read(connection, network_id, MAX_HOSTS)
    return await _drawn(
        lambda: l3(found.subnets, found.hosts, found.places, found.total_hosts),
    )


@router.get("/map/workloads", response_model=MapWorkloads)
async def read_workloads(connection: Reading, _: Viewer, network_id: NetworkId = None) -> Response:
    """What the hosts of the map run: at most 10,000 containers and 10,000 services."""
    services, containers = await rows.workloads(connection, network_id, MAX_WORKLOADS + 1)
    cut = max(len(services), len(containers)) > MAX_WORKLOADS

    def draw() -> dict[str, Any]:
        drawn = workloads(services[:MAX_WORKLOADS], containers[:MAX_WORKLOADS])
        return {"workloads": drawn, "total": len(drawn) + cut}

    return await _drawn(draw)


async def _drawn(draw: Callable[[], dict[str, Any]]) -> Response:
    """A picture as it is sent: megabytes, so it is made in a thread, and not checked once more."""
    body = await asyncio.to_thread(lambda: msgspec.json.encode(draw()))
    return Response(body, media_type="application/json")
