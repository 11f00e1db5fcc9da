"""Agents: who reports, from where, and whether it is there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.core.ids import new_id
from mooring.server.db import can
from mooring.server.db.engine import insert_new
from mooring.server.db.listing import Ask, Listing, Paged, fetch
from mooring.server.db.tables import (
    agent,
    agent_key,
    metadata,
    network,
    remote_host,
    report,
    run,
    schedule,
    subject,
)
from mooring.server.merge import Row
from mooring.server.names import name_order


async def by_id(connection: AsyncConnection, agent_id: str) -> Row | None:
    return _one(await connection.execute(select(agent).where(agent.c.id == agent_id)))


async def by_outbox(
    connection: AsyncConnection, outbox: str, network_id: str | None = None
) -> list[Row]:
    """The agents with this outbox, in any network or in one, with the network's name."""
    query = (
        select(agent, network.c.name.label("network_name"))
        .join(network, network.c.id == agent.c.network_id)
        .where(agent.c.outbox == outbox)
    )
    if network_id:
        query = query.where(agent.c.network_id == network_id)
    return [dict(row) for row in (await connection.execute(query)).mappings()]


async def create(
    connection: AsyncConnection,
    network_id: str,
    outbox: str,
    name: str,
    now: float,
    duties: Sequence[str] = ("discovery",),
    **more: Any,
) -> Row | None:
    """A new agent; None if another connection made it in this same moment."""
    values: dict[str, Any] = {
        "id": new_id(),
        "network_id": network_id,
        "host_id": None,
        "outbox": outbox,
        "name": name,
        "version": "",
        "capabilities": [],
        "engines": [],
        "duties": list(duties),
        "allowed": None,
        "online": False,
        "awaited": False,
        "given_name": None,
        "first_seen": now,
        "last_seen": now,
        **more,
    }
    made = await insert_new(connection, agent, values, ("network_id", "outbox"))
    return values if made else None


async def expect(connection: AsyncConnection, network_id: str, name: str, now: float) -> Row:
    """An agent that is made ready for a machine that has yet to be heard of."""
    more = {"awaited": True, "given_name": name}
    made = await create(connection, network_id, f"awaited:{new_id()}", name, now, (), **more)
    assert made is not None
    return made


async def arrive(
    connection: AsyncConnection, key_id: str, outbox: str, now: float, duties: Sequence[str]
) -> Row | None:
    """An outbox that nobody knew becomes the agent that is awaited with this key, if one is."""
    its = select(agent_key.c.agent_id).where(agent_key.c.key_id == key_id)
    query = select(agent.c.id).where(agent.c.id.in_(its), agent.c.awaited.is_(True))
    for agent_id in (await connection.execute(query.order_by(agent.c.first_seen))).scalars().all():
        # Two words of one machine may come at once: one of them is the first.
        arrived = await connection.execute(
            update(agent)
            .where(agent.c.id == agent_id, agent.c.awaited.is_(True))
            .values(
                outbox=outbox, awaited=False, duties=list(duties), first_seen=now, last_seen=now
            )
        )
        if arrived.rowcount:
            return await by_id(connection, agent_id)
    return None


async def move(connection: AsyncConnection, agent_id: str, network_id: str) -> None:
    """Bring an agent, and what is its own, into another network. Its host stays where it is."""
    for table in metadata.sorted_tables:
        if {"agent_id", "network_id"} <= set(table.c.keys()):
            its = update(table).where(table.c.agent_id == agent_id)
            await connection.execute(its.values(network_id=network_id))
    await change(connection, agent_id, network_id=network_id, host_id=None)


async def change(connection: AsyncConnection, agent_id: str, **values: Any) -> None:
    if "name" in values:
        values["name_order"] = name_order(values["name"])
    await connection.execute(update(agent).where(agent.c.id == agent_id).values(**values))


async def lock(connection: AsyncConnection, agent_id: str, network_id: str) -> Row | None:
    """Let nobody else store for this network until the transaction ends; answers the agent.

    Agents of one network write the same subnets. SQLite has one writer anyway. Rows that refer
    to the network or the agent can still be written by others (a run that is asked for).
    """
    of_network = select(network.c.id).where(network.c.id == network_id)
    await connection.execute(of_network.with_for_update(key_share=True))
    mine = select(agent).where(agent.c.id == agent_id)
    return _one(await connection.execute(mine.with_for_update(key_share=True)))


async def take_over(connection: AsyncConnection, agent_id: str, host_id: str) -> list[str]:
    """Let an agent inherit what the offline agents of the same host did, who then go.

    An agent that was installed anew has a new outbox: it is the same agent to a person.
    """
    query = (
        select(agent.c.id)
        .where(agent.c.host_id == host_id, agent.c.id != agent_id, agent.c.online.is_(False))
        .order_by(agent.c.last_seen.desc())
    )
    old = list((await connection.execute(query)).scalars())
    if old:
        for table in (run, schedule):
            theirs = table.c.agent_id.in_(old)
            await connection.execute(update(table).where(theirs).values(agent_id=agent_id))
        known = select(remote_host.c.address).where(remote_host.c.agent_id == agent_id)
        for one in old:
            await connection.execute(
                update(remote_host)
                .where(remote_host.c.agent_id == one, remote_host.c.address.not_in(known))
                .values(agent_id=agent_id)
            )
            await can.hand_over(connection, one, agent_id)
        await connection.execute(delete(agent).where(agent.c.id.in_(old)))
    return old


async def last_number(connection: AsyncConnection, agent_id: str, name: str) -> int:
    """The number of the last report stored of a subject; 0 before the first."""
    query = select(subject.c.number).where(subject.c.agent_id == agent_id, subject.c.name == name)
    number: int | None = (await connection.execute(query)).scalar()
    return number or 0


async def silent(connection: AsyncConnection, before: float) -> dict[str, float]:
    """When each of the agents was last heard of that count as online, if that was ``before``."""
    query = select(agent.c.id, agent.c.last_seen).where(
        agent.c.online.is_(True), agent.c.last_seen < before
    )
    return dict((await connection.execute(query)).all())


async def fall_silent(
    connection: AsyncConnection, ids: Collection[str], before: float
) -> list[Row]:
    """Mark those of these agents offline that were last heard of ``before``; answers them."""
    theirs = agent.c.id.in_(ids) & agent.c.online.is_(True) & (agent.c.last_seen < before)
    result = await connection.execute(select(agent).where(theirs))
    fallen: list[Row] = [dict(row) for row in result.mappings()]
    if fallen:
        await connection.execute(update(agent).where(theirs).values(online=False))
    return fallen


def _one(result: Any) -> Row | None:
    row = result.mappings().first()
    return dict(row) if row else None


_AGENTS = Listing(
    agent,
    {
        "name": agent.c.name_order,
        "first_seen": agent.c.first_seen,
        "last_seen": agent.c.last_seen,
    },
    "name",
    (agent.c.name,),
)


async def page(connection: AsyncConnection, ask: Ask, network_id: str | None = None) -> Paged:
    where = [agent.c.network_id == network_id] if network_id else []
    return await fetch(connection, _AGENTS, ask, *where)


async def remove(connection: AsyncConnection, agent_id: str) -> None:
    await connection.execute(delete(agent).where(agent.c.id == agent_id))


_REPORTS = Listing(
    report,
    {"stored_at": report.c.stored_at, "number": report.c.number, "bytes": report.c.bytes},
    "-stored_at",
    (report.c.subject,),
)


async def reports(connection: AsyncConnection, ask: Ask, agent_id: str | None = None) -> Paged:
    """The reports that came lately; what they said is in the tables that they were stored in."""
    where = [report.c.agent_id == agent_id] if agent_id else []
    return await fetch(connection, _REPORTS, ask, *where)
