"""How many there are of everything."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.model.can import DriverTotals
from mooring.model.event import RunState
from mooring.model.forward import Totals
from mooring.server.can_metrics import Bus
from mooring.server.db import can, forwards, ports
from mooring.server.db.listing import Ask
from mooring.server.db.tables import agent, container, host, port, run, subnet
from mooring.server.runs import LOOK, SCAN


@dataclass(frozen=True, slots=True)
class Counts:
    hosts: int
    subnets: int
    containers: int
    agents: dict[str, int]
    runs: dict[tuple[str, str], int]
    """By kind and state."""
    ports: int
    services: int
    """How many different ones were found."""
    remote_hosts: dict[str, int]
    forwards: dict[str, int]
    totals: list[tuple[dict[str, str], Totals]]
    """What was counted at each remote host, with the labels that name it."""
    can_buses: list[Bus]
    can_drivers: list[tuple[str, DriverTotals]]
    """What each driver counted, with its agent's name."""


async def read(connection: AsyncConnection) -> Counts:
    states = select(run.c.kind, run.c.state, func.count()).group_by(run.c.kind, run.c.state)
    online = select(agent.c.online, func.count()).group_by(agent.c.online)
    runs = {(kind, state.value): 0 for kind in (LOOK, SCAN) for state in RunState}
    runs |= {(kind, state): n for kind, state, n in await connection.execute(states)}
    by_online: dict[bool, int] = dict((await connection.execute(online)).all())
    remote_hosts, by_state = await forwards.counts(connection)
    return Counts(
        await _present(connection, host),
        await _present(connection, subnet),
        await _present(connection, container),
        {"online": by_online.get(True, 0), "offline": by_online.get(False, 0)},
        runs,
        await _present(connection, port),
        (await ports.services(connection, Ask(limit=1))).total,
        remote_hosts,
        by_state,
        await forwards.totals(connection),
        await can.shown_buses(connection),
        await can.totals(connection),
    )


async def _present(connection: AsyncConnection, table: Table) -> int:
    query = select(func.count()).select_from(table)
    if "gone_at" in table.c:
        query = query.where(table.c.gone_at.is_(None))
    return (await connection.execute(query)).scalar_one()
