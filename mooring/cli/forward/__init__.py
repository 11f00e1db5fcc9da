"""``mooring forward``: every port that a remote Docker host publishes, on localhost.

A file per command. Exit codes: 0 done or well, 1 failed or not well, 2 asked wrongly, 3 no
instance runs on the state folder.
"""

from __future__ import annotations

from cyclopts import App

from mooring.cli.forward import (
    diagnose,
    doctor,
    env,
    explain,
    history,
    metrics,
    retry,
    run,
    service,
    status,
    wait,
)

app = App(
    name="forward",
    help="Every port that a remote Docker host publishes, on localhost, always. "
    "`mooring forward ssh://USER@HOST` is short for `mooring forward run ssh://USER@HOST`.",
)
app.command(run.run)
app.command(status.status)
app.command(wait.wait)
app.command(explain.explain)
app.command(diagnose.diagnose)
app.command(history.history)
app.command(retry.retry)
app.command(env.env)
app.command(metrics.metrics)
app.command(doctor.doctor)
app.command(service.app)
app.default(run.run)
