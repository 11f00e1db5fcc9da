"""``mooring forward retry``: try a lost or blocked link now."""

from __future__ import annotations

from mooring.cli.forward.options import HostName, StateDir, state_folder
from mooring.forward import control


def retry(host: HostName = None, *, state_dir: StateDir = None) -> None:
    """Try links that wait now; of those that are there, see whether they are good."""
    for name in control.ask(state_folder(state_dir), "retry", host=host):
        print(f"{name} is tried: mooring forward status says how it goes")
