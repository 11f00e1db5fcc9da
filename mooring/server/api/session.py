"""Coming in and going out: the one-time links, logging in and out, one's own password, and
where one is logged in."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request, Response

from mooring.model.event import Authentication, Changed, Entity, Operation
from mooring.server import accounts, auth
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
from mooring.server.db import users
from mooring.server.merge import Row
from mooring.server.state import State

log = structlog.get_logger(__name__)

router = APIRouter(tags=["session"])


@router.get("/setup")
async def read_setup(state: TheState) -> Setup:
    """Whether the owner's account has yet to be made, from the link that the server printed."""
    async with state.database.read() as connection:
        return Setup(needed=await users.count(connection) == 0)


@router.post("/setup", status_code=201)
async def set_up(
    asked: SetupOwner, request: Request, response: Response, state: TheState
) -> Session:
    await _slow_down(request, state)
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
    await _slow_down(request, state)
    hashed = auth.hash_secret(asked.token)
    password_hash = await state.passwords.hash(asked.password)
    async with state.database.read() as connection:
        row = await users.by_invitation(connection, hashed, state.clock())
    if row is None or row["disabled_at"] is not None:
        state.tell([Authentication("invitation", "", ok=False)])
        raise Refused(403, "this link was used, or is too old: ask an admin for another")
    async with changing(state, _somebody(request, row)) as change:
        await users.lock(change.connection)
        # Read again: the link may have been used in this very moment.
        row = await users.by_invitation(change.connection, hashed, change.now)
        if row is None:
            raise Refused(403, "this link was used just now")
        row = await accounts.accept(change, row, password_hash)
        session, secret = await _enter(change, row, request)
        change.add(Authentication("invitation", row["name"], ok=True))
    await state.logins.clear(state.wrong_limit, "wrong", _key(row["name"]))
    log.info("invitation_accepted", user=row["name"])
    _remember(request, response, state, secret)
    return session


@router.post("/session", status_code=201)
async def log_in(asked: Login, request: Request, response: Response, state: TheState) -> Session:
    await _slow_down(request, state, asked.name)
    async with state.database.read() as connection:
        row = await users.by_login(connection, asked.name)
    await _check_password(state, asked.name, asked.password, row)
    assert row is not None
    if row["disabled_at"] is not None:
        raise Refused(403, f"the account {row['name']} is disabled: ask an admin")
    async with changing(state, _somebody(request, row)) as change:
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
async def change_password(asked: PasswordChange, state: TheState, who: LoggedIn) -> Response:
    """One's own new password; every other session of one's own ends."""
    async with state.database.read() as connection:
        row = await users.by_id(connection, who.id)
    await _check_password(state, who.name, asked.old, row, 403, "the old password is wrong")
    assert row is not None
    password_hash = await state.passwords.hash(asked.new)
    async with changing(state, who) as change:
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
    await users.change(change.connection, row["id"], last_login_at=change.now)
    return Session(id=session_id, user=user_shape({**row, "last_login_at": change.now})), secret


def _somebody(request: Request, row: Row) -> auth.Principal:
    return replace(auth.user_principal(row), address=caller(request))


async def _check_password(
    state: State,
    name: str,
    password: str,
    row: Row | None,
    status: int = 401,
    wrong: str = "the name or the password is wrong",
) -> None:
    """Whether it is the user's password; after too many wrong ones none is taken for a while."""
    if not await state.logins.test(state.wrong_limit, "wrong", _key(name)):
        raise Refused(
            429,
            "too many wrong passwords for this name: wait an hour, or ask an admin for a new link",
        )
    if await state.passwords.check(password, row["password_hash"] if row else None):
        return
    await state.logins.hit(state.wrong_limit, "wrong", _key(name))
    state.tell([Authentication("login", name, ok=False)])
    log.warning("login_refused", user=name)
    raise Refused(status, wrong)


async def _slow_down(request: Request, state: State, name: str = "") -> None:
    """At most ten tries a minute from one address, and for one name."""
    for kind, what in (("address", caller(request)), ("name", _key(name))):
        if what and not await state.logins.hit(state.login_limit, kind, what):
            raise Refused(429, "too many tries: wait a minute")


def _key(name: str) -> str:
    return name.lower()


def _remember(request: Request, response: Response, state: State, secret: str) -> None:
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(auth.SESSION_SECONDS),
        httponly=True,
        samesite="strict",
        secure=state.settings.session_cookie_secure or request.url.scheme == "https",
    )
