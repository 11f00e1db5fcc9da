"""``mooring can repair``: make the kernel what the journal says it shall be."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from mooring.cli.can import places


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "repair",
        help="mend what health finds",
        description="Make interfaces and rules again that are missing, and remove those of ours "
        "that nobody wants. What Mooring did not make is not touched.",
    )
    places.add(parser)
    parser.set_defaults(run=repair)


def repair(asked: argparse.Namespace) -> int:
    from mooring.can import ask
    from mooring.can.run import mend_alone
    from mooring.core.lines import Lines

    try:
        told: Mapping[str, Any] = ask.ask(asked.socket, "Mooring.Repair")
    except ask.NotServing:
        told = mend_alone(asked.state_dir, Lines("warning"))
    for error in told["failed"]:
        print(f"mooring: {error}", file=sys.stderr)
    print(f"{told['mended']} mended, {len(told['failed'])} failed")
    return 1 if told["failed"] else 0
