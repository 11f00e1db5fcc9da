"""``mooring can status``: buses, their endpoints, and how much traffic each had."""

from __future__ import annotations

import argparse
from typing import Any

from mooring.cli.can import places


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "status",
        help="show buses, endpoints and their traffic",
        description="Show each bus with its endpoints and the frames that went in and out of each "
        "container since it joined.",
    )
    places.add(parser)
    places.add_format(parser)
    parser.set_defaults(run=status)


def status(asked: argparse.Namespace) -> int:
    import msgspec

    from mooring.can import ask
    from mooring.can.look import look

    found = look(asked.state_dir, asked.socket)
    try:
        own = ask.ask(asked.socket, "Mooring.Status", seconds=5.0)
    except ask.NotServing:
        own = None
    if asked.format == "json":
        told = {"buses": msgspec.to_builtins(found.buses), "driver": own}
        print(msgspec.json.format(msgspec.json.encode(told)).decode())
        return 0
    row = "{:<14} {:<16} {:<10} {:<6} {:>12} {:>12} {:>8}"
    head = row.format("ENDPOINT", "INTERFACE", "STATE", "ACCESS", "RECEIVED", "SENT", "DROPPED")
    for bus in found.buses:
        state = "missing" if not bus.present else "up" if bus.up else "down"
        nets = ", ".join(one[:12] for one in bus.networks)
        print(f"{bus.device}  {state}{f', {bus.state}' if bus.state else ''}  network {nets}")
        if bus.endpoints:
            print(f"  {head}")
        for one in bus.endpoints:
            line = row.format(
                one.id[:12], one.interface or "missing", one.state, one.access,
                one.received, one.sent, one.dropped,
            )  # fmt: skip
            print(f"  {line}")
    if not found.buses:
        print("no networks")
    if own and own["totals"]["recoveries"]:
        mended = ", ".join(f"{count} {what}" for what, count in own["totals"]["recoveries"])
        print(f"recovered since the driver started: {mended}")
    elif own is None:
        print("the driver does not answer")
    return 0
