"""All commands, and what each is for."""

from __future__ import annotations

from cyclopts import App, CycloptsError, UnusedCliTokensError

from mooring import __version__
from mooring.core.errors import UsageError

app = App(
    name="mooring",
    version=__version__,
    help="Keeps the hosts and containers of a site mapped, reachable and wired.",
    # What is wrong with the words is told as all else that is wrong: see ``run``.
    exit_on_error=False,
    print_error=False,
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


def run() -> None:
    """Run the command that was typed. Raises ``UsageError`` for what can't be read."""
    try:
        app()
    except CycloptsError as error:
        command = " ".join(("mooring", *(error.command_chain or ())))
        why = str(error).rstrip(".")
        if isinstance(error, UnusedCliTokensError):
            why = f"there is no place for {' '.join(error.unused_tokens or ())!r}"
        remedy = f"`{command} --help` says what it takes"
        raise UsageError("reading the command line", why, remedy) from None
