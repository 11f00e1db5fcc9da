"""The map: subnets, hosts, and which host has an address in which subnet."""

from __future__ import annotations

from fastapi import APIRouter

from mooring.server.api.door import NetworkId, Reading, Viewer
from mooring.server.api.scan_shapes import MapWorkloads
from mooring.server.api.shapes import Map
from mooring.server.db import topology as rows
from mooring.server.topology import l3, workloads

router = APIRouter(tags=["map"])

MAX_HOSTS = 20_000
MAX_WORKLOADS = 10_000


@router.get("/map")
async def read_map(connection: Reading, _: Viewer, network_id: NetworkId = None) -> Map:
    """The L3 picture, at most 20,000 hosts of it."""
    found = await rows.read(connection, network_id, MAX_HOSTS)
    return Map.model_validate(l3(found.subnets, found.hosts, found.places, found.total_hosts))


@router.get("/map/workloads")
async def read_workloads(
    connection: Reading, _: Viewer, network_id: NetworkId = None
) -> MapWorkloads:
    """What the hosts of the map run: at most 10,000 containers and 10,000 services."""
    services, containers = await rows.workloads(connection, network_id, MAX_WORKLOADS + 1)
    cut = max(len(services), len(containers)) > MAX_WORKLOADS
    drawn = workloads(services[:MAX_WORKLOADS], containers[:MAX_WORKLOADS])
    return MapWorkloads.model_validate({"workloads": drawn, "total": len(drawn) + cut})
