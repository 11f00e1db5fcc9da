"""Ports that scans found open."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mooring.model.service import Protocol
from mooring.server.api.door import HostId, NetworkId, Reading, TheAsk, Viewer, paged, shaped
from mooring.server.api.problems import missing
from mooring.server.api.scan_shapes import Port
from mooring.server.api.shapes import Page
from mooring.server.db import ports

router = APIRouter(prefix="/ports", tags=["ports"])

ServiceId = Annotated[str | None, Query(max_length=100, description="Of this service alone")]
ContainerId = Annotated[str | None, Query(max_length=36, description="That lead to this container")]


@router.get("")
async def list_ports(
    ask: TheAsk,
    connection: Reading,
    _: Viewer,
    network_id: NetworkId = None,
    host_id: HostId = None,
    container_id: ContainerId = None,
    service: ServiceId = None,
    protocol: Protocol | None = None,
    number: Annotated[int | None, Query(ge=0, le=65535)] = None,
    gone: Annotated[bool, Query(description="Those that were open, not those that are")] = False,
) -> Page[Port]:
    found = await ports.page(
        connection,
        ask,
        network_id=network_id,
        host_id=host_id,
        container_id=container_id,
        service=service,
        protocol=protocol,
        number=number,
        gone=gone,
    )
    return await paged(Port, found)


@router.get("/{port_id}")
async def read_port(port_id: str, connection: Reading, _: Viewer) -> Port:
    row = await ports.by_id(connection, port_id)
    if row is None:
        raise missing("port", port_id)
    return shaped(Port, row)
