"""Pure. What is counted of CAN, in Prometheus' families: buses and drivers in, samples out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mooring.core.forward_metrics import Family, Labels, Sample
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
    added: dict[str, dict[Labels, float]] = {name: {} for name in _FAMILIES}
    added["mooring_can_buses"] = {(("state", c.value),): 0 for c in Condition}
    for name, labels, value in (*_of_buses(buses), *_of_drivers(drivers)):
        key = tuple(labels.items())
        added[name][key] = added[name].get(key, 0) + value
    return [
        Family(
            name,
            kind,
            text,
            tuple(
                Sample(name + ("_total" if kind == "counter" else ""), labels, value)
                for labels, value in added[name].items()
            ),
        )
        for name, (kind, text) in _FAMILIES.items()
    ]


_Found = Iterator[tuple[str, Mapping[str, str], float]]


def _of_buses(buses: Iterable[Bus]) -> _Found:
    for bus in buses:
        yield "mooring_can_buses", {"state": bus.condition}, 1
        of_bus = {"agent": bus.agent, "device": bus.device}
        yield "mooring_can_frames", {**of_bus, "direction": "received"}, bus.received
        yield "mooring_can_frames", {**of_bus, "direction": "sent"}, bus.sent
        yield "mooring_can_dropped", of_bus, bus.dropped
        yield "mooring_can_rules", {**of_bus, "kind": "wanted"}, bus.rules_wanted
        yield "mooring_can_rules", {**of_bus, "kind": "present"}, bus.rules_present


def _of_drivers(drivers: Iterable[tuple[str, DriverTotals]]) -> _Found:
    for agent, totals in drivers:
        for calls in totals.calls:
            result = "ok" if calls.ok else "error"
            of_verb = {"agent": agent, "verb": calls.verb, "result": result}
            yield "mooring_can_calls", of_verb, calls.count
            yield "mooring_can_call_seconds", of_verb, calls.seconds
        for kind, count in totals.recoveries:
            yield "mooring_can_recovered", {"agent": agent, "kind": kind}, count
