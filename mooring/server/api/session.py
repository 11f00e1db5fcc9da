"""Coming in and going out: the one-time links, logging in and out, one's own password, and
where one is logged in."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request, Response

from mooring.model.event import Authentication, Changed, Entity, Operation
from mooring.server import accounts, auth, tries
from mooring.server.api.account_shapes import (
    Invitation,
    Login,
    OpenSession,
    PasswordChange,
    Session,
    Setup,
    SetupOwner,
)
from mooring.server.api.door import (
    COOKIE,
    Holder,
    LoggedIn,
    Reading,
    TheAsk,
    TheState,
    caller,
    shaped,
)
from mooring.server.api.problems import Refused, missing
from mooring.server.api.shapes import Page
from mooring.server.api.users import user_shape
from mooring.server.change import Change, changing
from mooring.server.db import tries as counts
from mooring.server.db import users
from mooring.server.merge import Row
from mooring.server.state import State
from mooring.server.tries import Count

log = structlog.get_logger(__name__)

router = APIRouter(tags=["session"])

WRONG = "the name or the password is wrong"
WRONG_OLD = "the old password is wrong"


@router.get("/setup")
async def read_setup(state: TheState) -> Setup:
    """Whether the owner's account has yet to be made, from the link that the server printed."""
    async with state.database.read() as connection:
        return Setup(needed=await users.count(connection) == 0)


@router.post("/setup", status_code=201)
async def set_up(
    asked: SetupOwner, request: Request, response: Response, state: TheState
) -> Session:
    await _count(state, tries.from_place(_place(request)))
    if not auth.same(asked.token, state.setup_token):
        state.tell([Authentication("setup", asked.name, ok=False)])
        raise Refused(
            403,
            "this set-up link is not the one that the running server printed: "
            "each start prints a new one, so open the newest",
        )
    password_hash = await state.passwords.hash(asked.password)
    async with changing(state, auth.Principal("user", "", asked.name)) as change:
        row = await users.create_first(change.connection, asked.name, password_hash, change.now)
        if row is None:
            raise Refused(409, "the owner's account was made already: log in with it")
        change.who = _somebody(request, row)
        change.note(Changed(Entity.USER, Operation.CREATED, row["id"]), row["name"])
        session, secret = await _enter(change, row, request)
        change.add(Authentication("setup", row["name"], ok=True))
    log.info("owner_created", user=row["name"])
    _remember(request, response, state, secret)
    return session


@router.post("/invitation", status_code=201)
async def accept_invitation(
    asked: Invitation, request: Request, response: Response, state: TheState
) -> Session:
    """Choose a password by the one-time link that an admin gave, and be logged in."""
    await _count(state, tries.from_place(_place(request)))
    hashed = auth.hash_secret(asked.token)
    async with state.database.read() as connection:
        row = await users.by_invitation(connection, hashed, state.clock())
    if row is None or row["disabled_at"] is not None:
        state.tell([Authentication("invitation", "", ok=False)])
        raise Refused(403, "this link was used, or is too old: ask an admin for another")
    password_hash = await state.passwords.hash(asked.password)
    async with changing(state, _somebody(request, row)) as change:
        await users.lock(change.connection)
        # Read again: the link may have been used in this very moment.
        row = await users.by_invitation(change.connection, hashed, change.now)
        if row is None:
            raise Refused(403, "this link was used just now")
        row = await accounts.accept(change, row, password_hash)
        for own in (None, *await counts.places(change.connection, row["id"])):
            await counts.clear(change.connection, tries.for_login(row["login"], own))
        session, secret = await _enter(change, row, request)
        change.add(Authentication("invitation", row["name"], ok=True))
    log.info("invitation_accepted", user=row["name"])
    _remember(request, response, state, secret)
    return session


@router.post("/session", status_code=201)
async def log_in(asked: Login, request: Request, response: Response, state: TheState) -> Session:
    row, counted = await _try(request, state, asked.name)
    if not await state.passwords.check(asked.password, row["password_hash"] if row else None):
        raise _refused(request, state, asked.name, 401, WRONG)
    assert row is not None
    async with changing(state, _somebody(request, row)) as change:
        row = await _as_checked(change, row, 401, WRONG)
        if row["disabled_at"] is not None:
            raise Refused(403, f"the account {row['name']} is disabled: ask an admin")
        await counts.take_back(change.connection, counted[-1])
        await users.forget_expired(change.connection, change.now)
        session, secret = await _enter(change, row, request)
        entered = Changed(Entity.SESSION, Operation.CREATED, session.id)
        change.note(entered, row["name"], action="logged in")
        change.add(Authentication("login", row["name"], ok=True))
    log.info("logged_in", user=row["name"])
    _remember(request, response, state, secret)
    return session


@router.get("/session")
async def read_session(connection: Reading, who: LoggedIn) -> Session:
    """Whose session it is; 401 without one."""
    row = await users.by_id(connection, who.id)
    if row is None or who.session_id is None:
        raise Refused(401, "the user is gone")
    return Session(id=who.session_id, user=user_shape(row))


@router.delete("/session", status_code=204)
async def log_out(state: TheState, who: LoggedIn) -> Response:
    async with changing(state, who) as change:
        await _end(change, who.session_id or "", "logged out")
        change.add(Authentication("logout", who.name, ok=True))
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


@router.post("/session/password", status_code=204)
async def change_password(
    asked: PasswordChange, request: Request, state: TheState, who: LoggedIn
) -> Response:
    """One's own new password; every other session of one's own ends."""
    counted = tries.for_own_password(who.id)
    await _count(state, *counted)
    async with state.database.read() as connection:
        row = await users.by_id(connection, who.id)
    if not await state.passwords.check(asked.old, row["password_hash"] if row else None):
        raise _refused(request, state, who.name, 403, WRONG_OLD)
    assert row is not None
    password_hash = await state.passwords.hash(asked.new)
    async with changing(state, who) as change:
        row = await _as_checked(change, row, 403, WRONG_OLD)
        if not await auth.is_welcome(change.connection, who, change.now):
            raise Refused(401, "the session has ended: log in again")
        await counts.take_back(change.connection, counted[-1])
        await accounts.change_password(change, row, password_hash)
    log.info("password_changed", user=who.name)
    return Response(status_code=204)


# --- where one is logged in


@router.get("/sessions", tags=["sessions"])
async def list_sessions(
    ask: TheAsk,
    state: TheState,
    connection: Reading,
    who: Holder,
    user_id: Annotated[str | None, Query(max_length=36, description="Of this user")] = None,
) -> Page[OpenSession]:
    """One's own sessions; for an admin everybody's."""
    if not who.may("admin"):
        user_id = who.user_id
    page = await users.sessions(connection, ask, state.clock(), user_id)
    names = await users.by_ids(connection, (row["user_id"] for row in page.rows))
    items = [
        shaped(
            OpenSession,
            row,
            user_name=names[row["user_id"]]["name"],
            current=row["id"] == who.session_id,
        )
        for row in page.rows
    ]
    return Page[OpenSession](items=items, next=page.next, total=page.total)


@router.delete("/sessions/{session_id}", status_code=204, tags=["sessions"])
async def end_session(session_id: str, state: TheState, who: Holder) -> Response:
    async with changing(state, who) as change:
        await _end(change, session_id, "session ended")
    return Response(status_code=204)


async def _end(change: Change, session_id: str, action: str) -> None:
    session = await users.session_by_id(change.connection, session_id)
    # Of others' sessions nobody but an admin learns that there are any.
    if session is None or not (change.who.may("admin") or session["user_id"] == change.who.user_id):
        raise missing("session", session_id)
    whose = await users.by_id(change.connection, session["user_id"])
    assert whose is not None
    await accounts.end_session(change, session, whose, action)


async def _enter(change: Change, row: Row, request: Request) -> tuple[Session, str]:
    """Open a session; answers it and the secret for the cookie."""
    secret, session_id = await auth.open_session(
        change.connection,
        row["id"],
        change.now,
        address=caller(request),
        browser=request.headers.get("user-agent", ""),
    )
    await counts.know(change.connection, row["id"], _place(request), change.now)
    await users.change(change.connection, row["id"], last_login_at=change.now)
    return Session(id=session_id, user=user_shape({**row, "last_login_at": change.now})), secret


def _somebody(request: Request, row: Row) -> auth.Principal:
    return replace(auth.user_principal(row), address=caller(request))


# --- who tries


async def _try(request: Request, state: State, name: str) -> tuple[Row | None, tuple[Count, ...]]:
    """Count a try to log in; answers whose account it is for, and in what else than the place it
    was counted. The work is the same whether there is such a user or not."""
    now, where = state.clock(), _place(request)
    async with state.database.write() as connection:
        full = await counts.count(connection, (tries.from_place(where),), now)
        if full is None:
            row = await users.by_login(connection, name)
            own = await counts.is_known(connection, row["id"] if row else "", where, now)
            counted = tries.for_login(users.login_of(name), where if own else None)
            full = await counts.count(connection, counted, now)
    if full is not None:
        raise Refused(429, full.refusal)
    return row, counted


async def _count(state: State, *counted: Count) -> None:
    async with state.database.write() as connection:
        full = await counts.count(connection, counted, state.clock())
    if full is not None:
        raise Refused(429, full.refusal)


def _refused(request: Request, state: State, name: str, status: int, why: str) -> Refused:
    state.tell([Authentication("login", name, ok=False)])
    log.warning("login_refused", user=name, address=caller(request))
    return Refused(status, why)


async def _as_checked(change: Change, row: Row, status: int, why: str) -> Row:
    """The user whose password was checked, as it is now: it may have another by now."""
    await users.lock(change.connection)
    now = await users.by_id(change.connection, row["id"])
    if now is None or now["password_hash"] != row["password_hash"]:
        raise Refused(status, why)
    return now


def _place(request: Request) -> str:
    return tries.place(caller(request))


def _remember(request: Request, response: Response, state: State, secret: str) -> None:
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(auth.SESSION_SECONDS),
        httponly=True,
        samesite="strict",
        secure=state.settings.session_cookie_secure or request.url.scheme == "https",
    )
