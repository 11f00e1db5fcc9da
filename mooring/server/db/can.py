"""CAN buses, the drivers that wire them and their recoveries, as they are listed."""

from __future__ import annotations

from dataclasses import fields

import msgspec
from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.model.can import MAX_REPORTED_RECOVERIES, DriverTotals
from mooring.server.can_metrics import Bus
from mooring.server.db import forget
from mooring.server.db.listing import Ask, Listing, Paged, equal, fetch, folded
from mooring.server.db.tables import agent, can_bus, can_driver, can_recovery, container, host
from mooring.server.merge import Row

MAX_RECOVERIES = 10_000
MAX_GONE = 1000
"""How many recoveries, and how many gone buses, are kept of an agent."""

_BUSES = Listing(
    can_bus,
    {
        "device": can_bus.c.device_order,
        "condition": can_bus.c.condition,
        "state": can_bus.c.state,
        "received": can_bus.c.received,
        "sent": can_bus.c.sent,
        "dropped": can_bus.c.dropped,
        "first_seen": can_bus.c.first_seen,
        "last_seen": can_bus.c.last_seen,
    },
    "device",
)

_DRIVERS = Listing(
    can_driver,
    {
        "version": folded(can_driver.c.version),
        "first_seen": can_driver.c.first_seen,
        "last_seen": can_driver.c.last_seen,
    },
    "first_seen",
    (can_driver.c.version,),
)

_RECOVERIES = Listing(
    can_recovery,
    {"at": can_recovery.c.at, "kind": can_recovery.c.kind},
    "-at",
    (can_recovery.c.kind, can_recovery.c.device, can_recovery.c.subject),
)


async def buses(
    connection: AsyncConnection,
    ask: Ask,
    *,
    network_id: str | None = None,
    agent_id: str | None = None,
    host_id: str | None = None,
    condition: str | None = None,
    gone: bool | None = None,
) -> Paged:
    """Buses, each with its agent. Words are looked for in the agent's name too."""
    where = equal(can_bus, network_id=network_id, agent_id=agent_id, condition=condition)
    if host_id:
        where.append(can_bus.c.agent_id.in_(_agents_on(host_id)))
    if gone is not None:
        where.append(can_bus.c.gone_at.is_not(None) == gone)
    for word in (ask.q or "").split():
        named = select(agent.c.id).where(agent.c.name.icontains(word, autoescape=True))
        where.append(
            can_bus.c.device.icontains(word, autoescape=True)
            | can_bus.c.condition.icontains(word, autoescape=True)
            | can_bus.c.state.icontains(word, autoescape=True)
            | can_bus.c.agent_id.in_(named)
        )
    paged = await fetch(connection, _BUSES, ask, *where)
    return Paged(await _as_told(connection, paged.rows), paged.next, paged.total)


async def bus_by_id(connection: AsyncConnection, bus_id: str) -> Row | None:
    query = select(can_bus).where(can_bus.c.id == bus_id)
    row = (await connection.execute(query)).mappings().first()
    return (await _as_told(connection, [dict(row)]))[0] if row else None


async def of_agent(connection: AsyncConnection, agent_id: str) -> list[Row]:
    query = select(can_bus).where(can_bus.c.agent_id == agent_id)
    return [dict(row) for row in (await connection.execute(query)).mappings()]


async def drivers(
    connection: AsyncConnection,
    ask: Ask,
    *,
    network_id: str | None = None,
    agent_id: str | None = None,
) -> Paged:
    where = equal(can_driver, network_id=network_id, agent_id=agent_id)
    paged = await fetch(connection, _DRIVERS, ask, *where)
    return Paged(await _with_agent(connection, paged.rows), paged.next, paged.total)


async def driver_by_id(connection: AsyncConnection, driver_id: str) -> Row | None:
    query = select(can_driver).where(can_driver.c.id == driver_id)
    row = (await connection.execute(query)).mappings().first()
    return (await _with_agent(connection, [dict(row)]))[0] if row else None


async def recoveries(
    connection: AsyncConnection,
    ask: Ask,
    *,
    network_id: str | None = None,
    agent_id: str | None = None,
    can_bus_id: str | None = None,
) -> Paged:
    """Recoveries, newest first, each with the bus that it was on, where that is known."""
    where = equal(can_recovery, network_id=network_id, agent_id=agent_id)
    if can_bus_id:
        its = select(can_bus.c.id).where(
            can_bus.c.id == can_bus_id,
            can_bus.c.agent_id == can_recovery.c.agent_id,
            can_bus.c.device == can_recovery.c.device,
        )
        where.append(its.exists())
    paged = await fetch(connection, _RECOVERIES, ask, *where)
    query = select(can_bus.c.agent_id, can_bus.c.device, can_bus.c.id).where(
        can_bus.c.agent_id.in_({row["agent_id"] for row in paged.rows})
    )
    known = {(whose, device): bus for whose, device, bus in await connection.execute(query)}
    rows = await _with_agent(connection, paged.rows)
    found: list[Row] = [{**r, "can_bus_id": known.get((r["agent_id"], r["device"]))} for r in rows]
    return Paged(found, paged.next, paged.total)


async def forget_gone(connection: AsyncConnection) -> None:
    """Forget of each agent all gone buses but the newest."""
    await forget.gone(connection, can_bus, can_bus.c.agent_id, MAX_GONE)


async def forget_recoveries(connection: AsyncConnection, before: float) -> None:
    """Forget recoveries from ``before``, and of each agent all but the newest.

    Those that its next report would bring again stay.
    """
    await forget.old(
        connection,
        can_recovery,
        can_recovery.c.agent_id,
        before,
        at_least=MAX_REPORTED_RECOVERIES,
        at_most=MAX_RECOVERIES,
    )


async def hand_over(connection: AsyncConnection, old: str, new: str) -> None:
    """Give one agent's buses and recoveries to another, save those that it told of by itself."""
    has = select(can_bus.c.device).where(can_bus.c.agent_id == new)
    theirs = update(can_bus).where(can_bus.c.agent_id == old, can_bus.c.device.not_in(has))
    await connection.execute(theirs.values(agent_id=new))
    known = select(can_driver.c.id).where(can_driver.c.agent_id == new)
    driver = update(can_driver).where(can_driver.c.agent_id == old, ~known.exists())
    await connection.execute(driver.values(agent_id=new))
    told = select(func.min(can_recovery.c.at)).where(can_recovery.c.agent_id == new)
    began = (await connection.execute(told)).scalar()
    mended = update(can_recovery).where(can_recovery.c.agent_id == old)
    if began is not None:
        mended = mended.where(can_recovery.c.at < began)
    await connection.execute(mended.values(agent_id=new))


async def shown_buses(connection: AsyncConnection) -> list[Bus]:
    """The buses that are there, with what is counted of them."""
    query = (
        select(agent.c.name, *(can_bus.c[field.name] for field in fields(Bus)[1:]))
        .join(agent, agent.c.id == can_bus.c.agent_id)
        .where(can_bus.c.gone_at.is_(None))
        .order_by(agent.c.name_order, can_bus.c.device_order, can_bus.c.id)
    )
    return [Bus(*row) for row in (await connection.execute(query)).all()]


async def totals(connection: AsyncConnection) -> list[tuple[str, DriverTotals]]:
    """What each driver that answers has counted, by its agent's name."""
    query = (
        select(agent.c.name, can_driver.c.totals)
        .join(agent, agent.c.id == can_driver.c.agent_id)
        .order_by(agent.c.name_order, can_driver.c.id)
    )
    return [
        (name, msgspec.convert(stored, DriverTotals))
        for name, stored in (await connection.execute(query)).all()
        if stored is not None
    ]


async def _as_told(connection: AsyncConnection, rows: list[Row]) -> list[Row]:
    """Buses, each with its agent, and their endpoints with the names of their containers."""
    found = await _with_agent(connection, rows)
    names = await _names(connection, {row["host_id"] for row in found if row["endpoints"]})
    return [
        {**row, "endpoints": [{**e, "container": names.get(e["id"])} for e in row["endpoints"]]}
        for row in found
    ]


async def _names(connection: AsyncConnection, hosts: set[str | None]) -> dict[str, str]:
    """The names of these hosts' containers, by their endpoints in their engines' networks."""
    query = select(container.c.name, container.c.attachments).where(
        container.c.host_id.in_(hosts - {None}), container.c.gone_at.is_(None)
    )
    return {
        attachment["endpoint"]: name
        for name, attachments in await connection.execute(query)
        for attachment in attachments
        if attachment.get("endpoint")
    }


async def _with_agent(connection: AsyncConnection, rows: list[Row]) -> list[Row]:
    query = (
        select(
            agent.c.id,
            agent.c.name.label("agent_name"),
            agent.c.online.label("agent_online"),
            agent.c.last_seen.label("agent_last_seen"),
            _host().label("host_id"),
        )
        .outerjoin(can_driver, can_driver.c.agent_id == agent.c.id)
        .where(agent.c.id.in_({row["agent_id"] for row in rows}))
    )
    known = {row.pop("id"): row for row in map(dict, (await connection.execute(query)).mappings())}
    return [{**row, **known[row["agent_id"]]} for row in rows]


def _agents_on(host_id: str) -> Select[tuple[str]]:
    """Who reports the CAN of a host."""
    its = select(agent.c.id).outerjoin(can_driver, can_driver.c.agent_id == agent.c.id)
    return its.where(_host() == host_id)


def _host() -> ColumnElement[str | None]:
    """The machine of an agent and its driver: the agent's, or the only one of that identity.

    Who reports CAN alone tells of its machine no more than that; copies of one machine, which
    share an identity, are told apart by no report of buses.
    """
    known_by_identity = (
        select(func.min(host.c.id))
        .where(host.c.network_id == agent.c.network_id, host.c.identity == can_driver.c.identity)
        .having(func.count() == 1)
        .correlate(agent, can_driver)
        .scalar_subquery()
    )
    return func.coalesce(agent.c.host_id, known_by_identity)
