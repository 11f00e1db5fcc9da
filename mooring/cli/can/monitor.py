"""``mooring can monitor``: the frames on a bus, as they come."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from typing import Any

REDRAW = 0.5
"""Seconds."""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "monitor",
        help="show the frames on a bus",
        description="Show the frames on a bus until Ctrl-C: a table of ids with their rates, a "
        "line for each frame as candump logs it, or JSON.",
    )
    parser.add_argument("bus", metavar="BUS", help="its interface on the host, such as vcan0")
    parser.add_argument("--format", choices=["table", "candump", "json"], default="table")
    parser.set_defaults(run=monitor)


def monitor(asked: argparse.Namespace) -> int:
    from mooring.can import listen

    show = {"table": _table, "candump": _candump, "json": _json}[asked.format]
    with listen.opened(asked.bus) as bus:
        try:
            show(listen.heard(bus, asked.bus, REDRAW), asked.bus)
        except KeyboardInterrupt:
            pass
        except BrokenPipeError:
            # Who read it has gone; nor may Python's end write what is left.
            sys.stdout = None
    return 0


def _candump(heard: Iterable[Any], bus: str) -> None:
    from mooring.can import frames

    for frame in heard:
        if frame is not None:
            print(frames.candump(frame, bus), flush=True)


def _json(heard: Iterable[Any], bus: str) -> None:
    import msgspec

    from mooring.can import frames

    traffics = frames.Traffics()
    for frame in heard:
        if frame is None:
            continue
        told = {
            "at": round(frame.at, 6),
            "bus": bus,
            "id": frames.shown_id(frame),
            "kind": frames.kind(frame),
            "extended": frame.extended,
            "flags": frame.flags,
            "data": frame.data.hex().upper(),
            "rate": traffics.add(frame).rate(frame.at),
        }
        print(msgspec.json.encode(told).decode(), flush=True)


def _table(heard: Iterable[Any], bus: str) -> None:
    """Drawn anew twice a second on a terminal; elsewhere once, at the end."""
    from mooring.can import frames

    traffics = frames.Traffics()
    live = sys.stdout.isatty()
    drawn = 0.0
    try:
        for frame in heard:
            if frame is not None:
                traffics.add(frame)
            now = time.time()
            if live and now - drawn >= REDRAW:
                drawn = now
                lines = [f"{bus}, Ctrl-C ends", *frames.table(traffics, now)]
                # To the upper left corner; the rest of each line and of the screen is cleared.
                print("\033[H" + "\033[K\n".join(lines) + "\033[K\n\033[J", end="", flush=True)
    except KeyboardInterrupt:
        if not live:
            print("\n".join(frames.table(traffics, time.time())))
