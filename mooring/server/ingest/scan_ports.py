"""Stores the ports of a scan report: what is open at the hosts of a block of addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sqlalchemy import delete, update

from mooring.model import wire
from mooring.model.event import Changed, Entity, Operation
from mooring.model.scan import Depth, Scan
from mooring.server import scans
from mooring.server.db import snapshot
from mooring.server.db.hosts import present_addresses
from mooring.server.db.tables import port
from mooring.server.db.timeline import Told
from mooring.server.ingest.visit import MAX_TOLD, Visit
from mooring.server.merge import Difference, Row, Values
from mooring.server.names import name_order
from mooring.server.scans import Host, Place

SCAN = {"source": "scan"}

Hosts = Mapping[str, Host]
"""The hosts of the block, by their ids."""


async def store_ports(visit: Visit, scan: Scan, hosts: Hosts) -> tuple[list[Told], str]:
    """Store the ports; answers what there is to tell of them, and all of it in a few words."""
    whose: dict[tuple[str, str], Depth] = {}
    wanted: list[Values] = []
    stored = await _stored(visit, hosts)
    before = {scans.port_place(row): row for row in stored}
    for n, one in enumerate(hosts.values()):
        if n % 20 == 0:
            # Between the steps of a large block others have a turn.
            await asyncio.sleep(0)
        for who, _ in one.entries:
            ip = str(who.seen.ip)
            whose[one.id, ip] = who.seen.depth
            told = wire.to_builtins(who.seen.ports)
            wanted += [scans.port_row(one.id, ip, t, before) for t in told]
    held = {scans.port_place(row) for row in wanted}
    looked = scans.compared(scan, whose, stored)
    known = [row for row in stored if scans.port_place(row) in held]
    compared = {row["id"]: row for row in (*looked, *known)}
    part = await snapshot.store(
        visit.connection,
        port,
        port.c.host_id.in_(hosts),
        wanted,
        scans.PORT_KEY,
        fixed=SCAN,
        now=visit.now,
        quiet=scans.PORT_QUIET,
        stored=list(compared.values()),
    )
    return _news(visit, hosts, part, before, {row["id"]: row for row in stored})


async def _stored(visit: Visit, hosts: Hosts) -> list[Row]:
    """The ports at the addresses of this block; those of a host that moved move with it."""
    theirs = port.c.host_id.in_([one.id for one in hosts.values() if one.row])
    stored = await snapshot.rows(visit.connection, port, theirs)
    present = await present_addresses(visit.connection, hosts)
    here = {one.id: [str(who.seen.ip) for who, _ in one.entries] for one in hosts.values()}
    left = {
        (row["host_id"], row["ip"])
        for row in stored
        if row["gone_at"] is None
        and row["ip"] not in present[row["host_id"]]
        and row["ip"] not in here[row["host_id"]]
    }
    if left:
        open_at = {(row["host_id"], row["ip"]) for row in stored if row["gone_at"] is None}
        for host_id, old in sorted(left):
            await _move(visit, host_id, old, here[host_id][0], open_at)
        stored = await snapshot.rows(visit.connection, port, theirs)
    return [row for row in stored if row["ip"] in here[row["host_id"]]]


async def _move(
    visit: Visit, host_id: str, old: str, new: str, open_at: set[tuple[str, str]]
) -> None:
    at = (port.c.host_id == host_id) & (port.c.ip == old) & port.c.gone_at.is_(None)
    if (host_id, new) in open_at:
        await visit.connection.execute(update(port).where(at).values(gone_at=visit.now))
        return
    there = (port.c.host_id == host_id) & (port.c.ip == new)
    await visit.connection.execute(delete(port).where(there))
    await visit.connection.execute(update(port).where(at).values(ip=new, ip_order=name_order(new)))
    open_at.add((host_id, new))


def _news(
    visit: Visit,
    hosts: Hosts,
    part: Difference,
    before: Mapping[Place, Row],
    rows: Mapping[str, Row],
) -> tuple[list[Told], str]:
    """What changed is told to whoever looks; to the timeline of hosts that were known so far."""
    told, events = [], []
    counts = {"opened": 0, "closed": 0, "changed": 0}

    def changed(port_id: str) -> Changed:
        return Changed(Entity.PORT, Operation.CHANGED, port_id, visit.network)

    loud = [(c.id, c.values) for c in part.changed if not c.quiet]
    for row_id, row in [*((v["id"], v) for v in part.new), *loud]:
        old = before.get(scans.port_place(row))
        events.append(changed(row_id))
        one = hosts[row["host_id"]]
        if scans.is_news(one.row, one.values, old, row):
            counts["changed" if old and old["gone_at"] is None else "opened"] += 1
            told.append((one, scans.port_news(one.values["name"], old, row)))
    for row_id in part.gone:
        one = hosts[rows[row_id]["host_id"]]
        counts["closed"] += 1
        events.append(changed(row_id))
        told.append((one, scans.port_news(one.values["name"], rows[row_id], None)))
    visit.outcome.events += events[: MAX_TOLD + 1]
    what = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
    many = len({one.id for one, _ in told})
    news = [visit.told(Entity.HOST, Operation.CHANGED, one.id, title) for one, title in told]
    return news, f"ports of {many} host{'s' if many > 1 else ''}: {what}"
