"""Agents as admins change them: made ready with a key, named, moved, forgotten."""

from __future__ import annotations

import structlog
from fastapi import APIRouter, Response

from mooring.model.event import Changed, Entity, Operation
from mooring.server import keyring
from mooring.server.api.account_shapes import AgentChange, AgentDraft, NewAgent
from mooring.server.api.agents import agent_shapes
from mooring.server.api.door import Admin, TheState
from mooring.server.api.keys import expiry, new_key_shape
from mooring.server.api.problems import missing
from mooring.server.api.shapes import Agent
from mooring.server.can import bus_name
from mooring.server.change import Change, changing
from mooring.server.db import agents, can, forwards, keys, networks
from mooring.server.db.timeline import Told
from mooring.server.merge import Row
from mooring.server.roles import Conflict

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/agents", tags=["agents"])


@router.post("", status_code=201)
async def expect_agent(draft: AgentDraft, state: TheState, who: Admin) -> NewAgent:
    """Make an agent ready, with a key for it: it is here once it polls with that key."""
    expires = expiry(draft.key_expires_at, state.clock())
    async with changing(state, who) as change:
        network = await networks.by_id(change.connection, draft.network_id)
        if network is None:
            raise missing("network", draft.network_id)
        row = await agents.expect(change.connection, network["id"], draft.name, change.now)
        detail = f"in the network {network['name']}"
        change.tell(_told(row, Operation.CREATED), detail=detail)
        secret, key = await keyring.make_for_agent(change, draft.name, row, network, expires)
        (shape,) = await agent_shapes(change.connection, [row], change.now)
    log.info("agent_expected", agent=row["name"], network=network["name"], by=who.title)
    return NewAgent(agent=shape, key=new_key_shape(key, secret, change.now))


@router.patch("/{agent_id}")
async def change_agent(agent_id: str, asked: AgentChange, state: TheState, who: Admin) -> Agent:
    """Name an agent, or move it to another network, which takes that it has no key."""
    async with changing(state, who) as change:
        row = await agents.by_id(change.connection, agent_id)
        if row is None:
            raise missing("agent", agent_id)
        said = []
        if "name" in asked.model_fields_set:
            given = (asked.name or "").strip() or None
            # Its own name is what it says at its next poll.
            row = {**row, "given_name": given, "name": given or row["name"]}
            await agents.change(change.connection, agent_id, name=row["name"], given_name=given)
            said.append(f"named {given}" if given else "goes by its own name")
        if asked.network_id is not None and asked.network_id != row["network_id"]:
            said.append(await _move(change, row, asked.network_id))
            # Whoever looks at the network that it was in sees it go.
            change.add(Changed(Entity.AGENT, Operation.CHANGED, agent_id, row["network_id"]))
            row = {**row, "network_id": asked.network_id, "host_id": None}
        if said:
            change.tell(_told(row, Operation.CHANGED), detail=", ".join(said))
        (shape,) = await agent_shapes(change.connection, [row], change.now)
    return shape


async def _move(change: Change, row: Row, network_id: str) -> str:
    """Move an agent that has no key; answers what was done. Raises ``Conflict``."""
    to = await networks.by_id(change.connection, network_id)
    if to is None:
        raise missing("network", network_id)
    now_in = await networks.by_id(change.connection, row["network_id"])
    assert now_in is not None
    held = await keys.of_agent(change.connection, row["id"], change.now)
    if held:
        named = ", ".join(f"mooring_{key['prefix']}_…" for key in held[:3])
        raise Conflict(
            f"{row['name']} has a key for the network {now_in['name']} ({named}), which opens no "
            f"other: revoke it before moving the agent to {to['name']}, then make it a key there"
        )
    if await agents.by_outbox(change.connection, row["outbox"], network_id):
        raise Conflict(f"this agent is in the network {to['name']} already")
    await agents.move(change.connection, row["id"], network_id)
    return f"moved from {now_in['name']} to {to['name']}"


@router.delete("/{agent_id}", status_code=204)
async def delete_agent(agent_id: str, state: TheState, who: Admin) -> Response:
    """Forget an agent, and the forwards and CAN buses that it made; what it saw stays.

    If it still runs it comes back at its next poll, and what it made with its next report. The
    keys of one that was never heard of are revoked.
    """
    async with changing(state, who) as change:
        row = await agents.by_id(change.connection, agent_id)
        if row is None:
            raise missing("agent", agent_id)
        if row["awaited"]:
            for key in await keys.of_agent(change.connection, agent_id, change.now):
                await keyring.revoke(change, {**key, "agents": []})
        followed = []
        network = row["network_id"]
        for remote in await forwards.of_agent(change.connection, agent_id):
            title = f"{remote['address']} forgotten"
            told = Told(Entity.REMOTE_HOST, Operation.DELETED, remote["id"], network, title)
            followed.append(told)
        for bus in await can.of_agent(change.connection, agent_id):
            title = f"{bus_name(bus['device'], row['name'])} forgotten"
            followed.append(Told(Entity.CAN_BUS, Operation.DELETED, bus["id"], network, title))
        await agents.remove(change.connection, agent_id)
        change.tell(_told(row, Operation.DELETED), *followed)
    return Response(status_code=204)


def _told(row: Row, operation: Operation) -> Told:
    return Told(Entity.AGENT, operation, row["id"], row["network_id"], row["name"])
