"""``mooring forward diagnose``: what is wrong with a link, or was lately, and what to do."""

from __future__ import annotations

import sys
import time
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape

from mooring.cli.forward import tables
from mooring.cli.forward.options import Format, HostName, StateDir, state_folder
from mooring.forward import control, keep
from mooring.forward.address import Names, chosen
from mooring.forward.control import NotRunning
from mooring.forward.diagnose import Look, is_well
from mooring.forward.diagnose import diagnose as find
from mooring.forward.explain import when
from mooring.forward.keep import Kept
from mooring.model.forward import Diagnosis, LinkState, Pattern, StreamRecord

SHOWN = 10


def diagnose(
    host: HostName = None,
    *,
    format: Format = "table",  # noqa: A002
    state_dir: StateDir = None,
) -> None:
    """Name what is wrong with each link, or was in the last hour, and what to do.

    It looks at the records of Docker's event streams and at the link itself, and changes nothing.
    The exit code is 0 when every link is healthy now, 1 when one is not, and 3 when nothing runs
    there: then the records alone are looked at.
    """
    folder = state_folder(state_dir)
    running = True
    try:
        found = control.ask(folder, "diagnose", within=20.0, host=host, limit=SHOWN)
    except NotRunning as error:
        running = False
        kept = keep.read(folder)
        if not kept:
            raise
        found = _recorded(chosen(host, {Names(k.host, k.called): k for k in kept}))
        print(
            f"mooring: {error.attempted}: {error.why}; this is what was recorded", file=sys.stderr
        )
    if format == "table":
        console = tables.console()
        for number, each in enumerate(found):
            if number:
                console.print()
            _show(console, each, running=running)
    else:
        tables.show({"hosts": found}, format)
    if not running:
        sys.exit(NotRunning.exit_code)
    diagnoses = [msgspec.convert(each["diagnosis"], Diagnosis) for each in found]
    sys.exit(0 if all(map(is_well, diagnoses)) else 1)


def _recorded(kept: list[Kept]) -> list[dict[str, Any]]:
    look = Look(LinkState.STOPPED, now=time.time())
    return [
        {
            "host": each.host,
            "diagnosis": msgspec.to_builtins(find(each.records, look)),
            "records": msgspec.to_builtins(each.records[-SHOWN:]),
        }
        for each in kept
    ]


def _show(console: Console, found: dict[str, Any], *, running: bool) -> None:
    diagnosis = msgspec.convert(found["diagnosis"], Diagnosis)
    shown = tables.state(diagnosis.pattern)
    evidence = diagnosis.evidence
    if running and not diagnosis.now:
        shown = f"{tables.state(Pattern.HEALTHY)} now; {escape(evidence[0])}"
        evidence = evidence[1:]
    ended = "" if running else "  [dim](it does not run)[/dim]"
    console.print(f"[bold]{escape(found['host'])}[/bold]  {shown}{ended}", soft_wrap=True)
    for line in evidence:
        console.print(f"  {escape(line)}", soft_wrap=True)
    if diagnosis.advice:
        console.print("  [bold]what to do[/bold]" + ("" if diagnosis.now else " if it comes again"))
        for line in diagnosis.advice:
            console.print(f"  - {escape(line)}", soft_wrap=True)
    records = msgspec.convert(found["records"], list[StreamRecord])
    if not records:
        return
    made = tables.table(
        "stream began", "answered", "first event", "events", "idle", "lasted", "ended by",
        right=("answered", "first event", "events", "idle", "lasted"),
    )  # fmt: skip
    for r in records:
        ended = r.ended_by.replace("_", " ")
        made.add_row(
            when(r.started_at),
            "" if r.startup_ms is None else tables.duration(r.startup_ms),
            "" if r.first_event_ms is None else tables.duration(r.first_event_ms),
            str(r.events),
            tables.duration(r.idle_ms),
            tables.duration(r.total_ms),
            ended if r.clean else f"[yellow]{escape(ended)}[/yellow]",
        )
    console.print()
    console.print(made)
