"""The map: subnets, hosts, and which host has an address in which subnet."""

from __future__ import annotations

from fastapi import APIRouter

from mooring.server.api.door import NetworkId, Reading, Viewer
from mooring.server.api.shapes import Map
from mooring.server.db import topology as rows
from mooring.server.topology import l3

router = APIRouter(tags=["map"])

MAX_HOSTS = 20_000


@router.get("/map")
async def read_map(connection: Reading, _: Viewer, network_id: NetworkId = None) -> Map:
    """The L3 picture, at most 20,000 hosts of it."""
    found = await rows.read(connection, network_id, MAX_HOSTS)
    return Map.model_validate(l3(found.subnets, found.hosts, found.places, found.total_hosts))
