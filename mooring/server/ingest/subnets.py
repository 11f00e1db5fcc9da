"""Stores the subnets that a report holds: the host's own, and those that hosts share."""

from __future__ import annotations

from sqlalchemy import insert, select, update

from mooring.core.ids import new_id
from mooring.model.event import Entity, Operation
from mooring.model.net import Subnet
from mooring.server import merge
from mooring.server.db import snapshot
from mooring.server.db.tables import address, subnet
from mooring.server.ingest.visit import Visit
from mooring.server.merge import Row, Values


async def store_subnets(visit: Visit, found: tuple[Subnet, ...], source: str) -> dict[str, str]:
    """Make a host's subnets be those found; answers the ids of all that it is in, by CIDR."""
    wanted = merge.subnet_rows(found, visit.host, source)
    query = (subnet.c.network_id == visit.network) & subnet.c.scope.in_((visit.host, ""))
    stored = await snapshot.rows(visit.connection, subnet, query)
    by_place = {(row["scope"], row["cidr"]): row for row in stored}
    settled = [_settled(visit, values, by_place) for values in wanted]
    places = {(values["scope"], values["cidr"]) for values in settled}
    # Of those not found, only the host's own from this same source are gone by this snapshot.
    compared = [
        row
        for place, row in by_place.items()
        if place in places or (place[0] == visit.host and row["source"] == source)
    ]
    todo = merge.difference(compared, settled, ("scope", "cidr"))
    seen = {"first_seen": visit.now, "last_seen": visit.now}
    new = [{"id": new_id(), "network_id": visit.network, **v, **seen} for v in todo.new]
    if new:
        await visit.connection.execute(insert(subnet), new)
    await snapshot.change(visit.connection, subnet, [(c.id, c.values) for c in todo.changed])
    for row in new:
        visit.tell(Entity.SUBNET, Operation.CREATED, row["id"], row["cidr"])
    for c in todo.changed:
        visit.tell(Entity.SUBNET, Operation.CHANGED, c.id, c.values["cidr"])
    await _gone(visit, {row["id"]: row["cidr"] for row in compared if row["id"] in todo.gone})
    ids = {(row["scope"], row["cidr"]): row["id"] for row in [*compared, *new]}
    present = {cidr: ids[scope, cidr] for scope, cidr in places}
    await visit.connection.execute(
        update(subnet).where(subnet.c.id.in_(present.values())).values(last_seen=visit.now)
    )
    for values in settled:
        visit.outcome.log("subnet_stored", cidr=values["cidr"], kind=values["kind"], source=source)
    return present


def _settled(visit: Visit, values: Values, stored: dict[tuple[str, str], Row]) -> Values:
    """The row that a found subnet shall be.

    An engine knows which of the host's subnets are its own: what it said of one stands, and with
    it in whose scope the subnet is.
    """
    own = stored.get((visit.host, values["cidr"]))
    if own and own["source"] == "containers" and own["gone_at"] is None:
        values = {**values, "scope": visit.host, "host_id": visit.host}
    return merge.settle_subnet(stored.get((values["scope"], values["cidr"])), values)


async def retire_shared_subnets(visit: Visit) -> None:
    """Shared subnets in which no host has an address any more are gone."""
    used = select(address.c.id).where(
        address.c.subnet_id == subnet.c.id, address.c.gone_at.is_(None)
    )
    query = select(subnet.c.id, subnet.c.cidr).where(
        subnet.c.network_id == visit.network,
        subnet.c.scope == "",
        subnet.c.source == "machine",
        subnet.c.gone_at.is_(None),
        subnet.c.last_seen < visit.now,
        ~used.exists(),
    )
    await _gone(visit, dict((await visit.connection.execute(query)).all()))


async def _gone(visit: Visit, gone: dict[str, str]) -> None:
    if not gone:
        return
    await visit.connection.execute(
        update(subnet).where(subnet.c.id.in_(gone)).values(gone_at=visit.now)
    )
    for row_id, cidr in gone.items():
        visit.tell(Entity.SUBNET, Operation.DELETED, row_id, cidr)
