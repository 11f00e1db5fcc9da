"""Pure. How a scan goes about it."""

from __future__ import annotations

from dataclasses import dataclass

RATE = 50_000
TARGET_RATE = 5_000

PRINTERS = ((9100, 9107),)
"""Raw printing: whatever connects there comes out on paper."""


@dataclass(frozen=True, slots=True)
class ScanOptions:
    rate: float = RATE
    """Packets a second, all together, at the most."""
    target_rate: float = TARGET_RATE
    """Packets a second to any one host, at the most."""
    avoid: tuple[tuple[int, int], ...] = PRINTERS
    """Ranges of ports that are left alone, inclusive."""
    usual: tuple[int, ...] = ()
    """Ports that a light scan looks at beside the common ones: those of the catalogue."""
