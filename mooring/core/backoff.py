"""Pure. How long to wait after a number of failures in a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waiting in seconds: ``first`` after one failure, doubling up to ``cap``."""

    first: float = 0.25
    cap: float = 30.0

    def delay(self, failures: int, chance: Callable[[], float]) -> float:
        """Seconds to wait after ``failures`` failures in a row; 0 after none.

        ``chance`` gives numbers in [0, 1); the wait is spread over its upper half, so that many
        clients of one dead server do not come back in step.
        """
        if failures <= 0:
            return 0.0
        full = min(self.cap, self.first * 2.0 ** min(failures - 1, 62))
        return full * (0.5 + chance() / 2)
