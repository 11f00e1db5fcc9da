"""What every route shares: the server's state, who is asking, what of a list is wanted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import structlog
from fastapi import Depends, Query, Request, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.model.event import Authentication
from mooring.server import auth
from mooring.server.api.problems import MAX_SHOWN, Refused
from mooring.server.api.shapes import Page
from mooring.server.auth import Principal
from mooring.server.db.listing import DEFAULT_LIMIT, MAX_LIMIT, Ask, Paged
from mooring.server.merge import Row
from mooring.server.state import State
from mooring.server.turns import each

log = structlog.get_logger(__name__)

Shaped = TypeVar("Shaped", bound=BaseModel)

COOKIE = "mooring_session"
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
NO_ENTRY = {401: {"description": "Nobody known"}, 403: {"description": "Not allowed"}}


def state_of(request: Request) -> State:
    state: State = request.app.state.mooring
    return state


TheState = Annotated[State, Depends(state_of)]


async def principal_of(request: Request, state: TheState) -> Principal:
    """Who asks: a session's cookie or a key in the Authorization header."""
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    try:
        if secret and kind.lower() == "bearer":
            async with state.database.read() as connection:
                who = await auth.key_principal(connection, secret.strip(), state.clock())
        else:
            cookie = request.cookies.get(COOKIE)
            if cookie is None:
                raise auth.Denied("log in first, or send a key: Authorization: Bearer KEY")
            _same_origin(request)
            async with state.database.read() as connection:
                who = await auth.session_principal(connection, cookie, state.clock())
    except auth.Denied as denied:
        if secret:
            state.tell([Authentication("key", "", ok=False)])
            log.warning("key_refused", path=request.url.path, reason=str(denied))
        raise Refused(401, str(denied)) from None
    if who.stale:
        async with state.database.write() as connection:
            await auth.note_use(connection, who, state.clock())
    return replace(who, address=caller(request))


def caller(request: Request) -> str:
    """The address that a request came from: see api/behind for what is believed."""
    return request.client.host if request.client else ""


def _same_origin(request: Request) -> None:
    """A browser sends cookies along with what other sites make it send: those are refused."""
    origin = request.headers.get("origin")
    if origin is None or request.method not in UNSAFE:
        return
    # Where the browser came by TLS, a page that did not is another site too.
    schemes = ("https",) if request.url.scheme == "https" else ("http", "https")
    if origin not in [f"{scheme}://{request.headers.get('host', '')}" for scheme in schemes]:
        raise Refused(403, f"a page of {origin[:200]} may not do this in your name")


ThePrincipal = Annotated[Principal, Depends(principal_of)]


async def read_connection(state: TheState, _: ThePrincipal) -> AsyncIterator[AsyncConnection]:
    # After it is known who asks: with a connection in hand, nobody may wait for another.
    async with state.database.read() as connection:
        yield connection


# It ends before the answer is sent: whoever reads slowly must not hold a connection.
Reading = Annotated[AsyncConnection, Depends(read_connection, scope="function")]


def at_least(role: str) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency: the request's principal has this role or a higher one."""

    async def check(who: ThePrincipal) -> Principal:
        if who.kind == "agent":
            raise Refused(
                403, f"the key {who.name!r} is an agent's: it reports, and can't read or change"
            )
        if not who.may(role):
            raise Refused(403, f"this needs the role {role}; {who.name} is {who.role}")
        return who

    return check


Viewer = Annotated[Principal, Depends(at_least("viewer"))]
Member = Annotated[Principal, Depends(at_least("member"))]
Admin = Annotated[Principal, Depends(at_least("admin"))]


async def holder(who: ThePrincipal) -> Principal:
    """A dependency: a user who is logged in, for what is the user's own; or an admin."""
    if who.kind != "user" and not who.may("admin"):
        raise Refused(403, f"this needs a user who is logged in, or the role admin: not {who.name}")
    return who


Holder = Annotated[Principal, Depends(holder)]


async def logged_in(who: ThePrincipal) -> Principal:
    """A dependency: a user in a session, and no key."""
    if who.session_id is None:
        raise Refused(403, "a key has no session")
    return who


LoggedIn = Annotated[Principal, Depends(logged_in)]


async def agent_key(who: ThePrincipal) -> Principal:
    """A dependency: the request came with an agent's key."""
    if who.kind != "agent":
        raise Refused(
            403, "only agents report: make a key with `mooring keys create --agent --network N`"
        )
    return who


AgentKey = Annotated[Principal, Depends(agent_key)]


def list_query(
    request: Request,
    limit: Annotated[
        int, Query(ge=1, le=MAX_LIMIT, description="How many items at most")
    ] = DEFAULT_LIMIT,
    cursor: Annotated[
        str | None, Query(max_length=2000, description="The `next` of the page before")
    ] = None,
    sort: Annotated[
        str | None, Query(max_length=50, description="A column; with - before it descending")
    ] = None,
    q: Annotated[str | None, Query(max_length=200, description="Words to search for")] = None,
    ids: Annotated[
        str | None, Query(max_length=40_000, description="Just these, separated by commas")
    ] = None,
    # Taken off before it comes here: see api/export.
    format: Annotated[  # noqa: A002 (its name in the address)
        Literal["csv"] | None, Query(description="All that fits, of all pages, as a table")
    ] = None,
) -> Ask:
    # A filter that is written wrongly would else be one that lets everything through.
    known = _known(request.scope["route"])
    if unknown := sorted(name[:MAX_SHOWN] for name in request.query_params.keys() - known):
        told = "this list knows no such word; it knows " + ", ".join(sorted(known))
        faults = [{"where": f"query.{name}", "what": told} for name in unknown[:20]]
        raise Refused(422, f"query.{unknown[0]}: {told}", errors=faults)
    wanted = None if ids is None else tuple(i for i in ids.split(",") if i)
    if wanted is not None and len(wanted) > MAX_LIMIT:
        raise Refused(422, f"ids: expected at most {MAX_LIMIT}, got {len(wanted)}")
    return Ask(limit, cursor, sort, q, wanted)


TheAsk = Annotated[Ask, Depends(list_query)]


def _known(route: APIRoute) -> frozenset[str]:
    """The words that may follow the ? of a route's address."""
    fields = get_flat_params(route.dependant)
    return frozenset(f.alias for f in fields if isinstance(f.field_info, params.Query))


NetworkId = Annotated[str | None, Query(max_length=36, description="Of this network alone")]
HostId = Annotated[str | None, Query(max_length=36, description="Of this host alone")]
AgentId = Annotated[str | None, Query(max_length=36, description="Of this agent alone")]


def shaped(model: type[Shaped], row: Mapping[str, Any], **more: Any) -> Shaped:
    """A row as a shape: the columns that the shape has, and ``more``. Times become UTC."""
    columns = {name: row[name] for name in model.model_fields if name in row}
    return model.model_validate({**columns, **more})


async def paged(
    model: type[Shaped], page: Paged, shape: Callable[[Row], Shaped] | None = None
) -> Page[Shaped]:
    """A page of shapes: the rows' own, or what ``shape`` makes of them. Others have turns
    between."""
    items = await each(shape or partial(shaped, model), page.rows)
    return Page[model](items=items, next=page.next, total=page.total)  # type: ignore[valid-type]
