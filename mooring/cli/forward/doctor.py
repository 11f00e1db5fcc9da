"""``mooring forward doctor``: what on this machine could keep forwards from working."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from mooring.cli.forward import tables
from mooring.cli.forward.options import NONE, Format, Options, StateDir, state_folder, wanted
from mooring.forward import control
from mooring.forward import doctor as checks
from mooring.forward.control import NotRunning
from mooring.forward.doctor import Check, Verdict
from mooring.model.forward import RemoteHost

WORD = max(map(len, Verdict))


def doctor(
    *hosts: Annotated[str, Parameter(help="The remote hosts that shall be forwarded.")],
    options: Options = NONE,
    format: Format = "table",  # noqa: A002
    state_dir: StateDir = None,
) -> None:
    """Check this machine, and what it knows of the hosts: configuration, keys, host keys, limits.

    The hosts are not dialled; their names are looked up. Without a host it says how those are
    that are forwarded now. The exit code is 1 when something is wrong.
    """
    folder = state_folder(state_dir)
    found = {"this machine": checks.machine(folder, os.environ)}
    if hosts or options.host or options.config:
        chosen = wanted(hosts, options)
        for host in chosen.hosts:
            found[str(host.address)] = checks.of_host(host, folder, os.environ)
        server, key_file = chosen.server, chosen.key_file
    else:
        for remote in _running(folder):
            found[remote.host] = checks.of_running(remote)
        server, key_file = options.server, options.key_file
    if reports := checks.of_reports(server, key_file):
        found["reporting"] = reports
    if format == "table":
        _show(tables.console(), found)
    else:
        tables.show({name: msgspec.to_builtins(each) for name, each in found.items()}, format)
    every = [check for each in found.values() for check in each]
    sys.exit(1 if any(check.verdict is Verdict.WRONG for check in every) else 0)


def _running(folder: Path) -> list[RemoteHost]:
    """The hosts of the instance that runs on this folder, if one does."""
    try:
        return tables.hosts(control.ask(folder, "status"))
    except NotRunning:
        return []


def _show(console: Console, found: dict[str, list[Check]]) -> None:
    for number, (name, each) in enumerate(found.items()):
        if number:
            console.print()
        console.print(f"[bold]{escape(name)}[/bold]")
        width = max(len(check.name) for check in each)
        for check in each:
            verdict = tables.state(check.verdict) + " " * (WORD - len(check.verdict))
            words = f"{verdict}  {escape(check.name.ljust(width))}  {escape(check.detail)}"
            console.print(words, soft_wrap=True)
            if check.remedy:
                remedy = " " * (WORD + width + 4) + f"[dim]→[/dim] {escape(check.remedy)}"
                console.print(remedy, soft_wrap=True)
