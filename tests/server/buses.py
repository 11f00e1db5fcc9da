"""What a machine with CAN buses reports: buses, their endpoints, what is wrong, what was mended."""

from __future__ import annotations

from typing import Any

from mooring.model.can import (
    BusHealth,
    Calls,
    CanWiring,
    DriverTotals,
    EndpointHealth,
    Finding,
    Health,
    Recovered,
    Recovery,
    Weight,
)
from tests.server.world import NOON


def endpoint(name: str, **more: Any) -> EndpointHealth:
    """An endpoint that has joined; its id begins with its name."""
    values: dict[str, Any] = {
        "network": "a" * 64,
        "state": "joined",
        "interface": f"vx{name}"[:15],
        "access": "rw",
    }
    return EndpointHealth(id=name.ljust(64, "0"), **(values | more))


def bus(device: str = "vcan0", *endpoints: EndpointHealth, **more: Any) -> BusHealth:
    """A bus that is well."""
    rules = 4 * len(endpoints)
    values: dict[str, Any] = {
        "networks": ("a" * 64,),
        "present": True,
        "up": True,
        "physical": False,
        "state": "",
        "rules_wanted": rules,
        "rules_present": rules,
    }
    return BusHealth(device=device, endpoints=endpoints, **(values | more))


def counted(**more: Any) -> DriverTotals:
    values: dict[str, Any] = {
        "since": NOON - 600,
        "calls": (
            Calls("NetworkDriver.Join", True, 40, 0.5),
            Calls("NetworkDriver.Join", False, 2, 0.25),
        ),
        "recoveries": (("device", 1), ("rules", 2)),
    }
    return DriverTotals(**(values | more))


def wiring(
    *buses: BusHealth,
    findings: tuple[Finding, ...] = (),
    recoveries: tuple[Recovery, ...] = (),
    driver: str = "0.3.0",
    totals: DriverTotals | None = None,
    identity: str | None = None,
) -> CanWiring:
    modules = {"vcan": True, "vxcan": True, "can-gw": True}
    if driver and totals is None:
        totals = counted()
    return CanWiring(driver, Health(modules, buses, findings), totals, recoveries, identity)


def mended(
    kind: Recovered = Recovered.RULES,
    subject: str = "4 rules",
    device: str = "vcan0",
    at: float = NOON - 5,
) -> Recovery:
    return Recovery(kind, device, subject, at)


def wrong(subject: str, what: str, weight: Weight = Weight.ERROR) -> Finding:
    return Finding(weight, subject, what, "run `mooring can repair`")
