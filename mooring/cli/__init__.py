"""The command line: reads it, wires, runs. A file per command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 asked wrongly, 3 nothing runs,
    130 interrupted."""
    try:
        try:
            _run()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        # Before the command has its own answer to it, as while it is loaded.
        sys.exit(130)
    except BrokenPipeError:
        # Who reads has seen enough (``| head``), and the end writes out what still waits.
        from mooring.core.lines import mute

        mute(sys.stdout)
        sys.exit(1)


def _run() -> None:
    if sys.argv[1:2] == ["can"]:
        # A door of its own: Docker waits for the driver, and must not wait for what it needs not.
        from mooring.cli import can

        can.main(sys.argv[2:])
    from mooring.cli.app import run
    from mooring.core.errors import MooringError

    try:
        run()
    except MooringError as error:
        print(f"mooring: {error.attempted}: {error.why}", file=sys.stderr)
        if error.remedy:
            print(f"  {error.remedy}", file=sys.stderr)
        sys.exit(error.exit_code)
