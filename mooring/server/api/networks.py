"""Networks: a site each."""

from __future__ import annotations

from fastapi import APIRouter, Response

from mooring.model.event import Entity, Operation
from mooring.server.api.door import Admin, Reading, TheAsk, TheState, Viewer, paged, shaped
from mooring.server.api.problems import Refused, missing
from mooring.server.api.shapes import Network, NetworkDraft, Page
from mooring.server.db import networks, timeline
from mooring.server.db.timeline import Told

router = APIRouter(prefix="/networks", tags=["networks"])


@router.get("")
async def list_networks(ask: TheAsk, connection: Reading, _: Viewer) -> Page[Network]:
    return paged(Network, await networks.page(connection, ask))


@router.get("/{network_id}")
async def read_network(network_id: str, connection: Reading, _: Viewer) -> Network:
    row = await networks.by_id(connection, network_id)
    if row is None:
        raise missing("network", network_id)
    return shaped(Network, row)


@router.post("", status_code=201)
async def create_network(draft: NetworkDraft, state: TheState, _: Admin) -> Network:
    now = state.clock()
    async with state.database.write() as connection:
        await networks.lock_names(connection)
        if await networks.by_name(connection, draft.name):
            raise Refused(409, f"there is a network called {draft.name!r} already")
        row = await networks.create(connection, draft.name, now)
        told = Told(Entity.NETWORK, Operation.CREATED, row["id"], row["id"], draft.name)
        await timeline.write(connection, [told], now)
    state.tell([told.changed])
    return shaped(Network, row, host_count=0, subnet_count=0, agent_count=0)


@router.patch("/{network_id}")
async def rename_network(
    network_id: str, draft: NetworkDraft, state: TheState, _: Admin
) -> Network:
    now = state.clock()
    async with state.database.write() as connection:
        await networks.lock_names(connection)
        row = await networks.by_id(connection, network_id)
        if row is None:
            raise missing("network", network_id)
        same = await networks.by_name(connection, draft.name)
        if same and same["id"] != network_id:
            raise Refused(409, f"there is a network called {draft.name!r} already")
        await networks.rename(connection, network_id, draft.name)
        told = Told(Entity.NETWORK, Operation.CHANGED, network_id, network_id, draft.name)
        await timeline.write(connection, [told], now)
    state.tell([told.changed])
    return shaped(Network, {**row, "name": draft.name})


@router.delete("/{network_id}", status_code=204)
async def delete_network(network_id: str, state: TheState, _: Admin) -> Response:
    """Delete a network with all that is in it, its agents' keys included."""
    now = state.clock()
    async with state.database.write() as connection:
        row = await networks.by_id(connection, network_id)
        if row is None:
            raise missing("network", network_id)
        await networks.remove(connection, network_id)
        told = Told(Entity.NETWORK, Operation.DELETED, network_id, network_id, row["name"])
        await timeline.write(connection, [told], now)
    state.tell([told.changed])
    return Response(status_code=204)
