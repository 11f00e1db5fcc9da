"""Stores a can report: a machine's driver, its CAN buses, and what was mended of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import insert, update

from mooring.core.ids import new_id
from mooring.model.can import CanWiring
from mooring.model.event import Changed, Entity, Operation, Recovered
from mooring.server import can
from mooring.server.db import snapshot
from mooring.server.db.tables import can_bus, can_driver, can_recovery
from mooring.server.ingest.visit import MAX_TOLD, Visit
from mooring.server.merge import Values


async def store_wiring(visit: Visit, w: CanWiring) -> dict[str, int]:
    """Store the snapshot; answers how many of what it held. A bus that it does not hold is gone."""
    driver_id = await _store_driver(visit, w)
    bus_ids = await _store_buses(visit, w)
    new = await snapshot.add(
        visit.connection,
        can_recovery,
        can_recovery.c.agent_id == visit.agent["id"],
        can.recovery_rows(w.recoveries),
        ("at", "kind", "device", "subject"),
        fixed={"network_id": visit.network, "agent_id": visit.agent["id"]},
    )
    _tell_recoveries(visit, new, driver_id, bus_ids)
    endpoints = sum(len(b.endpoints) for b in w.health.buses)
    visit.outcome.log(
        "can_stored",
        driver=w.driver,
        buses=len(w.health.buses),
        endpoints=endpoints,
        findings=len(w.health.findings),
        recoveries=len(new),
    )
    return {"can_buses": len(w.health.buses), "can_endpoints": endpoints}


async def _store_driver(visit: Visit, w: CanWiring) -> str:
    mine = can_driver.c.agent_id == visit.agent["id"]
    stored = await snapshot.rows(visit.connection, can_driver, mine)
    before = stored[0] if stored else None
    values = can.driver_row(w)
    row_id = before["id"] if before else new_id()
    seen = {"last_seen": visit.now}
    if before:
        await visit.connection.execute(update(can_driver).where(mine).values(**values, **seen))
    else:
        whose = {"id": row_id, "network_id": visit.network, "agent_id": visit.agent["id"]}
        row = {**whose, **values, **seen, "first_seen": visit.now}
        await visit.connection.execute(insert(can_driver).values(row))
    operation = Operation.CHANGED if before else Operation.CREATED
    title = can.driver_news(visit.host_name, before, values)
    if title:
        visit.tell(Entity.CAN_DRIVER, operation, row_id, title)
    elif before and any(before[name] != value for name, value in values.items()):
        # Whoever looks reads again; counters are not for the timeline.
        visit.outcome.events.append(Changed(Entity.CAN_DRIVER, operation, row_id, visit.network))
    return row_id


async def _store_buses(visit: Visit, w: CanWiring) -> dict[str, str]:
    """Answers the id of each bus by its device, those that are gone among them."""
    mine = can_bus.c.agent_id == visit.agent["id"]
    stored = await snapshot.rows(visit.connection, can_bus, mine)
    before = {row["device"]: row for row in stored}
    wanted = can.bus_rows(w.health, before)
    await asyncio.sleep(0)
    part = await snapshot.store(
        visit.connection,
        can_bus,
        mine,
        wanted,
        ("device",),
        fixed={"network_id": visit.network, "agent_id": visit.agent["id"]},
        now=visit.now,
        stored=stored,
    )
    ids = {row["device"]: row["id"] for row in (*stored, *part.new)}
    told = []
    for values in (*part.new, *(change.values for change in part.changed)):
        device = values["device"]
        old = before.get(device)
        operation = Operation.CHANGED if old else Operation.CREATED
        titles = can.bus_news(visit.host_name, old, values)
        told += [visit.told(Entity.CAN_BUS, operation, ids[device], title) for title in titles]
        if not titles:
            visit.outcome.events.append(
                Changed(Entity.CAN_BUS, operation, ids[device], visit.network)
            )
    for row in stored:
        if row["id"] in part.gone:
            title = f"{can.bus_name(row['device'], visit.host_name)} is gone"
            told.append(visit.told(Entity.CAN_BUS, Operation.DELETED, row["id"], title))
    visit.tell_many(told)
    return ids


def _tell_recoveries(
    visit: Visit, new: Sequence[Values], driver_id: str, bus_ids: dict[str, str]
) -> None:
    by_device: dict[str, list[Values]] = defaultdict(list)
    for recovery in new:
        by_device[recovery["device"]].append(recovery)
        what = can.recovery_news(visit.host_name, recovery)
        visit.outcome.events.append(Recovered("can", what))
    for device, mended in by_device.items():
        entity, thing = Entity.CAN_DRIVER, driver_id
        if device in bus_ids:
            entity, thing = Entity.CAN_BUS, bus_ids[device]
        titles = [can.recovery_news(visit.host_name, one) for one in mended]
        if len(new) > MAX_TOLD:
            titles = [can.recoveries_summary(visit.host_name, device, mended)]
        for title in titles:
            visit.tell(entity, Operation.RECOVERED, thing, title)
