"""``mooring forward status``: what the instance that runs forwards, now or again and again."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape

from mooring.cli.forward import tables
from mooring.cli.forward.options import Format, StateDir, state_folder
from mooring.core.lines import mute
from mooring.forward import control
from mooring.forward.explain import when
from mooring.model.forward import Forward, ForwardState, LinkState, RemoteHost

EVERY = 1.0
NARROW = 80
"""Columns below which only what matters of a forward is shown."""
_FAILING = (LinkState.CONNECTING, LinkState.BACKOFF, LinkState.BLOCKED)


def status(
    *,
    watch: Annotated[
        bool, Parameter(negative="", help="Show it again whenever it changes, until Ctrl-C.")
    ] = False,
    format: Format = "table",  # noqa: A002
    state_dir: StateDir = None,
) -> None:
    """Show each remote host, its link, and each forward with its container and state.

    The exit code is 0 when it could be told, whatever it is, and 3 when nothing runs there.
    """
    folder = state_folder(state_dir)
    if watch:
        _watch(folder, format)
        return
    found = _ask(folder)
    if format == "table":
        console = tables.console()
        console.print(_shown(found, console.width, fold=False), crop=False)
    else:
        tables.show(found.plain, format)


@dataclass(frozen=True, slots=True)
class _Found:
    hosts: list[RemoteHost]
    server: dict[str, Any] | None
    """How it stands with the server that it reports to."""
    remedies: dict[str, str]
    """What helps against what a host's detail says, where that is known."""

    @property
    def plain(self) -> dict[str, Any]:
        return tables.as_status(self.hosts, self.server)


def _ask(folder: Path) -> _Found:
    answer = control.ask(folder, "status")
    return _Found(tables.hosts(answer), answer["server"], answer["remedies"])


def _watch(folder: Path, form: str) -> None:
    console = tables.console()
    try:
        if form == "table" and console.is_terminal:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                while True:
                    live.update(_shown(_ask(folder), console.width, fold=True), refresh=True)
                    time.sleep(EVERY)
        before = ""
        while True:
            found = _ask(folder)
            now = json.dumps(found.plain)
            if now != before:
                if form == "json":
                    print(now, flush=True)
                elif form == "yaml":
                    print("---")
                    tables.show(found.plain, form)
                    sys.stdout.flush()
                else:
                    console.print(_shown(found, console.width, fold=False), crop=False)
            before = now
            time.sleep(EVERY)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        # Whoever read it has had enough; nor shall the interpreter try again at its end.
        mute(sys.stdout)


def _shown(found: _Found, width: int, *, fold: bool) -> RenderableType:
    """``fold`` breaks lines that are too long for a screen that cannot be scrolled."""
    parts: list[RenderableType] = []
    for host in found.hosts:
        shown = _host(host, width, fold=fold, remedy=found.remedies.get(host.host, ""))
        parts += ["", *shown] if parts else shown
    if found.server:
        parts += ["", _reports(found.server)]
    return Group(*parts)


def _reports(server: dict[str, Any]) -> str:
    """Where it reports to, and whether that is heard of."""
    heard = server["last_heard"]
    words = ["not heard of so far" if heard is None else f"heard of {tables.since(heard)} ago"]
    if number := server["waiting"]:
        words.append("a report waits" if number == 1 else f"{number} reports wait")
    if server["fault"]:
        words.append(str(server["fault"]))
    return f"reports to {escape(server['url'])}: {escape('; '.join(words))}"


def _host(host: RemoteHost, width: int, *, fold: bool, remedy: str = "") -> list[RenderableType]:
    line = str if fold else tables.unbroken
    linked = host.state in (LinkState.LIVE, LinkState.SYNCING)
    parts: list[RenderableType] = [_head(host)]
    if linked and host.docker:
        parts.append(f"  {escape(host.docker)}")
    if host.detail:
        ending = f" ({remedy})"
        parts.append(line(f"  {escape(host.detail.removesuffix(ending))}"))
        if remedy and host.detail.endswith(ending):
            # On a line of its own: most hold a command to copy.
            parts.append(line(f"  [dim]→[/dim] {escape(remedy)}"))
    if drop := host.last_drop:
        away = f"away since {when(drop.at)}"
        if drop.seconds is not None:
            away = f"was away at {when(drop.at)} for {tables.duration(drop.seconds * 1000)}"
        parts.append(f"  [dim]{away}: {drop.pattern.replace('_', ' ')}[/dim]")
    if not host.forwards:
        known = host.state in (LinkState.LIVE, LinkState.SUSPECT)
        parts.append("  no container publishes a port" if known else "  nothing is forwarded")
        return parts
    parts += ["", _forwards(host.forwards, width)]
    notes = [line(escape(_note(f))) for f in host.forwards if f.detail]
    return [*parts, "", *notes] if notes else parts


def _note(f: Forward) -> str:
    """What there is to say of a forward; of a place that it names itself, no more."""
    named = f.local and f.detail.startswith(f.local)
    return f.detail if named else f"{_name(f)}: {f.detail}"


def _head(host: RemoteHost) -> str:
    state = f"{tables.state(host.state)} for {tables.since(host.since)}"
    words = [f"[bold]{escape(host.host)}[/bold]", state]
    if host.ping_ms is not None and host.state is LinkState.LIVE:
        words.append(f"ping {tables.duration(host.ping_ms)}")
    if host.consecutive_failures > 1 and host.state in _FAILING:
        words.append(f"{host.consecutive_failures} failures in a row")
    return "  ".join(words)


def _forwards(forwards: tuple[Forward, ...], width: int) -> RenderableType:
    if width < NARROW:
        made = tables.table("local", "container", "state", "since")
    else:
        made = tables.table(
            "local", "remote", "container", "state", "since", "uses", "in", "out",
            right=("uses", "in", "out"),
        )  # fmt: skip
    for column in made.columns:
        # Of a line that is too long the container's name gives way.
        column.no_wrap = column.header != "container"
        if column.header == "container":
            column.overflow = "ellipsis"
    for f in forwards:
        here = f.state not in (ForwardState.CONFLICT, ForwardState.UNSUPPORTED)
        cells = {
            "local": _name(f),
            # Its loopback is the usual, and says nothing.
            "remote": escape(f.remote.removeprefix("127.0.0.1:")) if f.local else "",
            "container": escape(f.container),
            "state": tables.state(f.state),
            "since": tables.since(f.since),
            "uses": str(f.connections) if here else "",
            "in": tables.size(f.bytes_in) if here else "",
            "out": tables.size(f.bytes_out) if here else "",
        }
        made.add_row(*(cells[str(column.header)] for column in made.columns))
    return made


def _name(f: Forward) -> str:
    """The place here; what has none is named by its remote port."""
    protocol = "" if f.protocol == "tcp" else f"/{f.protocol}"
    return f"{f.local}{protocol}" if f.local else f"port {f.remote}{protocol}"
