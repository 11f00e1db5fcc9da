"""All commands, and what each is for."""

from __future__ import annotations

from cyclopts import App

from mooring import __version__

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
    "mooring.cli.identify:identify_command",
    name="identify",
    help="Ask a host what its services are, and explain.",
)
app.command(
    "mooring.cli.forward:app", name="forward", help="A remote Docker host's ports, on localhost."
)
app.command("mooring.cli.can.door:can", help="A Docker network that is a CAN bus.", help_flags=[])
app.command("mooring.cli.keys:app", name="keys", help="Make, list, rotate and revoke API keys.")
app.command("mooring.cli.users:app", name="users", help="Arrange who may log in on the page.")
app.command("mooring.cli.openapi:openapi", help="Print the API's description.")
