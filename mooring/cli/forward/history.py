"""``mooring forward history``: what came and went."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.markup import escape

from mooring.cli.forward import tables
from mooring.cli.forward.options import Format, HostName, Limit, StateDir, state_folder
from mooring.forward import control, keep
from mooring.forward.address import Names, chosen
from mooring.forward.control import NotRunning
from mooring.forward.explain import when
from mooring.model.forward import Moment

_GOOD = ("opened", "link_live")
_BAD = ("conflict", "link_lost", "link_blocked")


def history(
    host: HostName = None,
    *,
    limit: Limit = 50,
    format: Format = "table",  # noqa: A002
    state_dir: StateDir = None,
) -> None:
    """Show what was opened, closed, retargeted, in conflict; and the links made and lost.

    It is kept over restarts, and can be looked at while nothing runs.
    """
    folder = state_folder(state_dir)
    try:
        found = control.ask(folder, "history", host=host, limit=limit)
        moments = [(h["host"], msgspec.convert(m, Moment)) for h in found for m in h["history"]]
    except NotRunning:
        kept = keep.read(folder)
        if not kept:
            raise
        meant = chosen(host, {Names(k.host, k.called): k for k in kept})
        moments = [(k.host, m) for k in meant for m in k.history]
    moments.sort(key=lambda each: each[1].at)
    moments = moments[-limit:]
    if format == "table":
        _show(moments)
        return
    plain: list[dict[str, Any]] = [
        {"host": name, **msgspec.to_builtins(moment)} for name, moment in moments
    ]
    tables.show({"history": plain}, format)


def _show(moments: list[tuple[str, Moment]]) -> None:
    many = len({name for name, _ in moments}) > 1
    made = tables.table("when", *(("host",) if many else ()), "what", "")
    for name, m in moments:
        what = m.what.replace("_", " ")
        colour = "green" if m.what in _GOOD else "yellow" if m.what in _BAD else ""
        about = "  ".join(part for part in (m.place, m.container) if part)
        made.add_row(
            when(m.at),
            *((escape(name.removeprefix("ssh://")),) if many else ()),
            f"[{colour}]{escape(what)}[/{colour}]" if colour else escape(what),
            escape(": ".join(part for part in (about, m.detail) if part)),
        )
    made.columns[0].no_wrap = made.columns[-2].no_wrap = True
    tables.console().print(made if moments else "nothing has happened so far")
