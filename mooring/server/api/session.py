"""The owner's account from the one-time link, logging in and out, and who is in."""

from __future__ import annotations

import structlog
from fastapi import APIRouter, Request, Response

from mooring.model.event import Authentication, Changed, Entity, Operation
from mooring.server import auth
from mooring.server.api.door import COOKIE, Reading, ThePrincipal, TheState
from mooring.server.api.problems import Refused
from mooring.server.api.shapes import Login, Session, Setup, SetupOwner, User
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
    now = state.clock()
    async with state.database.write() as connection:
        row = await users.create_first(connection, asked.name, password_hash, now)
        if row is None:
            raise Refused(409, "the owner's account was made already: log in with it")
        secret = await auth.open_session(connection, row["id"], now)
    state.tell(
        [
            Authentication("setup", row["name"], ok=True),
            Changed(Entity.USER, Operation.CREATED, row["id"]),
        ]
    )
    log.info("owner_created", user=row["name"])
    _remember(response, state, secret)
    return Session(user=_user(row))


@router.post("/session", status_code=201)
async def log_in(asked: Login, request: Request, response: Response, state: TheState) -> Session:
    await _slow_down(request, state, asked.name)
    async with state.database.read() as connection:
        row = await users.by_login(connection, asked.name)
    if not await state.passwords.check(asked.password, row["password_hash"] if row else None):
        state.tell([Authentication("login", asked.name, ok=False)])
        log.warning("login_refused", user=asked.name)
        raise Refused(401, "the name or the password is wrong")
    assert row is not None
    now = state.clock()
    async with state.database.write() as connection:
        await users.forget_expired(connection, now)
        secret = await auth.open_session(connection, row["id"], now)
    state.tell([Authentication("login", row["name"], ok=True)])
    log.info("logged_in", user=row["name"])
    _remember(response, state, secret)
    return Session(user=_user(row))


@router.get("/session")
async def read_session(connection: Reading, who: ThePrincipal) -> Session:
    """Whose session it is; 401 without one."""
    if who.kind != "user":
        raise Refused(403, "a key has no session")
    row = await users.by_login(connection, who.name)
    if row is None:
        raise Refused(401, "the user is gone")
    return Session(user=_user(row))


@router.delete("/session", status_code=204)
async def log_out(request: Request, state: TheState, who: ThePrincipal) -> Response:
    if who.kind != "user":
        raise Refused(403, "a key has no session")
    secret = request.cookies.get(COOKIE, "")
    async with state.database.write() as connection:
        await users.close_session(connection, auth.hash_secret(secret))
    state.tell([Authentication("logout", who.name, ok=True)])
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


async def _slow_down(request: Request, state: State, name: str = "") -> None:
    """At most ten tries a minute from one address, and for one name."""
    client = request.client.host if request.client else ""
    for kind, what in (("address", client), ("name", name.lower())):
        if what and not await state.logins.hit(state.login_limit, kind, what):
            raise Refused(429, "too many tries: wait a minute")


def _remember(response: Response, state: State, secret: str) -> None:
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(auth.SESSION_SECONDS),
        httponly=True,
        samesite="strict",
        secure=state.settings.session_cookie_secure,
    )


def _user(row: Row) -> User:
    return User(id=row["id"], name=row["name"], role=row["role"], created_at=row["created_at"])
