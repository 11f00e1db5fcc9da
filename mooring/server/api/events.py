"""The live stream: server-sent events that name what changed and carry no data."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from time import monotonic

from fastapi import APIRouter
from sse_starlette import EventSourceResponse, ServerSentEvent

from mooring.core.bus import Bus, Subscription
from mooring.model.event import Changed, Entity, Event, Resync
from mooring.server import auth
from mooring.server.api.door import TheState, Viewer

router = APIRouter(tags=["events"])

GATHER = 0.2
"""Seconds for which changes are gathered, so that many to one thing are told once."""
MAX_NAMED = 100
"""Of more things than this at once only the kinds are told."""
PING = 15
CHECK = 15.0
"""Seconds after which it is looked whether whoever reads may still: another server process, or a
command, may have ended the session."""
_ACCOUNTS = frozenset({Entity.USER, Entity.SESSION, Entity.KEY})


@router.get("/events")
async def events(state: TheState, who: Viewer) -> EventSourceResponse:
    """``changed`` with entity, operation, id and network_id (id null: many), and ``resync``.

    It ends with the session or the key that it was asked for with.
    """

    async def welcome() -> bool:
        async with state.database.read() as connection:
            return await auth.is_welcome(connection, who, state.clock())

    told = stream(state.bus, welcome)
    return EventSourceResponse(told, ping=PING, headers={"Cache-Control": "no-store"})


async def stream(
    bus: Bus, welcome: Callable[[], Awaitable[bool]]
) -> AsyncIterator[ServerSentEvent]:
    """The bus as server-sent events, until it closes or whoever reads is welcome no more."""

    def shown(event: Event) -> bool:
        return isinstance(event, Changed | Resync)

    with bus.subscribe(shown) as news:
        # Whoever reconnects has missed something.
        yield ServerSentEvent(event="resync", data="{}", retry=1000)
        checked = monotonic()
        while (gathered := await _next(news)) is not None:
            if monotonic() - checked >= CHECK or any(map(_of_accounts, gathered)):
                if not await welcome():
                    return
                checked = monotonic()
            for message in messages(gathered):
                yield message


async def _next(news: Subscription) -> list[Event] | None:
    """What is next to tell, nothing when it is time to check; None when the bus is closed."""
    try:
        async with asyncio.timeout(CHECK):
            first = await news.next()
    except TimeoutError:
        return []
    return None if first is None else [first, *await _gathered(news)]


def _of_accounts(event: Event) -> bool:
    """Whether somebody may have lost what let them in; what was missed may have said so."""
    return isinstance(event, Resync) or (isinstance(event, Changed) and event.entity in _ACCOUNTS)


async def _gathered(news: Subscription) -> list[Event]:
    """What comes within the next moment."""
    found: list[Event] = []
    try:
        async with asyncio.timeout(GATHER):
            while (event := await news.next()) is not None:
                found.append(event)
    except TimeoutError:
        pass
    return found


def messages(gathered: Iterable[Event]) -> list[ServerSentEvent]:
    """The fewest messages that say it all."""
    changes: dict[Changed, None] = {}
    for event in gathered:
        if isinstance(event, Resync):
            return [ServerSentEvent(event="resync", data="{}")]
        if isinstance(event, Changed):
            changes[event] = None
    if len(changes) > MAX_NAMED:
        kinds = dict.fromkeys((c.entity, c.network_id) for c in changes)
        return [_message(entity.value, "changed", None, network) for entity, network in kinds]
    return [_message(c.entity.value, c.operation.value, c.id, c.network_id) for c in changes]


def _message(
    entity: str, operation: str, thing: str | None, network: str | None
) -> ServerSentEvent:
    data = {"entity": entity, "operation": operation, "id": thing, "network_id": network}
    return ServerSentEvent(event="changed", data=json.dumps(data))
