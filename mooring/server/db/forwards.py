"""Remote hosts, their forwards and their histories, as they are listed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.model.forward import MAX_REPORTED_HISTORY, ForwardState, LinkState, Totals
from mooring.server.db import forget
from mooring.server.db.listing import Ask, Listing, Paged, equal, fetch, folded
from mooring.server.db.tables import agent, forward, moment, remote_host
from mooring.server.merge import Row

MAX_MOMENTS = 10_000
MAX_GONE = 1000
"""How many moments, and how many gone forwards, are kept of a remote host."""

_REMOTES = Listing(
    remote_host,
    {
        "address": remote_host.c.address_order,
        "state": remote_host.c.state,
        "since": remote_host.c.since,
        "first_seen": remote_host.c.first_seen,
        "last_seen": remote_host.c.last_seen,
    },
    "address",
    (remote_host.c.address, remote_host.c.docker, remote_host.c.detail),
)

_IN = func.coalesce(forward.c.bytes_in, 0)
_OUT = func.coalesce(forward.c.bytes_out, 0)

_FORWARDS = Listing(
    forward,
    {
        "local": forward.c.port,
        "container": folded(forward.c.container),
        "state": forward.c.state,
        "since": forward.c.since,
        "connections": forward.c.connections,
        "bytes": _IN + _OUT,
        "bytes_in": _IN,
        "bytes_out": _OUT,
        "last_seen": forward.c.last_seen,
    },
    "local",
    (forward.c.local, forward.c.remote, forward.c.container),
)

_MOMENTS = Listing(
    moment,
    {"at": moment.c.at},
    "-at",
    (moment.c.what, moment.c.place, moment.c.container, moment.c.detail),
)


async def page(
    connection: AsyncConnection,
    ask: Ask,
    *,
    network_id: str | None = None,
    agent_id: str | None = None,
    state: str | None = None,
    gone: bool | None = None,
) -> Paged:
    """Remote hosts, each with its agent and how many forwards of which state it has."""
    where = equal(remote_host, network_id=network_id, agent_id=agent_id, state=state)
    if gone is not None:
        where.append(remote_host.c.gone_at.is_not(None) == gone)
    paged = await fetch(connection, _REMOTES, ask, *where)
    return Paged(await _with_facts(connection, paged.rows), paged.next, paged.total)


async def by_id(connection: AsyncConnection, remote_id: str) -> Row | None:
    query = select(remote_host).where(remote_host.c.id == remote_id)
    row = (await connection.execute(query)).mappings().first()
    return (await _with_facts(connection, [dict(row)]))[0] if row else None


async def remove(connection: AsyncConnection, remote_id: str) -> None:
    await connection.execute(delete(remote_host).where(remote_host.c.id == remote_id))


async def of_agent(connection: AsyncConnection, agent_id: str) -> list[Row]:
    query = select(remote_host).where(remote_host.c.agent_id == agent_id)
    return [dict(row) for row in (await connection.execute(query)).mappings()]


async def forwards(
    connection: AsyncConnection,
    ask: Ask,
    *,
    network_id: str | None = None,
    remote_host_id: str | None = None,
    state: str | None = None,
    protocol: str | None = None,
    gone: bool = False,
) -> Paged:
    """The forwards that are there, or those that were, each with its remote host's address."""
    where = equal(forward, remote_host_id=remote_host_id, state=state, protocol=protocol)
    where.append(forward.c.gone_at.is_not(None) if gone else forward.c.gone_at.is_(None))
    if network_id:
        inside = select(remote_host.c.id).where(remote_host.c.network_id == network_id)
        where.append(forward.c.remote_host_id.in_(inside))
    paged = await fetch(connection, _FORWARDS, ask, *where)
    return Paged(await _with_remote(connection, paged.rows), paged.next, paged.total)


async def forward_by_id(connection: AsyncConnection, forward_id: str) -> Row | None:
    query = select(forward).where(forward.c.id == forward_id)
    row = (await connection.execute(query)).mappings().first()
    return (await _with_remote(connection, [dict(row)]))[0] if row else None


async def history(connection: AsyncConnection, ask: Ask, remote_id: str) -> Paged:
    return await fetch(connection, _MOMENTS, ask, moment.c.remote_host_id == remote_id)


async def forget_gone(connection: AsyncConnection) -> None:
    """Forget of each remote host all gone forwards but the newest.

    Where containers have a new name each time (in CI), none of them ever comes back.
    """
    await forget.gone(connection, forward, forward.c.remote_host_id, MAX_GONE)


async def forget_moments(connection: AsyncConnection, before: float) -> None:
    """Forget moments from ``before``, and of each remote host all but the newest.

    Those that its next report would bring again stay.
    """
    await forget.old(
        connection,
        moment,
        moment.c.remote_host_id,
        before,
        at_least=MAX_REPORTED_HISTORY,
        at_most=MAX_MOMENTS,
    )


async def totals(connection: AsyncConnection) -> list[tuple[dict[str, str], Totals]]:
    """What was counted at each remote host that is there, and whose it is."""
    query = (
        select(remote_host.c.address, agent.c.name, remote_host.c.totals)
        .join(agent, agent.c.id == remote_host.c.agent_id)
        .where(remote_host.c.gone_at.is_(None))
        .order_by(remote_host.c.address_order, remote_host.c.id)
    )
    return [
        ({"remote": address, "agent": name}, msgspec.convert(stored, Totals))
        for address, name, stored in (await connection.execute(query)).all()
    ]


async def _with_facts(connection: AsyncConnection, rows: list[Row]) -> list[Row]:
    agents = select(agent).where(agent.c.id.in_({row["agent_id"] for row in rows}))
    by_agent = {a["id"]: a for a in (await connection.execute(agents)).mappings()}
    states = await _states(connection, [row["id"] for row in rows])
    return [
        {
            **row,
            "agent_name": by_agent[row["agent_id"]]["name"],
            "agent_online": by_agent[row["agent_id"]]["online"],
            "agent_last_seen": by_agent[row["agent_id"]]["last_seen"],
            "forward_states": states[row["id"]],
            "forward_count": sum(states[row["id"]].values()),
        }
        for row in rows
    ]


async def _states(
    connection: AsyncConnection, remote_ids: Collection[str]
) -> dict[str, dict[str, int]]:
    """How many forwards of which state are there, by remote host."""
    mine = forward.c.remote_host_id
    query = (
        select(mine, forward.c.state, func.count())
        .where(mine.in_(remote_ids), forward.c.gone_at.is_(None))
        .group_by(mine, forward.c.state)
    )
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for remote_id, state, count in (await connection.execute(query)).all():
        found[remote_id][state] = count
    return found


async def _with_remote(connection: AsyncConnection, rows: list[Row]) -> list[Row]:
    ids = {row["remote_host_id"] for row in rows}
    query = (
        select(
            remote_host.c.id,
            remote_host.c.address.label("remote_address"),
            remote_host.c.agent_id,
            agent.c.online.label("agent_online"),
            agent.c.last_seen.label("agent_last_seen"),
        )
        .join(agent, agent.c.id == remote_host.c.agent_id)
        .where(remote_host.c.id.in_(ids))
    )
    known = {row.pop("id"): row for row in map(dict, (await connection.execute(query)).mappings())}
    return [{**row, **known[row["remote_host_id"]]} for row in rows]


async def counts(connection: AsyncConnection) -> tuple[dict[str, int], dict[str, int]]:
    """How many remote hosts and how many forwards are there, by state."""
    found = []
    for table, states in ((remote_host, LinkState), (forward, ForwardState)):
        query = (
            select(table.c.state, func.count())
            .where(table.c.gone_at.is_(None))
            .group_by(table.c.state)
        )
        by_state = dict.fromkeys((state.value for state in states), 0)
        found.append(by_state | dict((await connection.execute(query)).all()))
    return found[0], found[1]
