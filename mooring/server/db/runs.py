"""Runs: rows that survive a restart, moved only along ``server.runs.may_follow``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.ids import new_id
from mooring.model.event import RunState
from mooring.server.db.engine import insert_new
from mooring.server.db.listing import Ask, Listing, Paged, equal, fetch
from mooring.server.db.tables import agent, run, run_line, schedule
from mooring.server.merge import Row, Values
from mooring.server.runs import LOOK, SCAN, added_up, may_follow

WORKING = (RunState.STARTING.value, RunState.RUNNING.value)
OPEN = (RunState.PENDING.value, *WORKING)


async def by_id(connection: AsyncConnection, run_id: str, *, lock: bool = False) -> Row | None:
    """The run; with ``lock`` nobody else moves it before this transaction ends."""
    query = select(run).where(run.c.id == run_id)
    if lock:
        query = query.with_for_update(key_share=True)
    row = (await connection.execute(query)).mappings().first()
    return dict(row) if row else None


async def create(
    connection: AsyncConnection,
    run_id: str,
    sender: Row,
    trigger: str,
    requested_at: float,
    *,
    kind: str = LOOK,
    order: Values | None = None,
    schedule_id: str | None = None,
) -> Row | None:
    """A new run, pending; None if another connection made it in this same moment."""
    values = {
        "id": run_id,
        "network_id": sender["network_id"],
        "agent_id": sender["id"],
        "kind": kind,
        "order": order,
        "schedule_id": schedule_id,
        "trigger": trigger,
        "state": RunState.PENDING.value,
        "phase": None,
        "done": 0,
        "total": None,
        "phases": [],
        "remaining_s": None,
        "reason": None,
        "requested_at": requested_at,
        "started_at": None,
        "finished_at": None,
        "summary": {},
        "blocks": {},
    }
    return values if await insert_new(connection, run, values, ("id",)) else None


async def get_or_create(
    connection: AsyncConnection,
    run_id: str,
    sender: Row,
    trigger: str,
    requested_at: float,
    *,
    kind: str = LOOK,
) -> tuple[Row, bool]:
    """The run, to be moved by this transaction alone, and whether it is new.

    An agent's first word on a run and its first report may come at once.
    """
    stored = await by_id(connection, run_id, lock=True)
    if stored is not None:
        return stored, False
    made = await create(connection, run_id, sender, trigger, requested_at, kind=kind)
    if made is not None:
        return made, True
    stored = await by_id(connection, run_id, lock=True)
    assert stored is not None
    return stored, False


async def move(
    connection: AsyncConnection, stored: Row, state: RunState, now: float, **values: Any
) -> bool:
    """Bring a run into a state, with further values; False when it may not go there."""
    if not may_follow(RunState(stored["state"]), state):
        return False
    if state.ended:
        values["finished_at"] = now
    if stored["started_at"] is None and state is not RunState.CANCELLED:
        values.setdefault("started_at", now)
    # The state read is compared again: two may be moving it.
    changed = await connection.execute(
        update(run)
        .where(run.c.id == stored["id"], run.c.state == stored["state"])
        .values(state=state.value, **values)
    )
    return changed.rowcount == 1


async def add_summary(
    connection: AsyncConnection, stored: Row, counts: dict[str, int], block: str | None
) -> Row:
    """Add to what a run has stored so far; of a scan's ``block`` what was told last counts."""
    changed: Values = {"summary": {**stored["summary"], **counts}}
    if block:
        blocks = {**stored["blocks"], block: counts}
        changed = {"summary": {**stored["summary"], **added_up(blocks)}, "blocks": blocks}
    await connection.execute(update(run).where(run.c.id == stored["id"]).values(**changed))
    return {**stored, **changed}


async def of_agent(
    connection: AsyncConnection,
    agent_id: str,
    states: Collection[str],
    *,
    kinds: Collection[str] = (LOOK, SCAN),
    most: int | None = None,
) -> list[Row]:
    """An agent's runs in these states, oldest first."""
    query = (
        select(run)
        .where(run.c.agent_id == agent_id, run.c.state.in_(states), run.c.kind.in_(kinds))
        .order_by(run.c.requested_at, run.c.id)
        .limit(most)
    )
    return [dict(row) for row in (await connection.execute(query)).mappings()]


async def states(connection: AsyncConnection, ids: Collection[str]) -> dict[str, RunState]:
    """The states of those of these runs that there are."""
    query = select(run.c.id, run.c.state).where(run.c.id.in_(ids))
    return {row_id: RunState(state) for row_id, state in await connection.execute(query)}


async def durations(connection: AsyncConnection, like: Row) -> list[float]:
    """How many seconds the agent's last runs took that had the same to do; at most five."""
    query = (
        select(run.c.order, run.c.finished_at - run.c.started_at)
        .where(
            run.c.agent_id == like["agent_id"],
            run.c.kind == like["kind"],
            run.c.state == RunState.COMPLETE.value,
        )
        .order_by(run.c.finished_at.desc())
        .limit(20)
    )
    done = (await connection.execute(query)).all()
    return [float(seconds) for order, seconds in done if order == like["order"]][:5]


_LINES = Listing(run_line, {"at": run_line.c.at}, "at", (run_line.c.text, run_line.c.event))
MAX_LINES = 1000
"""Lines of one run's story that are kept: the newest."""


async def lines(connection: AsyncConnection, ask: Ask, run_id: str) -> Paged:
    return await fetch(connection, _LINES, ask, run_line.c.run_id == run_id)


async def add_lines(connection: AsyncConnection, run_id: str, said: list[Values]) -> None:
    """Store lines of a run's story, the oldest of which give way when there are too many."""
    # Ids of one millisecond come in no order: of one moment, what was told first stands first.
    ids = sorted(new_id() for _ in said)
    rows = [
        {
            "id": row_id,
            "run_id": run_id,
            "at": line["at"].timestamp(),
            **{name: line[name] for name in ("event", "level", "text")},
        }
        for row_id, line in zip(ids, said, strict=True)
    ]
    await connection.execute(insert(run_line), rows)
    newest = (
        select(run_line.c.id)
        .where(run_line.c.run_id == run_id)
        .order_by(run_line.c.at.desc(), run_line.c.id.desc())
        .limit(MAX_LINES)
    )
    stale = (run_line.c.run_id == run_id) & run_line.c.id.not_in(newest)
    await connection.execute(delete(run_line).where(stale))


_RUNS = Listing(run, {"requested_at": run.c.requested_at, "state": run.c.state}, "-requested_at")


async def page(
    connection: AsyncConnection,
    ask: Ask,
    **columns: str | None,
) -> Paged:
    """Runs with their agents' and schedules' names; ``columns`` as they are asked for."""
    where = equal(run, **columns)
    paged = await fetch(connection, _RUNS, ask, *where)
    return Paged(await _named(connection, paged.rows), paged.next, paged.total)


async def shown(connection: AsyncConnection, run_id: str, *, lock: bool = False) -> Row | None:
    """One run as it is listed: with its agent's name."""
    row = await by_id(connection, run_id, lock=lock)
    return (await _named(connection, [row]))[0] if row else None


async def _named(connection: AsyncConnection, rows: list[Row]) -> list[Row]:
    ids = {row["agent_id"] for row in rows}
    query = select(agent.c.id, agent.c.name).where(agent.c.id.in_(ids))
    names = dict((await connection.execute(query)).all())
    of_schedules = select(schedule.c.id, schedule.c.name).where(
        schedule.c.id.in_({row["schedule_id"] for row in rows if row["schedule_id"]})
    )
    schedules = dict((await connection.execute(of_schedules)).all())
    return [
        {
            **row,
            "agent_name": names.get(row["agent_id"], ""),
            "schedule_name": schedules.get(row["schedule_id"]),
        }
        for row in rows
    ]


async def lose(
    connection: AsyncConnection, sender: Row, active: Collection[str], now: float
) -> list[Row]:
    """Fail the runs that an agent worked on and, by its own word, works on no longer."""
    lost = [r for r in await of_agent(connection, sender["id"], WORKING) if r["id"] not in active]
    reason = f"the agent {sender['name']} was restarted before it had finished"
    return [r for r in lost if await move(connection, r, RunState.FAILED, now, reason=reason)]


async def orphans(connection: AsyncConnection, before: float) -> list[Row]:
    """The runs on which agents work that were last heard of ``before``; with their names."""
    query = (
        select(run, agent.c.name.label("agent_name"))
        .join(agent, agent.c.id == run.c.agent_id)
        .where(run.c.state.in_(WORKING), agent.c.last_seen < before)
        .order_by(run.c.id)
    )
    return [dict(row) for row in (await connection.execute(query)).mappings()]


async def abandon(connection: AsyncConnection, before: float, now: float) -> list[Row]:
    """Fail the orphans; answers them."""
    why = "has not been heard of for over a minute"
    return [
        r
        for r in await orphans(connection, before)
        if await move(
            connection, r, RunState.FAILED, now, reason=f"the agent {r['agent_name']} {why}"
        )
    ]
