"""``mooring forward explain``: why a port or a container is there or not."""

from __future__ import annotations

import sys

from mooring.cli.forward.options import StateDir, What, state_folder
from mooring.forward import control
from mooring.forward.address import meant


def explain(what: What, /, *, state_dir: StateDir = None) -> None:
    """Say why a port of this machine, or a remote container, can be reached or not.

    The exit code is 0 when it can, 1 when it can't or when the last connection to it failed, and 3
    when nothing runs there.
    """
    said = control.ask(state_folder(state_dir), "explain", what=str(meant(what)))
    for line in said["lines"]:
        print(line)
    sys.exit(0 if said["served"] else 1)
