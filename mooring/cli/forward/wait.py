"""``mooring forward wait``: for scripts and CI, until a port or a container is there."""

from __future__ import annotations

import sys
import time
from typing import Annotated

from cyclopts import Parameter, validators

from mooring.cli.forward.options import StateDir, What, state_folder
from mooring.forward import control
from mooring.forward.address import meant
from mooring.forward.control import NotRunning

_AGAIN = 0.1


def wait(
    what: What,
    /,
    *,
    timeout: Annotated[
        float, Parameter(validator=validators.Number(gte=0, lte=86400), help="At most so long, s.")
    ] = 60.0,
    state_dir: StateDir = None,
) -> None:
    """Wait until a port of this machine, or every port of a container, is forwarded.

    The exit code is 0 when it is there, 1 when it did not come in time (and why is said), 3 when
    nothing runs there in all that time.
    """
    subject = str(meant(what))
    folder = state_folder(state_dir)
    ends = time.monotonic() + timeout
    while True:
        left = max(0.0, ends - time.monotonic())
        try:
            said = control.ask(folder, "wait", within=left + 10, what=subject, timeout=left)
            break
        except NotRunning:
            # It may just be starting, as in `mooring forward run … & mooring forward wait 80`.
            if left <= 0:
                raise
            time.sleep(min(_AGAIN, left))
    if not said["there"]:
        print(f"mooring: waiting for {subject}: not there after {timeout:g} s", file=sys.stderr)
    for line in said["lines"]:
        print(line, file=sys.stdout if said["there"] else sys.stderr)
    sys.exit(0 if said["there"] else 1)
