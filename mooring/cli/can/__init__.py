"""``mooring can``: a Docker network that is a CAN bus, and comes back after a reboot.

A file per command. Read with the standard library's reader, and loaded without the rest of the
command line, nor the other commands: a plugin has to answer the moment that Docker starts. Exit
codes: 0 done or well, 1 failed or not well, 2 asked wrongly.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from mooring.core.errors import MooringError

_COMMANDS = ("serve", "health", "status", "monitor", "repair", "report", "install")


def main(arguments: Sequence[str]) -> NoReturn:
    """Run ``mooring can`` with what follows these words."""
    parser = argparse.ArgumentParser(
        prog="mooring can", description="A Docker network that is a CAN bus."
    )
    commands = parser.add_subparsers(metavar="COMMAND")
    asked_for = [name for name in _COMMANDS if name in arguments[:1]]
    for name in asked_for or _COMMANDS:
        import_module(f"mooring.cli.can.{name}").add(commands)
    asked = parser.parse_args(arguments)
    if not arguments:
        parser.print_help()
        sys.exit(0)
    try:
        code = asked.run(asked)
    except MooringError as error:
        print(f"mooring: {error.attempted}: {error.why}", file=sys.stderr)
        if error.remedy:
            print(f"  {error.remedy}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(code)
