"""Stores a machine report: the host, its interfaces, addresses, subnets, routes, neighbours."""

from __future__ import annotations

import asyncio

from sqlalchemy import delete, select, update

from mooring.model import wire
from mooring.model.event import Entity, Operation
from mooring.model.machine import Machine
from mooring.server import merge
from mooring.server.db import agents, snapshot
from mooring.server.db.tables import (
    address,
    agent,
    host,
    interface,
    neighbour,
    port,
    route,
    subnet,
)
from mooring.server.ingest.subnets import SubnetIds, retire_shared_subnets, store_subnets
from mooring.server.ingest.visit import Visit
from mooring.server.merge import Difference, Row, Values
from mooring.server.names import name_order


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
    scanned = await _scanned(visit, m)
    if not visit.host and scanned:
        visit.host = scanned[0]["id"]
    stored = await visit.stored_host()
    given = next((h["given_name"] for h in (stored, *scanned) if h and h["given_name"]), None)
    visit.host_name = merge.shown_name(given, m.hostname, m.interfaces)
    values: Values = {
        "identity": m.identity,
        "given_name": given,
        "hostname": m.hostname,
        "name": visit.host_name,
        "name_order": name_order(visit.host_name),
        "os": m.os.name,
        "kernel": m.os.kernel,
        "architecture": m.os.architecture,
        "mac": merge.own_mac(m.interfaces),
        "source": "machine",
    }
    if stored is None:
        await visit.new_host(values)
        return False
    for other in scanned:
        if other["id"] != visit.host:
            await _take_in(visit, other)
    await visit.connection.execute(
        update(host).where(host.c.id == visit.host).values(**values, last_seen=visit.now)
    )
    for old in await agents.take_over(visit.connection, visit.agent["id"], visit.host):
        visit.tell(Entity.AGENT, Operation.DELETED, old, visit.agent["name"])
    return any(stored[name] != value for name, value in values.items())


async def _scanned(visit: Visit, m: Machine) -> list[Row]:
    """The hosts that scans have found and that are this machine, which did not report then.

    By a hardware address, or by an address where no hardware address was seen.
    """
    macs = merge.hardware_macs(m.interfaces)
    ips = [str(a.ip) for i in m.interfaces for a in i.addresses]
    with_mac = select(interface.c.host_id).where(
        interface.c.mac.in_(macs), interface.c.gone_at.is_(None)
    )
    shared = (
        select(address.c.host_id)
        .join(subnet, subnet.c.id == address.c.subnet_id)
        .where(subnet.c.scope == "")
    )
    at = shared.where(address.c.ip.in_(ips), address.c.gone_at.is_(None))
    # Containers of two engines have the same hardware addresses, in subnets of their hosts.
    anywhere = shared.where(address.c.host_id == host.c.id).exists()
    theirs = (host.c.id.in_(with_mac) & anywhere) | (host.c.mac.is_(None) & host.c.id.in_(at))
    query = select(host).where(host.c.network_id == visit.network, host.c.source == "scan", theirs)
    found = [dict(row) for row in (await visit.connection.execute(query)).mappings()]
    own = merge.own_mac(m.interfaces)
    # Of several the one that a person named, or that others see it by, stays.
    return sorted(
        found, key=lambda h: (h["given_name"] is None, h["mac"] != own, h["first_seen"], h["id"])
    )


async def _take_in(visit: Visit, other: Row) -> None:
    """Let the host have what was found of it while it was taken for another."""
    ports = await snapshot.rows(visit.connection, port, port.c.host_id == visit.host)
    theirs = await snapshot.rows(visit.connection, port, port.c.host_id == other["id"])
    mine = {(row["ip"], row["protocol"], row["number"]) for row in ports}
    moved = [
        (row["id"], {"host_id": visit.host, "gone_at": row["gone_at"]})
        for row in theirs
        if (row["ip"], row["protocol"], row["number"]) not in mine
    ]
    await snapshot.change(visit.connection, port, moved)
    await visit.connection.execute(delete(host).where(host.c.id == other["id"]))
    visit.tell(Entity.HOST, Operation.DELETED, other["id"], f"{other['name']} is {visit.host_name}")


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
