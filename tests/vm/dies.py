"""Inside the machine: the driver, killed in the middle of its second Join and of its fifth.

The rules are made then, and nobody has been answered. Takes the words after ``mooring can``.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from mooring.can import bus
from mooring.cli.can import main

JOINS = Path("/run/lab/joins")
"""A byte for each; gone at the next boot."""
real = bus.wire


def wire(*arguments: Any, joining: str = "", **more: Any) -> Any:
    done = real(*arguments, joining=joining, **more)
    if joining:
        with JOINS.open("a") as file:
            file.write("j")
        if JOINS.stat().st_size in (2, 5):
            os.kill(os.getpid(), signal.SIGKILL)
    return done


bus.wire = wire
main(sys.argv[1:])
