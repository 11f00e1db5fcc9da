"""Containers, of all hosts or of one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mooring.server.api.door import HostId, NetworkId, Reading, TheAsk, Viewer, paged, shaped
from mooring.server.api.ports import ServiceId
from mooring.server.api.problems import missing
from mooring.server.api.shapes import Container, Page
from mooring.server.db import containers

router = APIRouter(prefix="/containers", tags=["containers"])


@router.get("")
async def list_containers(
    ask: TheAsk,
    connection: Reading,
    _: Viewer,
    network_id: NetworkId = None,
    host_id: HostId = None,
    service: ServiceId = None,
    engine: Annotated[str | None, Query(max_length=500, description="Of this socket")] = None,
    project: Annotated[str | None, Query(max_length=500, description="Of compose")] = None,
    container_state: Annotated[str | None, Query(alias="state", max_length=64)] = None,
) -> Page[Container]:
    found = await containers.page(
        connection,
        ask,
        network_id=network_id,
        host_id=host_id,
        service=service,
        engine=engine,
        compose_project=project,
        state=container_state,
    )
    return await paged(Container, found)


@router.get("/{container_id}")
async def read_container(container_id: str, connection: Reading, _: Viewer) -> Container:
    row = await containers.by_id(connection, container_id)
    if row is None:
        raise missing("container", container_id)
    return shaped(Container, row)
