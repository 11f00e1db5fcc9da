"""Finds who is there: by ARP, the kernel's neighbours, ICMP and TCP, as each network allows.

Of one thread. Tells of each sign as it comes; joins nothing and forgets what it told.
"""

from __future__ import annotations

import errno
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing

import structlog

from mooring.core.errors import MooringError, why_os
from mooring.discovery import local
from mooring.discovery.scan.arp import RATE as ARP_RATE
from mooring.discovery.scan.arp import Arp
from mooring.discovery.scan.asking import Asking
from mooring.discovery.scan.budget import Bucket
from mooring.discovery.scan.carrier import Carriers
from mooring.discovery.scan.echo import RATE as ECHO_RATE
from mooring.discovery.scan.echo import Echoes, all_nodes
from mooring.discovery.scan.events import Warned
from mooring.discovery.scan.options import ScanOptions
from mooring.discovery.scan.plan import Block, Link, Plan
from mooring.discovery.scan.sweeping import Asker, sweep
from mooring.discovery.scan.table import arp_table
from mooring.discovery.scan.target import Path, Ports, Target
from mooring.discovery.scan.wiring import Wires
from mooring.model.net import (
    IpAddress,
    IpNetwork,
    Neighbour,
    NeighbourState,
)
from mooring.model.scan import MANY, MAX_HOSTS, Sign

log = structlog.get_logger(__name__)

KNOCKED = (443, 80, 22, 445)
"""TCP ports at which an address behind a router is knocked that does not answer an echo."""

AT_ONCE = 4096
"""Addresses that are asked side by side: memory does not grow with a network."""

_DISCARD = 9
_RESOLVED_WITHIN = 3.5
"""Seconds after which the kernel has given an address up: three ARP requests, one a second."""
_BETWEEN_LOOKS = 0.2
_OF_ONE_SOCKET = 128
"""Datagrams that wait for a silent address count against their socket's buffer, which holds 277."""
_PLACES_TAKEN = 0.5
"""The share of the free places of the ARP table that a sweep by the kernel may take."""

Tell = Callable[[IpAddress, Sign, str | None, float | None], None]
"""Hears of an address: by what it is known to be there, its MAC, the round trip in seconds."""


class Hosts:
    def __init__(
        self,
        options: ScanOptions,
        wires: Wires,
        ending: threading.Event,
        tell: Tell,
        warn: Callable[[Warned], None],
        advanced: Callable[[int], None],
    ) -> None:
        self._options = options
        self._wires = wires
        self._ending = ending
        self._tell = tell
        self._warn = warn
        self._advanced = advanced
        self._done = 0
        self.sure: set[IpNetwork] = set()
        """Blocks of which all addresses were asked so that whoever is there was heard."""
        self.carriers = Carriers()
        self._proxies: set[str] = set()
        """MACs that answer for others."""
        self.paths: dict[Link | None, Path] = {}
        """What was measured of each link, for whoever asks its hosts for more."""

    def find(self, plan: Plan) -> None:
        """Ask all addresses of a plan."""
        groups: dict[tuple[Link | None, int], list[Block]] = {}
        for block in plan.blocks:
            groups.setdefault((block.link, block.cidr.version), []).append(block)
        for (link, version), blocks in groups.items():
            path = self.paths.setdefault(link, Path())
            if version == 6 and link:
                for block in blocks:
                    self._multicast(link, block, plan.own)
            for batch, addresses in _batches(blocks, plan.own):
                sure = self._batch(link, version, addresses, path)
                if self._ending.is_set():
                    return
                if sure:
                    self.sure.update(b.cidr for b in batch if b.whole and self._reached(b))
                self._done += len(addresses)

    def _batch(
        self, link: Link | None, version: int, addresses: Sequence[IpAddress], path: Path
    ) -> bool:
        """Whether all were asked, and whoever is there was heard."""
        attempted = f"asking {link.network} on {link.name}" if link else "asking through routers"
        try:
            if link and link.mac and version == 4 and self._wires.raw:
                return self._arp(link, addresses, path)
            if link and link.mac and sys.platform == "linux":
                return self._by_the_kernel(link, addresses)
            return self._through_routers(addresses, path)
        except OSError as error:
            remedy = "see whether the interface is still there and up"
            self._warn(Warned(attempted, why_os(error), remedy))
            return False

    def _reached(self, block: Block) -> bool:
        """Whether what is sent to a block goes out."""
        if fault := self.carriers.fault(block):
            where = f"{block.link.network} on {block.link.name}" if block.link else block.subnet
            self._warn(Warned(f"asking {where}", fault, "see to the link, and scan again"))
        return not fault

    def _arp(self, link: Link, addresses: Sequence[IpAddress], path: Path) -> bool:
        """Whether all were asked so that whoever is there was heard.

        Who is there is told at the end, when it shows which MACs answer for others.
        """
        said: dict[IpAddress, str] = {}
        doubled: set[IpAddress] = set()
        of_mac: dict[str, dict[IpAddress, float | None]] = {}

        def tell(ip: IpAddress, mac: str, since: float) -> None:
            if said.setdefault(ip, mac) == mac:
                of_mac.setdefault(mac, {}).setdefault(ip, since)
            elif ip not in doubled:
                doubled.add(ip)
                why = f"both {said[ip]} and {mac} answer for it"
                self._warn(Warned(f"asking who has {ip}", why, "give one of them another address"))

        with closing(Arp(link, addresses, tell)) as asker:
            self._sweep(asker, len(addresses), path, ARP_RATE)
        return self._judged(link, of_mac, Sign.ARP)

    def _judged(
        self, link: Link, of_mac: Mapping[str, Mapping[IpAddress, float | None]], sign: Sign
    ) -> bool:
        """Tell who is there by the MACs that answered; whether all others were asked otherwise.

        What answers for many addresses answers for others: that those are there is not known by
        it, and they are asked as behind a router.
        """
        for mac, at in of_mac.items():
            if len(at) > MANY and mac not in self._proxies:
                self._proxies.add(mac)
                why = f"{mac} answers for {len(at)} addresses, as a router does for others"
                remedy = "of these only those are told that answer an echo or a connection"
                self._warn(Warned(f"asking {link.network} on {link.name}", why, remedy))
            if mac not in self._proxies:
                for ip, since in at.items():
                    self._tell(ip, sign, mac, since)
        behind = [ip for mac, at in of_mac.items() if mac in self._proxies for ip in at]
        return not behind or self._through_routers(behind, Path())

    def _through_routers(self, addresses: Sequence[IpAddress], path: Path) -> bool:
        """Ask by ICMP, and knock at who does not answer. Whether all were asked by ICMP: a knock
        alone is not heard by whoever drops what he does not serve."""
        answered: set[IpAddress] = set()
        sure = self._echoes(addresses, path, answered)
        self._knock([ip for ip in addresses if ip not in answered], path)
        return sure

    def _echoes(self, addresses: Sequence[IpAddress], path: Path, answered: set[IpAddress]) -> bool:
        """Ask by ICMP, and add to ``answered``. Whether all were asked."""

        def tell(ip: IpAddress, since: float) -> None:
            answered.add(ip)
            self._tell(ip, Sign.ICMP, None, since)

        try:
            with closing(Echoes(addresses, tell)) as asker:
                self._sweep(asker, len(addresses), path, ECHO_RATE)
                fault = asker.fault
        except PermissionError:
            self._warn(
                Warned(
                    "asking by ICMP echo",
                    "this user may not send pings",
                    "allow it: sysctl net.ipv4.ping_group_range='0 2147483647'",
                )
            )
            return False
        if fault:
            remedy = "see whether there is a route, and what this machine's own firewall drops"
            self._warn(Warned("asking by ICMP echo", why_os(fault), remedy))
        return fault is None

    def _sweep(self, asker: Asker, count: int, path: Path, rate: float) -> None:
        bucket = Bucket(min(rate, self._options.rate), time.monotonic())
        sweep(asker, count, path, bucket, self._ending, lambda n: self._advanced(self._done + n))

    def _knock(self, addresses: Sequence[IpAddress], path: Path) -> None:
        """Ask for a few ports: who says that one is closed is there as well."""
        if not addresses or self._ending.is_set():
            return
        ports, now = Ports(KNOCKED), time.monotonic()
        rate = min(ECHO_RATE, self._options.rate)
        targets = (
            (Target(ip, ports, path, self._options.target_rate, now), self._wires.to(ip, None))
            for ip in addresses
        )

        def done(target: Target) -> None:
            if target.answers:
                trip = target.round_trip_ms
                self._tell(target.ip, Sign.TCP, None, None if trip is None else trip / 1000)

        Asking(
            targets,
            Bucket(rate, now),
            self._ending,
            found=lambda _: None,
            done=done,
            advanced=lambda _: None,
        ).run()

    def _by_the_kernel(self, link: Link, addresses: Sequence[IpAddress]) -> bool:
        """Have the kernel resolve the addresses, and see in its table who is there."""
        sure = True
        of_mac: dict[str, dict[IpAddress, float | None]] = {}

        def found(ip: IpAddress, mac: str) -> None:
            of_mac.setdefault(mac, {})[ip] = None

        table = arp_table()
        free = (table.most - table.entries) * _PLACES_TAKEN if table else AT_ONCE
        size = max(64, int(free))
        for start in range(0, len(addresses), size):
            sure = self._resolve(addresses[start : start + size], found) and sure
            if self._ending.is_set():
                break
        sign = Sign.NEIGHBOUR if addresses[0].version == 4 else Sign.NDP
        sure = self._judged(link, of_mac, sign) and sure and not self._ending.is_set()
        after = arp_table()
        return sure and (table is None or after is None or after.overflows == table.overflows)

    def _resolve(
        self, ordered: Sequence[IpAddress], found: Callable[[IpAddress, str], None]
    ) -> bool:
        """Whether the kernel asked for all of them until they answered or it gave them up."""
        addresses = frozenset(ordered)
        bucket = Bucket(min(ARP_RATE, self._options.rate), time.monotonic())
        sure = True
        for start in range(0, len(ordered), _OF_ONE_SOCKET):
            sure = self._poke(ordered[start : start + _OF_ONE_SOCKET], bucket) and sure
        until = time.monotonic() + _RESOLVED_WITHIN
        told: set[IpAddress] = set()
        while not self._ending.wait(_BETWEEN_LOOKS):
            pending = False
            neighbours = self._neighbours()
            if neighbours is None:
                break
            for one in neighbours:
                if one.ip not in addresses or one.ip in told:
                    continue
                if one.mac and one.state is not NeighbourState.FAILED:
                    told.add(one.ip)
                    found(one.ip, one.mac)
                elif one.state is NeighbourState.OTHER:
                    pending = True
            if not pending:
                return sure
            if time.monotonic() > until:
                break
        return False

    def _poke(self, addresses: Sequence[IpAddress], bucket: Bucket) -> bool:
        """Send each address something for which the kernel must know who has it."""
        sure = True
        family = socket.AF_INET6 if addresses[0].version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as poke:
            poke.setblocking(False)
            for ip in addresses:
                while bucket.available(time.monotonic()) < 1 and not self._ending.wait(0.002):
                    pass
                bucket.sent(1, time.monotonic())
                try:
                    poke.sendto(b"", (str(ip), _DISCARD))
                except OSError as error:
                    # Told of one that was given up before; it was asked for as well.
                    sure = sure and error.errno == errno.EHOSTUNREACH
        return sure

    def _neighbours(self) -> tuple[Neighbour, ...] | None:
        try:
            return local.neighbours()
        except (OSError, MooringError) as error:
            log.warning("neighbours_unknown", reason=str(error))
            return None

    def _multicast(self, link: Link, block: Block, own: frozenset[IpAddress]) -> None:
        """An IPv6 subnet: its neighbours, and whoever answers when all nodes are asked."""
        wanted = [part for part in block.asked if part.num_addresses > 1]
        if not wanted:
            return
        import ipaddress

        trips: dict[IpAddress, float] = {}
        try:
            for text, since in all_nodes(link, self._ending, MAX_HOSTS).items():
                trips[ipaddress.ip_address(text)] = since
        except OSError as error:
            self._warn(Warned(f"asking all nodes on {link.name}", why_os(error)))
        macs = {
            one.ip: one.mac
            for one in self._neighbours() or ()
            if one.interface == link.name and one.mac and one.state is not NeighbourState.FAILED
        }
        known = [ip for ip in {**trips, **macs} if ip not in own]
        there = [ip for ip in known if any(ip in part for part in wanted)][:MAX_HOSTS]
        for ip in there:
            if ip in trips:
                self._tell(ip, Sign.ICMP, macs.get(ip), trips[ip])
        # What the kernel held may have gone: it is asked, and the table looked at again.
        silent = [ip for ip in there if ip not in trips]
        if silent:
            self._resolve(silent, lambda ip, mac: self._tell(ip, Sign.NDP, mac, None))


def _batches(
    blocks: Iterable[Block], own: frozenset[IpAddress]
) -> Iterator[tuple[list[Block], list[IpAddress]]]:
    """Blocks that are asked side by side, and their addresses but for our own."""
    batch: list[Block] = []
    addresses: list[IpAddress] = []
    for block in blocks:
        batch.append(block)
        addresses += [ip for ip in block.addresses() if ip not in own]
        if len(addresses) >= AT_ONCE:
            yield batch, addresses
            batch, addresses = [], []
    if addresses:
        yield batch, addresses
