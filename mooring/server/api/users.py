"""Users: invited, changed, disabled and deleted by admins."""

from __future__ import annotations

import structlog
from fastapi import APIRouter, Response

from mooring.server import accounts
from mooring.server.api.account_shapes import InvitedUser, User, UserChange, UserDraft
from mooring.server.api.door import Admin, Reading, TheAsk, TheState, shaped
from mooring.server.api.problems import missing
from mooring.server.api.shapes import Page
from mooring.server.change import Change, changing
from mooring.server.db import users
from mooring.server.merge import Row
from mooring.server.roles import account_state

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/users", tags=["users"])


def user_shape(row: Row) -> User:
    return shaped(User, row, state=account_state(row))


def _invited(row: Row, secret: str) -> InvitedUser:
    return shaped(InvitedUser, row, state=account_state(row), invitation=secret)


@router.get("")
async def list_users(ask: TheAsk, connection: Reading, _: Admin) -> Page[User]:
    page = await users.page(connection, ask)
    items = [user_shape(row) for row in page.rows]
    return Page[User](items=items, next=page.next, total=page.total)


@router.get("/{user_id}")
async def read_user(user_id: str, connection: Reading, _: Admin) -> User:
    row = await users.by_id(connection, user_id)
    if row is None:
        raise missing("user", user_id)
    return user_shape(row)


@router.post("", status_code=201)
async def invite_user(draft: UserDraft, state: TheState, who: Admin) -> InvitedUser:
    """Make a user, who chooses a password by a one-time link; it is in this answer alone."""
    async with changing(state, who) as change:
        row, secret = await accounts.invite(change, draft.name, draft.role)
    log.info("user_invited", user=row["name"], role=row["role"], by=who.title)
    return _invited(row, secret)


@router.post("/{user_id}/invitation", status_code=201)
async def invite_again(user_id: str, state: TheState, who: Admin) -> InvitedUser:
    """Another one-time link, for a password that was forgotten or a link that was lost.

    The password that there is holds until the link is used.
    """
    async with changing(state, who) as change:
        row, secret = await accounts.new_link(change, await _locked(change, user_id))
    log.info("user_invited", user=row["name"], role=row["role"], by=who.title)
    return _invited(row, secret)


@router.patch("/{user_id}")
async def change_user(user_id: str, asked: UserChange, state: TheState, who: Admin) -> User:
    """Rename a user, give another role, disable or enable. Who is disabled is out at once."""
    async with changing(state, who) as change:
        row = await _locked(change, user_id)
        row = await accounts.alter(
            change, row, name=asked.name, role=asked.role, disabled=asked.disabled
        )
    log.info("user_changed", user=row["name"], by=who.title)
    return user_shape(row)


@router.delete("/{user_id}", status_code=204)
async def delete_user(user_id: str, state: TheState, who: Admin) -> Response:
    """Delete a user, with its sessions and keys."""
    async with changing(state, who) as change:
        row = await _locked(change, user_id)
        await accounts.remove(change, row)
    log.info("user_deleted", user=row["name"], by=who.title)
    return Response(status_code=204)


async def _locked(change: Change, user_id: str) -> Row:
    await users.lock(change.connection)
    row = await users.by_id(change.connection, user_id)
    if row is None:
        raise missing("user", user_id)
    return row
