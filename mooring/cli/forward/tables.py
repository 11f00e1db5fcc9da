"""What the ``forward`` commands print: tables for people, JSON and YAML for programs."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mooring.model.forward import RemoteHost

WIDEST = 100
_LINKED = ("verifying", "syncing", "live", "suspect")
STATES = {
    "live": "green",
    "listening": "green",
    "healthy": "green",
    "fine": "green",
    "blocked": "bold red",
    "conflict": "red",
    "unsupported": "red",
    "wrong": "red",
}
"""Colours of states; those that pass by themselves are yellow."""


def console() -> Console:
    """A console that is never wider than a hundred columns."""
    made = Console(highlight=False, emoji=False)
    if not made.is_terminal or made.width > WIDEST:
        made = Console(width=WIDEST, highlight=False, emoji=False)
    return made


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold dim", padding=(0, 2, 0, 0))
    for column in columns:
        justify = "right" if column in right else "left"
        made.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    return made


def state(word: str) -> str:
    """A state in its colour; its words are ours, so they hold no markup."""
    colour = STATES.get(word, "yellow")
    return f"[{colour}]{word.replace('_', ' ')}[/{colour}]"


def unbroken(markup: str) -> Text:
    """A line that the terminal alone breaks: what it holds is copied as it is."""
    text = Text.from_markup(markup, overflow="ignore")
    text.no_wrap = True
    return text


def age(seconds: float) -> str:
    """``5 s``, ``12 min``, ``3 h``, ``2 d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def since(at: float) -> str:
    return age(time.time() - at)


def duration(milliseconds: float) -> str:
    """``0.8 ms``, ``12 ms``, ``3.1 s``, then as ages are."""
    if milliseconds < 1000:
        return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 60 else age(seconds)


def size(count: int | None) -> str:
    """``512 B``, ``1.5 MiB``; empty where the transport can't count."""
    if count is None:
        return ""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000 or unit == "GiB":
            return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


# --- for programs


def hosts(answer: dict[str, Any]) -> list[RemoteHost]:
    """The hosts in what an instance said of its status."""
    return msgspec.convert(answer["hosts"], list[RemoteHost])


def as_status(found: list[RemoteHost], server: dict[str, Any] | None) -> dict[str, Any]:
    """The status as programs read it: what keys there are is a promise."""
    said: dict[str, Any] = {"hosts": [_as_host(host) for host in found]}
    return {**said, "server": server} if server else said


def _as_host(host: RemoteHost) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(host)
    detail = plain.pop("detail")
    if host.state not in _LINKED:
        # What Docker is can't be known now; why not is what there is to say.
        plain["docker"] = detail
    return plain


def plain(value: Any) -> Any:
    """Dataclasses as plain dictionaries."""
    return msgspec.to_builtins(value) if dataclasses.is_dataclass(value) else value


def show(value: Any, form: str) -> None:
    """Print for programs: JSON, or YAML."""
    if form == "yaml":
        import yaml  # type: ignore[import-untyped]

        print(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), end="")
    else:
        print(json.dumps(value, indent=2))
