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
    ask_printers: bool = False,
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
        ask_printers: Ask printers' raw ports (9100 to 9107) too; a printer prints the question.
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
    if ask_printers and (hosts_only or not services):
        raise UsageError(
            "scanning",
            "--ask-printers asks ports what they are, and "
            f"{'--hosts-only' if hosts_only else '--no-services'} asks none",
            "leave one of them out",
        )
    asked = {
        "--full": full,
        "--hosts-only": hosts_only,
        "--no-services": not services,
        "--ask-printers": ask_printers,
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
            options=ScanOptions(rate=rate, target_rate=target_rate, ask_printers=ask_printers),
            as_json=format == "json",
        )
        return
    machine, engines = asyncio.run(_look())
    if format == "json":
        from mooring.model import wire

        seen = {"machine": machine, "engines": engines}
        print(json.dumps({k: wire.to_builtins(v) for k, v in seen.items()}, indent=2))
    else:
        from mooring.cli import tables

        _print(tables.console(), machine, engines)


async def _look() -> tuple[Machine, tuple[Engine, ...]]:
    from mooring.core.identity import machine_identity
    from mooring.discovery import containers, local

    machine, (found, _) = await asyncio.gather(
        asyncio.to_thread(local.look, machine_identity() or "unknown"),
        containers.look(os.environ),
    )
    return machine, found.engines


def _print(console: Console, machine: Machine, engines: tuple[Engine, ...]) -> None:
    from rich.markup import escape
    from rich.text import Text

    from mooring.cli.tables import add, shown, table

    about = escape(f"{machine.os.name}, {machine.os.kernel}")
    console.print(f"[bold]{escape(machine.hostname)}[/bold]  {about}")
    columns = ("interface", "kind", "state", "addresses", "MAC", "part of")
    interfaces = table(*columns, unbroken=("interface", "kind", "state", "MAC"))
    for i in machine.interfaces:
        state = Text(i.state, "green" if i.state is InterfaceState.UP else "")
        part = i.master or (f"{i.parent} (VLAN {i.vlan})" if i.vlan else i.parent) or ""
        addresses = ", ".join(f"{a.ip}/{a.prefix}" for a in i.addresses)
        add(interfaces, i.name, i.kind, state, addresses, i.mac or "", part)
    subnets = table("subnet", "kind", "gateway", "by", unbroken=("subnet",))
    for s in machine.subnets:
        add(subnets, str(s.cidr), s.kind, str(s.gateway or ""), s.interface or "")
    for each in (interfaces, subnets):
        console.print()
        console.print(shown(each, console, wide=("MAC", "part of")))
    routes = counted(len(machine.routes), "route")
    neighbours = counted(len(machine.neighbours), "neighbour")
    console.print(f"\n{routes}, {neighbours} (all of them: --format json)")
    for engine in engines:
        _print_engine(console, engine)
    for capability in machine.capabilities:
        if not capability.available:
            console.print(f"[yellow]{capability.name}[/yellow]: {escape(capability.detail)}")


def _print_engine(console: Console, engine: Engine) -> None:
    from rich.markup import escape

    from mooring.cli.tables import add, table
    from mooring.model.container import EngineState

    console.print()
    socket = escape(engine.socket)
    if engine.state is not EngineState.ANSWERED:
        console.print(f"[yellow]{socket}[/yellow] ({engine.state}): {escape(engine.detail)}")
        return
    console.print(f"[bold]{engine.kind}[/bold] {escape(engine.version)} at {socket}")
    containers = table("container", "image", "state", "networks", "published")
    for c in engine.containers:
        networks = ", ".join(f"{a.network} {a.ip or ''}".strip() for a in c.attachments)
        ports = ", ".join(
            f"{p.host_port}→{p.container_port}/{p.protocol}" for p in c.ports if p.host_port
        )
        add(containers, c.name, c.image, c.status or c.state, networks, ports)
    console.print(containers if engine.containers else "no containers")
