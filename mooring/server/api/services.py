"""Services: what was found by the catalogue, at ports, in containers and of hosts."""

from __future__ import annotations

from fastapi import APIRouter

from mooring.server.api.door import NetworkId, Reading, TheAsk, Viewer, paged
from mooring.server.api.scan_shapes import ServiceCount
from mooring.server.api.shapes import Page
from mooring.server.db import ports

router = APIRouter(prefix="/services", tags=["services"])


@router.get("")
async def list_services(
    ask: TheAsk, connection: Reading, _: Viewer, network_id: NetworkId = None
) -> Page[ServiceCount]:
    """Each with its number of hosts, ports and containers; its id is its name."""
    return await paged(ServiceCount, await ports.services(connection, ask, network_id))
