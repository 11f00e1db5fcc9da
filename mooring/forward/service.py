"""Pure. The files by which systemd and launchd run the forwards; writes none.

A command in, a file's text out. systemd's journal bounds its own size; under launchd the command
itself keeps a log of bounded size, for launchd would let a file grow for ever.
"""

from __future__ import annotations

import plistlib
from collections.abc import Mapping, Sequence

from mooring.core.systemd import command_line, environment_lines

UNIT = "mooring-forward.service"
LABEL = "dev.mooring.forward"
AGENT = f"{LABEL}.plist"

_UNIT = """\
[Unit]
Description=Mooring: published ports of remote Docker hosts on localhost
StartLimitIntervalSec=0

[Service]
ExecStart={command}
Restart=always
RestartSec=5
# A wrong command line or config file does not get right by trying again.
RestartPreventExitStatus=2
# Every port is let go within 2 seconds.
TimeoutStopSec=10
LogRateLimitIntervalSec=30
LogRateLimitBurst=1000
{environment}
[Install]
WantedBy=default.target
"""


def systemd_unit(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """A user unit (systemd.service(5), systemd.exec(5)).

    ``command`` begins with an absolute path. Raises ValueError for what a unit can't hold.
    """
    return _UNIT.format(command=command_line(command), environment=environment_lines(environment))


def launchd_plist(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """A launch agent (launchd.plist(5))."""
    agent = {
        "Label": LABEL,
        "ProgramArguments": list(command),
        "EnvironmentVariables": dict(environment),
        "RunAtLoad": True,
        # A wrong command line ends with 2, and is tried again no oftener than this.
        "KeepAlive": True,
        "ThrottleInterval": 10,
        "ExitTimeOut": 10,
        "ProcessType": "Background",
        "StandardOutPath": "/dev/null",
        "StandardErrorPath": "/dev/null",
    }
    return plistlib.dumps(agent, sort_keys=False).decode()
