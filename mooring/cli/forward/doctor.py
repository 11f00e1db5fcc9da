"""``mooring forward doctor``: what on this machine could keep forwards from working."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from mooring.cli.forward import tables
from mooring.cli.forward.options import NONE, Format, Options, StateDir, hosts_of, state_folder
from mooring.forward import doctor as checks
from mooring.forward.doctor import Check, Verdict

WORD = max(map(len, Verdict))


def doctor(
    *hosts: Annotated[str, Parameter(help="The remote hosts that shall be forwarded.")],
    options: Options = NONE,
    format: Format = "table",  # noqa: A002
    state_dir: StateDir = None,
) -> None:
    """Check this machine, and what it knows of the hosts: configuration, keys, host keys, limits.

    The hosts are not dialled; their names are looked up. The exit code is 1 when something is
    wrong.
    """
    folder = state_folder(state_dir)
    found = {"this machine": checks.machine(folder, os.environ)}
    if hosts or options.host or options.config:
        for host in hosts_of(hosts, options):
            found[str(host.address)] = checks.of_host(host, folder, os.environ)
    if format == "table":
        _show(tables.console(), found)
    else:
        tables.show({name: msgspec.to_builtins(each) for name, each in found.items()}, format)
    every = [check for each in found.values() for check in each]
    sys.exit(1 if any(check.verdict is Verdict.WRONG for check in every) else 0)


def _show(console: Console, found: dict[str, list[Check]]) -> None:
    for number, (name, each) in enumerate(found.items()):
        if number:
            console.print()
        console.print(f"[bold]{escape(name)}[/bold]")
        width = max(len(check.name) for check in each)
        for check in each:
            verdict = tables.state(check.verdict) + " " * (WORD - len(check.verdict))
            words = f"{verdict}  {escape(check.name.ljust(width))}  {escape(check.detail)}"
            console.print(tables.unbroken(words), crop=False)
            if check.remedy:
                remedy = " " * (WORD + width + 4) + f"[dim]→[/dim] {escape(check.remedy)}"
                console.print(tables.unbroken(remedy), crop=False)
