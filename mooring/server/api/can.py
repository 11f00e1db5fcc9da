"""CAN buses, the drivers that wire them, and what was mended."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mooring.server.api.can_shapes import CanBus, CanDriver, CanRecovery, CanTotals
from mooring.server.api.door import (
    AgentId,
    HostId,
    NetworkId,
    Reading,
    TheAsk,
    Viewer,
    paged,
    shaped,
)
from mooring.server.api.problems import missing
from mooring.server.api.shapes import Page
from mooring.server.can import Condition
from mooring.server.db import can
from mooring.server.merge import Row

router = APIRouter()

BusId = Annotated[str | None, Query(max_length=36, description="On this bus alone")]


def _driver(row: Row) -> CanDriver:
    totals = row["totals"]
    if totals is not None:
        totals = CanTotals.model_validate({**totals, "recoveries": dict(totals["recoveries"])})
    return shaped(CanDriver, row, totals=totals)


@router.get("/can-buses", tags=["can-buses"])
async def list_can_buses(
    ask: TheAsk,
    connection: Reading,
    _: Viewer,
    network_id: NetworkId = None,
    agent_id: AgentId = None,
    host_id: HostId = None,
    condition: Annotated[Condition | None, Query()] = None,
    gone: Annotated[
        bool | None, Query(description="Those that there were, or those that are")
    ] = None,
) -> Page[CanBus]:
    page = await can.buses(
        connection,
        ask,
        network_id=network_id,
        agent_id=agent_id,
        host_id=host_id,
        condition=condition,
        gone=gone,
    )
    return await paged(CanBus, page)


@router.get("/can-buses/{can_bus_id}", tags=["can-buses"])
async def read_can_bus(can_bus_id: str, connection: Reading, _: Viewer) -> CanBus:
    row = await can.bus_by_id(connection, can_bus_id)
    if row is None:
        raise missing("CAN bus", can_bus_id)
    return shaped(CanBus, row)


@router.get("/can-drivers", tags=["can-drivers"])
async def list_can_drivers(
    ask: TheAsk,
    connection: Reading,
    _: Viewer,
    network_id: NetworkId = None,
    agent_id: AgentId = None,
) -> Page[CanDriver]:
    page = await can.drivers(connection, ask, network_id=network_id, agent_id=agent_id)
    items = [_driver(row) for row in page.rows]
    return Page[CanDriver](items=items, next=page.next, total=page.total)


@router.get("/can-drivers/{can_driver_id}", tags=["can-drivers"])
async def read_can_driver(can_driver_id: str, connection: Reading, _: Viewer) -> CanDriver:
    row = await can.driver_by_id(connection, can_driver_id)
    if row is None:
        raise missing("CAN driver", can_driver_id)
    return _driver(row)


@router.get("/can-recoveries", tags=["can-recoveries"])
async def list_can_recoveries(
    ask: TheAsk,
    connection: Reading,
    _: Viewer,
    network_id: NetworkId = None,
    agent_id: AgentId = None,
    can_bus_id: BusId = None,
) -> Page[CanRecovery]:
    """What was missing and made again, newest first."""
    page = await can.recoveries(
        connection, ask, network_id=network_id, agent_id=agent_id, can_bus_id=can_bus_id
    )
    return await paged(CanRecovery, page)
