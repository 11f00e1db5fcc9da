"""Made-up CAN buses, reported to a real server as the driver of a machine does."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from mooring.model import wire
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
from mooring.model.report import Report
from tests.e2e import sample

DAY = 86_400.0
REPAIR = "run `mooring can repair`"
BUS_OFF = Finding(
    Weight.ERROR,
    "can0",
    "the controller is bus-off",
    "look at cabling, termination and bit rate; the option restart_ms lets it recover",
)


@dataclass
class Reporter:
    """The program on a machine with buses that reports them, with an outbox of its own."""

    url: str
    key: str
    name: str = "rig-01"
    duties: tuple[str, ...] = ("can",)
    outbox: str = field(default_factory=lambda: str(uuid.uuid4()))
    number: int = 0

    def report(self, wiring: CanWiring) -> None:
        self.number += 1
        report = Report("can", self.outbox, self.number, time.time(), wiring)
        sample.post(self.url, "reports", self.key, wire.encode(report))

    def poll(self, *, leaving: bool = False) -> None:
        said = {
            "outbox": self.outbox,
            "version": "0.1.0",
            "name": self.name,
            "duties": self.duties,
            "wait_s": 0,
            "leaving": leaving,
        }
        sample.post(self.url, "agents/poll", self.key, json.dumps(said).encode())


def hex_id(*parts: object) -> str:
    """An id as Docker makes them, the same for the same words."""
    return (uuid.uuid5(uuid.NAMESPACE_DNS, "/".join(map(str, parts))).hex * 2)[:64]


def endpoint(name: str, **more: Any) -> EndpointHealth:
    """A container's place on a bus; ``more`` are fields of it."""
    said: dict[str, Any] = {
        "id": hex_id("endpoint", name),
        "network": hex_id("network"),
        "state": "joined",
        "interface": f"vx{hex_id('endpoint', name)[:10]}",
        "access": "rw",
        **more,
    }
    return EndpointHealth(**said)


def bus(device: str, *endpoints: EndpointHealth, **more: Any) -> BusHealth:
    """A bus to which all is well; ``more`` are fields of it."""
    rules = 2 * len(endpoints) * (len(endpoints) + 1)
    said: dict[str, Any] = {
        "networks": (hex_id("network", device),),
        "present": True,
        "up": True,
        "physical": False,
        "state": "",
        "rules_wanted": rules,
        "rules_present": rules,
        **more,
    }
    return BusHealth(device=device, endpoints=endpoints, **said)


def wiring(
    *buses: BusHealth, findings: tuple[Finding, ...] = (), recoveries: tuple[Recovery, ...] = ()
) -> CanWiring:
    modules = {"vcan": True, "vxcan": True, "can-gw": True}
    totals = DriverTotals(time.time() - DAY, (Calls("NetworkDriver.Join", True, 12, 0.1),))
    return CanWiring("0.1.0", Health(modules, buses, findings), totals, recoveries)


def shown() -> CanWiring:
    """A vehicle lab for the pictures: a bus in order, and hardware whose controller is bus-off."""
    now = time.time()
    virtual = bus(
        "vcan0",
        endpoint("gateway", received=1_204_331, sent=418_220),
        endpoint("dashboard", received=1_622_551, sent=0, access="ro"),
        endpoint("replay", received=0, sent=1_204_331, access="wo"),
    )
    physical = bus(
        "can0",
        endpoint("brakes", received=88_214, sent=41_072, dropped=16),
        endpoint("logger", received=129_286, sent=0, access="ro"),
        physical=True,
        state="bus-off",
    )
    booted = now - 2 * DAY - 1800
    again = tuple(
        Recovery(kind, device, subject, booted + n / 50)
        for n, (kind, device, subject) in enumerate(
            (
                (Recovered.DEVICE, "vcan0", "vcan0"),
                (Recovered.PAIR, "vcan0", hex_id("endpoint", "gateway")),
                (Recovered.PAIR, "vcan0", hex_id("endpoint", "dashboard")),
                (Recovered.PAIR, "vcan0", hex_id("endpoint", "replay")),
                (Recovered.RULES, "vcan0", "24 rules"),
                (Recovered.PAIR, "can0", hex_id("endpoint", "brakes")),
                (Recovered.PAIR, "can0", hex_id("endpoint", "logger")),
                (Recovered.RULES, "can0", "12 rules"),
            )
        )
    )
    plugged = Recovery(Recovered.RULES, "can0", "12 rules", now - 5400)
    calls = (
        Calls("NetworkDriver.CreateEndpoint", True, 21, 0.09),
        Calls("NetworkDriver.Join", True, 21, 0.16),
        Calls("NetworkDriver.Leave", True, 16, 0.05),
        Calls("NetworkDriver.CreateNetwork", False, 1, 0.01),
    )
    counted = (("device", 1), ("pair", 5), ("rules", 3))
    return CanWiring(
        "0.1.0",
        Health({"vcan": True, "vxcan": True, "can-gw": True}, (physical, virtual), (BUS_OFF,)),
        DriverTotals(booted, calls, counted),
        (*again, plugged),
    )
