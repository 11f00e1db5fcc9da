"""Schedules: runs that are asked for again and again, and when they are due."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.ids import new_id
from mooring.server.db.listing import Ask, Listing, Paged, equal, fetch
from mooring.server.db.runs import OPEN
from mooring.server.db.tables import agent, run, schedule
from mooring.server.merge import Row, Values
from mooring.server.names import name_order

_SCHEDULES = Listing(
    schedule,
    {
        "name": schedule.c.name_order,
        "created_at": schedule.c.created_at,
        "next": func.coalesce(schedule.c.next_at, 1e12),
    },
    "name",
    (schedule.c.name, schedule.c.cron),
)


async def page(
    connection: AsyncConnection,
    ask: Ask,
    *,
    network_id: str | None = None,
    agent_id: str | None = None,
) -> Paged:
    """Schedules, each with its agent's name and its last run."""
    where = equal(schedule, network_id=network_id, agent_id=agent_id)
    paged = await fetch(connection, _SCHEDULES, ask, *where)
    return Paged(await _with_facts(connection, paged.rows), paged.next, paged.total)


async def by_id(connection: AsyncConnection, schedule_id: str) -> Row | None:
    query = select(schedule).where(schedule.c.id == schedule_id)
    row = (await connection.execute(query)).mappings().first()
    return (await _with_facts(connection, [dict(row)]))[0] if row else None


async def create(connection: AsyncConnection, values: Values, now: float) -> str:
    row_id = new_id()
    row = {"id": row_id, "skipped": "", "created_at": now, **values}
    await connection.execute(insert(schedule).values(row))
    return row_id


async def change(connection: AsyncConnection, schedule_id: str, **values: Any) -> None:
    if "name" in values:
        values["name_order"] = name_order(values["name"])
    statement = update(schedule).where(schedule.c.id == schedule_id)
    await connection.execute(statement.values(**values))


async def remove(connection: AsyncConnection, schedule_id: str) -> None:
    await connection.execute(delete(schedule).where(schedule.c.id == schedule_id))


async def due(connection: AsyncConnection, now: float) -> list[Row]:
    query = select(schedule).where(schedule.c.enabled, schedule.c.next_at <= now)
    rows = await connection.execute(query.order_by(schedule.c.next_at, schedule.c.id))
    return [dict(row) for row in rows.mappings()]


async def claim(connection: AsyncConnection, stored: Row, next_at: float | None) -> bool:
    """Move a due schedule on to its next time; False if somebody else has.

    Several server processes may look at one database: each due time is one's alone.
    """
    mine = (schedule.c.id == stored["id"]) & (schedule.c.next_at == stored["next_at"])
    claimed = update(schedule).where(mine, schedule.c.enabled).values(next_at=next_at)
    return (await connection.execute(claimed)).rowcount == 1


async def open_run(connection: AsyncConnection, schedule_id: str) -> Row | None:
    """A run of this schedule that has not ended."""
    query = select(run).where(run.c.schedule_id == schedule_id, run.c.state.in_(OPEN)).limit(1)
    row = (await connection.execute(query)).mappings().first()
    return dict(row) if row else None


async def _with_facts(connection: AsyncConnection, rows: list[Row]) -> list[Row]:
    named = select(agent.c.id, agent.c.name).where(agent.c.id.in_({r["agent_id"] for r in rows}))
    names = dict((await connection.execute(named)).all())
    newest = func.row_number().over(
        partition_by=run.c.schedule_id, order_by=(run.c.requested_at.desc(), run.c.id.desc())
    )
    ranked = (
        select(run.c.id, run.c.schedule_id, run.c.requested_at, newest.label("place_in_line"))
        .where(run.c.schedule_id.in_([r["id"] for r in rows]))
        .subquery()
    )
    last = select(ranked).where(ranked.c.place_in_line == 1)
    runs = {r["schedule_id"]: r for r in (await connection.execute(last)).mappings()}
    found: list[Row] = []
    for row in rows:
        ran = runs.get(row["id"])
        found.append(
            {
                **row,
                "agent_name": names.get(row["agent_id"], ""),
                "last_run_id": ran["id"] if ran else None,
                "last_run_at": ran["requested_at"] if ran else None,
            }
        )
    return found
