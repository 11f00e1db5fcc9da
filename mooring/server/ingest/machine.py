"""Stores a machine report: the host, its interfaces, addresses, subnets, routes, neighbours."""

from __future__ import annotations

import asyncio

from sqlalchemy import select, update

from mooring.model import wire
from mooring.model.event import Entity, Operation
from mooring.model.machine import Machine
from mooring.server import merge
from mooring.server.db import agents
from mooring.server.db.tables import address, agent, host, interface, neighbour, route
from mooring.server.ingest.subnets import SubnetIds, retire_shared_subnets, store_subnets
from mooring.server.ingest.visit import Visit
from mooring.server.merge import Difference, Values


async def store_machine(visit: Visit, m: Machine) -> dict[str, int]:
    """Store the snapshot; answers how many of what it held."""
    host_changed = await _store_host(visit, m)
    found = merge.all_subnets(m)
    await asyncio.sleep(0)
    subnet_ids = await store_subnets(visit, found, "machine")
    interfaces = await visit.store(
        interface, merge.interface_rows(m.interfaces), ("name",), quiet=("index",)
    )
    addresses = await _store_addresses(visit, m, subnet_ids)
    route_key = ("family", "destination", "gateway", "interface", "metric")
    await visit.store(route, merge.route_rows(m.routes), route_key)
    await visit.store(neighbour, merge.neighbour_rows(m.neighbours), ("interface", "ip"))
    await retire_shared_subnets(visit)
    known = {"host_id": visit.host, "capabilities": wire.to_builtins(m.capabilities)}
    await agents.change(visit.connection, visit.agent["id"], **known)
    if any(visit.agent[column] != value for column, value in known.items()):
        visit.tell_agent()
    if host_changed or addresses.loud or interfaces.loud:
        visit.tell_host()
    await visit.tell_parts(Entity.INTERFACE, interfaces, interface)
    for i in m.interfaces:
        visit.outcome.log(
            "interface_stored",
            interface=i.name,
            kind=i.kind.value,
            addresses=[str(a.ip) for a in i.addresses],
        )
    for c in m.capabilities:
        visit.outcome.log(
            "capability_stored", capability=c.name, available=c.available, detail=c.detail
        )
    return {
        "interfaces": len(m.interfaces),
        "addresses": sum(len(i.addresses) for i in m.interfaces),
        "subnets": len(set(subnet_ids.values())),
        "routes": len(m.routes),
        "neighbours": len(m.neighbours),
    }


async def _store_host(visit: Visit, m: Machine) -> bool:
    """Find or make the host of the report; answers whether its own values changed."""
    if not visit.host:
        known = await _known(visit, m.identity)
        visit.host = merge.recognise(known, merge.hardware_macs(m.interfaces)) or ""
    stored = await visit.stored_host()
    given = stored["given_name"] if stored else None
    visit.host_name = merge.shown_name(given, m.hostname, m.interfaces)
    values: Values = {
        "identity": m.identity,
        "hostname": m.hostname,
        "name": visit.host_name,
        "os": m.os.name,
        "kernel": m.os.kernel,
        "architecture": m.os.architecture,
        "source": "machine",
    }
    if stored is None:
        await visit.new_host(values)
        return False
    await visit.connection.execute(
        update(host).where(host.c.id == visit.host).values(**values, last_seen=visit.now)
    )
    for old in await agents.take_over(visit.connection, visit.agent["id"], visit.host):
        visit.tell(Entity.AGENT, Operation.DELETED, old, visit.agent["name"])
    return any(stored[name] != value for name, value in values.items())


async def _known(visit: Visit, identity: str) -> list[merge.Known]:
    query = select(host.c.id).where(host.c.network_id == visit.network, host.c.identity == identity)
    known = []
    for host_id in (await visit.connection.execute(query)).scalars().all():
        physical = interface.c.kind.in_([kind.value for kind in merge.PHYSICAL])
        virtual = interface.c.kind.in_([kind.value for kind in merge.VIRTUAL])
        macs = select(interface.c.mac).where(
            interface.c.host_id == host_id,
            physical | (virtual & interface.c.master.is_(None)),
            interface.c.mac.is_not(None),
            interface.c.gone_at.is_(None),
        )
        watching = select(agent.c.id).where(
            agent.c.host_id == host_id, agent.c.online, agent.c.id != visit.agent["id"]
        )
        known.append(
            merge.Known(
                host_id,
                frozenset((await visit.connection.execute(macs)).scalars()),
                (await visit.connection.execute(watching)).first() is not None,
            )
        )
    return known


async def _store_addresses(visit: Visit, m: Machine, subnet_ids: SubnetIds) -> Difference:
    query = select(interface.c.name, interface.c.id).where(
        interface.c.host_id == visit.host, interface.c.gone_at.is_(None)
    )
    interface_ids = dict((await visit.connection.execute(query)).all())
    places = merge.address_places(m.interfaces)
    await asyncio.sleep(0)
    wanted = [
        {
            **place.values,
            "interface_id": interface_ids[place.interface],
            "subnet_id": subnet_ids.get((place.interface, place.cidr))
            or subnet_ids["", place.cidr],
        }
        for place in places
    ]
    return await visit.store(address, wanted, ("interface_id", "ip", "prefix"))
