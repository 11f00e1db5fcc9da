"""The audit: who changed what, from where. Written with the change itself, and never changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.ids import new_id
from mooring.model.event import Changed
from mooring.server.auth import Principal
from mooring.server.db.listing import Ask, Listing, Paged, equal, fetch
from mooring.server.db.tables import audit


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that somebody did; ``title`` is what it was done to, as it was called then."""

    changed: Changed
    action: str
    title: str
    detail: str = ""


async def write(
    connection: AsyncConnection, who: Principal, deeds: Iterable[Deed], now: float
) -> None:
    rows = [
        {
            "id": new_id(),
            "at": now,
            "who_kind": who.kind,
            "who_id": who.id,
            "who_name": who.title,
            "user_id": who.user_id,
            "action": deed.action,
            "entity": deed.changed.entity.value,
            "entity_id": deed.changed.id,
            "network_id": deed.changed.network_id,
            "title": deed.title[:500],
            "detail": deed.detail[:2000],
            "address": who.address,
        }
        for deed in deeds
    ]
    if rows:
        await connection.execute(insert(audit), rows)


_AUDIT = Listing(
    audit,
    {"at": audit.c.at},
    "-at",
    (audit.c.who_name, audit.c.action, audit.c.entity, audit.c.title, audit.c.detail),
)


async def page(
    connection: AsyncConnection,
    ask: Ask,
    *,
    user_id: str | None = None,
    entity: str | None = None,
    entity_id: str | None = None,
) -> Paged:
    where = equal(audit, user_id=user_id, entity=entity, entity_id=entity_id)
    return await fetch(connection, _AUDIT, ask, *where)
