"""API keys: a user's own, and those of agents."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Response

from mooring.server import keyring
from mooring.server.api.account_shapes import (
    Key,
    KeyChange,
    KeyDraft,
    KeyKind,
    KeyRotation,
    NewKey,
)
from mooring.server.api.door import Holder, NetworkId, Reading, TheAsk, TheState, shaped
from mooring.server.api.problems import Refused, missing
from mooring.server.api.shapes import Page
from mooring.server.auth import Principal
from mooring.server.change import Change, changing
from mooring.server.db import agents, keys, networks
from mooring.server.merge import Row
from mooring.server.roles import check_rank

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/keys", tags=["keys"])


def expiry(asked: datetime | None, now: float) -> float | None:
    """When a new key ends, in seconds since the epoch."""
    if asked is None:
        return None
    if asked.timestamp() <= now:
        raise Refused(422, "expires_at is in the past")
    return asked.timestamp()


def _key_shape(row: Row, now: float) -> Key:
    return shaped(Key, row, state=keyring.state(row, now))


def new_key_shape(row: Row, secret: str, now: float) -> NewKey:
    return shaped(NewKey, row, state=keyring.state(row, now), key=secret)


@router.get("")
async def list_keys(
    ask: TheAsk,
    state: TheState,
    connection: Reading,
    who: Holder,
    network_id: NetworkId = None,
    user_id: Annotated[str | None, Query(max_length=36, description="Of this user")] = None,
    agent_id: Annotated[str | None, Query(max_length=36, description="Of this agent")] = None,
    kind: Annotated[KeyKind | None, Query(description="Of users, or of agents")] = None,
) -> Page[Key]:
    """One's own keys; for an admin all."""
    if not who.may("admin"):
        user_id = who.user_id
    page = await keys.page(
        connection, ask, user_id=user_id, network_id=network_id, agent_id=agent_id, kind=kind
    )
    items = [_key_shape(row, state.clock()) for row in page.rows]
    return Page[Key](items=items, next=page.next, total=page.total)


@router.get("/{key_id}")
async def read_key(key_id: str, state: TheState, connection: Reading, who: Holder) -> Key:
    row = await keys.by_id(connection, key_id)
    if row is None or not _may_see(who, row):
        raise missing("key", key_id)
    return _key_shape(row, state.clock())


@router.post("", status_code=201)
async def create_key(draft: KeyDraft, state: TheState, who: Holder) -> NewKey:
    """Make a key: one's own, or as an admin an agent's. It is in this answer and nowhere else."""
    expires = expiry(draft.expires_at, state.clock())
    named = [draft.network_id, draft.agent_id]
    if named.count(None) != (1 if draft.kind == "agent" else 2):
        raise Refused(422, "an agent's key needs a network or an agent, and a user's key has none")
    async with changing(state, who) as change:
        if draft.kind == "agent":
            secret, row = await _for_agents(change, draft, expires)
        else:
            secret, row = await keyring.make(
                change, draft.name, role=draft.role, expires_at=expires
            )
    log.info("key_created", key=row["name"], kind=row["kind"], by=who.title)
    return new_key_shape(row, secret, change.now)


async def _for_agents(change: Change, draft: KeyDraft, expires: float | None) -> tuple[str, Row]:
    if not change.who.may("admin"):
        raise Refused(403, f"an agent's key needs the role admin; {change.who.name} has another")
    if draft.agent_id is None:
        network = await _network(change, draft.network_id or "")
        return await keyring.make(change, draft.name, network=network, expires_at=expires)
    agent = await agents.by_id(change.connection, draft.agent_id)
    if agent is None:
        raise missing("agent", draft.agent_id)
    network = await _network(change, agent["network_id"])
    return await keyring.make_for_agent(change, draft.name, agent, network, expires)


async def _network(change: Change, network_id: str) -> Row:
    row = await networks.by_id(change.connection, network_id)
    if row is None:
        raise missing("network", network_id)
    return row


@router.patch("/{key_id}")
async def rename_key(key_id: str, asked: KeyChange, state: TheState, who: Holder) -> Key:
    async with changing(state, who) as change:
        row = await keyring.rename(change, await _mine(change, key_id), asked.name)
    return _key_shape(row, change.now)


@router.post("/{key_id}/rotate")
async def rotate_key(key_id: str, asked: KeyRotation, state: TheState, who: Holder) -> NewKey:
    """Another secret for a key, said in this answer alone; the old one may open a while more."""
    async with changing(state, who) as change:
        row = await _mine(change, key_id)
        secret, row = await keyring.rotate(change, row, asked.grace_s)
    log.info("key_rotated", key=row["name"], grace_s=asked.grace_s, by=who.title)
    return new_key_shape(row, secret, change.now)


@router.post("/{key_id}/revoke")
async def revoke_key(key_id: str, state: TheState, who: Holder) -> Key:
    """End a key at once, for ever."""
    async with changing(state, who) as change:
        row = await keyring.revoke(change, await _mine(change, key_id))
    log.info("key_revoked", key=row["name"], by=who.title)
    return _key_shape(row, change.now)


@router.delete("/{key_id}", status_code=204)
async def delete_key(key_id: str, state: TheState, who: Holder) -> Response:
    """Forget a key that was revoked or has expired."""
    async with changing(state, who) as change:
        await keyring.remove(change, await _mine(change, key_id))
    return Response(status_code=204)


async def _mine(change: Change, key_id: str) -> Row:
    """A key that the one who asks may change: an own one, or for an admin one not above.

    Who comes with a key is an admin by that key and no more, whosever key it is.
    """
    row = await keys.by_id(change.connection, key_id)
    if row is None or not _may_see(change.who, row):
        raise missing("key", key_id)
    own = change.who.kind == "user" and _is_own(change.who, row)
    if row["kind"] == "user" and not own:
        what = f"change a key of role {row['role']}"
        check_rank(change.who.name, change.who.role, row["role"], what)
    return row


def _may_see(who: Principal, row: Row) -> bool:
    return who.may("admin") or _is_own(who, row)


def _is_own(who: Principal, row: Row) -> bool:
    return row["user_id"] is not None and row["user_id"] == who.user_id
