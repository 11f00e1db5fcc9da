"""The timeline: what changed, when."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mooring.server.api.door import NetworkId, Reading, TheAsk, Viewer, paged
from mooring.server.api.shapes import Event, Page
from mooring.server.db import timeline

router = APIRouter(prefix="/timeline", tags=["timeline"])


@router.get("")
async def list_events(
    ask: TheAsk,
    connection: Reading,
    _: Viewer,
    network_id: NetworkId = None,
    entity_id: Annotated[str | None, Query(max_length=36, description="Of this thing")] = None,
) -> Page[Event]:
    return await paged(Event, await timeline.page(connection, ask, network_id, entity_id))
