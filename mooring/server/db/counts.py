"""How many there are of everything."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from mooring.model.can import DriverTotals
from mooring.model.event import RunState
from mooring.model.forward import Totals
from mooring.server.can_metrics import Bus
from mooring.server.db import can, forwards
from mooring.server.db.tables import agent, container, host, run, subnet


@dataclass(frozen=True, slots=True)
class Counts:
    hosts: int
    subnets: int
    containers: int
    agents: dict[str, int]
    runs: dict[str, int]
    remote_hosts: dict[str, int]
    forwards: dict[str, int]
    totals: list[tuple[dict[str, str], Totals]]
    """What was counted at each remote host, with the labels that name it."""
    can_buses: list[Bus]
    can_drivers: list[tuple[str, DriverTotals]]
    """What each driver counted, with its agent's name."""


async def read(connection: AsyncConnection) -> Counts:
    states = select(run.c.state, func.count()).group_by(run.c.state)
    online = select(agent.c.online, func.count()).group_by(agent.c.online)
    runs = dict.fromkeys((state.value for state in RunState), 0)
    runs |= dict((await connection.execute(states)).all())
    by_online: dict[bool, int] = dict((await connection.execute(online)).all())
    remote_hosts, by_state = await forwards.counts(connection)
    return Counts(
        await _present(connection, host),
        await _present(connection, subnet),
        await _present(connection, container),
        {"online": by_online.get(True, 0), "offline": by_online.get(False, 0)},
        runs,
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
