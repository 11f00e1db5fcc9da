"""A scan: a plan in, events out, as they come. Its threads send and listen; the loop never waits.

``Scanner.scan`` is the one door; see ``mooring.discovery.scan``.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import replace

import structlog

from mooring.core.errors import why_os
from mooring.core.tasks import Tasks
from mooring.discovery.scan import ports
from mooring.discovery.scan.asking import Asking
from mooring.discovery.scan.budget import Bucket
from mooring.discovery.scan.events import (
    Advanced,
    BlockAsked,
    Event,
    Found,
    HostDone,
    HostFound,
    Phase,
    PhaseBegan,
    PortsFound,
    Warned,
)
from mooring.discovery.scan.hosts import Hosts
from mooring.discovery.scan.mdns import Mdns
from mooring.discovery.scan.options import ScanOptions
from mooring.discovery.scan.plan import Plan
from mooring.discovery.scan.table import ArpTable, arp_table
from mooring.discovery.scan.target import Path, Ports, Target
from mooring.discovery.scan.wires import Wire
from mooring.discovery.scan.wiring import Wires
from mooring.model.net import IpAddress
from mooring.model.scan import Depth, Sign

log = structlog.get_logger(__name__)

BETWEEN_ADVANCES = 0.2
"""Seconds between two words on how far it is."""

_TABLE_FULL = 0.9


class Scanner:
    def __init__(self, options: ScanOptions | None = None) -> None:
        self._options = options or ScanOptions()

    async def scan(self, plan: Plan, depth: Depth) -> AsyncGenerator[Event, None]:
        """Scan, and give each event as it comes. To end it early, close the generator."""
        told: asyncio.Queue[Event | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        ending = threading.Event()

        def tell(event: Event | None) -> None:
            loop.call_soon_threadsafe(told.put_nowait, event)

        work = _Work(self._options, plan, depth, ending, tell)
        mdns = Mdns(plan, work.addresses, work.named)
        async with Tasks("scan") as tasks:
            asking = loop.run_in_executor(None, work.run)

            async def until_all_is_told() -> None:
                over = asyncio.Event()
                listening = tasks.start("mdns", mdns.listen(over))
                try:
                    await asyncio.shield(asking)
                    over.set()
                    await asyncio.wait([listening])
                finally:
                    tell(None)

            telling = tasks.start("telling", until_all_is_told(), awaited=True)
            try:
                while (event := await told.get()) is not None:
                    yield event
                await telling
            finally:
                # A thread can't be cancelled: it ends by itself, having closed what it opened.
                ending.set()
                await asyncio.wait([asking])


class _Work:
    """One scan, in its thread."""

    def __init__(
        self,
        options: ScanOptions,
        plan: Plan,
        depth: Depth,
        ending: threading.Event,
        tell: Callable[[Event], None],
    ) -> None:
        self._options = options
        self._plan = plan
        self._ending = ending
        self._tell = tell
        self._ports = Ports(ports.asked(depth, options))
        self._found: dict[IpAddress, Found] = {}
        self._order: list[IpAddress] = []
        self._named: dict[IpAddress, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self._lock = threading.Lock()
        self._warned: set[Warned] = set()
        self._began = 0.0
        self._total = 0
        self._advanced_at = 0.0
        self._wires = Wires(plan.own)
        self._cut: dict[str, str] = {}
        """The ways on which something did not go out, and why."""

    def run(self) -> None:
        started = time.monotonic()
        before = arp_table()
        try:
            if not self._wires.raw:
                self._warn(_WITHOUT_RIGHTS)
            hosts = Hosts(
                self._options, self._wires, self._ending, self._host, self._warn, self._advanced
            )
            total = sum(1 for block in self._plan.blocks for _ in block.addresses())
            self._begin("hosts", total)
            self._ourselves()
            hosts.find(self._plan)
            self._judge_table(before, arp_table())
            for block in self._plan.blocks:
                if block.cidr in hosts.sure:
                    self._tell(BlockAsked(block.cidr))
            if self._ports.numbers and not self._ending.is_set():
                self._ask(hosts)
        finally:
            self._wires.close()
        log.info(
            "scanned",
            blocks=len(self._plan.blocks),
            hosts=len(self._found),
            ports=len(self._ports.numbers),
            raw=self._wires.raw,
            ended_early=self._ending.is_set(),
            elapsed_s=round(time.monotonic() - started, 2),
        )

    def _ourselves(self) -> None:
        for ip in self._plan.own:
            if block := self._plan.block_of(ip):
                self._host(ip, Sign.SELF, block.link.mac if block.link else None, None)

    def addresses(self, start: int) -> list[IpAddress]:
        """Those of the hosts found, from the ``start``-th on. For any thread."""
        return self._order[start:]

    def named(
        self, ip: IpAddress, names: tuple[str, ...], types: tuple[str, ...], spoken: bool
    ) -> None:
        """What mDNS tells of an address; ``spoken``: it came from there. For any thread."""
        with self._lock:
            self._named[ip] = (names, types)
        if spoken and ip not in self._plan.own:
            self._host(ip, Sign.MDNS, None, None)
        elif ip in self._found:
            self._host(ip, None, None, None)

    def _host(self, ip: IpAddress, sign: Sign | None, mac: str | None, trip: float | None) -> None:
        """Keep what is new of a host, and tell of it. For any thread."""
        with self._lock:
            before = self._found.get(ip)
            now = before or Found(ip, ())
            if sign and sign not in now.signs:
                signs = (*now.signs, sign)
                now = replace(now, signs=tuple(one for one in Sign if one in signs))
            if now.mac is None and mac is not None:
                now = replace(now, mac=mac)
            if now.round_trip_ms is None and trip is not None:
                now = replace(now, round_trip_ms=round(trip * 1000, 3))
            names, types = self._named.get(ip, (now.names, now.mdns))
            now = replace(now, names=names, mdns=types)
            if now == before:
                return
            if before is None:
                self._order.append(ip)
            self._found[ip] = now
            self._tell(HostFound(now))

    def _ask(self, hosts: Hosts) -> None:
        self._begin("ports", len(self._found) * len(self._ports.numbers))
        asking = Asking(
            self._targets(hosts),
            Bucket(self._options.rate, time.monotonic()),
            self._ending,
            found=self._open,
            done=lambda target: self._done(target, hosts),
            advanced=self._advanced,
        )
        asking.run()
        for where, why in self._cut.items():
            remedy = "what is not shown as open there may be so: see to the link, and scan again"
            self._warn(Warned(f"sending on {where}", why, remedy))

    def _targets(self, hosts: Hosts) -> Iterator[tuple[Target, Wire]]:
        rate = self._options.target_rate
        for host in tuple(self._found.values()):
            block = self._plan.block_of(host.ip)
            link = block.link if block else None
            path = hosts.paths.setdefault(link, Path())
            target = Target(host.ip, self._ports, path, rate, time.monotonic(), host.mac)
            try:
                yield target, self._wires.to(host.ip, link, host.mac)
            except OSError as error:
                self._warn(Warned(f"asking {host.ip} for its ports", why_os(error)))

    def _open(self, target: Target) -> None:
        new = target.open[target.told :]
        target.told = len(target.open)
        if new:
            self._tell(PortsFound(target.ip, tuple(new)))

    def _went_out(self, target: Target, hosts: Hosts) -> bool:
        """Whether all questions to a host did."""
        block = self._plan.block_of(target.ip)
        if block is None or target.ip in self._plan.own:
            return True
        why = why_os(target.fault) if target.fault else hosts.carriers.fault(block)
        if why:
            self._cut.setdefault(block.link.name if block.link else "routed links", why)
        return not why

    def _done(self, target: Target, hosts: Hosts) -> None:
        self._open(target)
        if target.answers:
            trip = target.round_trip_ms
            self._host(target.ip, Sign.TCP, None, None if trip is None else trip / 1000)
        sure = self._went_out(target, hosts)
        self._tell(HostDone(target.ip, tuple(sorted(target.open)), target.all_open, sure))
        if target.all_open:
            self._warn(
                Warned(
                    f"asking {target.ip} for its ports",
                    f"it takes connections on all of them: {len(target.open)} were found open, "
                    "and it was not asked for more",
                    "a firewall or a trap answers in its place; what is behind it can't be told",
                )
            )

    def _begin(self, phase: Phase, total: int) -> None:
        self._began = self._advanced_at = time.monotonic()
        self._total = total
        self._tell(PhaseBegan(phase, total))

    def _advanced(self, done: int) -> None:
        now = time.monotonic()
        if now - self._advanced_at < BETWEEN_ADVANCES:
            return
        self._advanced_at = now
        left = (now - self._began) / done * (self._total - done) if done else None
        self._tell(Advanced(done, left))

    def _warn(self, warned: Warned) -> None:
        if warned not in self._warned:
            self._warned.add(warned)
            self._tell(warned)

    def _judge_table(self, before: ArpTable | None, after: ArpTable | None) -> None:
        """Say so when the machine's ARP table is too small for who was found."""
        if before is None or after is None:
            return
        on_link = sum(
            host.mac is not None and host.ip.version == 4 for host in self._found.values()
        )
        overflowed = after.overflows > before.overflows
        if not overflowed and max(after.entries, on_link) < _TABLE_FULL * after.most:
            return
        why = f"the machine's ARP table holds {after.most:,} entries, and "
        why += "it overflowed: hosts may be missing" if overflowed else "it is nearly full"
        more = 1 << (max(2 * after.most, 4 * on_link) - 1).bit_length()
        self._warn(
            Warned(
                "looking who is there",
                why,
                f"make it larger: sysctl -w net.ipv4.neigh.default.gc_thresh3={more} "
                f"net.ipv4.neigh.default.gc_thresh2={more // 2}",
            )
        )


_WITHOUT_RIGHTS = Warned(
    "scanning by raw packets",
    "this process may not open raw sockets (CAP_NET_RAW); hosts are asked through the kernel, "
    "by connections, which is slower",
    "run it as root (sudo), or give the right to its Python: setcap cap_net_raw+ep PYTHON",
)
