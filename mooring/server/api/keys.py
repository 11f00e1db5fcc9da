"""API keys, of users and of agents."""

from __future__ import annotations

import structlog
from fastapi import APIRouter

from mooring.model.event import Changed, Entity, Operation
from mooring.server import auth
from mooring.server.api.door import Admin, Reading, TheAsk, TheState, paged, shaped
from mooring.server.api.problems import Refused, missing
from mooring.server.api.shapes import Key, KeyDraft, NewKey, Page
from mooring.server.db import keys, networks

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/keys", tags=["keys"])


@router.get("")
async def list_keys(ask: TheAsk, connection: Reading, _: Admin) -> Page[Key]:
    return paged(Key, await keys.page(connection, ask))


@router.post("", status_code=201)
async def create_key(draft: KeyDraft, state: TheState, who: Admin) -> NewKey:
    """Make a key. It is in this answer and nowhere else."""
    now = state.clock()
    if not who.may(draft.role):
        raise Refused(403, f"{who.name} is {who.role} and can't make a key of role {draft.role}")
    if (draft.network_id is None) == (draft.kind == "agent"):
        raise Refused(422, "an agent's key needs a network, and a user's key has none")
    expires = draft.expires_at.timestamp() if draft.expires_at else None
    if expires is not None and expires <= now:
        raise Refused(422, "expires_at is in the past")
    async with state.database.write() as connection:
        network = draft.network_id
        if network is not None and await networks.by_id(connection, network) is None:
            raise missing("network", network)
        secret, row = await auth.create_key(
            connection,
            name=draft.name,
            kind=draft.kind,
            role=draft.role,
            network_id=draft.network_id,
            expires_at=expires,
            now=now,
        )
    state.tell([Changed(Entity.KEY, Operation.CREATED, row["id"], row["network_id"])])
    log.info("key_created", key=row["name"], kind=row["kind"], by=who.name)
    return shaped(NewKey, row, key=secret)


@router.post("/{key_id}/revoke")
async def revoke_key(key_id: str, state: TheState, who: Admin) -> Key:
    now = state.clock()
    async with state.database.write() as connection:
        row = await keys.by_id(connection, key_id)
        if row is None:
            raise missing("key", key_id)
        if not await keys.revoke(connection, key_id, now):
            raise Refused(409, "the key was revoked before")
    state.tell([Changed(Entity.KEY, Operation.CHANGED, key_id, row["network_id"])])
    log.info("key_revoked", key=row["name"], by=who.name)
    return shaped(Key, {**row, "revoked_at": now})
