"""A report into the database, in the caller's one transaction; answers what there is to tell.

Never tells by itself: that is done after the commit.
"""

from __future__ import annotations

from sqlalchemy import delete, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.ids import new_id
from mooring.model.can import CanWiring
from mooring.model.event import Changed, Entity, Operation, RunMoved, RunState
from mooring.model.forward import Forwards
from mooring.model.machine import Machine
from mooring.model.report import Report, RunMark
from mooring.model.scan import Scan
from mooring.server.db import agents, runs, timeline
from mooring.server.db.tables import report, set_aside, subject
from mooring.server.ingest.can import store_wiring
from mooring.server.ingest.engines import store_engines
from mooring.server.ingest.forwards import store_forwards
from mooring.server.ingest.machine import store_machine
from mooring.server.ingest.scan import store_scan
from mooring.server.ingest.visit import Outcome, Visit
from mooring.server.merge import Row, Values
from mooring.server.runs import LOOK, SCAN, all_done, title

__all__ = ["Outcome", "ingest"]


async def ingest(
    connection: AsyncConnection, sender: Row, rep: Report, size: int, now: float
) -> Outcome:
    """Store a report of ``size`` bytes from the agent ``sender`` (a row of ``agent``).

    A number that is not above the last one stored of its subject was seen before: nothing is
    stored, and the outcome says so.
    """
    # Read again under the lock: another report of the same agent may just have been stored.
    sender = await agents.lock(connection, sender["id"], sender["network_id"]) or sender
    if rep.number <= await agents.last_number(connection, sender["id"], rep.subject):
        outcome = Outcome(stored=False)
        outcome.log("report_seen", subject=rep.subject, number=rep.number)
        return outcome
    outcome = Outcome(stored=True, set_aside=len(rep.set_aside))
    visit = Visit(connection, sender, now, outcome)
    if isinstance(rep.body, Machine):
        counts = await store_machine(visit, rep.body)
    elif isinstance(rep.body, Forwards):
        counts = await store_forwards(visit, rep.body)
    elif isinstance(rep.body, CanWiring):
        counts = await store_wiring(visit, rep.body)
    elif isinstance(rep.body, Scan):
        counts = await store_scan(visit, rep.body)
    else:
        counts = await store_engines(visit, rep.body)
    await _store_set_aside(visit, rep)
    await _store_number(visit, rep, size)
    outcome.log(
        "report_stored",
        subject=rep.subject,
        number=rep.number,
        bytes=size,
        set_aside=len(rep.set_aside),
        changes=len(outcome.told),
        **counts,
    )
    scanned = isinstance(rep.body, Scan)
    counts["scan_set_aside" if scanned else f"{rep.subject}_set_aside"] = len(rep.set_aside)
    for mark in rep.runs:
        await _move_run(visit, mark, counts, block=rep.subject if scanned else None)
    await timeline.write(connection, outcome.told, now)
    return outcome


async def _store_set_aside(visit: Visit, rep: Report) -> None:
    """Replace what was set aside of this subject by what is set aside of it now."""
    mine = (set_aside.c.agent_id == visit.agent["id"]) & (set_aside.c.subject == rep.subject)
    before = await visit.connection.execute(delete(set_aside).where(mine))
    rows = [
        {
            "id": new_id(),
            "host_id": visit.host or None,
            "agent_id": visit.agent["id"],
            "subject": rep.subject,
            "kind": item.kind,
            "item": item.item,
            "reason": item.reason,
            "at": visit.now,
        }
        for item in rep.set_aside
    ]
    if rows:
        await visit.connection.execute(insert(set_aside), rows)
    if rows or before.rowcount:
        whose = visit.host or visit.agent["id"]
        visit.outcome.events.append(
            Changed(Entity.SET_ASIDE, Operation.CHANGED, whose, visit.network)
        )
    for item in rep.set_aside:
        visit.outcome.log("item_set_aside", kind=item.kind, item=item.item, reason=item.reason)


async def _store_number(visit: Visit, rep: Report, size: int) -> None:
    """Keep the report's number, and that it came."""
    agent_id = visit.agent["id"]
    last = {"number": rep.number, "taken_at": rep.taken_at, "stored_at": visit.now}
    mine = (subject.c.agent_id == agent_id) & (subject.c.name == rep.subject)
    changed = await visit.connection.execute(update(subject).where(mine).values(**last))
    if changed.rowcount == 0:
        new = insert(subject).values(agent_id=agent_id, name=rep.subject, **last)
        await visit.connection.execute(new)
    row = {
        "id": new_id(),
        "agent_id": agent_id,
        "subject": rep.subject,
        "outbox": rep.outbox,
        "bytes": size,
        "set_aside": len(rep.set_aside),
        **last,
    }
    await visit.connection.execute(insert(report).values(row))


async def _move_run(
    visit: Visit, mark: RunMark, counts: dict[str, int], *, block: str | None
) -> None:
    """Move a run along by a report's mark; ``final`` completes it with this very transaction.

    ``block`` names the part of a scan that the report holds.
    """
    # An agent's clock may be ahead of ours; no run started after its report came.
    started_at = min(mark.started_at, visit.now)
    stored, new = await runs.get_or_create(
        visit.connection,
        mark.id,
        visit.agent,
        mark.trigger,
        started_at,
        kind=SCAN if block else LOOK,
    )
    name = title(stored["kind"], visit.agent["name"])
    if new:
        visit.tell(Entity.RUN, Operation.CREATED, mark.id, name)
    elif stored["agent_id"] != visit.agent["id"]:
        visit.outcome.log("run_of_another_agent", run=mark.id, agent=visit.agent["id"])
        return
    if RunState(stored["state"]).ended:
        return
    stored = await runs.add_summary(visit.connection, stored, counts, block)
    state = RunState.COMPLETE if mark.final else RunState.RUNNING
    # Nor did one that was asked for start before that, by an agent's clock that is behind.
    started_at = stored["started_at"] or max(started_at, stored["requested_at"])
    values: Values = {"started_at": started_at, **(all_done(stored) if mark.final else {})}
    if not await runs.move(visit.connection, stored, state, visit.now, **values):
        return
    visit.outcome.events.append(RunMoved(mark.id, state, visit.network))
    if stored["state"] != state.value:
        visit.tell(Entity.RUN, Operation.CHANGED, mark.id, name)
    if mark.final:
        elapsed = round((visit.now - started_at) * 1000)
        visit.outcome.log("run_complete", run=mark.id, elapsed_ms=elapsed, **stored["summary"])
