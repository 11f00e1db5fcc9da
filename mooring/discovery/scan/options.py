"""Pure. How a scan goes about it."""

from __future__ import annotations

from dataclasses import dataclass

RATE = 50_000
TARGET_RATE = 5_000


@dataclass(frozen=True, slots=True)
class ScanOptions:
    rate: float = RATE
    """Packets a second, all together, at the most."""
    target_rate: float = TARGET_RATE
    """Packets a second to any one host, at the most."""
    usual: tuple[int, ...] = ()
    """Ports that a light scan looks at beside the common ones: those of the catalogue, that of
    most services first."""
    ask_printers: bool = False
    """Whether printers' raw ports are asked what they are too; a printer prints the question."""
