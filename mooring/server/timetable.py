"""Begins the runs of schedules that are due: each due time once, and none on top of another."""

from __future__ import annotations

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.errors import UsageError
from mooring.core.ids import new_id
from mooring.model.event import Entity, Event, Operation, RunMoved, RunState
from mooring.server.cron import Timetable
from mooring.server.db import agents, runs, schedules, timeline
from mooring.server.db.timeline import Told
from mooring.server.merge import Row
from mooring.server.orders import refusal
from mooring.server.runs import title
from mooring.server.state import State

log = structlog.get_logger(__name__)


async def fire_due(state: State) -> None:
    """One turn: a run for every schedule that is due.

    What was due while the server was away is made up for once, and not as often as it was missed.
    """
    async with state.database.read() as connection:
        due = await schedules.due(connection, state.clock())
    for schedule in due:
        await _fire(state, schedule)


async def _fire(state: State, schedule: Row) -> None:
    now = state.clock()
    told: list[Told] = []
    events: list[Event] = []
    try:
        next_at: float | None = Timetable(schedule["cron"], schedule["zone"]).after(now)
    except UsageError as error:  # its time zone is no longer known here
        log.error("schedule_not_understood", schedule=schedule["name"], reason=str(error))
        next_at = None
    async with state.database.write() as connection:
        if not await schedules.claim(connection, schedule, next_at):
            return
        skipped = await _refusal(connection, schedule)
        if skipped != schedule["skipped"]:
            await schedules.change(connection, schedule["id"], skipped=skipped)
        network = schedule["network_id"]
        if skipped:
            log.warning("schedule_skipped", schedule=schedule["name"], reason=skipped)
            said = Told(
                Entity.SCHEDULE,
                Operation.CHANGED,
                schedule["id"],
                network,
                f"{schedule['name']} was skipped: {skipped}",
            )
            if skipped != schedule["skipped"]:
                told.append(said)
            else:
                events.append(said.changed)
        else:
            sender = await agents.by_id(connection, schedule["agent_id"])
            assert sender is not None
            row = await runs.create(
                connection,
                new_id(),
                sender,
                "schedule",
                now,
                kind=schedule["kind"],
                order=schedule["order"],
                schedule_id=schedule["id"],
            )
            assert row is not None
            name = f"{title(row['kind'], sender['name'])} as scheduled ({schedule['name']})"
            told.append(Told(Entity.RUN, Operation.CREATED, row["id"], network, name))
            events.append(RunMoved(row["id"], RunState.PENDING, network))
            log.info("run_scheduled", run=row["id"], schedule=schedule["name"])
        await timeline.write(connection, told, now)
    state.tell([*(t.changed for t in told), *events])


async def _refusal(connection: AsyncConnection, schedule: Row) -> str:
    """Why no run begins now; empty if one may."""
    sender = await agents.by_id(connection, schedule["agent_id"])
    if sender is None:
        return "its agent is not there any more"
    still = await schedules.open_run(connection, schedule["id"])
    if still is None:
        return refusal(sender, schedule["kind"]) or ""
    if still["state"] == RunState.PENDING.value and not sender["online"]:
        return f"{sender['name']} is offline, and the run before waits for it"
    return "the run before has not ended"
