"""Pure. What was measured of answers in; how long to wait for one and how often to ask, out."""

from __future__ import annotations

import math

FIRST_WAIT = 0.5
"""Seconds to wait for an answer where nothing was measured yet."""
LEAST_WAIT = 0.1
MOST_WAIT = 3.0

LEAST_TRIES = 2
MOST_TRIES = 8

_MISSED = 1e-5
"""The chance that an open port is taken for a silent one which the number of tries allows."""

_UNKNOWN = 50
"""As many answers, one of which came late, are taken as seen before any was: a loss of 2 %."""


class RoundTrip:
    """The time that answers take, and so how long to wait for one (RFC 6298)."""

    __slots__ = ("_spread", "longest", "smooth")

    def __init__(self) -> None:
        self.smooth: float | None = None
        self._spread = 0.0
        self.longest = 0.0

    def observe(self, seconds: float) -> None:
        self.longest = max(self.longest, seconds)
        if self.smooth is None:
            self.smooth, self._spread = seconds, seconds / 2
            return
        self._spread += (abs(self.smooth - seconds) - self._spread) / 4
        self.smooth += (seconds - self.smooth) / 8

    @property
    def wait(self) -> float:
        """Seconds after which an answer is not to be expected any more."""
        if self.smooth is None:
            return FIRST_WAIT
        return min(MOST_WAIT, max(LEAST_WAIT, self.smooth + 4 * self._spread))


class Loss:
    """How much is lost: of what was answered, that which was answered to a later try only."""

    __slots__ = ("answers", "late", "missing")

    def __init__(self) -> None:
        self.answers = 0
        self.late = 0
        self.missing = 0
        """Silent so far, of hosts that answer otherwise: lost for all that is known. Were they not
        counted, the first look at what is silent would see no losses at all."""

    def observe(self, attempt: int) -> None:
        """An answer, and the try that it answers: the first is 1."""
        self.answers += 1
        self.late += attempt > 1

    @property
    def share(self) -> float:
        """Of questions, or of their answers: 0 to 1, and never quite 0."""
        return (self.late + self.missing + 1) / (self.answers + self.missing + _UNKNOWN)

    def tries(self) -> int:
        """How often a silent port is asked until it may be taken for silent."""
        share = min(self.share, 0.9)
        return min(MOST_TRIES, max(LEAST_TRIES, math.ceil(math.log(_MISSED) / math.log(share))))
