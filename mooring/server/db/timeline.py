"""The timeline: what changed, when, under which name. Written with the change itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.ids import new_id
from mooring.model.event import Changed, Entity, Operation
from mooring.server.db.listing import Ask, Listing, Paged, equal, fetch
from mooring.server.db.tables import event


@dataclass(frozen=True, slots=True)
class Told:
    """A change that is worth telling; ``title`` is what the thing is called at that moment."""

    entity: Entity
    operation: Operation
    id: str
    network_id: str | None
    title: str

    @property
    def changed(self) -> Changed:
        return Changed(self.entity, self.operation, self.id, self.network_id)


async def write(connection: AsyncConnection, told: Iterable[Told], now: float) -> None:
    told = list(told)
    # Ids of one millisecond come in no order: of one moment, what was told first stands first.
    ids = sorted(new_id() for _ in told)
    rows = [
        {
            "id": row_id,
            "at": now,
            "entity": t.entity.value,
            "operation": t.operation.value,
            "entity_id": t.id,
            "network_id": t.network_id,
            "title": t.title[:500],
        }
        for row_id, t in zip(ids, told, strict=True)
    ]
    if rows:
        await connection.execute(insert(event), rows)


_EVENTS = Listing(event, {"at": event.c.at}, "-at", (event.c.title, event.c.entity))


async def page(
    connection: AsyncConnection,
    ask: Ask,
    network_id: str | None = None,
    entity_id: str | None = None,
) -> Paged:
    where = equal(event, network_id=network_id, entity_id=entity_id)
    return await fetch(connection, _EVENTS, ask, *where)
