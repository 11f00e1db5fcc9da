"""``mooring discover --scan``: networks scanned from here, and what was found printed."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mooring.cli.words import counted
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
from mooring.model.scan import ALL_OPEN, Depth
from mooring.model.service import OpenPort, Protocol, Service

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.table import Table

    from mooring.discovery.scan_run import Tools
    from mooring.discovery.scan_services import Asking

ATTACHED = "attached"
"""The word for all networks that this machine is in."""

_DOING = {"hosts": "who is there", "ports": "what is open", "services": "what answers there"}
_INTERRUPTED = 130


@dataclass(slots=True)
class Collected:
    """What a scan has found so far."""

    hosts: dict[IpAddress, Found] = field(default_factory=dict)
    ports: dict[IpAddress, set[int]] = field(default_factory=dict)
    all_open: set[IpAddress] = field(default_factory=set)
    answered: dict[IpAddress, dict[tuple[Protocol, int], OpenPort]] = field(default_factory=dict)
    """Ports that were asked what they are."""
    known: dict[IpAddress, tuple[str, tuple[Service, ...]]] = field(default_factory=dict)
    """A host's vendor, and its services that no port shows."""
    warnings: list[Warned] = field(default_factory=list)
    ports_asked: bool = True
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

    def take_answers(self, ip: IpAddress, ports: Sequence[OpenPort]) -> None:
        self.answered.setdefault(ip, {}).update(((p.protocol, p.number), p) for p in ports)

    def open_ports(self, ip: IpAddress) -> list[OpenPort]:
        """All of a host, with what answers there as far as it is known."""
        tcp = {(Protocol.TCP, number): OpenPort(Protocol.TCP, number) for number in self.tcp(ip)}
        return [port for _, port in sorted({**tcp, **self.answered.get(ip, {})}.items())]

    def tcp(self, ip: IpAddress) -> list[int]:
        return sorted(self.ports.get(ip, ()))

    def in_order(self) -> list[Found]:
        return sorted(self.hosts.values(), key=lambda host: (host.ip.version, int(host.ip)))

    def summary(self) -> str:
        count = sum(len(self.open_ports(ip)) for ip in self.hosts)
        begun = "" if self.whole else "ended early: "
        services = sum(len(p.services) for ports in self.answered.values() for p in ports.values())
        services += sum(len(services) for _, services in self.known.values())
        found = [counted(len(self.hosts), "host")]
        if self.ports_asked:
            found.append(counted(count, "open port"))
        if self.known:
            found.append(counted(services, "service"))
        return f"{begun}{', '.join(found)}, {self.elapsed_s:.1f} s"


def scan(
    targets: Sequence[str],
    *,
    depth: Depth,
    services: bool,
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
    collected = Collected(ports_asked=depth is not Depth.NONE)
    with suppress(KeyboardInterrupt):
        tools = _tools(options) if services and depth is not Depth.NONE else None
        if tools is None and depth is Depth.LIGHT:
            options = replace(options, usual=_usual_ports())
        if tools is not None:
            collected.warnings += [Warned("reading the catalogue", t) for t in tools.warnings]
        asyncio.run(_collect(plan, depth, options, tools, collected))
    if as_json:
        print(json.dumps(_as_json(plan, collected), indent=2))
    else:
        _print(plan, collected, with_services=services and depth is not Depth.NONE)
    if not collected.whole:
        sys.exit(_INTERRUPTED)


def _tools(options: ScanOptions) -> Tools:
    # The catalogue takes a while to read: only where services are asked for.
    from mooring.discovery import scan_tools

    return scan_tools.tools(options)


def _usual_ports() -> tuple[int, ...]:
    """Those that the catalogue's services are usually found on."""
    from mooring.discovery import catalogue

    return catalogue.load(catalogue.users_folders()).catalogue.light_ports


async def _collect(
    plan: Plan, depth: Depth, options: ScanOptions, tools: Tools | None, collected: Collected
) -> None:
    started = time.monotonic()
    bar = _Bar(collected) if sys.stderr.isatty() else None
    try:
        async with asyncio.TaskGroup() as group:
            scanner = tools.scanner if tools else Scanner(options)
            asking = _asking(tools, group, collected, bar) if tools else None
            async with aclosing(scanner.scan(plan, depth)) as events:
                async for event in events:
                    collected.take(event)
                    if bar is not None:
                        bar.show(event)
                    if tools is not None and isinstance(event, HostFound):
                        collected.known[event.host.ip] = tools.know(event.host)
                    if asking is not None and isinstance(event, HostDone) and not event.all_open:
                        asking.add(event.ip, event.ports)
            if asking is not None:
                if bar is not None:
                    bar.begin("services", asking.total)
                    bar.advance("services", asking.done)
                await asking.wait()
        collected.whole = True
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    finally:
        collected.elapsed_s = time.monotonic() - started
        if bar is not None:
            bar.end()


def _asking(
    tools: Tools, group: asyncio.TaskGroup, collected: Collected, bar: _Bar | None
) -> Asking:
    from mooring.discovery.scan_services import Asking

    return Asking(
        tools,
        group,
        answered=collected.take_answers,
        failed=lambda text: collected.warnings.append(Warned("asking a port", text)),
        advanced=lambda done: bar.advance("services", done) if bar else None,
    )


class _Bar:
    """How far a scan is, on a terminal; gone when it has ended."""

    def __init__(self, collected: Collected) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._collected = collected
        self._bar: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[hosts]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._phase = ""
        self._task: TaskID | None = None

    def show(self, event: Event) -> None:
        if isinstance(event, PhaseBegan):
            self.begin(event.phase, event.total)
        elif isinstance(event, Advanced):
            self.advance(self._phase, event.done)

    def begin(self, phase: str, total: int) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._phase = phase
        self._task = self._bar.add_task(_DOING[phase], total=total, hosts=self._hosts())

    def advance(self, phase: str, done: int) -> None:
        """Ports are asked what they are while others are looked for: that is not shown."""
        if self._task is not None and phase == self._phase:
            self._bar.update(self._task, completed=done, hosts=self._hosts())

    def _hosts(self) -> str:
        return counted(len(self._collected.hosts), "host")

    def end(self) -> None:
        self._bar.stop()


def _print(plan: Plan, collected: Collected, *, with_services: bool) -> None:
    from rich.markup import escape

    from mooring.cli import tables

    console = tables.console()
    last = ("port", "service") if with_services else ("open ports",)
    columns = ("address", "name", "MAC", "by", "ms", *last)
    table = tables.table(*columns, unbroken=("address", "MAC"))
    for host in collected.in_order():
        _add(table, host, collected, with_services=with_services)
    if collected.hosts:
        console.print(tables.shown(table, console, wide=("by", "ms")))
        console.print()
    console.print(collected.summary())
    for reason in plan.left_out:
        console.print(escape(f"not scanned: {reason}"))
    for one in collected.warnings:
        said = escape(f"{one.why}{_indented(one.remedy)}")
        console.print(f"[yellow]{escape(one.what)}[/yellow]: {said}")


def _add(table: Table, host: Found, collected: Collected, *, with_services: bool) -> None:
    """A host; with services in as many lines as it has ports."""
    from rich.markup import escape

    trip = "" if host.round_trip_ms is None else f"{host.round_trip_ms:.1f}"
    name = host.names[0] if host.names else ""
    # What a host says of itself is text, and no markup.
    cells = [str(host.ip), escape(name), host.mac or "", ", ".join(host.signs), trip]
    if host.ip in collected.all_open:
        place = f"all {len(collected.tcp(host.ip))} that were asked"
        table.add_row(*cells, place, *([ALL_OPEN] if with_services else []))
        return
    if not with_services:
        table.add_row(*cells, " ".join(map(str, collected.tcp(host.ip))))
        return
    lines = [(_place(port), _what(port)) for port in collected.open_ports(host.ip)]
    own = collected.known.get(host.ip, ("", ()))[1]
    lines += [("", _titles(own))] if own else []
    for place, what in lines or [("", "")]:
        table.add_row(*cells, place, escape(what))
        cells = [""] * len(cells)


def _place(port: OpenPort) -> str:
    return f"{port.number}" if port.protocol is Protocol.TCP else f"{port.number}/{port.protocol}"


def _what(port: OpenPort) -> str:
    what = _titles(port.services) or (f"? {port.says}" if port.says else "")
    return f"{what} (TLS)" if port.tls else what


def _titles(services: Sequence[Service]) -> str:
    return ", ".join(f"{one.title} {one.version}".strip() for one in services)


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
                "ports": collected.tcp(host.ip),
                "all_open": host.ip in collected.all_open,
                **_services(host.ip, collected),
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


def _services(ip: IpAddress, collected: Collected) -> dict[str, Any]:
    """What answers on a host, with the evidence; nothing where services were not asked for."""
    if ip not in collected.known:
        return {}
    from mooring.model import wire

    vendor, services = collected.known[ip]
    return {
        "vendor": vendor,
        "services": [wire.to_builtins(one) for one in services],
        "answers": [wire.to_builtins(one) for one in collected.open_ports(ip)],
    }
