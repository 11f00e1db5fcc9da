"""Pure. What is counted of CAN, in Prometheus' families: buses and drivers in, samples out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mooring.core.families import Family, Found, Labels, summed
from mooring.model.can import DriverTotals
from mooring.server.can import Condition


@dataclass(frozen=True, slots=True)
class Bus:
    """A bus that is there, and the figures of it that are shown."""

    agent: str
    device: str
    condition: str
    received: int
    sent: int
    dropped: int
    rules_wanted: int
    rules_present: int


_FAMILIES = {
    "mooring_can_buses": ("gauge", "CAN buses reported."),
    "mooring_can_rules": ("gauge", "Rules of can-gw that a CAN bus needs, and has."),
    "mooring_can_frames": (
        "counter",
        "Frames into containers (received) and from them (sent) since the bus is known.",
    ),
    "mooring_can_dropped": ("counter", "Frames that a rule could not hand on."),
    "mooring_can_calls": ("counter", "Docker's calls of the driver, since its start."),
    "mooring_can_call_seconds": ("counter", "What Docker's calls of the driver took together."),
    "mooring_can_recovered": ("counter", "What was recovered since the driver's start, by kind."),
}


def families(buses: Iterable[Bus], drivers: Iterable[tuple[str, DriverTotals]]) -> list[Family]:
    """``drivers`` are the totals of each that answers, with its agent's name.

    Agents' names may be the same: what has the same labels is added up.
    """
    return summed(_FAMILIES, (*_none(), *_of_buses(buses), *_of_drivers(drivers)))


def _none() -> Iterator[Found]:
    """A condition that no bus is in is shown too."""
    for condition in Condition:
        yield "mooring_can_buses", "", (("state", condition.value),), 0


def _of_buses(buses: Iterable[Bus]) -> Iterator[Found]:
    for bus in buses:
        yield "mooring_can_buses", "", (("state", bus.condition),), 1
        of_bus: Labels = (("agent", bus.agent), ("device", bus.device))
        for direction, count in (("received", bus.received), ("sent", bus.sent)):
            yield "mooring_can_frames", "_total", (*of_bus, ("direction", direction)), count
        yield "mooring_can_dropped", "_total", of_bus, bus.dropped
        for kind, count in (("wanted", bus.rules_wanted), ("present", bus.rules_present)):
            yield "mooring_can_rules", "", (*of_bus, ("kind", kind)), count


def _of_drivers(drivers: Iterable[tuple[str, DriverTotals]]) -> Iterator[Found]:
    for agent, totals in drivers:
        for calls in totals.calls:
            result = "ok" if calls.ok else "error"
            of_verb: Labels = (("agent", agent), ("verb", calls.verb), ("result", result))
            yield "mooring_can_calls", "_total", of_verb, calls.count
            yield "mooring_can_call_seconds", "_total", of_verb, calls.seconds
        for kind, count in totals.recoveries:
            yield "mooring_can_recovered", "_total", (("agent", agent), ("kind", kind)), count
