"""``mooring can``: a Docker network that is a CAN bus, and comes back after a reboot.

A file per command. Read with the standard library's reader, and loaded without the rest of the
command line: a plugin has to answer the moment that Docker starts. Exit codes: 0 done or well, 1
failed or not well, 2 asked wrongly.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from mooring.cli.can import health, install, monitor, repair, report, serve, status
from mooring.core.errors import MooringError


def main(arguments: Sequence[str]) -> NoReturn:
    """Run ``mooring can`` with what follows these words."""
    parser = argparse.ArgumentParser(
        prog="mooring can", description="A Docker network that is a CAN bus."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (serve, health, status, monitor, repair, report, install):
        command.add(commands)
    asked = parser.parse_args(arguments)
    try:
        code = asked.run(asked)
    except MooringError as error:
        print(f"mooring: {error.attempted}: {error.why}", file=sys.stderr)
        if error.remedy:
            print(f"  {error.remedy}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(code)
