"""Subnets."""

from __future__ import annotations

from fastapi import APIRouter

from mooring.server.api.door import NetworkId, Reading, TheAsk, Viewer, paged, shaped
from mooring.server.api.problems import missing
from mooring.server.api.shapes import Page, Subnet
from mooring.server.db import subnets

router = APIRouter(prefix="/subnets", tags=["subnets"])


@router.get("")
async def list_subnets(
    ask: TheAsk, connection: Reading, _: Viewer, network_id: NetworkId = None
) -> Page[Subnet]:
    return await paged(Subnet, await subnets.page(connection, ask, network_id))


@router.get("/{subnet_id}")
async def read_subnet(subnet_id: str, connection: Reading, _: Viewer) -> Subnet:
    row = await subnets.by_id(connection, subnet_id)
    if row is None:
        raise missing("subnet", subnet_id)
    return shaped(Subnet, row)
