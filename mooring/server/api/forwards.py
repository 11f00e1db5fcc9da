"""Remote hosts, their forwards, and what happened to them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from mooring.model.event import Entity, Operation
from mooring.model.forward import ForwardState, LinkState
from mooring.server.api.door import (
    Admin,
    AgentId,
    NetworkId,
    Reading,
    TheAsk,
    TheState,
    Viewer,
    paged,
    shaped,
)
from mooring.server.api.forward_shapes import Forward, LinkMoment, RemoteHost, Totals
from mooring.server.api.problems import Refused, missing
from mooring.server.api.shapes import Page
from mooring.server.change import changing
from mooring.server.db import agents, forwards
from mooring.server.db.timeline import Told
from mooring.server.merge import Row

router = APIRouter()

RemoteHostId = Annotated[str | None, Query(max_length=36, description="Of this remote host alone")]
Protocol = Annotated[str | None, Query(max_length=16, description="tcp, udp or sctp")]


def _remote(row: Row) -> RemoteHost:
    totals = row["totals"]
    outages = Totals.model_validate({**totals, "outages": dict(totals["outages"])})
    return shaped(RemoteHost, row, totals=outages)


@router.get("/remote-hosts", tags=["remote-hosts"])
async def list_remote_hosts(
    ask: TheAsk,
    connection: Reading,
    _: Viewer,
    network_id: NetworkId = None,
    agent_id: AgentId = None,
    link_state: Annotated[LinkState | None, Query(alias="state")] = None,
    gone: Annotated[
        bool | None, Query(description="Those that are forwarded no longer, or those that are")
    ] = None,
) -> Page[RemoteHost]:
    page = await forwards.page(
        connection, ask, network_id=network_id, agent_id=agent_id, state=link_state, gone=gone
    )
    items = [_remote(row) for row in page.rows]
    return Page[RemoteHost](items=items, next=page.next, total=page.total)


@router.get("/remote-hosts/{remote_host_id}", tags=["remote-hosts"])
async def read_remote_host(remote_host_id: str, connection: Reading, _: Viewer) -> RemoteHost:
    row = await forwards.by_id(connection, remote_host_id)
    if row is None:
        raise missing("remote host", remote_host_id)
    return _remote(row)


@router.delete("/remote-hosts/{remote_host_id}", status_code=204, tags=["remote-hosts"])
async def delete_remote_host(remote_host_id: str, state: TheState, who: Admin) -> Response:
    """Forget a remote host that is forwarded no longer, with its forwards and its history."""
    async with changing(state, who) as change:
        connection = change.connection
        row = await forwards.by_id(connection, remote_host_id)
        if row is not None:
            # A report may be bringing it back at this moment.
            await agents.lock(connection, row["agent_id"], row["network_id"])
            row = await forwards.by_id(connection, remote_host_id)
        if row is None:
            raise missing("remote host", remote_host_id)
        if row["gone_at"] is None and row["agent_online"]:
            raise Refused(
                409,
                f"{row['address']} is forwarded by {row['agent_name']}, whose next report would "
                "bring it back: stop that first",
            )
        await forwards.remove(connection, remote_host_id)
        title = f"{row['address']} forgotten"
        network = row["network_id"]
        change.tell(Told(Entity.REMOTE_HOST, Operation.DELETED, remote_host_id, network, title))
    return Response(status_code=204)


@router.get("/remote-hosts/{remote_host_id}/history", tags=["remote-hosts"])
async def list_link_history(
    remote_host_id: str, ask: TheAsk, connection: Reading, _: Viewer
) -> Page[LinkMoment]:
    """What happened to the link and to its forwards, newest first."""
    if await forwards.by_id(connection, remote_host_id) is None:
        raise missing("remote host", remote_host_id)
    return await paged(LinkMoment, await forwards.history(connection, ask, remote_host_id))


@router.get("/forwards", tags=["forwards"])
async def list_forwards(
    ask: TheAsk,
    connection: Reading,
    _: Viewer,
    network_id: NetworkId = None,
    remote_host_id: RemoteHostId = None,
    forward_state: Annotated[ForwardState | None, Query(alias="state")] = None,
    protocol: Protocol = None,
    gone: Annotated[bool, Query(description="Those that there were, not those that are")] = False,
) -> Page[Forward]:
    page = await forwards.forwards(
        connection,
        ask,
        network_id=network_id,
        remote_host_id=remote_host_id,
        state=forward_state,
        protocol=protocol,
        gone=gone,
    )
    return await paged(Forward, page)


@router.get("/forwards/{forward_id}", tags=["forwards"])
async def read_forward(forward_id: str, connection: Reading, _: Viewer) -> Forward:
    row = await forwards.forward_by_id(connection, forward_id)
    if row is None:
        raise missing("forward", forward_id)
    return shaped(Forward, row)
