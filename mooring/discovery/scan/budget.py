"""Pure. How many packets may be sent now: token buckets, on a clock that the caller reads."""

from __future__ import annotations

_FILL = 0.9
"""The share of a rate at which a bucket fills; what it holds at the most, and what it gives while a
sender is held up unnoticed, are what is left of the rate's tenth of a second. So no tenth of a
second ever sees more than a tenth of the rate."""

_HOLDS_S = 0.009
_HELD_UP_S = 0.001
"""Seconds from a look to the last packet after which they count as lost."""


class Bucket:
    """Never gives more than ``rate`` a second, nor a tenth of it in any tenth of a second.

    A rate below ten a second gives single packets. ``slower`` and ``faster`` move within the rate.
    """

    __slots__ = ("_at", "_held", "_most", "_share", "rate")

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self._share = 1.0
        self._most = max(1.0, rate * _HOLDS_S)
        self._held = self._most
        self._at = now

    def available(self, now: float) -> int:
        """How many may be sent."""
        self._held = min(
            self._most, self._held + (now - self._at) * self.rate * _FILL * self._share
        )
        self._at = now
        return int(self._held)

    def take(self, count: int) -> None:
        """What was sent; also more than was available, which is then made up for by waiting."""
        self._held -= count

    def sent(self, count: int, now: float) -> None:
        """The same, of a sender that is done now: if it was held up after its look it sent late,
        and what comes next is as late.
        """
        self.take(count)
        if now - self._at > _HELD_UP_S:
            self._at = now

    def ready_in(self, count: int = 1) -> float:
        """Seconds from the last look until so many are available."""
        missing = min(float(count), self._most) - self._held
        return max(0.0, missing / (self.rate * _FILL * self._share))

    @property
    def pace(self) -> float:
        """Packets a second that it gives at present."""
        return self.rate * _FILL * self._share

    def slower(self, least: float) -> None:
        """Half as fast, but for ``least`` packets a second."""
        self._share = max(min(1.0, least / self.rate), self._share / 2)

    def faster(self) -> None:
        """A tenth of the whole rate faster."""
        self._share = min(1.0, self._share + 0.1)
