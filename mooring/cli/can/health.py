"""``mooring can health``: every network and endpoint against the kernel."""

from __future__ import annotations

import argparse
from typing import Any

from mooring.cli.can import places


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "health",
        help="compare what shall be with what is",
        description="Compare every network and endpoint with the kernel. The exit code is 0 when "
        "all is well, and 1 when frames do not get where they should.",
    )
    places.add(parser)
    places.add_format(parser)
    parser.set_defaults(run=health)


def health(asked: argparse.Namespace) -> int:
    import msgspec

    from mooring.can.look import look

    found = look(asked.state_dir, asked.socket)
    if asked.format == "json":
        told = {"well": found.well, **msgspec.to_builtins(found)}
        print(msgspec.json.format(msgspec.json.encode(told)).decode())
        return 0 if found.well else 1
    for bus in found.buses:
        state = "missing" if not bus.present else "up" if bus.up else "down"
        rules = f"{bus.rules_present} of {bus.rules_wanted} rules"
        print(f"{bus.device}: {state}, {len(bus.endpoints)} endpoints, {rules}")
    for one in found.findings:
        remedy = f"; {one.remedy}" if one.remedy else ""
        print(f"{one.weight}: {one.subject}: {one.what}{remedy}")
    print("well" if found.well else "not well")
    return 0 if found.well else 1
