"""Pure. What is known of a machine's buses as a report's body; and what in one is news at once.

A look and what the driver says of itself in. Asks nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mooring.model.can import (
    MAX_REPORTED_RECOVERIES,
    BusHealth,
    CanWiring,
    DriverTotals,
    Health,
    Recovery,
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a driver says of itself: the answer to ``Mooring.Status``."""

    version: str
    totals: DriverTotals
    recoveries: tuple[Recovery, ...]
    """The oldest first."""


def wiring(found: Health, told: Told | None, identity: str | None = None) -> CanWiring:
    """A report's body; ``told`` is None where the driver does not answer."""
    if told is None:
        return CanWiring("", found, identity=identity)
    recoveries = told.recoveries[-MAX_REPORTED_RECOVERIES:]
    return CanWiring(told.version, found, told.totals, recoveries, identity)


def outline(body: CanWiring) -> CanWiring:
    """What is news at once: all but what counts on by itself."""
    buses = tuple(map(_uncounted, body.health.buses))
    totals = body.totals and DriverTotals(body.totals.since)
    return replace(body, health=replace(body.health, buses=buses), totals=totals)


def _uncounted(bus: BusHealth) -> BusHealth:
    quiet = (replace(one, received=0, sent=0, dropped=0) for one in bus.endpoints)
    return replace(bus, endpoints=tuple(quiet))
