"""Reads a scan report: the hosts of a block of addresses, their open ports, what answers there."""

from __future__ import annotations

from functools import partial

import msgspec
from msgspec import Raw

from mooring.model import wire_shapes as on_wire
from mooring.model.net import IpNetwork
from mooring.model.scan import BLOCK_PREFIX, MAX_HOSTS, MAX_PORTS, Scan, ScannedHost, ScanOrder
from mooring.model.service import (
    MAX_EVIDENCE,
    MAX_SEEN,
    MAX_SERVICES,
    Evidence,
    OpenPort,
    Service,
)
from mooring.model.wire_reader import Reader, Unfit, cidr, cut, ip_address, read

MAX_NAMES = 20
"""Names that a host calls itself by."""
MAX_RANGES = 4096
"""Ranges of ports that were looked at."""
_NAME = 253
_TITLE = 200


def scan(reader: Reader, raw: Raw) -> Scan:
    """Without its block the report says nothing: that must be there, and be one."""
    s = read(raw, on_wire.Scan)
    try:
        block, subnet = cidr(s.block), cidr(s.subnet)
    except ValueError as error:
        raise Unfit(str(error)) from error
    if block.version == 4 and block.prefixlen < BLOCK_PREFIX:
        raise Unfit(f"expected a block of at most a /{BLOCK_PREFIX}, got {block}")
    hosts = reader.first("host", s.hosts, MAX_HOSTS)
    ranges = reader.first("range", s.looked_at, MAX_RANGES)
    return Scan(
        block=block,
        subnet=subnet,
        hosts=reader.distinct("host", hosts, partial(_host, reader, block), "ip"),
        whole=s.whole,
        looked_at=reader.each("range", ranges, _range),
    )


def order(raw: Raw | bytes) -> ScanOrder:
    """What a run of kind scan shall do. Raises ``ValueError``."""
    o = read(raw, on_wire.ScanOrder)
    return ScanOrder(tuple(dict.fromkeys(cidr(target) for target in o.targets)), o.depth)


def _host(reader: Reader, block: IpNetwork, raw: Raw) -> ScannedHost:
    h = read(raw, on_wire.ScannedHost, vendor=_TITLE)
    ip = ip_address(h.ip)
    if ip not in block:
        raise Unfit(f"{ip} does not lie in {block}")
    where = f"of {ip}: "
    ports = reader.some("port", reader.first("port", h.ports, MAX_PORTS, where))
    names = (cut(name, _NAME) for name in h.names[:MAX_NAMES])
    return ScannedHost(
        ip=ip,
        signs=tuple(dict.fromkeys(h.signs)),
        mac=h.mac,
        vendor=h.vendor,
        names=tuple(dict.fromkeys(filter(None, names))),
        round_trip_ms=h.round_trip_ms,
        depth=h.depth,
        ports=reader.distinct("port", ports, partial(_port, reader, where), "place", where),
        all_open=h.all_open,
        services=services(reader, h.services, where),
    )


def _port(reader: Reader, where: str, raw: Raw) -> OpenPort:
    p = read(raw, on_wire.OpenPort, says=MAX_SEEN)
    found = services(reader, p.services, f"{where}{p.number}: ")
    return OpenPort(p.protocol, p.number, found, p.tls, p.says, p.asked)


def services(reader: Reader, raws: list[Raw], where: str) -> tuple[Service, ...]:
    """The services of a port, a host or a container."""
    raws = reader.first("service", raws, MAX_SERVICES, where)
    return reader.distinct("service", raws, partial(_service, reader, where), "name", where)


def _service(reader: Reader, where: str, raw: Raw) -> Service:
    s = read(raw, on_wire.Service, title=_TITLE, version=_TITLE)
    seen = reader.first("evidence", s.evidence, MAX_EVIDENCE, where)
    return Service(
        name=s.name,
        title=s.title,
        category=s.category,
        version=s.version,
        confidence=s.confidence,
        evidence=reader.each("evidence", seen, _evidence, where),
    )


def _evidence(raw: Raw) -> Evidence:
    e = read(raw, on_wire.Evidence, seen=MAX_SEEN)
    return Evidence(e.means, e.seen, e.confidence)


_RANGE = msgspec.json.Decoder(tuple[on_wire.OnePort, on_wire.OnePort])


def _range(raw: Raw) -> tuple[int, int]:
    first, last = _RANGE.decode(raw)
    if first > last:
        raise Unfit(f"expected the lower port first, got {first} to {last}")
    return first, last
