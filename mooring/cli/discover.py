"""``mooring discover``: one look at this machine, printed. Needs no server."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from mooring.cli.options import Format, LogLevel
from mooring.cli.words import counted
from mooring.core import log as logging
from mooring.core.errors import UsageError
from mooring.discovery.scan.options import RATE, TARGET_RATE, ScanOptions
from mooring.model.net import InterfaceState
from mooring.model.scan import Depth

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mooring.model.container import Engine
    from mooring.model.machine import Machine

Scan = Annotated[
    list[str] | None,
    Parameter(
        help="Scan a network (192.168.1.0/24) or a host instead; `attached` for all networks that "
        "this machine is in."
    ),
]
Allow = Annotated[
    list[str] | None,
    Parameter(help="A network that may be scanned though this machine is not in it."),
]
Rate = Annotated[float, Parameter(validator=validators.Number(gte=1))]


def discover(
    *,
    scan: Scan = None,
    full: bool = False,
    hosts_only: bool = False,
    services: bool = True,
    allow: Allow = None,
    interface: str | None = None,
    rate: Rate = RATE,
    target_rate: Rate = TARGET_RATE,
    format: Format = "table",  # noqa: A002
    log_level: LogLevel = "warning",
) -> None:
    """Look at this machine once and print what is seen, or scan networks from here.

    Interfaces, subnets, routes, neighbours, and the containers of Docker and Podman; with --scan
    the hosts of a network, their open ports, and what answers there.

    Args:
        full: Look at all 65,535 ports, not only at those that services are usually found on.
        hosts_only: Look only who is there.
        services: Ask open ports what they are.
        interface: Take only this interface's networks as this machine's.
        rate: Packets a second at the most.
        target_rate: Packets a second to any one host at the most.
    """
    logging.set_up(log_level)
    if full and hosts_only:
        raise UsageError(
            "scanning",
            "--full looks at all ports, and --hosts-only at none",
            "leave one of them out",
        )
    asked = {
        "--full": full,
        "--hosts-only": hosts_only,
        "--no-services": not services,
        "--allow": allow,
        "--interface": interface,
        "--rate": rate != RATE,
        "--target-rate": target_rate != TARGET_RATE,
    }
    if not scan and (of_scans := [option for option, given in asked.items() if given]):
        raise UsageError(
            "looking at this machine",
            f"only a scan heeds {' and '.join(of_scans)}, and none is asked for",
            "say what is scanned: --scan 192.168.1.0/24, or --scan attached",
        )
    if scan:
        from mooring.cli.scan import scan as scan_networks

        scan_networks(
            scan,
            depth=Depth.FULL if full else Depth.NONE if hosts_only else Depth.LIGHT,
            services=services,
            allow=allow or (),
            interface=interface,
            options=ScanOptions(rate=rate, target_rate=target_rate),
            as_json=format == "json",
        )
        return
    machine, engines = asyncio.run(_look())
    if format == "json":
        from mooring.model import wire

        seen = {"machine": machine, "engines": engines}
        print(json.dumps({k: wire.to_builtins(v) for k, v in seen.items()}, indent=2))
    else:
        from rich.console import Console

        _print(Console(), machine, engines)


async def _look() -> tuple[Machine, tuple[Engine, ...]]:
    from mooring.core.identity import machine_identity
    from mooring.discovery import containers, local

    machine, (found, _) = await asyncio.gather(
        asyncio.to_thread(local.look, machine_identity() or "unknown"),
        containers.look(os.environ),
    )
    return machine, found.engines


def _print(console: Console, machine: Machine, engines: tuple[Engine, ...]) -> None:
    console.print(f"[bold]{machine.hostname}[/bold]  {machine.os.name}, {machine.os.kernel}")
    interfaces = _table("interface", "kind", "state", "addresses", "MAC", "part of")
    for i in machine.interfaces:
        state = f"[green]{i.state}[/green]" if i.state is InterfaceState.UP else str(i.state)
        part = i.master or (f"{i.parent} (VLAN {i.vlan})" if i.vlan else i.parent) or ""
        addresses = ", ".join(f"{a.ip}/{a.prefix}" for a in i.addresses)
        interfaces.add_row(i.name, i.kind, state, addresses, i.mac or "", part)
    subnets = _table("subnet", "kind", "gateway", "by")
    for s in machine.subnets:
        subnets.add_row(str(s.cidr), s.kind, str(s.gateway or ""), s.interface or "")
    for table in (interfaces, subnets):
        console.print()
        console.print(table)
    routes = counted(len(machine.routes), "route")
    neighbours = counted(len(machine.neighbours), "neighbour")
    console.print(f"\n{routes}, {neighbours} (all of them: --format json)")
    for engine in engines:
        _print_engine(console, engine)
    for capability in machine.capabilities:
        if not capability.available:
            console.print(f"[yellow]{capability.name}[/yellow]: {capability.detail}")


def _print_engine(console: Console, engine: Engine) -> None:
    from mooring.model.container import EngineState

    console.print()
    if engine.state is not EngineState.ANSWERED:
        console.print(f"[yellow]{engine.socket}[/yellow] ({engine.state}): {engine.detail}")
        return
    console.print(f"[bold]{engine.kind}[/bold] {engine.version} at {engine.socket}")
    table = _table("container", "image", "state", "networks", "published")
    for c in engine.containers:
        networks = ", ".join(f"{a.network} {a.ip or ''}".strip() for a in c.attachments)
        ports = ", ".join(
            f"{p.host_port}→{p.container_port}/{p.protocol}" for p in c.ports if p.host_port
        )
        table.add_row(c.name, c.image, c.status or c.state, networks, ports)
    console.print(table if engine.containers else "no containers")


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
