"""Finds who is there: by ARP, the kernel's neighbours, ICMP and TCP, as each network allows.

Of one thread. Tells of each sign as it comes; joins nothing and forgets what it told.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress

import structlog

from mooring.core.errors import MooringError, why_os
from mooring.discovery import local
from mooring.discovery.scan.arp import RATE as ARP_RATE
from mooring.discovery.scan.arp import Arp
from mooring.discovery.scan.asking import Asking
from mooring.discovery.scan.budget import Bucket
from mooring.discovery.scan.echo import RATE as ECHO_RATE
from mooring.discovery.scan.echo import Echoes, all_nodes
from mooring.discovery.scan.events import Warned
from mooring.discovery.scan.options import ScanOptions
from mooring.discovery.scan.plan import Block, Link, Plan
from mooring.discovery.scan.sweeping import Asker, sweep
from mooring.discovery.scan.table import arp_table
from mooring.discovery.scan.target import Path, Ports, Target
from mooring.discovery.scan.wiring import Wires
from mooring.model.net import IpAddress, Neighbour, NeighbourState
from mooring.model.scan import MAX_HOSTS, Sign

log = structlog.get_logger(__name__)

KNOCKED = (443, 80, 22, 445)
"""TCP ports at which an address behind a router is knocked that does not answer an echo."""

AT_ONCE = 4096
"""Addresses that are asked side by side: memory does not grow with a network."""

_DISCARD = 9
_RESOLVED_WITHIN = 3.5
"""Seconds after which the kernel has given an address up: three ARP requests, one a second."""
_BETWEEN_LOOKS = 0.2
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
            for addresses in _batches(blocks, plan.own):
                if self._ending.is_set():
                    return
                self._batch(link, version, addresses, path)
                self._done += len(addresses)

    def _batch(
        self, link: Link | None, version: int, addresses: Sequence[IpAddress], path: Path
    ) -> None:
        attempted = f"asking {link.network} on {link.name}" if link else "asking through routers"
        try:
            if link and link.mac and version == 4 and self._wires.raw:
                self._arp(link, addresses, path)
            elif link and link.mac and sys.platform == "linux":
                self._by_the_kernel(addresses)
            else:
                silent = self._echoes(addresses, path)
                self._knock(silent, path)
        except OSError as error:
            remedy = "see whether the interface is still there and up"
            self._warn(Warned(attempted, why_os(error), remedy))

    def _arp(self, link: Link, addresses: Sequence[IpAddress], path: Path) -> None:
        said: dict[IpAddress, str] = {}

        def tell(ip: IpAddress, mac: str, since: float) -> None:
            if said.setdefault(ip, mac) == mac:
                self._tell(ip, Sign.ARP, mac, since)
            else:
                why = f"both {said[ip]} and {mac} answer for it"
                self._warn(Warned(f"asking who has {ip}", why, "give one of them another address"))

        with closing(Arp(link, addresses, tell)) as asker:
            self._sweep(asker, len(addresses), path, ARP_RATE)

    def _echoes(self, addresses: Sequence[IpAddress], path: Path) -> list[IpAddress]:
        """Ask by ICMP; who did not answer. All, where ICMP is not allowed."""
        answered: set[IpAddress] = set()

        def tell(ip: IpAddress, since: float) -> None:
            answered.add(ip)
            self._tell(ip, Sign.ICMP, None, since)

        try:
            with closing(Echoes(addresses, tell)) as asker:
                self._sweep(asker, len(addresses), path, ECHO_RATE)
        except PermissionError:
            self._warn(
                Warned(
                    "asking by ICMP echo",
                    "this user may not send pings",
                    "allow it: sysctl net.ipv4.ping_group_range='0 2147483647'",
                )
            )
        return [ip for ip in addresses if ip not in answered]

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

    def _by_the_kernel(self, addresses: Sequence[IpAddress]) -> None:
        """Have the kernel resolve the addresses, and see in its table who is there."""
        table = arp_table()
        free = (table.most - table.entries) * _PLACES_TAKEN if table else AT_ONCE
        size = max(64, int(free))
        for start in range(0, len(addresses), size):
            part = frozenset(addresses[start : start + size])
            self._resolve(part)
            if self._ending.is_set():
                return

    def _resolve(self, addresses: frozenset[IpAddress]) -> None:
        bucket = Bucket(min(ARP_RATE, self._options.rate), time.monotonic())
        family = socket.AF_INET6 if next(iter(addresses)).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as poke:
            poke.setblocking(False)
            for ip in addresses:
                while bucket.available(time.monotonic()) < 1 and not self._ending.wait(0.002):
                    pass
                bucket.take(1)
                # Whatever it says: what counts is that the kernel asks who has the address.
                with suppress(OSError):
                    poke.sendto(b"", (str(ip), _DISCARD))
        until = time.monotonic() + _RESOLVED_WITHIN
        told: set[IpAddress] = set()
        while not self._ending.wait(_BETWEEN_LOOKS):
            pending = False
            for one in self._neighbours():
                if one.ip not in addresses or one.ip in told:
                    continue
                if one.mac and one.state is not NeighbourState.FAILED:
                    told.add(one.ip)
                    sign = Sign.NEIGHBOUR if one.ip.version == 4 else Sign.NDP
                    self._tell(one.ip, sign, one.mac, None)
                elif one.state is NeighbourState.OTHER:
                    pending = True
            if not pending or time.monotonic() > until:
                return

    def _neighbours(self) -> tuple[Neighbour, ...]:
        try:
            return local.neighbours()
        except (OSError, MooringError) as error:
            log.warning("neighbours_unknown", reason=str(error))
            return ()

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
            for one in self._neighbours()
            if one.interface == link.name and one.mac and one.state is not NeighbourState.FAILED
        }
        known = [ip for ip in {**trips, **macs} if ip not in own]
        there = [ip for ip in known if any(ip in part for part in wanted)][:MAX_HOSTS]
        for ip in there:
            if ip in trips:
                self._tell(ip, Sign.ICMP, macs.get(ip), trips[ip])
        # What the kernel held may have gone: it is asked, and the table looked at again.
        silent = frozenset(ip for ip in there if ip not in trips)
        if silent:
            self._resolve(silent)


def _batches(blocks: Iterable[Block], own: frozenset[IpAddress]) -> Iterator[list[IpAddress]]:
    batch: list[IpAddress] = []
    for block in blocks:
        batch += [ip for ip in block.addresses() if ip not in own]
        if len(batch) >= AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
