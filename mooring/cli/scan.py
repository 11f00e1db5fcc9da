"""``mooring discover --scan``: networks scanned from here, and what was found printed."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mooring.core.errors import UsageError
from mooring.core.targets import target_of
from mooring.discovery import local
from mooring.discovery.scan.events import (
    Advanced,
    Event,
    Found,
    HostDone,
    HostFound,
    PhaseBegan,
    PortsFound,
    Warned,
)
from mooring.discovery.scan.options import ScanOptions
from mooring.discovery.scan.plan import Here, Plan, permitted
from mooring.discovery.scan.run import Scanner
from mooring.model.net import IpAddress
from mooring.model.scan import Depth

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

ATTACHED = "attached"
"""The word for all networks that this machine is in."""

_DOING = {"hosts": "who is there", "ports": "what is open"}
_INTERRUPTED = 130


@dataclass(slots=True)
class Collected:
    """What a scan has found so far."""

    hosts: dict[IpAddress, Found] = field(default_factory=dict)
    ports: dict[IpAddress, set[int]] = field(default_factory=dict)
    all_open: set[IpAddress] = field(default_factory=set)
    warnings: list[Warned] = field(default_factory=list)
    elapsed_s: float = 0.0
    whole: bool = False

    def take(self, event: Event) -> None:
        match event:
            case HostFound(host):
                self.hosts[host.ip] = host
            case PortsFound(ip, ports) | HostDone(ip, ports):
                self.ports.setdefault(ip, set()).update(ports)
                if isinstance(event, HostDone) and event.all_open:
                    self.all_open.add(ip)
            case Warned():
                self.warnings.append(event)
            case _:
                pass

    def in_order(self) -> list[Found]:
        return sorted(self.hosts.values(), key=lambda host: (host.ip.version, int(host.ip)))

    def summary(self) -> str:
        count = sum(len(ports) for ports in self.ports.values())
        begun = "" if self.whole else "ended early: "
        return f"{begun}{len(self.hosts)} hosts, {count} open ports, {self.elapsed_s:.1f} s"


def scan(
    targets: Sequence[str],
    *,
    depth: Depth,
    allow: Sequence[str],
    interface: str | None,
    options: ScanOptions,
    as_json: bool,
) -> None:
    """Scan and print. Ctrl-C ends it, and what was found by then is printed."""
    if ATTACHED in targets and len(targets) > 1:
        why = f"{ATTACHED!r} means all networks that this machine is in"
        raise UsageError("reading the targets", why, "name it alone")
    named = [target_of(text) for text in targets if text != ATTACHED]
    seen = local.see()
    here = Here(seen.interfaces, seen.routes)
    plan = permitted(named, here, [target_of(text) for text in allow], interface)
    collected = Collected()
    with suppress(KeyboardInterrupt):
        asyncio.run(_collect(plan, depth, options, collected))
    if as_json:
        print(json.dumps(_as_json(plan, collected), indent=2))
    else:
        _print(plan, collected)
    if not collected.whole:
        sys.exit(_INTERRUPTED)


def usual_ports() -> tuple[int, ...]:
    """Those that the catalogue's services are usually found on."""
    from mooring.discovery import catalogue

    return catalogue.load(catalogue.users_folders()).catalogue.light_ports


async def _collect(plan: Plan, depth: Depth, options: ScanOptions, collected: Collected) -> None:
    started = time.monotonic()
    bar = _Bar() if sys.stderr.isatty() else None
    try:
        async with aclosing(Scanner(options).scan(plan, depth)) as events:
            async for event in events:
                collected.take(event)
                if bar is not None:
                    bar.show(event, len(collected.hosts))
        collected.whole = True
    finally:
        collected.elapsed_s = time.monotonic() - started
        if bar is not None:
            bar.end()


class _Bar:
    """How far a scan is, on a terminal; gone when it has ended."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[hosts]} hosts"),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._phase: TaskID | None = None

    def show(self, event: Event, hosts: int) -> None:
        if isinstance(event, PhaseBegan):
            if self._phase is not None:
                self._bar.remove_task(self._phase)
            self._phase = self._bar.add_task(_DOING[event.phase], total=event.total, hosts=hosts)
        elif isinstance(event, Advanced) and self._phase is not None:
            self._bar.update(self._phase, completed=event.done, hosts=hosts)

    def end(self) -> None:
        self._bar.stop()


def _print(plan: Plan, collected: Collected) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold dim")
    for column in ("address", "name", "MAC", "by", "ms", "open ports"):
        table.add_column(column, overflow="fold")
    for host in collected.in_order():
        ports = " ".join(str(port) for port in sorted(collected.ports.get(host.ip, ())))
        if host.ip in collected.all_open:
            ports = "all that were asked"
        trip = "" if host.round_trip_ms is None else f"{host.round_trip_ms:.1f}"
        signs = ", ".join(host.signs)
        name = host.names[0] if host.names else ""
        # What a host says of itself is text, and no markup.
        table.add_row(str(host.ip), escape(name), host.mac or "", signs, trip, ports)
    if collected.hosts:
        console.print(table)
        console.print()
    console.print(collected.summary())
    for reason in plan.left_out:
        console.print(f"not scanned: {reason}")
    for one in collected.warnings:
        console.print(f"[yellow]{one.what}[/yellow]: {one.why}" + _indented(one.remedy))


def _indented(remedy: str) -> str:
    return f"\n  {remedy}" if remedy else ""


def _as_json(plan: Plan, collected: Collected) -> dict[str, Any]:
    return {
        "blocks": [str(block.cidr) for block in plan.blocks],
        "hosts": [
            {
                "ip": str(host.ip),
                "signs": list(host.signs),
                "mac": host.mac,
                "names": list(host.names),
                "mdns": list(host.mdns),
                "round_trip_ms": host.round_trip_ms,
                "ports": sorted(collected.ports.get(host.ip, ())),
                "all_open": host.ip in collected.all_open,
            }
            for host in collected.in_order()
        ],
        "left_out": list(plan.left_out),
        "warnings": [
            {"what": one.what, "why": one.why, "remedy": one.remedy} for one in collected.warnings
        ],
        "whole": collected.whole,
        "elapsed_s": round(collected.elapsed_s, 3),
    }
