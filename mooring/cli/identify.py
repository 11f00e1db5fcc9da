"""``mooring identify``: asks one host, or one port of it, what it is, and explains the answer."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import structlog
from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mooring.cli import tables
from mooring.cli.options import Format, LogLevel
from mooring.core import log as logging
from mooring.core.errors import MooringError, UsageError, why_os
from mooring.discovery.catalogue import Catalogue, Match, load, users_folders
from mooring.discovery.identify import Verdict, identify, verdicts
from mooring.discovery.probes.limits import Limits
from mooring.discovery.probes.line import NoLine, line
from mooring.discovery.probes.port import Asked, ask_port
from mooring.discovery.probes.udp import hear_udp
from mooring.discovery.scan import ports as scan_ports
from mooring.discovery.scan.options import ScanOptions
from mooring.discovery.seen import Seen
from mooring.model import wire
from mooring.model.net import IpAddress
from mooring.model.scan import Depth

log = structlog.get_logger(__name__)

AT_ONCE = 64
"""Connections at a time while looking for open ports."""
LOOK_S = 1.5
"""Seconds that a port has to take a connection then."""
MOST_NEARLY = 5


@dataclass(frozen=True, slots=True)
class Explained:
    """One port, with how its services were found."""

    seen: Seen
    story: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    says: str

    @property
    def nearly(self) -> tuple[Verdict, ...]:
        return tuple(v for v in self.verdicts if not v.named)[:MOST_NEARLY]


def identify_command(
    target: Annotated[str, Parameter(name="HOST[:PORT]", help="A name or address; [::1]:22.")],
    /,
    *,
    format: Format = "table",  # noqa: A002
    catalogue: Annotated[
        Path | None, Parameter(help="A folder of catalogue entries of your own.")
    ] = None,
    ask_printers: Annotated[
        bool,
        Parameter(negative="", help="Ask ports 9100 to 9107 too; a printer prints the question."),
    ] = False,
    log_level: LogLevel = "warning",
) -> None:
    """Ask a host what its services are, and say why they are taken for that.

    Without a port: all ports that a light scan looks at.
    """
    logging.set_up(log_level)
    host, port = _host_and_port(target)
    loaded = load(users_folders(catalogue))
    for error in loaded.left_out:
        log.warning("catalogue_file_left_out", reason=str(error))
    ip = _resolved(host)
    found = asyncio.run(_explain(ip, port, loaded.catalogue, Limits(ask_printers=ask_printers)))
    if format == "json":
        print(json.dumps({"host": host, "ip": str(ip), "ports": [_plain(e) for e in found]}))
    else:
        _print(tables.console(), host, ip, found, full=port is not None)


def _host_and_port(target: str) -> tuple[str, int | None]:
    attempted = f"identifying {target}"
    expected = "write HOST, HOST:PORT, or [IPv6]:PORT with a port from 1 to 65535"
    try:
        return str(ipaddress.ip_address(target)), None
    except ValueError:
        pass
    try:
        parts = urlsplit(f"//{target}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(attempted, str(error).lower(), expected) from None
    if not host or parts.netloc != target or "@" in target or port == 0:
        raise UsageError(attempted, "it is no host", expected)
    return host, port


def _resolved(host: str) -> IpAddress:
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = why_os(error) if isinstance(error, OSError) else "it is no name of a host"
        raise MooringError(
            f"looking up {host}", why, "give its address, or look for a slip in the name"
        ) from None
    # The zone of a link-local address is beside it in the answer.
    numbers = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    return ipaddress.ip_address(socket.getnameinfo(answers[0][4], numbers)[0])


async def _explain(
    ip: IpAddress, port: int | None, catalogue: Catalogue, limits: Limits
) -> list[Explained]:
    if port is not None:
        return [_explained(await _asked(ip, port, catalogue, limits), catalogue)]
    async with asyncio.TaskGroup() as group:
        heard = group.create_task(hear_udp(ip, limits))
        usual = ScanOptions(usual=catalogue.light_ports)
        ports = await _open_ports(ip, scan_ports.asked(Depth.LIGHT, usual))
        asking = [group.create_task(ask_port(ip, p, catalogue, limits)) for p in ports]
    found = [_explained(task.result(), catalogue) for task in asking]
    return [*found, *(_judged(seen, (), catalogue) for seen in heard.result())]


async def _asked(ip: IpAddress, port: int, catalogue: Catalogue, limits: Limits) -> Asked:
    asked = await ask_port(ip, port, catalogue, limits)
    if asked.closed:
        raise MooringError(
            f"asking port {port} of {ip}", asked.closed, "name an open port, or none to find them"
        )
    return asked


async def _open_ports(ip: IpAddress, ports: Sequence[int]) -> list[int]:
    turns = asyncio.Semaphore(AT_ONCE)
    found: list[int] = []

    async def look(port: int) -> None:
        async with turns:
            try:
                async with line(ip, port, LOOK_S):
                    found.append(port)
            except NoLine:
                pass

    async with asyncio.TaskGroup() as group:
        for port in ports:
            group.create_task(look(port))
    return sorted(found)


def _explained(asked: Asked, catalogue: Catalogue) -> Explained:
    return _judged(asked.seen, tuple(asked.story), catalogue)


def _judged(seen: Seen, story: tuple[str, ...], catalogue: Catalogue) -> Explained:
    return Explained(seen, story, verdicts(seen, catalogue), identify(seen, catalogue).says)


def _plain(one: Explained) -> dict[str, Any]:
    return {
        "protocol": one.seen.protocol,
        "number": one.seen.number,
        "tls": one.seen.tls,
        "says": one.says,
        "asked": one.story,
        "services": [wire.to_builtins(v.service) for v in one.verdicts if v.named],
        "nearly": [
            {
                "service": wire.to_builtins(v.service),
                "lacking": [_words(m) for m in v.lacking],
                "instead": v.instead,
            }
            for v in one.nearly
        ],
    }


def _print(
    console: Console, host: str, ip: IpAddress, found: Sequence[Explained], *, full: bool
) -> None:
    console.print(f"[bold]{escape(host)}[/bold]" + (f"  {ip}" if host != str(ip) else ""))
    if not found:
        console.print("no port of the catalogue's is open")
    for one in found:
        tls = ", TLS" if one.seen.tls else ""
        console.print(f"\n[bold]{one.seen.number}/{one.seen.protocol}[/bold]{tls}")
        if full:
            for line_ in one.story:
                console.print(f"  [dim]{escape(line_)}[/dim]")
        named = [v for v in one.verdicts if v.named]
        if not named:
            console.print(f"  not known: {escape(one.says or 'it says nothing')}")
        table = Table(box=None, header_style="bold dim", show_header=full)
        for column in ("service", "version", "sure", "by", "because it shows"):
            table.add_column(column, overflow="fold")
        for verdict in named:
            _add(table, verdict)
        if named:
            console.print(table)
        if full and one.nearly:
            console.print("  nearly:")
            for verdict in one.nearly:
                console.print(f"    {escape(_nearly(verdict))}")


def _add(table: Table, verdict: Verdict) -> None:
    service = verdict.service
    cells = [service.title, service.version, f"{service.confidence:.0%}"]
    for evidence in service.evidence:
        table.add_row(*map(escape, (*cells, evidence.means, evidence.seen)))
        cells = ["", "", ""]


def _nearly(verdict: Verdict) -> str:
    service = verdict.service
    why = [f"{service.title} ({verdict.entry.source}), {service.confidence:.0%}"]
    why += [f"{e.means} shows {e.seen}" for e in service.evidence]
    why += [f"lacking {_words(match)}" for match in verdict.lacking]
    if verdict.instead:
        why.append(f"{verdict.instead} is listed in its place")
    return "; ".join(why)


def _words(match: Match) -> str:
    """A match as a person reads it."""
    where = match.of or (match.path if match.path != "/" else "")
    return f"{match.means} {where} {match.pattern.text!r}".replace("  ", " ")
