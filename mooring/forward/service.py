"""Pure. The files by which systemd and launchd run the forwards; writes none.

A command in, a file's text out. systemd's journal bounds its own size; under launchd the command
itself keeps a log of bounded size, for launchd would let a file grow for ever.
"""

from __future__ import annotations

import plistlib
import re
from collections.abc import Mapping, Sequence

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
    lines = [f"Environment={_quoted(f'{name}={value}')}\n" for name, value in environment.items()]
    return _UNIT.format(
        command=" ".join(_quoted(word).replace("$", "$$") for word in command),
        environment="".join(lines),
    )


def _quoted(word: str) -> str:
    """A word as systemd.syntax(7) wants it; ``%`` would be a specifier."""
    if re.search(r"[\0\n\r]", word):
        raise ValueError(f"a line break can't be written into a unit: {word!r}")
    word = word.replace("%", "%%")
    if re.fullmatch(r"[A-Za-z0-9_@:/.,=+%$\[\]-]+", word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


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
