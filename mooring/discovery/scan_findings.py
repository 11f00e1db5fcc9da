"""Pure. What a scan has found so far, by block: events in, snapshots to report out.

A snapshot is bounded whatever was found; what it has no room for is set aside, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from mooring.discovery.scan.events import Found
from mooring.discovery.scan.plan import Block, Plan
from mooring.model.net import IpAddress, IpNetwork
from mooring.model.report import SetAside
from mooring.model.scan import ALL_OPEN, MAX_HOSTS, MAX_PORTS, Depth, Scan, ScannedHost
from mooring.model.service import OpenPort, Protocol, Service

MAX_BYTES = 8 * 1024 * 1024
"""How much the ports of one block may weigh, of the 16 MiB that a report may have."""


@dataclass(slots=True)
class _Host:
    found: Found
    vendor: str = ""
    services: tuple[Service, ...] = ()
    ports: dict[tuple[Protocol, int], OpenPort] = field(default_factory=dict)
    depth: Depth = Depth.NONE
    all_open: bool = False


@dataclass(slots=True)
class _Part:
    """One block as it is known."""

    block: Block
    hosts: dict[IpAddress, _Host] = field(default_factory=dict)
    news: bool = False
    reported_at: float = -math.inf
    whole: bool = False
    left: set[IpAddress] = field(default_factory=set)
    """Hosts beyond those that a block may hold."""


class Findings:
    """``looked_at``: the ports of the scan's depth, as ranges."""

    def __init__(self, plan: Plan, depth: Depth, looked_at: Sequence[tuple[int, int]] = ()) -> None:
        self.depth = depth
        self.looked_at = tuple(looked_at)
        self._plan = plan
        self._parts = {block.cidr: _Part(block) for block in plan.blocks}

    # --- what was found

    def host(self, found: Found, vendor: str = "", services: tuple[Service, ...] = ()) -> bool:
        """A host, or more of it. Whether it is one that nobody knew, and for whom there is room."""
        part = self._part(found.ip)
        if part is None:
            return False
        known = part.hosts.get(found.ip)
        if known is None and len(part.hosts) >= MAX_HOSTS:
            part.left.add(found.ip)
            return False
        part.news = True
        if known is not None:
            known.found, known.vendor, known.services = found, vendor, services
            return False
        part.hosts[found.ip] = _Host(found, vendor, services)
        return True

    def ports(self, ip: IpAddress, numbers: Iterable[int]) -> None:
        """TCP ports that take connections; what answers there is not known yet."""
        self._put(ip, (OpenPort(Protocol.TCP, number) for number in numbers))

    def looked(self, ip: IpAddress, *, depth: Depth) -> None:
        """A host's ports were looked at so far; those that are not open are not."""
        part, host = self._find(ip)
        if part and host:
            host.depth, part.news = depth, True

    def all_open(self, ip: IpAddress) -> None:
        """A host takes connections on every port: those that are known are only some."""
        part, host = self._find(ip)
        if part and host:
            host.all_open, part.news = True, True
            for key, port in host.ports.items():
                host.ports[key] = replace(port, says=port.says or ALL_OPEN)

    def answered(self, ip: IpAddress, ports: Iterable[OpenPort]) -> None:
        """Ports that were asked what is there."""
        self._put(ip, ports)

    def asked(self, cidr: IpNetwork) -> None:
        """All of a block was asked, reliably: whoever is not known now is not there."""
        part = self._parts[cidr]
        part.whole, part.news = not part.left, True

    def _put(self, ip: IpAddress, ports: Iterable[OpenPort]) -> None:
        part, host = self._find(ip)
        if part is None or host is None:
            return
        for port in ports:
            key = (port.protocol, port.number)
            # A port that was asked says more than the same port when it was found.
            if key not in host.ports or port.asked or port.services or port.says or port.tls:
                host.ports[key] = port
                part.news = True

    def _part(self, ip: IpAddress) -> _Part | None:
        block = self._plan.block_of(ip)
        return self._parts.get(block.cidr) if block else None

    def _find(self, ip: IpAddress) -> tuple[_Part | None, _Host | None]:
        part = self._part(ip)
        return part, part.hosts.get(ip) if part else None

    # --- what is known

    @property
    def hosts(self) -> int:
        return sum(len(part.hosts) for part in self._parts.values())

    @property
    def open_ports(self) -> int:
        return sum(len(h.ports) for part in self._parts.values() for h in part.hosts.values())

    @property
    def services(self) -> int:
        """How many services were found, on ports and of hosts."""
        return sum(
            len(h.services) + sum(len(port.services) for port in h.ports.values())
            for part in self._parts.values()
            for h in part.hosts.values()
        )

    # --- what is to be reported

    def news(self, now: float = math.inf, every: float = 0.0) -> list[IpNetwork]:
        """The blocks of which there is more to tell, and whose last report is ``every`` s old."""
        return [
            cidr
            for cidr, part in self._parts.items()
            if part.news and now - part.reported_at >= every
        ]

    def first(self) -> IpNetwork:
        return next(iter(self._parts))

    def snapshot(self, cidr: IpNetwork, now: float) -> tuple[Scan, tuple[SetAside, ...]]:
        """All that is known of a block; taken as reported."""
        part = self._parts[cidr]
        part.news, part.reported_at = False, now
        aside: list[SetAside] = []
        if part.left:
            why = f"of {cidr}: a block may hold {MAX_HOSTS} hosts"
            aside.append(SetAside("host", f"{len(part.left)} more", why))
        room = MAX_BYTES
        hosts = []
        for ip in sorted(part.hosts, key=int):
            host, room = _told(part.hosts[ip], room, aside)
            hosts.append(host)
        scan = Scan(cidr, part.block.subnet, tuple(hosts), part.whole, self.looked_at)
        return scan, tuple(aside)


def _told(host: _Host, room: int, aside: list[SetAside]) -> tuple[ScannedHost, int]:
    """A host as a report has it, and the room that is left then."""
    found = host.found
    ports: list[OpenPort] = []
    left = 0
    for key in sorted(host.ports):
        port = host.ports[key]
        weight = len(msgspec.json.encode(port))
        if len(ports) >= MAX_PORTS or weight > room:
            left += 1
            continue
        room -= weight
        ports.append(port)
    if left:
        aside.append(SetAside("port", f"{left} more", f"of {found.ip}: a report has no room"))
    told = ScannedHost(
        ip=found.ip,
        signs=found.signs,
        mac=found.mac,
        vendor=host.vendor,
        names=found.names,
        round_trip_ms=found.round_trip_ms,
        # What is not told must not be taken for closed.
        depth=Depth.NONE if left else host.depth,
        ports=tuple(ports),
        all_open=host.all_open,
        services=host.services,
    )
    return told, room
