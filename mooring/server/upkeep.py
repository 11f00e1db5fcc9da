"""What the server does by itself: notices silent agents, and forgets what is long over."""

from __future__ import annotations

import structlog
from sqlalchemy import ColumnElement, delete, select

from mooring.model.event import Entity, Event, Operation, RunMoved, RunState
from mooring.server.db import agents, can, forwards, runs, timeline, tries, users
from mooring.server.db.tables import (
    address,
    audit,
    can_bus,
    container,
    event,
    forward,
    host,
    interface,
    neighbour,
    port,
    remote_host,
    report,
    route,
    run,
    subnet,
)
from mooring.server.db.timeline import Told
from mooring.server.presence import BROKEN_AFTER, LOST_AFTER, SILENT_AFTER, gone, overdue
from mooring.server.runs import title
from mooring.server.state import State

log = structlog.get_logger(__name__)

DAY = 86400.0
KEEP_REPORTS = DAY
"""How long the list of reports goes back; what they said is kept in other tables."""


async def note_silent_agents(state: State) -> None:
    """Agents that are not there any more are offline; the runs of those that have not polled for
    longer have failed.

    Nobody could poll while the server or its database was away or its machine slept: silence begins
    with its start, its waking up, or the end of the outage, at the earliest.
    """
    now = state.clock()
    state.notice_jump()
    since = state.listening_since
    broken = overdue(state.broken, now=now, listening_since=since)
    heard_before = now - (BROKEN_AFTER if broken else SILENT_AFTER)
    lost_before = now - LOST_AFTER if since <= now - LOST_AFTER else 0.0
    told: list[Told] = []
    events: list[Event] = []
    try:
        async with state.database.read() as connection:
            heard = await agents.silent(connection, heard_before)
            orphaned = await runs.orphans(connection, lost_before)
    except Exception:
        # Whoever polls a server that cannot read its database is not heard either.
        state.listening_since = state.clock()
        raise
    silent = gone(heard, broken, now=now, listening_since=since)
    for agent_id, poll in broken.items():
        if state.broken.get(agent_id) == poll:
            del state.broken[agent_id]
    if not silent and not orphaned:
        return
    async with state.database.write() as connection:
        for agent in await agents.fall_silent(connection, silent, heard_before):
            network = agent["network_id"]
            log.warning("agent_silent", agent=agent["name"], last_seen=agent["last_seen"])
            news = f"Agent {agent['name']} fell silent"
            told.append(Told(Entity.AGENT, Operation.CHANGED, agent["id"], network, news))
        for lost in await runs.abandon(connection, lost_before, now):
            network, name = lost["network_id"], title(lost["kind"], lost["agent_name"])
            told.append(Told(Entity.RUN, Operation.CHANGED, lost["id"], network, f"{name} failed"))
            events.append(RunMoved(lost["id"], RunState.FAILED, network))
        await timeline.write(connection, told, now)
    state.tell([*(t.changed for t in told), *events])


async def forget_old(state: State) -> None:
    """Delete what has been over for longer than it is kept, so that nothing grows for ever."""
    now = state.clock()
    before = now - state.settings.keep_days * DAY
    async with state.database.write() as connection:
        await users.forget_expired(connection, now)
        await tries.forget_old(connection, now)
        await connection.execute(delete(report).where(report.c.stored_at < now - KEEP_REPORTS))
        await connection.execute(delete(event).where(event.c.at < before))
        await connection.execute(delete(audit).where(audit.c.at < before))
        await connection.execute(delete(run).where(run.c.finished_at < before))
        await forwards.forget_gone(connection)
        await forwards.forget_moments(connection, before)
        await can.forget_gone(connection)
        await can.forget_recoveries(connection, before)
        observed = (
            address,
            interface,
            route,
            neighbour,
            container,
            port,
            subnet,
            forward,
            remote_host,
            can_bus,
        )
        for table in observed:
            await connection.execute(delete(table).where(table.c.gone_at < before))
        await connection.execute(delete(host).where(_forgotten(before)))


def _forgotten(before: float) -> ColumnElement[bool]:
    """A host that only scans have seen, none of them lately; nobody gave it a name."""
    at = select(address.c.id).where(address.c.host_id == host.c.id, address.c.gone_at.is_(None))
    nameless = (host.c.source == "scan") & host.c.given_name.is_(None)
    return nameless & (host.c.last_seen < before) & ~at.exists()
