"""The options of a command whose agent scans networks when it is asked to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from cyclopts import Parameter, validators

from mooring.core.errors import UsageError
from mooring.core.targets import target_of
from mooring.discovery import local
from mooring.discovery.scan.options import RATE, ScanOptions
from mooring.discovery.scan.plan import Here
from mooring.discovery.scan_run import Tools, Wiring

Scan = Annotated[
    bool,
    Parameter(
        name="--scan",
        negative="--no-scan",
        help="Whether the server may ask for scans of networks.",
    ),
]
AllowScan = Annotated[
    tuple[str, ...],
    Parameter(
        negative="",
        help="A network (CIDR) that may be scanned beside those of this machine; repeatable.",
    ),
]
ScanRate = Annotated[
    float,
    Parameter(
        validator=validators.Number(gte=1), help="Packets a second that a scan sends at the most."
    ),
]
AskPrinters = Annotated[
    bool,
    Parameter(
        negative="",
        help="Whether a scan asks printers' raw ports (9100 to 9107) too what they are; a printer "
        "prints the question.",
    ),
]

__all__ = ["RATE", "AllowScan", "AskPrinters", "Scan", "ScanRate", "wiring"]


def wiring(
    scan: bool, allow: Sequence[str], rate: float, ask_printers: bool = False
) -> Wiring | None:
    """How the agent's scans are done; None if it does none. Raises ``UsageError``."""
    allowed = tuple(target_of(text) for text in allow)
    if not scan:
        if allowed:
            attempted = "reading --allow-scan beside --no-scan"
            raise UsageError(attempted, "the one allows what the other forbids", "leave one out")
        return None
    return Wiring(
        _here, partial(_tools, ScanOptions(rate=rate, ask_printers=ask_printers)), allowed
    )


def _here() -> Here:
    seen = local.see()
    return Here(seen.interfaces, seen.routes)


def _tools(options: ScanOptions) -> Tools:
    # Read when the first scan is asked for: an agent's first report does not wait for it.
    from mooring.discovery import scan_tools

    return scan_tools.tools(options)
