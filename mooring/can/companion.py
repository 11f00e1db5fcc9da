"""A program that runs beside the plugin and ends with it: started, and started again when it ends.

Its standard input is a pipe that nobody writes to: its end says that the plugin has ended, in
whatever way. What becomes of it costs the plugin nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from mooring.core.backoff import Backoff
from mooring.core.lines import Lines

AT_FIRST = 1.0
"""Seconds after which it is started: at a boot Docker's calls come first."""
LONG = 60.0
"""Seconds after which it is taken to have run well."""
_ASKED_WRONGLY = 2


def accompany(command: Sequence[str], log: Lines, backoff: Backoff) -> None:
    """Run it for as long as this process runs, or until it says that it was asked wrongly."""
    # Not loaded before the socket answers.
    import subprocess

    delay, failures = AT_FIRST, 0
    while True:
        time.sleep(delay)
        began = time.monotonic()
        try:
            with subprocess.Popen(command, stdin=subprocess.PIPE) as running:
                code = running.wait()
        except OSError as error:
            log.error("reporter_not_started", program=command[0], error=str(error))
            code = 1
        if code == _ASKED_WRONGLY:
            log.error("reports_ended", reason="the server or the key is given wrongly")
            return
        failures = 0 if time.monotonic() - began > LONG else failures + 1
        delay = backoff.delay(failures, random.random)
        log.warning("reporter_ended", code=code, again_in_s=round(delay, 1))
