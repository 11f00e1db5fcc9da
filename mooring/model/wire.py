"""A report to JSON and back; reading sets single bad items aside and never half-reads the rest.

The only place that knows how a report is written down.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from mooring.model.container import (
    Attachment,
    Container,
    Engine,
    EngineKind,
    EngineNetwork,
    EngineState,
    PublishedPort,
)
from mooring.model.machine import Capability, Machine, OperatingSystem
from mooring.model.net import (
    Address,
    Interface,
    InterfaceKind,
    InterfaceState,
    IpAddress,
    IpNetwork,
    Neighbour,
    NeighbourState,
    Route,
    Subnet,
    SubnetKind,
)
from mooring.model.report import VERSION, Engines, Report, RunMark, SetAside

Noun = TypeVar("Noun")

Word = Annotated[str, Meta(max_length=64)]
Name = Annotated[str, Meta(min_length=1, max_length=253)]
Line = Annotated[str, Meta(max_length=500)]
Text = Annotated[str, Meta(max_length=2000)]
Count = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Mac = Annotated[str, Meta(pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2}){5,19}\Z")]

MAX_ITEMS = 20_000
"""The most items of one kind that a report may hold."""
SHOWN = 200
"""How many characters of a bad item are kept for a person to see."""


class Unreadable(Exception):
    """A report as a whole can't be read; the text says what was expected and what came."""


# --- writing


def encode(report: Report) -> bytes:
    """The report as JSON: what ``decode`` reads."""
    kind = "machine" if isinstance(report.body, Machine) else "containers"
    return msgspec.json.encode(
        {
            "version": VERSION,
            "subject": report.subject,
            "outbox": report.outbox,
            "number": report.number,
            "taken_at": report.taken_at,
            "runs": report.runs,
            "set_aside": report.set_aside,
            kind: report.body,
        },
        enc_hook=_plain,
    )


def to_builtins(noun: object) -> Any:
    """A noun as dictionaries, lists and texts, as it stands in a report."""
    return msgspec.to_builtins(noun, enc_hook=_plain)


def _plain(value: object) -> str:
    if isinstance(
        value,
        ipaddress.IPv4Address
        | ipaddress.IPv6Address
        | ipaddress.IPv4Network
        | ipaddress.IPv6Network,
    ):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a report")


# --- the shapes on the wire, with their bounds


class _RunMark(Struct):
    id: Annotated[str, Meta(min_length=36, max_length=36)]
    trigger: Word
    started_at: float
    final: bool = False


class _SetAside(Struct):
    kind: Word
    item: Text
    reason: Text


class _Head(Struct):
    version: int


class _Report(Struct):
    version: int
    subject: Annotated[str, Meta(min_length=1, max_length=200)]
    outbox: Annotated[str, Meta(min_length=1, max_length=64)]
    number: Annotated[int, Meta(ge=1, le=2**53)]
    taken_at: Annotated[float, Meta(ge=0, le=1e11)]
    runs: Annotated[list[_RunMark], Meta(max_length=1000)] = []
    set_aside: Annotated[list[_SetAside], Meta(max_length=MAX_ITEMS)] = []
    machine: Raw = Raw()
    containers: Raw = Raw()


Items = Annotated[list[Raw], Meta(max_length=MAX_ITEMS)]


class _Machine(Struct):
    identity: Annotated[str, Meta(min_length=1, max_length=128)]
    hostname: Raw
    os: Raw
    interfaces: Items
    subnets: Items
    routes: Items
    neighbours: Items
    capabilities: Items = []


class _Os(Struct):
    name: Line
    kernel: Line
    architecture: Word


class _Address(Struct):
    ip: str
    prefix: int
    peer: str | None = None


class _Interface(Struct):
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


class _Subnet(Struct):
    cidr: str
    kind: SubnetKind
    interface: Name | None = None
    name: Line | None = None
    gateway: str | None = None


class _Route(Struct):
    family: int
    destination: str | None = None
    gateway: str | None = None
    interface: Name | None = None
    metric: Count = 0


class _Neighbour(Struct):
    ip: str
    interface: Name
    state: NeighbourState
    mac: Mac | None = None
    router: bool = False


class _Capability(Struct):
    name: Word
    available: bool
    detail: Text = ""


class _Engines(Struct):
    engines: Annotated[list[Raw], Meta(max_length=20)]


class _Engine(Struct):
    socket: Line
    state: EngineState
    kind: EngineKind | None = None
    version: Line = ""
    detail: Text = ""
    elapsed_ms: Annotated[float, Meta(ge=0)] = 0.0
    containers: Items = []
    networks: Items = []


class _PublishedPort(Struct):
    protocol: Word
    container_port: Port
    host_ip: str | None = None
    host_port: Port | None = None


class _Attachment(Struct):
    network: Line
    ip: str | None = None
    ip6: str | None = None
    mac: Mac | None = None


class _Container(Struct):
    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{12,128}\Z")]
    name: Line
    image: Annotated[str, Meta(max_length=1000)]
    state: Word
    status: Line = ""
    health: Word | None = None
    created_at: float | None = None
    ports: Items = []
    attachments: Items = []
    labels: Annotated[list[tuple[Line, Text]], Meta(max_length=1000)] = []
    compose_project: Line | None = None
    compose_service: Line | None = None


class _EngineNetwork(Struct):
    id: Line
    name: Line
    driver: Line
    subnets: Items = []
    bridge: Name | None = None


# --- reading


def decode(data: bytes) -> Report:
    """Read a report; bad items are in ``set_aside`` of what it answers.

    Raises ``Unreadable`` when there is no report to store: not JSON, another version, no
    subject, number or body.
    """
    try:
        version = msgspec.json.decode(data, type=_Head).version
        if version != VERSION:
            raise Unreadable(
                f"the report is of version {version} and this server reads version {VERSION}: "
                + ("update the server" if version > VERSION else "update the agent")
            )
        head = msgspec.json.decode(data, type=_Report)
        if bool(bytes(head.machine)) == bool(bytes(head.containers)):
            raise Unreadable("the report needs one body: either machine or containers")
        reader = _Reader([SetAside(s.kind, s.item, s.reason) for s in head.set_aside])
        body: Machine | Engines
        if bytes(head.machine):
            body = reader.machine(msgspec.json.decode(head.machine, type=_Machine))
        else:
            body = reader.engines(msgspec.json.decode(head.containers, type=_Engines))
    except msgspec.ValidationError as error:
        raise Unreadable(f"the report does not fit its shape: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"the report is not JSON: {error}") from error
    return Report(
        subject=head.subject,
        outbox=head.outbox,
        number=head.number,
        taken_at=head.taken_at,
        body=body,
        runs=tuple(RunMark(r.id, r.trigger, r.started_at, r.final) for r in head.runs),
        set_aside=tuple(reader.aside),
    )


class _Reader:
    """Reads items one by one and collects those that are set aside."""

    def __init__(self, aside: list[SetAside]) -> None:
        self.aside = aside

    def put_aside(self, kind: str, raw: Raw | bytes, reason: object) -> None:
        text = bytes(raw)[: SHOWN * 4].decode("utf-8", "replace")
        shown = text if len(text) <= SHOWN else text[:SHOWN] + "…"
        self.aside.append(SetAside(kind, shown, str(reason)[:500]))

    def each(self, kind: str, raws: list[Raw], read: Callable[[Raw], Noun]) -> tuple[Noun, ...]:
        good = []
        for raw in raws:
            try:
                good.append(read(raw))
            except (ValueError, RecursionError) as error:
                self.put_aside(kind, raw, error)
        return tuple(good)

    def distinct(
        self, kind: str, raws: list[Raw], read: Callable[[Raw], Noun], name: str
    ) -> tuple[Noun, ...]:
        """As ``each``; of two items with one ``name`` the first stays."""
        seen = set()

        def once(raw: Raw) -> Noun:
            noun = read(raw)
            key = getattr(noun, name)
            if key in seen:
                raise ValueError(f"a second {kind} with the {name} {key}")
            seen.add(key)
            return noun

        return self.each(kind, raws, once)

    # A machine

    def machine(self, m: _Machine) -> Machine:
        hostname = self.each("hostname", [m.hostname], _hostname)
        os = self.each("os", [m.os], _os)
        return Machine(
            identity=m.identity,
            hostname=hostname[0] if hostname else "",
            os=os[0] if os else OperatingSystem("", "", ""),
            interfaces=self.distinct("interface", m.interfaces, self._interface, "name"),
            subnets=self.each("subnet", m.subnets, _subnet),
            routes=self.each("route", m.routes, _route),
            neighbours=self.each("neighbour", m.neighbours, _neighbour),
            capabilities=self.distinct("capability", m.capabilities, _capability, "name"),
        )

    def _interface(self, raw: Raw) -> Interface:
        i = msgspec.json.decode(raw, type=_Interface)
        return Interface(
            name=i.name,
            index=i.index,
            kind=i.kind,
            state=i.state,
            mac=i.mac,
            mtu=i.mtu,
            addresses=tuple(
                dict.fromkeys(
                    self.each("address", i.addresses, lambda a: _address(a, f"on {i.name}: "))
                )
            ),
            master=i.master,
            parent=i.parent,
            vlan=i.vlan,
        )

    # Engines

    def engines(self, e: _Engines) -> Engines:
        return Engines(self.distinct("engine", e.engines, self._engine, "socket"))

    def _engine(self, raw: Raw) -> Engine:
        e = msgspec.json.decode(raw, type=_Engine)
        return Engine(
            socket=e.socket,
            state=e.state,
            kind=e.kind,
            version=e.version,
            detail=e.detail,
            elapsed_ms=e.elapsed_ms,
            containers=self.distinct("container", e.containers, self._container, "id"),
            networks=self.distinct("network", e.networks, self._network, "id"),
        )

    def _container(self, raw: Raw) -> Container:
        c = msgspec.json.decode(raw, type=_Container)
        return Container(
            id=c.id,
            name=c.name,
            image=c.image,
            state=c.state,
            status=c.status,
            health=c.health,
            created_at=c.created_at,
            ports=self.each("port", c.ports, _port),
            attachments=self.each("attachment", c.attachments, _attachment),
            labels=tuple(c.labels),
            compose_project=c.compose_project,
            compose_service=c.compose_service,
        )

    def _network(self, raw: Raw) -> EngineNetwork:
        n = msgspec.json.decode(raw, type=_EngineNetwork)
        subnets = self.each("subnet", n.subnets, _subnet)
        return EngineNetwork(n.id, n.name, n.driver, subnets, n.bridge)


_HOSTNAME = msgspec.json.Decoder(Annotated[str, Meta(max_length=253)])


def _hostname(raw: Raw) -> str:
    name: str = _HOSTNAME.decode(raw)
    return name


def _os(raw: Raw) -> OperatingSystem:
    o = msgspec.json.decode(raw, type=_Os)
    return OperatingSystem(o.name, o.kernel, o.architecture)


def _ip(text: str) -> IpAddress:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError(f"{text[:SHOWN]!r} has a zone, which means nothing elsewhere")
    return address


def _maybe_ip(text: str | None) -> IpAddress | None:
    return None if text is None else _ip(text)


def _cidr(text: str) -> IpNetwork:
    """A CIDR without host bits; the errors of ``ipaddress`` say which of the two is wrong."""
    if len(text) > 50:
        raise ValueError(f"{text[:50]!r}… is too long for a CIDR")
    return ipaddress.ip_network(text, strict=True)


def _address(raw: Raw, where: str) -> Address:
    try:
        a = msgspec.json.decode(raw, type=_Address)
        ip, peer = _ip(a.ip), _maybe_ip(a.peer)
        if not 0 <= a.prefix <= ip.max_prefixlen:
            raise ValueError(
                f"expected a prefix from 0 to {ip.max_prefixlen} for {ip}, got {a.prefix}"
            )
        if peer is not None and peer.version != ip.version:
            raise ValueError(f"expected a peer of {ip} of its own family, got {peer}")
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error
    return Address(ip, a.prefix, peer)


def _subnet(raw: Raw) -> Subnet:
    s = msgspec.json.decode(raw, type=_Subnet)
    return Subnet(_cidr(s.cidr), s.kind, s.interface, s.name, _maybe_ip(s.gateway))


def _route(raw: Raw) -> Route:
    r = msgspec.json.decode(raw, type=_Route)
    if r.family not in (4, 6):
        raise ValueError(f"expected family 4 or 6, got {r.family}")
    destination = None if r.destination is None else _cidr(r.destination)
    return Route(r.family, destination, _maybe_ip(r.gateway), r.interface, r.metric)


def _neighbour(raw: Raw) -> Neighbour:
    n = msgspec.json.decode(raw, type=_Neighbour)
    return Neighbour(_ip(n.ip), n.interface, n.state, n.mac, n.router)


def _capability(raw: Raw) -> Capability:
    c = msgspec.json.decode(raw, type=_Capability)
    return Capability(c.name, c.available, c.detail)


def _port(raw: Raw) -> PublishedPort:
    p = msgspec.json.decode(raw, type=_PublishedPort)
    return PublishedPort(p.protocol, p.container_port, _maybe_ip(p.host_ip), p.host_port)


def _attachment(raw: Raw) -> Attachment:
    a = msgspec.json.decode(raw, type=_Attachment)
    return Attachment(a.network, _maybe_ip(a.ip), _maybe_ip(a.ip6), a.mac)
