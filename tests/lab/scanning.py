"""A scan run inside a namespace, and what it found put beside the truth."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from mooring.core.targets import target_of
from mooring.discovery import local
from mooring.discovery.scan import plan
from mooring.discovery.scan.events import (
    BlockAsked,
    Event,
    Found,
    HostDone,
    HostFound,
    PhaseBegan,
    Warned,
)
from mooring.discovery.scan.options import ScanOptions
from mooring.discovery.scan.run import Scanner
from mooring.model.scan import Depth
from tests.lab.netns import Namespace


@dataclass(slots=True)
class Result:
    hosts: dict[str, Found] = field(default_factory=dict)
    ports: dict[str, frozenset[int]] = field(default_factory=dict)
    all_open: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    """Hosts that were not asked for all of their ports."""
    warnings: list[Warned] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Blocks in which whoever was not found is not there."""

    def take(self, event: Event) -> None:
        match event:
            case HostFound(host):
                self.hosts[str(host.ip)] = host
            case HostDone(ip, ports, all_open, sure):
                assert str(ip) not in self.ports
                self.ports[str(ip)] = frozenset(ports)
                if all_open:
                    self.all_open.add(str(ip))
                if not sure:
                    self.unsure.add(str(ip))
            case Warned():
                self.warnings.append(event)
            case BlockAsked(cidr):
                self.asked.append(str(cidr))
            case PhaseBegan(phase, _):
                self.phases.append(phase)
            case _:
                pass


def planned(
    targets: Sequence[str], allowed: Sequence[str] = (), interface: str | None = None
) -> plan.Plan:
    """As seen from where the calling thread is."""
    seen = local.see()
    here = plan.Here(seen.interfaces, seen.routes)
    allow = [ipaddress.ip_network(one) for one in allowed]
    return plan.permitted([target_of(one) for one in targets], here, allow, interface)


async def gather(of: plan.Plan, depth: Depth, options: ScanOptions | None = None) -> Result:
    """All that a scan tells."""
    result = Result()
    async with aclosing(Scanner(options).scan(of, depth)) as events:
        async for event in events:
            result.take(event)
    return result


def scan(
    ns: Namespace,
    targets: Sequence[str],
    depth: Depth = Depth.LIGHT,
    options: ScanOptions | None = None,
    allowed: Sequence[str] = (),
) -> Result:
    """Scan from inside a namespace."""

    def inside() -> Result:
        return asyncio.run(gather(planned(targets, allowed), depth, options))

    return ns.call(inside)
