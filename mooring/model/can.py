"""CAN buses: what a network and an endpoint shall be, and the links and rules that there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class Access(StrEnum):
    """What the container of an endpoint may do on the bus."""

    BOTH = "rw"
    LISTEN = "ro"
    """It hears and cannot send."""
    SEND = "wo"
    """It sends and hears nothing."""

    @property
    def hears(self) -> bool:
        return self is not Access.SEND

    @property
    def sends(self) -> bool:
        return self is not Access.LISTEN


@dataclass(frozen=True, slots=True)
class Filter:
    """Which frames pass, as the kernel's struct can_filter has it (linux/can.h).

    A frame passes if ``its id & mask == can_id & mask``; with INVERTED in ``can_id`` if not. Ids
    hold the flags for extended and remote frames in their upper bits.
    """

    can_id: int
    mask: int


class IfDown(StrEnum):
    """What to do about a physical device that is down, when no bit rate says how to set it up."""

    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a physical device shall be set to; None leaves it as it is."""

    bitrate: int | None = None
    """Bit/s."""
    dbitrate: int | None = None
    """Bit/s of a CAN FD frame's data."""
    fd: bool | None = None
    restart_ms: int | None = None
    """Milliseconds from bus-off to the restart; 0 is never."""
    txqueuelen: int | None = None


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """The options of ``docker network create``, checked."""

    device: str
    """The bus's interface on the host."""
    peer: str
    """How interfaces in containers are called, without the number that Docker adds."""
    settings: Settings = Settings()
    access: Access = Access.BOTH
    filters: tuple[Filter, ...] = ()
    errframes: bool = False
    """Whether containers are told of the bus's errors."""
    wait: float = 0.0
    """Seconds to wait for a physical device that is not there yet."""
    if_down: IfDown = IfDown.WARN


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """What one container asks for; None is what its network says."""

    peer: str | None = None
    ifname: str | None = None
    """The whole name of the interface in the container, for a Docker that honours it."""
    access: Access | None = None
    filters: tuple[Filter, ...] | None = None
    errframes: bool | None = None


@dataclass(frozen=True, slots=True)
class Network:
    id: str
    options: NetworkOptions
    physical: bool
    """Its device is hardware, or somebody else's: waited for and never made in its place."""

    @property
    def device(self) -> str:
        return self.options.device


class EndpointState(StrEnum):
    CREATED = "created"
    """Its pair is there and not wired: before Join and after Leave."""
    JOINING = "joining"
    """A Join has begun, and nobody knows whether Docker got the answer."""
    JOINED = "joined"


@dataclass(frozen=True, slots=True)
class Endpoint:
    id: str
    network: str
    options: EndpointOptions = field(default_factory=EndpointOptions)
    state: EndpointState = EndpointState.CREATED
    sandbox: str = ""
    """The path of the container's network namespace, as Docker told it in Join."""
    since: float = 0.0
    """When it came into its state, in seconds since the machine's start."""

    @property
    def wired(self) -> bool:
        return self.state is not EndpointState.CREATED


@dataclass(frozen=True, slots=True)
class Link:
    """An interface of the host, as the kernel tells it."""

    index: int
    name: str
    kind: str
    """The driver's name: vcan, vxcan, can; empty for hardware without one."""
    can: bool
    """It is a CAN interface, of whatever driver."""
    up: bool
    alias: str = ""
    other: int | None = None
    """The index of a pair's other end, in whatever namespace that is."""
    away: bool = False
    """The other end is in another namespace."""
    txqueuelen: int = 0
    bitrate: int | None = None
    dbitrate: int | None = None
    fd: bool | None = None
    restart_ms: int | None = None
    state: int | None = None
    """The controller's state (linux/can/netlink.h): 3 is bus-off, None is a device without."""


class Rule(NamedTuple):
    """A rule of can-gw: frames of one type that arrive at ``source`` are sent at ``target``.

    A bus has thousands, which are compared by the set: hence a tuple.
    """

    source: int
    target: int
    flags: int
    hops: int = 1
    filter: Filter | None = None


class FoundRule(NamedTuple):
    """A rule as the kernel has it, with its counters."""

    rule: Rule
    handled: int = 0
    dropped: int = 0
    deleted: int = 0
    """Frames that it did not pass on because they had made their hops."""
    modifies: bool = False
    """It changes frames: none of ours does."""


class Recovered(StrEnum):
    """What was missing and was made again."""

    NETWORK = "network"
    """Docker has it, and its entry in the journal was gone."""
    DEVICE = "device"
    ENDPOINT = "endpoint"
    PAIR = "pair"
    RULES = "rules"
    LEFTOVER = "leftover"
    """What nobody wants any more was taken away."""


@dataclass(frozen=True, slots=True)
class Recovery:
    kind: Recovered
    device: str
    subject: str
    """What was mended: the device's name, an endpoint's id, a number of rules."""
    at: float
    """Seconds since the epoch."""


class Weight(StrEnum):
    ERROR = "error"
    """Frames do not get where they should."""
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    weight: Weight
    subject: str
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    id: str
    network: str
    state: str
    interface: str
    """The host's end of its pair; empty when it is missing."""
    access: str
    received: int = 0
    """Frames that went into the container, since its rules were made."""
    sent: int = 0
    """Frames that came out of it, to the bus."""
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class BusHealth:
    device: str
    networks: tuple[str, ...]
    present: bool
    up: bool
    physical: bool
    state: str
    """The controller's state; empty for a device without one."""
    rules_wanted: int
    rules_present: int
    endpoints: tuple[EndpointHealth, ...]


@dataclass(frozen=True, slots=True)
class Health:
    modules: Mapping[str, bool]
    buses: tuple[BusHealth, ...] = ()
    findings: tuple[Finding, ...] = field(default=())

    @property
    def well(self) -> bool:
        return not any(one.weight is Weight.ERROR for one in self.findings)


@dataclass(frozen=True, slots=True)
class Calls:
    """Docker's calls of one verb that ended in one way, since the driver's start."""

    verb: str
    ok: bool
    count: int
    seconds: float
    """What they took together."""


@dataclass(frozen=True, slots=True)
class DriverTotals:
    """What the driver has counted since its start."""

    since: float
    """Seconds since the epoch."""
    calls: tuple[Calls, ...] = ()
    recoveries: tuple[tuple[str, int], ...] = ()
    """By what was recovered."""


MAX_REPORTED_RECOVERIES = 200


@dataclass(frozen=True, slots=True)
class CanWiring:
    """Every CAN bus of one machine: the body of a can report."""

    driver: str
    """The driver's version; empty while it does not answer."""
    health: Health
    totals: DriverTotals | None = None
    """None while the driver does not answer."""
    recoveries: tuple[Recovery, ...] = ()
    """The last of them, oldest first; at most ``MAX_REPORTED_RECOVERIES``."""
    identity: str | None = None
    """The machine's, as in its own report; None where it has none that is surely its own."""
