"""Schedules: runs that are asked for again and again."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.errors import UsageError
from mooring.model.event import Entity, Operation
from mooring.server.api.door import (
    AgentId,
    Member,
    NetworkId,
    Reading,
    TheAsk,
    TheState,
    Viewer,
    shaped,
)
from mooring.server.api.problems import Refused, missing
from mooring.server.api.scan_shapes import (
    CronLine,
    Schedule,
    ScheduleChange,
    ScheduleDraft,
    ScheduleReading,
)
from mooring.server.api.shapes import Page
from mooring.server.change import changing
from mooring.server.cron import Timetable
from mooring.server.db import agents, schedules
from mooring.server.db.timeline import Told
from mooring.server.merge import Row, Values
from mooring.server.orders import outside, read_order, refusal

router = APIRouter(prefix="/schedules", tags=["schedules"])


def _schedule(row: Row, now: float) -> Schedule:
    try:
        table = Timetable(row["cron"], row["zone"])
        words, following = table.words, table.next(now) if row["enabled"] else []
    except UsageError as error:  # its time zone is no longer known here
        words, following = error.why, []
    return shaped(Schedule, row, timezone=row["zone"], words=words, next=following)


@router.get("")
async def list_schedules(
    ask: TheAsk,
    state: TheState,
    connection: Reading,
    _: Viewer,
    network_id: NetworkId = None,
    agent_id: AgentId = None,
) -> Page[Schedule]:
    page = await schedules.page(connection, ask, network_id=network_id, agent_id=agent_id)
    items = [_schedule(row, state.clock()) for row in page.rows]
    return Page[Schedule](items=items, next=page.next, total=page.total)


@router.post("/preview")
async def preview_schedule(line: CronLine, state: TheState, _: Viewer) -> ScheduleReading:
    """What a cron line means and when it is due next; 422 for one that is never due."""
    now = state.clock()
    table = Timetable(line.cron, line.timezone)
    table.after(now)
    return ScheduleReading.model_validate({"words": table.words, "next": table.next(now)})


@router.get("/{schedule_id}")
async def read_schedule(
    schedule_id: str, state: TheState, connection: Reading, _: Viewer
) -> Schedule:
    return _schedule(await _known(connection, schedule_id), state.clock())


@router.post("", status_code=201)
async def create_schedule(draft: ScheduleDraft, state: TheState, who: Member) -> Schedule:
    async with changing(state, who) as change:
        values = await _values(change.connection, draft.model_dump(), change.now)
        row_id = await schedules.create(change.connection, values, change.now)
        row = await _known(change.connection, row_id)
        change.tell(_told(row, Operation.CREATED), detail=row["cron"])
    return _schedule(row, change.now)


@router.patch("/{schedule_id}")
async def change_schedule(
    schedule_id: str, changes: ScheduleChange, state: TheState, who: Member
) -> Schedule:
    """Change what is named. What it is due next is counted anew."""
    async with changing(state, who) as change:
        row = await _known(change.connection, schedule_id)
        order = row["order"] or {}
        before = {
            **{name: row[name] for name in ("name", "agent_id", "kind", "cron", "enabled")},
            "timezone": row["zone"],
            "targets": order.get("targets", []),
            "depth": order.get("depth", "light"),
        }
        said = {k: v for k, v in changes.model_dump(exclude_unset=True).items() if v is not None}
        if said.get("kind") == "look":
            before["targets"] = []
        values = await _values(change.connection, before | said, change.now)
        await schedules.change(change.connection, schedule_id, **values)
        row = await _known(change.connection, schedule_id)
        change.tell(_told(row, Operation.CHANGED), detail=row["cron"])
    return _schedule(row, change.now)


@router.delete("/{schedule_id}", status_code=204)
async def delete_schedule(schedule_id: str, state: TheState, who: Member) -> Response:
    """Delete a schedule; the runs that it began stay."""
    async with changing(state, who) as change:
        row = await _known(change.connection, schedule_id)
        await schedules.remove(change.connection, schedule_id)
        change.tell(_told(row, Operation.DELETED))
    return Response(status_code=204)


async def _known(connection: AsyncConnection, schedule_id: str) -> Row:
    row = await schedules.by_id(connection, schedule_id)
    if row is None:
        raise missing("schedule", schedule_id)
    return row


async def _values(connection: AsyncConnection, said: dict[str, Any], now: float) -> Values:
    """The columns of what was asked for, when it can be done."""
    agent = await agents.by_id(connection, said["agent_id"])
    if agent is None:
        raise missing("agent", said["agent_id"])
    order = read_order(said["kind"], said["targets"], said["depth"])
    due = Timetable(said["cron"], said["timezone"]).after(now)
    cannot = refusal(agent, said["kind"]) or outside(order, agent["allowed"])
    if cannot and said["enabled"]:
        raise Refused(409, cannot)
    return {
        "network_id": agent["network_id"],
        "agent_id": agent["id"],
        "name": said["name"],
        "kind": said["kind"],
        "order": order,
        "cron": said["cron"],
        "zone": said["timezone"],
        "enabled": said["enabled"],
        "next_at": due if said["enabled"] else None,
    }


def _told(row: Row, operation: Operation) -> Told:
    return Told(Entity.SCHEDULE, operation, row["id"], row["network_id"], row["name"])
