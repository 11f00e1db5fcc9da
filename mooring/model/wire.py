"""A report to JSON and back; reading sets single bad items aside and never half-reads the rest.

The only place that knows how a report is written down.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from mooring.model import wire_shapes as on_wire
from mooring.model.container import (
    Attachment,
    Container,
    Engine,
    EngineNetwork,
    PublishedPort,
)
from mooring.model.machine import Capability, Machine, OperatingSystem
from mooring.model.net import (
    Address,
    Interface,
    IpAddress,
    IpNetwork,
    Neighbour,
    Route,
    Subnet,
)
from mooring.model.report import VERSION, Engines, Report, RunMark, SetAside

Noun = TypeVar("Noun")
Shape = TypeVar("Shape", bound=Struct)

MAX_ITEMS = 20_000
"""The most items of one list, and the most addresses, that are read; the others are set aside."""
MAX_ENGINES = 20
MAX_SET_ASIDE = 1000
"""Items set aside one by one; of those beyond only the number is told."""
SHOWN = 200
"""How many characters of a bad item are kept for a person to see."""
MAX_REASON = 500


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
    # Through JSON: a tuple that was stored as a list and read again must not look changed.
    return msgspec.json.decode(msgspec.json.encode(noun, enc_hook=_plain))


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


# --- reading


def decode(data: bytes) -> Report:
    """Read a report; bad items are in ``set_aside`` of what it answers.

    Raises ``Unreadable`` when there is no report to store: not JSON, another version, no
    subject, number or body.
    """
    try:
        version = msgspec.json.decode(data, type=on_wire.Head).version
        if version != VERSION:
            raise Unreadable(
                f"the report is of version {version} and this server reads version {VERSION}: "
                + ("update the server" if version > VERSION else "update the agent")
            )
        head = _read(data, on_wire.Report)
        if bool(bytes(head.machine)) == bool(bytes(head.containers)):
            raise Unreadable("the report needs one body: either machine or containers")
        reader = _Reader()
        told = reader.each("set_aside", head.set_aside, _set_aside)
        runs = reader.each("run", head.runs, _run_mark)
        body: Machine | Engines
        if bytes(head.machine):
            body = reader.machine(_read(head.machine, on_wire.Machine))
        else:
            body = reader.engines(_read(head.containers, on_wire.Engines))
    except (msgspec.ValidationError, _Unfit) as error:
        raise Unreadable(f"the report does not fit its shape: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"the report is not JSON: {error}") from error
    return Report(
        subject=head.subject,
        outbox=head.outbox,
        number=head.number,
        taken_at=_moment(head.taken_at),
        body=body,
        runs=runs,
        set_aside=told + reader.aside,
    )


class _Unfit(ValueError):
    """An item is JSON and not what it should be."""


def _read(raw: Raw | bytes, shape: type[Shape]) -> Shape:
    item = msgspec.json.decode(raw, type=shape)
    for name in shape.__struct_fields__:
        value = getattr(item, name)
        if isinstance(value, str) and "\0" in value:
            raise _Unfit(f"{name} holds a NUL character, which not every database can keep")
    return item


class _Reader:
    """Reads items one by one and collects those that are set aside."""

    def __init__(self) -> None:
        self._aside: list[SetAside] = []
        self._more = 0
        self._room = MAX_ITEMS

    @property
    def aside(self) -> tuple[SetAside, ...]:
        if not self._more:
            return tuple(self._aside)
        more = SetAside("item", f"{self._more} more", "too many to tell them one by one")
        return (*self._aside, more)

    def put_aside(self, kind: str, raw: Raw | bytes, reason: object) -> None:
        if len(self._aside) >= MAX_SET_ASIDE:
            self._more += 1
            return
        text = bytes(memoryview(raw)[: SHOWN * 4]).decode("utf-8", "replace")
        shown = text if len(text) <= SHOWN else text[:SHOWN] + "…"
        self._aside.append(SetAside(kind, shown, _cut(str(reason), MAX_REASON)))

    def first(self, kind: str, raws: list[Raw], most: int = MAX_ITEMS) -> list[Raw]:
        """The first ``most`` items; the others are set aside as one."""
        if len(raws) > most:
            self.put_aside(kind, f"{len(raws) - most} more".encode(), "too many to be read")
        return raws[:most]

    def each(self, kind: str, raws: list[Raw], read: Callable[[Raw], Noun]) -> tuple[Noun, ...]:
        good = []
        for raw in self.first(kind, raws):
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

    def machine(self, m: on_wire.Machine) -> Machine:
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
        i = _read(raw, on_wire.Interface)
        raws = self.first("address", i.addresses, self._room)
        self._room -= len(raws)
        return Interface(
            name=i.name,
            index=i.index,
            kind=i.kind,
            state=i.state,
            mac=i.mac,
            mtu=i.mtu,
            addresses=tuple(
                dict.fromkeys(self.each("address", raws, lambda a: _address(a, f"on {i.name}: ")))
            ),
            master=i.master,
            parent=i.parent,
            vlan=i.vlan,
        )

    # Engines

    def engines(self, e: on_wire.Engines) -> Engines:
        raws = self.first("engine", e.engines, MAX_ENGINES)
        return Engines(self.distinct("engine", raws, self._engine, "socket"))

    def _engine(self, raw: Raw) -> Engine:
        e = _read(raw, on_wire.Engine)
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
        c = _read(raw, on_wire.Container)
        if any("\0" in text for label in c.labels for text in label):
            raise _Unfit("a label holds a NUL character, which not every database can keep")
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
        n = _read(raw, on_wire.EngineNetwork)
        subnets = self.each("subnet", n.subnets, _subnet)
        return EngineNetwork(n.id, n.name, n.driver, subnets, n.bridge)


_HOSTNAME = msgspec.json.Decoder(Annotated[str, Meta(max_length=253)])


def _hostname(raw: Raw) -> str:
    name: str = _HOSTNAME.decode(raw)
    if "\0" in name:
        raise _Unfit("it holds a NUL character, which not every database can keep")
    return name


def _run_mark(raw: Raw) -> RunMark:
    r = _read(raw, on_wire.RunMark)
    return RunMark(r.id, r.trigger, _moment(r.started_at), r.final)


def _moment(at: float) -> float:
    """A clock that is far out costs no report: its times are brought to the nearest sensible."""
    return min(max(at, 0.0), on_wire.LAST_MOMENT)


def _set_aside(raw: Raw) -> SetAside:
    """What the agent set aside; cut, for it is only shown."""
    s = msgspec.json.decode(raw, type=on_wire.SetAside)
    return SetAside(_cut(s.kind, 64), _cut(s.item, 2000), _cut(s.reason, 2000))


def _cut(text: str, most: int) -> str:
    return text.replace("\0", "")[:most]


def _os(raw: Raw) -> OperatingSystem:
    o = _read(raw, on_wire.Os)
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
    network = ipaddress.ip_network(text, strict=True)
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.scope_id is not None:
        raise ValueError(f"{text!r} has a zone, which means nothing elsewhere")
    return network


def _address(raw: Raw, where: str) -> Address:
    try:
        a = _read(raw, on_wire.Address)
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
    s = _read(raw, on_wire.Subnet)
    return Subnet(_cidr(s.cidr), s.kind, s.interface, s.name, _maybe_ip(s.gateway))


def _route(raw: Raw) -> Route:
    r = _read(raw, on_wire.Route)
    if r.family not in (4, 6):
        raise ValueError(f"expected family 4 or 6, got {r.family}")
    destination = None if r.destination is None else _cidr(r.destination)
    return Route(r.family, destination, _maybe_ip(r.gateway), r.interface, r.metric)


def _neighbour(raw: Raw) -> Neighbour:
    n = _read(raw, on_wire.Neighbour)
    return Neighbour(_ip(n.ip), n.interface, n.state, n.mac, n.router)


def _capability(raw: Raw) -> Capability:
    c = _read(raw, on_wire.Capability)
    return Capability(c.name, c.available, c.detail)


def _port(raw: Raw) -> PublishedPort:
    p = _read(raw, on_wire.PublishedPort)
    return PublishedPort(p.protocol, p.container_port, _maybe_ip(p.host_ip), p.host_port)


def _attachment(raw: Raw) -> Attachment:
    a = _read(raw, on_wire.Attachment)
    return Attachment(a.network, _maybe_ip(a.ip), _maybe_ip(a.ip6), a.mac)
