"""Hosts, and their interfaces, routes, neighbours and what was set aside."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from mooring.model.event import Changed, Entity, Operation
from mooring.server.api.door import (
    HostId,
    Member,
    NetworkId,
    Reading,
    TheAsk,
    TheState,
    Viewer,
    paged,
    shaped,
)
from mooring.server.api.ports import ServiceId
from mooring.server.api.problems import missing
from mooring.server.api.shapes import (
    Host,
    HostChange,
    Interface,
    InterfaceAddress,
    Neighbour,
    Page,
    Route,
    SetAside,
)
from mooring.server.change import changing
from mooring.server.db import hosts, subnets
from mooring.server.db.timeline import Told
from mooring.server.merge import Row

router = APIRouter()

SubnetId = Annotated[str | None, Query(max_length=36, description="With an address in this subnet")]


def _host(row: Row) -> Host:
    return shaped(Host, row, named=row["given_name"] is not None)


def _route(row: Row) -> Route:
    told = {name: row[name] or None for name in ("gateway", "interface")}
    return shaped(Route, {**row, **told})


@router.get("/hosts", tags=["hosts"])
async def list_hosts(
    ask: TheAsk,
    connection: Reading,
    _: Viewer,
    network_id: NetworkId = None,
    subnet_id: SubnetId = None,
    service: ServiceId = None,
) -> Page[Host]:
    page = await hosts.page(connection, ask, network_id, subnet_id, service)
    return await paged(Host, page, _host)


@router.get("/hosts/{host_id}", tags=["hosts"])
async def read_host(host_id: str, connection: Reading, _: Viewer) -> Host:
    row = await hosts.by_id(connection, host_id)
    if row is None:
        raise missing("host", host_id)
    return _host(row)


@router.patch("/hosts/{host_id}", tags=["hosts"])
async def rename_host(host_id: str, asked: HostChange, state: TheState, who: Member) -> Host:
    """Give a host a name that no report touches, or with null its own one back."""
    async with changing(state, who) as change:
        row = await hosts.by_id(change.connection, host_id)
        if row is None:
            raise missing("host", host_id)
        given = (asked.name or "").strip() or None
        name = given or row["hostname"] or next(iter(row["addresses"]), row["name"])
        await hosts.rename(change.connection, row, given, name)
        told = Told(Entity.HOST, Operation.CHANGED, host_id, row["network_id"], name)
        change.tell(told, action="renamed", detail=f"from {row['name']}")
    return _host({**row, "given_name": given, "name": name})


@router.delete("/hosts/{host_id}", status_code=204, tags=["hosts"])
async def delete_host(host_id: str, state: TheState, who: Member) -> Response:
    """Forget a host; if an agent still sees it, its next report brings it back."""
    async with changing(state, who) as change:
        row = await hosts.by_id(change.connection, host_id)
        if row is None:
            raise missing("host", host_id)
        network = row["network_id"]
        gone = await subnets.own(change.connection, host_id)
        await hosts.remove(change.connection, host_id)
        gone |= await subnets.retire(change.connection, network, change.now)
        change.tell(Told(Entity.HOST, Operation.DELETED, host_id, network, row["name"]))
        change.add(*(Changed(Entity.SUBNET, Operation.DELETED, i, network) for i in gone))
    return Response(status_code=204)


@router.get("/interfaces", tags=["interfaces"])
async def list_interfaces(
    ask: TheAsk, connection: Reading, _: Viewer, host_id: HostId = None
) -> Page[Interface]:
    page = await hosts.parts(connection, "interface", ask, host_id)
    addresses = await hosts.addresses_of(connection, [row["id"] for row in page.rows])

    def shape(row: Row) -> Interface:
        own = [shaped(InterfaceAddress, a) for a in addresses.get(row["id"], [])]
        return shaped(Interface, row, addresses=own)

    return await paged(Interface, page, shape)


@router.get("/routes", tags=["routes"])
async def list_routes(
    ask: TheAsk, connection: Reading, _: Viewer, host_id: HostId = None
) -> Page[Route]:
    page = await hosts.parts(connection, "route", ask, host_id)
    return await paged(Route, page, _route)


@router.get("/neighbours", tags=["neighbours"])
async def list_neighbours(
    ask: TheAsk, connection: Reading, _: Viewer, host_id: HostId = None
) -> Page[Neighbour]:
    return await paged(Neighbour, await hosts.parts(connection, "neighbour", ask, host_id))


@router.get("/set-aside", tags=["set-aside"])
async def list_set_aside(
    ask: TheAsk, connection: Reading, _: Viewer, host_id: HostId = None
) -> Page[SetAside]:
    """Items of reports that could not be stored, each with its reason."""
    return await paged(SetAside, await hosts.parts(connection, "set_aside", ask, host_id))
