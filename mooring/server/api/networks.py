"""Networks: a site each."""

from __future__ import annotations

from fastapi import APIRouter, Response

from mooring.model.event import Entity, Operation
from mooring.server.api.door import Admin, Reading, TheAsk, TheState, Viewer, paged, shaped
from mooring.server.api.problems import Refused, missing
from mooring.server.api.shapes import Network, NetworkDraft, Page
from mooring.server.change import Change, changing
from mooring.server.db import networks
from mooring.server.db.timeline import Told
from mooring.server.merge import Row

router = APIRouter(prefix="/networks", tags=["networks"])


@router.get("")
async def list_networks(
    ask: TheAsk, state: TheState, connection: Reading, _: Viewer
) -> Page[Network]:
    return await paged(Network, await networks.page(connection, ask, state.clock()))


@router.get("/{network_id}")
async def read_network(network_id: str, state: TheState, connection: Reading, _: Viewer) -> Network:
    row = await networks.counted(connection, network_id, state.clock())
    if row is None:
        raise missing("network", network_id)
    return shaped(Network, row)


@router.post("", status_code=201)
async def create_network(draft: NetworkDraft, state: TheState, who: Admin) -> Network:
    async with changing(state, who) as change:
        await _check_name(change, draft.name)
        row = await networks.create(change.connection, draft.name, change.now)
        change.tell(_told(row, Operation.CREATED))
    return shaped(Network, row, host_count=0, subnet_count=0, agent_count=0, key_count=0)


@router.patch("/{network_id}")
async def rename_network(
    network_id: str, draft: NetworkDraft, state: TheState, who: Admin
) -> Network:
    async with changing(state, who) as change:
        await _check_name(change, draft.name, network_id)
        row = await _counted(change, network_id)
        await networks.rename(change.connection, network_id, draft.name)
        after = {**row, "name": draft.name}
        change.tell(_told(after, Operation.CHANGED), detail=f"renamed from {row['name']}")
    return shaped(Network, after)


@router.delete("/{network_id}", status_code=204)
async def delete_network(network_id: str, state: TheState, who: Admin) -> Response:
    """Delete a network with all that is in it, its agents' keys included."""
    async with changing(state, who) as change:
        await networks.lock_names(change.connection)
        row = await _counted(change, network_id)
        if len(await networks.names(change.connection)) == 1:
            raise Refused(409, f"{row['name']} is the only network: make another one first")
        await networks.remove(change.connection, network_id)
        counted = ("host", "subnet", "agent", "key")
        took = ", ".join(f"{row[f'{noun}_count']} {noun}s" for noun in counted)
        change.tell(_told(row, Operation.DELETED), detail=f"with {took}")
    return Response(status_code=204)


async def _check_name(change: Change, name: str, but: str | None = None) -> None:
    """No two networks are called the same; nobody else names one until this ends."""
    await networks.lock_names(change.connection)
    same = await networks.by_name(change.connection, name)
    if same and same["id"] != but:
        raise Refused(409, f"there is a network called {name!r} already")


async def _counted(change: Change, network_id: str) -> Row:
    row = await networks.counted(change.connection, network_id, change.now)
    if row is None:
        raise missing("network", network_id)
    return row


def _told(row: Row, operation: Operation) -> Told:
    return Told(Entity.NETWORK, operation, row["id"], row["id"], row["name"])
