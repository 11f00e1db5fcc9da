"""The live stream: server-sent events that name what changed and carry no data."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable

from fastapi import APIRouter
from sse_starlette import EventSourceResponse, ServerSentEvent

from mooring.core.bus import Bus, Subscription
from mooring.model.event import Changed, Event, Resync
from mooring.server.api.door import TheState, Viewer

router = APIRouter(tags=["events"])

GATHER = 0.2
"""Seconds for which changes are gathered, so that many to one thing are told once."""
MAX_NAMED = 100
"""Of more things than this at once only the kinds are told."""
PING = 15


@router.get("/events")
async def events(state: TheState, _: Viewer) -> EventSourceResponse:
    """``changed`` with entity, operation, id and network_id (id null: many), and ``resync``."""
    return EventSourceResponse(stream(state.bus), ping=PING, headers={"Cache-Control": "no-store"})


async def stream(bus: Bus) -> AsyncIterator[ServerSentEvent]:
    """The bus as server-sent events, until it closes."""

    def shown(event: Event) -> bool:
        return isinstance(event, Changed | Resync)

    with bus.subscribe(shown) as news:
        # Whoever reconnects has missed something.
        yield ServerSentEvent(event="resync", data="{}", retry=1000)
        while (first := await news.next()) is not None:
            for message in messages([first, *await _gathered(news)]):
                yield message


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
