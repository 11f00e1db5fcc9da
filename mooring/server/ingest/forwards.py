"""Stores a forwards report: every remote host that one program forwards, and its forwards."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import update

from mooring.model.event import Changed, Entity, Operation
from mooring.model.forward import Forward, Forwards
from mooring.server import forwards
from mooring.server.db import snapshot
from mooring.server.db.tables import forward, moment, remote_host
from mooring.server.forwards import News
from mooring.server.ingest.visit import MAX_TOLD, Visit
from mooring.server.merge import Row


async def store_forwards(visit: Visit, f: Forwards) -> dict[str, int]:
    """Store the snapshot; answers how many of what it held.

    A remote host that it does not hold is gone, with its forwards.
    """
    mine = remote_host.c.agent_id == visit.agent["id"]
    stored = await snapshot.rows(visit.connection, remote_host, mine)
    before = {row["address"]: row for row in stored}
    wanted = [forwards.remote_row(r, before.get(r.remote.host)) for r in f.remotes]
    await asyncio.sleep(0)
    part = await snapshot.store(
        visit.connection,
        remote_host,
        mine,
        wanted,
        ("address",),
        fixed={"network_id": visit.network, "agent_id": visit.agent["id"]},
        now=visit.now,
        quiet=forwards.QUIET_REMOTE,
        stored=stored,
    )
    ids = {row["address"]: row["id"] for row in (*stored, *part.new)}
    changed = {change.id for change in part.changed}
    told: dict[str, list[News]] = {}
    for reported, values in zip(f.remotes, wanted, strict=True):
        address, old = values["address"], before.get(values["address"])
        remote_id = ids[address]
        news, others = await _store_forwards(visit, remote_id, address, reported.remote.forwards)
        moments = await snapshot.add(
            visit.connection,
            moment,
            moment.c.remote_host_id == remote_id,
            forwards.moment_rows(reported.history),
            ("at", "what", "place", "container"),
            fixed={"remote_host_id": remote_id},
        )
        title = forwards.link_news(old, values)
        if title:
            operation = Operation.CHANGED if old else Operation.CREATED
            visit.tell(Entity.REMOTE_HOST, operation, remote_id, title)
        elif remote_id in changed or news or others or moments:
            # Whoever looks reads again; counters are not for the timeline.
            visit.outcome.events.append(
                Changed(Entity.REMOTE_HOST, Operation.CHANGED, remote_id, visit.network)
            )
        # The forwards of a remote host that is new are not news.
        told[address] = news if old and old["gone_at"] is None else []
        visit.outcome.log(
            "remote_host_stored",
            remote=address,
            state=values["state"],
            forwards=len(reported.remote.forwards),
            moments=len(moments),
        )
    _tell(visit, ids, told)
    await _retire(visit, [row for row in stored if row["id"] in part.gone])
    return {
        "remote_hosts": len(f.remotes),
        "forwards": sum(len(r.remote.forwards) for r in f.remotes),
    }


async def _store_forwards(
    visit: Visit, remote_id: str, address: str, found: Sequence[Forward]
) -> tuple[list[News], bool]:
    """Answers what is worth telling, and whether anything else changed."""
    mine = forward.c.remote_host_id == remote_id
    stored = await snapshot.rows(visit.connection, forward, mine)
    part = await snapshot.store(
        visit.connection,
        forward,
        mine,
        [forwards.forward_row(f) for f in found],
        ("place", "protocol", "container"),
        fixed={"remote_host_id": remote_id},
        now=visit.now,
        quiet=forwards.QUIET_FORWARD,
        stored=stored,
    )
    await asyncio.sleep(0)
    news = forwards.forward_news(address, {row["id"]: row for row in stored}, part)
    return news, bool(part.changed)


def _tell(visit: Visit, ids: dict[str, str], told: dict[str, list[News]]) -> None:
    many = sum(len(news) for news in told.values()) > MAX_TOLD
    for address, news in told.items():
        if many and news:
            title = forwards.summary(address, news)
            visit.tell(Entity.REMOTE_HOST, Operation.CHANGED, ids[address], title)
            continue
        for n in news:
            visit.tell(Entity.FORWARD, n.operation, n.id, n.title)


async def _retire(visit: Visit, gone: list[Row]) -> None:
    for row in gone:
        title = f"{row['address']} is forwarded no longer"
        visit.tell(Entity.REMOTE_HOST, Operation.DELETED, row["id"], title)
    theirs = forward.c.remote_host_id.in_([row["id"] for row in gone])
    if gone:
        await visit.connection.execute(
            update(forward).where(theirs, forward.c.gone_at.is_(None)).values(gone_at=visit.now)
        )
