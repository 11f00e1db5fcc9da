"""``mooring forward``: every port that a remote Docker host publishes, on localhost.

A file per command. Exit codes: 0 done or well, 1 failed or not well, 2 asked wrongly, 3 no
instance runs on the state folder.
"""

from __future__ import annotations

from cyclopts import App

from mooring.cli.forward.options import COMMANDS
from mooring.cli.forward.run import run as _run

app = App(
    name="forward",
    help="Every port that a remote Docker host publishes, on localhost, always. "
    "`mooring forward ssh://USER@HOST` is short for `mooring forward run ssh://USER@HOST`.",
)
app.command(_run, name="run")
for _name in COMMANDS:
    if _name not in ("run", "service"):
        app.command(f"mooring.cli.forward.{_name}:{_name}")
app.command("mooring.cli.forward.service:app", name="service")
app.default(_run)
