"""A report to JSON and back; reading sets single bad items aside and never half-reads the rest.

The only place that knows how a report is written down.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from mooring.model import wire_can, wire_forward, wire_scan
from mooring.model import wire_shapes as on_wire
from mooring.model.can import CanWiring
from mooring.model.container import (
    Attachment,
    Container,
    Engine,
    EngineNetwork,
    PublishedPort,
)
from mooring.model.forward import Forwards
from mooring.model.machine import Capability, Machine, OperatingSystem
from mooring.model.net import (
    Address,
    Interface,
    IpAddress,
    Neighbour,
    Route,
    Subnet,
)
from mooring.model.report import VERSION, Body, Engines, Report, RunMark, SetAside
from mooring.model.scan import Scan
from mooring.model.wire_reader import Reader, Unfit, cidr, cut, ip_address, keepable, moment, read

MAX_ENGINES = 20


class Unreadable(Exception):
    """A report as a whole can't be read; the text says what was expected and what came."""


_KINDS: dict[type[Body], str] = {
    Machine: "machine",
    Engines: "containers",
    Forwards: "forwards",
    CanWiring: "can",
    Scan: "scan",
}
"""What the body of a report is called in it."""

# --- writing


def encode(report: Report) -> bytes:
    """The report as JSON: what ``decode`` reads."""
    return msgspec.json.encode(
        {
            "version": VERSION,
            "subject": report.subject,
            "outbox": report.outbox,
            "number": report.number,
            "taken_at": report.taken_at,
            "runs": report.runs,
            "set_aside": report.set_aside,
            _KINDS[type(report.body)]: report.body,
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
        head = read(data, on_wire.Report)
        bodies = {kind: raw for kind in _KINDS.values() if bytes(raw := getattr(head, kind))}
        if len(bodies) != 1:
            raise Unreadable(f"the report needs one body: one of {', '.join(_KINDS.values())}")
        reader = _Reader()
        told = reader.each("set_aside", head.set_aside, _set_aside)
        runs = reader.each("run", head.runs, _run_mark)
        body: Body
        if "machine" in bodies:
            body = reader.machine(read(head.machine, on_wire.Machine))
        elif "containers" in bodies:
            body = reader.engines(read(head.containers, on_wire.Engines))
        elif "forwards" in bodies:
            body = wire_forward.forwards(reader, read(head.forwards, on_wire.Forwards))
        elif "scan" in bodies:
            body = wire_scan.scan(reader, head.scan)
        else:
            body = wire_can.wiring(reader, head.can)
    except (msgspec.ValidationError, Unfit) as error:
        raise Unreadable(f"the report does not fit its shape: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"the report is not JSON: {error}") from error
    return Report(
        subject=head.subject,
        outbox=head.outbox,
        number=head.number,
        taken_at=moment(head.taken_at),
        body=body,
        runs=runs,
        set_aside=told + reader.aside,
    )


class _Reader(Reader):
    """Reads the parts of a machine and of engines."""

    # A machine

    def machine(self, m: on_wire.Machine) -> Machine:
        return Machine(
            identity=m.identity,
            hostname=self.one("hostname", m.hostname, _hostname, ""),
            os=self.one("os", m.os, _os, OperatingSystem("", "", "")),
            interfaces=self.distinct("interface", m.interfaces, self._interface, "name"),
            subnets=self.each("subnet", m.subnets, _subnet),
            routes=self.each("route", m.routes, _route),
            neighbours=self.each("neighbour", m.neighbours, _neighbour),
            capabilities=self.distinct("capability", m.capabilities, _capability, "name"),
        )

    def _interface(self, raw: Raw) -> Interface:
        i = read(raw, on_wire.Interface)
        raws = self.some("address", i.addresses)
        return Interface(
            name=i.name,
            index=i.index,
            kind=i.kind,
            state=i.state,
            mac=i.mac,
            mtu=i.mtu,
            addresses=tuple(dict.fromkeys(self.each("address", raws, _address, f"on {i.name}: "))),
            master=i.master,
            parent=i.parent,
            vlan=i.vlan,
        )

    # Engines

    def engines(self, e: on_wire.Engines) -> Engines:
        raws = self.first("engine", e.engines, MAX_ENGINES)
        return Engines(self.distinct("engine", raws, self._engine, "socket"))

    def _engine(self, raw: Raw) -> Engine:
        e = read(raw, on_wire.Engine)
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
        c = read(raw, on_wire.Container)
        if any("\0" in text for label in c.labels for text in label):
            raise Unfit("a label holds a NUL character, which not every database can keep")
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
            services=wire_scan.services(self, c.services, f"in {c.name}: "),
        )

    def _network(self, raw: Raw) -> EngineNetwork:
        n = read(raw, on_wire.EngineNetwork)
        subnets = self.each("subnet", n.subnets, _subnet)
        return EngineNetwork(n.id, n.name, n.driver, subnets, n.bridge)


_HOSTNAME = msgspec.json.Decoder(Annotated[str, Meta(max_length=253)])


def _hostname(raw: Raw) -> str:
    name: str = _HOSTNAME.decode(raw)
    keepable(name)
    return name


def _run_mark(raw: Raw) -> RunMark:
    r = read(raw, on_wire.RunMark)
    return RunMark(r.id, r.trigger, moment(r.started_at), r.final)


def _set_aside(raw: Raw) -> SetAside:
    """What the agent set aside; cut, for it is only shown."""
    s = msgspec.json.decode(raw, type=on_wire.SetAside)
    return SetAside(cut(s.kind, 64), cut(s.item, 2000), cut(s.reason, 2000))


def _os(raw: Raw) -> OperatingSystem:
    o = read(raw, on_wire.Os)
    return OperatingSystem(o.name, o.kernel, o.architecture)


def _maybe_ip(text: str | None) -> IpAddress | None:
    return None if text is None else ip_address(text)


def _address(raw: Raw) -> Address:
    a = read(raw, on_wire.Address)
    ip, peer = ip_address(a.ip), _maybe_ip(a.peer)
    if not 0 <= a.prefix <= ip.max_prefixlen:
        raise ValueError(f"expected a prefix from 0 to {ip.max_prefixlen} for {ip}, got {a.prefix}")
    if peer is not None and peer.version != ip.version:
        raise ValueError(f"expected a peer of {ip} of its own family, got {peer}")
    return Address(ip, a.prefix, peer)


def _subnet(raw: Raw) -> Subnet:
    s = read(raw, on_wire.Subnet)
    return Subnet(cidr(s.cidr), s.kind, s.interface, s.name, _maybe_ip(s.gateway))


def _route(raw: Raw) -> Route:
    r = read(raw, on_wire.Route)
    if r.family not in (4, 6):
        raise ValueError(f"expected family 4 or 6, got {r.family}")
    destination = None if r.destination is None else cidr(r.destination)
    return Route(r.family, destination, _maybe_ip(r.gateway), r.interface, r.metric)


def _neighbour(raw: Raw) -> Neighbour:
    n = read(raw, on_wire.Neighbour)
    return Neighbour(ip_address(n.ip), n.interface, n.state, n.mac, n.router)


def _capability(raw: Raw) -> Capability:
    c = read(raw, on_wire.Capability)
    return Capability(c.name, c.available, c.detail)


def _port(raw: Raw) -> PublishedPort:
    p = read(raw, on_wire.PublishedPort)
    return PublishedPort(p.protocol, p.container_port, _maybe_ip(p.host_ip), p.host_port)


def _attachment(raw: Raw) -> Attachment:
    a = read(raw, on_wire.Attachment)
    return Attachment(a.network, _maybe_ip(a.ip), _maybe_ip(a.ip6), a.mac, a.endpoint)
