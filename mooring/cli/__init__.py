"""The command line: reads it, wires, runs. A file per command."""

from __future__ import annotations

import sys

from cyclopts import App

from mooring import __version__
from mooring.core.errors import MooringError

app = App(
    name="mooring",
    version=__version__,
    help="Keeps the hosts and containers of a site mapped, reachable and wired.",
)
app.command("mooring.cli.up:up", help="Map this machine: server, page and agent in one.")
app.command("mooring.cli.server:server", help="Run the server alone.")
app.command("mooring.cli.agent:agent", help="Look at this machine and report to a server.")
app.command("mooring.cli.discover:discover", help="Look once and print; no server.")
app.command(
    "mooring.cli.forward:app", name="forward", help="A remote Docker host's ports, on localhost."
)
app.command("mooring.cli.keys:app", name="keys", help="Make, list and revoke API keys.")
app.command("mooring.cli.openapi:openapi", help="Print the API's description.")


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 asked wrongly, 3 nothing runs."""
    try:
        app()
    except MooringError as error:
        print(f"mooring: {error.attempted}: {error.why}", file=sys.stderr)
        if error.remedy:
            print(f"  {error.remedy}", file=sys.stderr)
        sys.exit(error.exit_code)
