"""How a report's parts are written in JSON: their fields and their bounds. Reads nothing itself."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct

from mooring.model.can import Recovered, Weight
from mooring.model.container import EngineKind, EngineState
from mooring.model.forward import ForwardState, LinkState, Pattern
from mooring.model.net import InterfaceKind, InterfaceState, NeighbourState, SubnetKind
from mooring.model.scan import MAX_TARGETS, Depth, Sign
from mooring.model.service import Means
from mooring.model.service import Protocol as Transport

Word = Annotated[str, Meta(max_length=64)]
Name = Annotated[str, Meta(min_length=1, max_length=253)]
Line = Annotated[str, Meta(max_length=500)]
Text = Annotated[str, Meta(max_length=2000)]
Count = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Whole = Annotated[int, Meta(ge=0, le=2**53)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Place = Annotated[str, Meta(max_length=100)]
"""Where a forward listens: an address, with or without the protocol behind it."""
Protocol = Annotated[str, Meta(max_length=16)]
Mac = Annotated[str, Meta(pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2}){5,19}\Z")]
Uuid = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
LAST_MOMENT = 1e11
"""Seconds since the epoch up to which a time is believed; the year 5138."""
Moment = Annotated[float, Meta(ge=0, le=LAST_MOMENT)]
Span = Annotated[float, Meta(ge=0, le=1e15)]
"""Seconds or milliseconds that something took."""
Key = Annotated[str, Meta(min_length=1, max_length=128)]
"""An id that a machine has, or that Docker gave."""
Items = list[Raw]


class RunMark(Struct):
    id: Uuid
    trigger: Word
    started_at: float
    final: bool = False


class SetAside(Struct):
    kind: str
    item: str
    reason: str


class Head(Struct):
    version: Annotated[int, Meta(ge=0, le=2**53)]


class Report(Struct):
    subject: Annotated[str, Meta(min_length=1, max_length=200)]
    outbox: Annotated[str, Meta(min_length=1, max_length=64)]
    number: Annotated[int, Meta(ge=1, le=2**53)]
    taken_at: float
    runs: Items = []
    set_aside: Items = []
    machine: Raw = Raw()
    containers: Raw = Raw()
    forwards: Raw = Raw()
    can: Raw = Raw()
    scan: Raw = Raw()


class Machine(Struct):
    identity: Key
    hostname: Raw
    os: Raw
    interfaces: Items
    subnets: Items
    routes: Items
    neighbours: Items
    capabilities: Items = []


class Os(Struct):
    name: Line
    kernel: Line
    architecture: Word


class Address(Struct):
    ip: str
    prefix: int
    peer: str | None = None


class Interface(Struct):
    name: Name
    index: Count
    kind: InterfaceKind
    state: InterfaceState
    mac: Mac | None = None
    mtu: Count = 0
    addresses: Items = []
    master: Name | None = None
    parent: Name | None = None
    vlan: Annotated[int, Meta(ge=0, le=4095)] | None = None


class Subnet(Struct):
    cidr: str
    kind: SubnetKind
    interface: Name | None = None
    name: Line | None = None
    gateway: str | None = None


class Route(Struct):
    family: int
    destination: str | None = None
    gateway: str | None = None
    interface: Name | None = None
    metric: Count = 0


class Neighbour(Struct):
    ip: str
    interface: Name
    state: NeighbourState
    mac: Mac | None = None
    router: bool = False


class Capability(Struct):
    name: Word
    available: bool
    detail: Text = ""


class Engines(Struct):
    engines: Items


class Engine(Struct):
    socket: Line
    state: EngineState
    kind: EngineKind | None = None
    version: Line = ""
    detail: Text = ""
    elapsed_ms: Annotated[float, Meta(ge=0)] = 0.0
    containers: Items = []
    networks: Items = []


class PublishedPort(Struct):
    protocol: Word
    container_port: Port
    host_ip: str | None = None
    host_port: Port | None = None


class Attachment(Struct):
    network: Line
    ip: str | None = None
    ip6: str | None = None
    mac: Mac | None = None
    endpoint: Key | None = None


class Container(Struct):
    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{12,128}\Z")]
    name: Line
    image: Annotated[str, Meta(max_length=1000)]
    state: Word
    status: Line = ""
    health: Word | None = None
    created_at: Moment | None = None
    ports: Items = []
    attachments: Items = []
    labels: Annotated[list[tuple[Line, Text]], Meta(max_length=1000)] = []
    compose_project: Line | None = None
    compose_service: Line | None = None
    services: Items = []


class EngineNetwork(Struct):
    id: Line
    name: Line
    driver: Line
    subnets: Items = []
    bridge: Name | None = None


class Scan(Struct):
    block: str
    subnet: str
    hosts: Items
    whole: bool
    looked_at: Items = []


class ScannedHost(Struct):
    ip: str
    signs: Annotated[list[Sign], Meta(max_length=100)]
    mac: Mac | None = None
    vendor: str = ""
    names: list[str] = []
    round_trip_ms: Span | None = None
    depth: Depth = Depth.NONE
    ports: Items = []
    all_open: bool = False
    services: Items = []


OnePort = Annotated[int, Meta(ge=1, le=65535)]


class OpenPort(Struct):
    protocol: Transport
    number: OnePort
    services: Items = []
    tls: bool = False
    says: str = ""
    asked: bool = False


class ScanOrder(Struct):
    targets: Annotated[list[str], Meta(max_length=MAX_TARGETS)] = []
    depth: Depth = Depth.LIGHT


Sure = Annotated[float, Meta(ge=0, le=1)]


class Service(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    title: str
    category: Word
    version: str = ""
    confidence: Sure = 0.0
    evidence: Items = []


class Evidence(Struct):
    means: Means
    seen: str
    confidence: Sure


class Forwards(Struct):
    remotes: Items


class Reported(Struct):
    remote: Raw
    diagnosis: Raw
    totals: Raw
    history: Items = []


class RemoteHost(Struct):
    host: Annotated[str, Meta(min_length=1, max_length=500)]
    state: LinkState
    since: float
    generation: Whole
    consecutive_failures: Whole
    docker: str
    ping_ms: Span | None
    last_drop: Raw
    forwards: Items
    detail: str = ""


class Drop(Struct):
    at: float
    pattern: Word
    seconds: Span | None


class Forward(Struct):
    local: Place
    remote: Annotated[str, Meta(max_length=300)]
    protocol: Protocol
    container: Annotated[str, Meta(max_length=253)]
    state: ForwardState
    since: float
    connections: Whole = 0
    bytes_in: Whole | None = 0
    bytes_out: Whole | None = 0
    detail: str = ""


class Diagnosis(Struct):
    pattern: Pattern
    evidence: Annotated[list[str], Meta(max_length=100)]
    advice: Annotated[list[str], Meta(max_length=100)]
    now: bool = True


class Totals(Struct):
    since: float
    outages: Items = []
    away_s: Span = 0.0
    drift: Whole = 0
    flaps: Whole = 0
    connections: Whole = 0
    held: Whole = 0
    failed: Whole = 0
    bytes_in: Whole = 0
    bytes_out: Whole = 0
    listening: Raw = Raw(b"null")


class Spread(Struct):
    bounds: Annotated[list[Span], Meta(max_length=100)] = []
    counts: Annotated[list[Whole], Meta(max_length=101)] = []
    total: Span = 0.0


class Happened(Struct):
    """A ``Moment`` of a remote host's history."""

    at: float
    what: Annotated[str, Meta(min_length=1, max_length=64)]
    place: Place = ""
    container: Annotated[str, Meta(max_length=253)] = ""
    detail: str = ""


class CanWiring(Struct):
    driver: str
    health: Raw
    totals: Raw = Raw(b"null")
    recoveries: Items = []
    identity: Key | None = None


class Health(Struct):
    modules: Raw
    buses: Items
    findings: Items = []


Modules = Annotated[dict[Word, bool], Meta(max_length=100)]


class Bus(Struct):
    device: Name
    networks: Annotated[list[Key], Meta(max_length=1000)]
    present: bool
    up: bool
    physical: bool
    state: Word
    rules_wanted: Count
    rules_present: Count
    endpoints: Items = []


class Endpoint(Struct):
    id: Key
    network: Annotated[str, Meta(max_length=128)]
    state: Word
    interface: Annotated[str, Meta(max_length=253)]
    access: Word
    received: Whole = 0
    sent: Whole = 0
    dropped: Whole = 0


class Finding(Struct):
    weight: Weight
    subject: str
    what: str
    remedy: str = ""


class DriverTotals(Struct):
    since: float
    calls: Items = []
    recoveries: Items = []


class Calls(Struct):
    verb: Annotated[str, Meta(min_length=1, max_length=64)]
    ok: bool
    count: Whole
    seconds: Span


class Recovery(Struct):
    kind: Recovered
    device: Annotated[str, Meta(max_length=253)]
    subject: str
    at: float
