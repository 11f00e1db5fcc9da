"""How a report's parts are written in JSON: their fields and their bounds. Reads nothing itself."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct

from mooring.model.container import EngineKind, EngineState
from mooring.model.net import InterfaceKind, InterfaceState, NeighbourState, SubnetKind

Word = Annotated[str, Meta(max_length=64)]
Name = Annotated[str, Meta(min_length=1, max_length=253)]
Line = Annotated[str, Meta(max_length=500)]
Text = Annotated[str, Meta(max_length=2000)]
Count = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Mac = Annotated[str, Meta(pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2}){5,19}\Z")]
Uuid = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
LAST_MOMENT = 1e11
"""Seconds since the epoch up to which a time is believed; the year 5138."""
Moment = Annotated[float, Meta(ge=0, le=LAST_MOMENT)]
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


class Machine(Struct):
    identity: Annotated[str, Meta(min_length=1, max_length=128)]
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


class EngineNetwork(Struct):
    id: Line
    name: Line
    driver: Line
    subnets: Items = []
    bridge: Name | None = None
