"""Stores the subnets that a report holds: the host's own, and those that hosts share."""

from __future__ import annotations

import asyncio

from sqlalchemy import insert

from mooring.core.ids import new_id
from mooring.model.event import Entity, Operation
from mooring.model.net import Subnet
from mooring.server import merge
from mooring.server.db import snapshot, subnets
from mooring.server.db.tables import subnet
from mooring.server.db.timeline import Told
from mooring.server.ingest.visit import Visit
from mooring.server.merge import Row, Values

SubnetIds = dict[tuple[str, str], str]
"""Ids of subnets by interface and CIDR; those with "" for the interface stand for any other."""


async def store_subnets(
    visit: Visit, found: tuple[Subnet, ...], source: str, *, whole: bool = True
) -> SubnetIds:
    """Make a host's subnets be those found; answers the ids of all that it is in.

    Not ``whole`` means that there may be more: then none is gone for not being found.
    """
    wanted = merge.subnet_rows(found, visit.host, source)
    # A machine with thousands of subnets is counted out in steps: between them others have a turn.
    await asyncio.sleep(0)
    query = (subnet.c.network_id == visit.network) & subnet.c.scope.in_((visit.host, ""))
    stored = await snapshot.rows(visit.connection, subnet, query)
    by_place = {_place(row): row for row in stored}
    settled = [_settled(visit, values, by_place) for values in wanted]
    places = {_place(before): _place(after) for before, after in zip(wanted, settled, strict=True)}
    present = set(places.values())
    await asyncio.sleep(0)
    # Of those not found, only the host's own from this same source are gone by this snapshot.
    compared = [
        row
        for place, row in by_place.items()
        if place in present or (whole and place[0] == visit.host and row["source"] == source)
    ]
    todo = merge.difference(compared, settled, ("scope", "cidr"))
    await asyncio.sleep(0)
    seen = {"first_seen": visit.now, "last_seen": visit.now}
    new = [{"id": new_id(), "network_id": visit.network, **v, **seen} for v in todo.new]
    if new:
        await visit.connection.execute(insert(subnet), new)
    await snapshot.change(visit.connection, subnet, [(c.id, c.values) for c in todo.changed])
    ids = {_place(row): row["id"] for row in [*compared, *new]}
    await subnets.seen(visit.connection, [ids[place] for place in present], visit.now)
    gone = {row["id"]: row["cidr"] for row in compared if row["id"] in set(todo.gone)}
    await subnets.gone(visit.connection, gone, visit.now)
    visit.tell_many(
        [visit.told(Entity.SUBNET, Operation.CREATED, row["id"], row["cidr"]) for row in new]
        + [
            visit.told(Entity.SUBNET, Operation.CHANGED, c.id, c.values["cidr"])
            for c in todo.changed
        ]
        + _gone(visit, gone)
    )
    for values in settled:
        visit.outcome.log("subnet_stored", cidr=values["cidr"], kind=values["kind"], source=source)
    await asyncio.sleep(0)
    known: SubnetIds = {}
    for s in found:
        place = merge.subnet_place(s, visit.host)
        known[s.interface or "", place[1]] = ids[places[place]]
        known.setdefault(("", place[1]), ids[places[place]])
    return known


def _place(row: Row) -> tuple[str, str]:
    return (row["scope"], row["cidr"])


def _settled(visit: Visit, values: Values, stored: dict[tuple[str, str], Row]) -> Values:
    """The row that a found subnet shall be.

    An engine knows which of the host's subnets are its own: what it said of one stands, and with
    it in whose scope the subnet is.
    """
    own = stored.get((visit.host, values["cidr"]))
    if own and own["source"] == "containers" and own["gone_at"] is None:
        values = {**values, "scope": visit.host, "host_id": visit.host}
    return merge.settle_subnet(stored.get(_place(values)), values)


async def retire_shared_subnets(visit: Visit) -> None:
    """Shared subnets in which no host has an address any more are gone."""
    gone = await subnets.retire(visit.connection, visit.network, visit.now, seen_before=visit.now)
    visit.tell_many(_gone(visit, gone))


def _gone(visit: Visit, gone: dict[str, str]) -> list[Told]:
    return [
        visit.told(Entity.SUBNET, Operation.DELETED, row_id, cidr) for row_id, cidr in gone.items()
    ]
