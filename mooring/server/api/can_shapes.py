"""What the API answers of CAN buses, their drivers and what was mended."""

from __future__ import annotations

from datetime import datetime

from mooring.model.can import Recovered, Weight
from mooring.server.api.base import Shape
from mooring.server.can import Condition


class CanFinding(Shape):
    weight: Weight
    subject: str
    what: str
    remedy: str


class CanEndpoint(Shape):
    """A container's place on a bus; its figures begin anew with its rules."""

    id: str
    network: str
    """The id of Docker's network."""
    container: str | None
    """The name of its container, where an agent on its machine sees Docker."""
    state: str
    """created (not wired), joining, joined."""
    interface: str
    """The host's end of its pair; empty when it is missing."""
    access: str
    """rw, ro (it cannot send) or wo (it hears nothing)."""
    received: int
    """Frames that went into the container."""
    sent: int
    dropped: int


class CanBus(Shape):
    """A CAN bus as the agent of its machine said last."""

    id: str
    network_id: str
    agent_id: str
    agent_name: str
    agent_online: bool
    """False: what is said here may have changed since ``agent_last_seen``."""
    agent_last_seen: datetime
    host_id: str | None
    """Its machine, where that is known: by this agent's reports or by another's on it."""
    device: str
    physical: bool
    present: bool
    up: bool
    state: str
    """The controller's state; empty for a device without one."""
    condition: Condition
    """missing and down tell of its interface; faulty is any other error among its findings."""
    networks: list[str]
    """The ids of Docker's networks that are this bus."""
    rules_wanted: int
    rules_present: int
    findings: list[CanFinding]
    """What is wrong with the bus and its endpoints."""
    endpoints: list[CanEndpoint]
    received: int
    """Frames that went into containers since ``first_seen``, each counted in each container."""
    sent: int
    """Frames that came from containers since ``first_seen``."""
    dropped: int
    first_seen: datetime
    last_seen: datetime
    gone_at: datetime | None


class CanRecovery(Shape):
    """Something that was missing and was made again."""

    id: str
    network_id: str
    agent_id: str
    agent_name: str
    can_bus_id: str | None
    """Null when it was on no bus that is known."""
    at: datetime
    kind: Recovered
    device: str
    subject: str
    """The device's name, an endpoint's id, a number of rules."""


class CanCalls(Shape):
    """Docker's calls of one verb that ended in one way."""

    verb: str
    ok: bool
    count: int
    seconds: float
    """What they took together."""


class CanTotals(Shape):
    """What the driver has counted since its start."""

    since: datetime
    calls: list[CanCalls]
    recoveries: dict[str, int]
    """By what was recovered."""


class CanDriver(Shape):
    """What wires the CAN buses of one machine."""

    id: str
    network_id: str
    agent_id: str
    agent_name: str
    agent_online: bool
    agent_last_seen: datetime
    host_id: str | None
    version: str
    """Empty while it does not answer."""
    modules: dict[str, bool]
    """The kernel's modules, and whether each is loaded."""
    findings: list[CanFinding]
    """What is wrong with no bus in particular."""
    totals: CanTotals | None
    """Null while it does not answer."""
    first_seen: datetime
    last_seen: datetime
