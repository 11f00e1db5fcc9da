"""Runs: asked for, watched, cancelled; and moved along by their agents."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.ids import is_id, new_id
from mooring.model.event import Changed, Entity, Event, Operation, RunMoved, RunState
from mooring.server.api.agents import known_agent
from mooring.server.api.door import (
    AgentId,
    AgentKey,
    Member,
    NetworkId,
    Reading,
    TheAsk,
    TheState,
    Viewer,
    paged,
    shaped,
)
from mooring.server.api.problems import Refused, missing
from mooring.server.api.scan_shapes import RunKind, RunLine, RunRequest
from mooring.server.api.shapes import Page, Run, RunProgress
from mooring.server.api.shapes import RunState as RunStateName
from mooring.server.change import changing
from mooring.server.db import agents, hosts, runs, timeline
from mooring.server.db.timeline import Told
from mooring.server.merge import Row
from mooring.server.orders import inside, outside, read_order, refusal
from mooring.server.runs import phases, remaining, title

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/runs", tags=["runs"])


async def _shape(connection: AsyncConnection, row: Row, now: float) -> Run:
    elapsed = left = None
    if row["started_at"] is not None:
        elapsed = max(0.0, (row["finished_at"] or now) - row["started_at"])
        if row["state"] in runs.WORKING:
            left = row["remaining_s"]
            if left is None:
                left = remaining(await runs.durations(connection, row), elapsed)
    return shaped(Run, row, elapsed_s=elapsed, remaining_s=left)


@router.get("")
async def list_runs(
    ask: TheAsk,
    state: TheState,
    connection: Reading,
    _: Viewer,
    network_id: NetworkId = None,
    agent_id: AgentId = None,
    run_state: Annotated[RunStateName | None, Query(alias="state")] = None,
    kind: RunKind | None = None,
    schedule_id: Annotated[str | None, Query(max_length=36, description="That it began")] = None,
) -> Page[Run]:
    page = await runs.page(
        connection,
        ask,
        network_id=network_id,
        agent_id=agent_id,
        state=run_state,
        kind=kind,
        schedule_id=schedule_id,
    )
    items = [await _shape(connection, row, state.clock()) for row in page.rows]
    return Page[Run](items=items, next=page.next, total=page.total)


@router.get("/{run_id}")
async def read_run(run_id: str, state: TheState, connection: Reading, _: Viewer) -> Run:
    row = await runs.shown(connection, run_id)
    if row is None:
        raise missing("run", run_id)
    return await _shape(connection, row, state.clock())


@router.get("/{run_id}/lines")
async def list_run_lines(run_id: str, ask: TheAsk, connection: Reading, _: Viewer) -> Page[RunLine]:
    """The story of a run, as its agent told it: the last thousand lines."""
    if await runs.by_id(connection, run_id) is None:
        raise missing("run", run_id)
    return await paged(RunLine, await runs.lines(connection, ask, run_id))


@router.post("", status_code=202)
async def request_run(asked: RunRequest, state: TheState, who: Member) -> Run:
    """Ask an agent to look at its machine, or to scan networks.

    Answered at once; the run goes on by itself and can be watched. 422 for targets that nobody
    scans, 409 for an agent that can't.
    """
    async with changing(state, who) as change:
        connection, now = change.connection, change.now
        sender = await agents.by_id(connection, asked.agent_id)
        if sender is None:
            raise missing("agent", asked.agent_id)
        targets = asked.targets
        if asked.host_id is not None:
            targets = await _addresses(connection, asked.host_id, sender)
        order = read_order(asked.kind, targets, asked.depth)
        if cannot := refusal(sender, asked.kind) or outside(order, sender["allowed"]):
            raise Refused(409, cannot)
        row = await runs.create(
            connection, new_id(), sender, "request", now, kind=asked.kind, order=order
        )
        assert row is not None
        name = title(asked.kind, sender["name"])
        told = _told(row, Operation.CREATED, f"{name} asked by {who.name}")
        change.tell(told, action="asked for", detail=" ".join(order["targets"]) if order else "")
        change.add(RunMoved(row["id"], RunState.PENDING, row["network_id"]))
        names = {"agent_name": sender["name"], "schedule_name": None}
        answer = await _shape(connection, {**row, **names}, now)
    log.info("run_requested", run=row["id"], kind=asked.kind, agent=sender["name"], by=who.name)
    return answer


async def _addresses(connection: AsyncConnection, host_id: str, sender: Row) -> tuple[str, ...]:
    """Where a host can be scanned again by this agent."""
    row = await hosts.by_id(connection, host_id)
    if row is None:
        raise missing("host", host_id)
    found = await hosts.reached_at(connection, host_id, sender["host_id"])
    if not found:
        raise Refused(409, f"{row['name']} has no address now: scan the network in which it may be")
    # Those that the agent can ask; none of them: all, to be refused with the reason.
    return tuple(inside(found, sender["allowed"])) or found


@router.post("/{run_id}/cancel")
async def cancel_run(run_id: str, state: TheState, who: Member) -> Run:
    """Cancel a run in any phase. What it has stored so far stays."""
    async with changing(state, who) as change:
        connection, now = change.connection, change.now
        row = await runs.shown(connection, run_id, lock=True)
        if row is None:
            raise missing("run", run_id)
        reason = f"cancelled by {who.name}"
        if not await runs.move(connection, row, RunState.CANCELLED, now, reason=reason):
            raise Refused(409, f"the run has ended already: it is {row['state']}")
        name = title(row["kind"], row["agent_name"])
        told = _told(row, Operation.CHANGED, f"{name} cancelled")
        change.tell(told, action="cancelled")
        change.add(RunMoved(run_id, RunState.CANCELLED, row["network_id"]))
        after = await runs.shown(connection, run_id)
        assert after is not None
        answer = await _shape(connection, after, now)
    log.info("run_cancelled", run=run_id, by=who.name)
    return answer


@router.post("/{run_id}/progress", status_code=204)
async def run_progress(run_id: str, said: RunProgress, state: TheState, who: AgentKey) -> None:
    """An agent says how far a run is; one that it began by itself is made by its first word."""
    if not is_id(run_id):
        raise Refused(422, "the run's id is not a UUID in lower case")
    now = state.clock()
    events: list[Event] = []
    told: list[Told] = []
    async with state.database.write() as connection:
        sender, told = await known_agent(connection, who, said.outbox, "agent", now)
        began = said.started_at.timestamp() if said.started_at else now
        row, new = await runs.get_or_create(
            connection, run_id, sender, said.trigger, min(began, now)
        )
        name = title(row["kind"], sender["name"])
        if new:
            told.append(_told(row, Operation.CREATED, name))
        if row["agent_id"] != sender["id"]:
            raise Refused(403, "the run is another agent's")
        if said.lines:
            await runs.add_lines(connection, run_id, [line.model_dump() for line in said.lines])
            network = row["network_id"]
            events.append(Changed(Entity.RUN_LINE, Operation.CHANGED, run_id, network))
        where = {
            "phase": said.phase,
            "done": said.done,
            "total": said.total,
            "phases": phases(row["phases"], said.phase, said.done, said.total),
            "remaining_s": said.remaining_s,
        }
        moved = await runs.move(
            connection, row, RunState(said.state), now, **where, reason=said.reason
        )
        if moved:
            change = _told(row, Operation.CHANGED, f"{name} {said.state}")
            if row["state"] != said.state:
                told.append(change)
            else:
                events.append(change.changed)
            events.append(RunMoved(run_id, RunState(said.state), row["network_id"]))
        await timeline.write(connection, told, now)
    state.tell([*(t.changed for t in told), *events])


def _told(row: Row, operation: Operation, title: str) -> Told:
    return Told(Entity.RUN, operation, row["id"], row["network_id"], title)
