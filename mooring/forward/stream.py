"""One stream of Docker's events, as it goes and as it is remembered (F7); never reads it."""

from __future__ import annotations

import asyncio
import time

from mooring.core.docker_events import StreamEnded
from mooring.core.errors import MooringError
from mooring.model.forward import StreamRecord

STEADY = 30.0
"""Seconds that a stream must have lived for the failures before it to be forgotten."""


class Stream:
    """What a stream brought and what ended it, measured on the process's own clock."""

    def __init__(self, now: float) -> None:
        """``now`` is in seconds since the epoch."""
        self.ended_by = ""
        self.detail = ""
        self.clean = False
        self._at = now
        self._began = time.perf_counter()
        self._answered: float | None = None
        self._first: float | None = None
        self._last: float | None = None
        self._over: float | None = None
        self._events = 0

    def answered(self) -> None:
        self._answered = time.perf_counter()

    def event(self) -> None:
        self._last = time.perf_counter()
        self._first = self._first or self._last
        self._events += 1

    def ended(self, by: str, detail: str = "", *, clean: bool = False) -> None:
        """It is over; said again when it is known better why."""
        self._over = self._over or time.perf_counter()
        self.ended_by, self.detail, self.clean = by, detail or self.detail, clean

    def record(self, failures: int) -> StreamRecord:
        """What is remembered; ``failures`` unclean ends in a row came before it."""
        over = self._over or time.perf_counter()
        total = over - self._began
        before = failures if total < STEADY else 0
        return StreamRecord(
            started_at=self._at,
            startup_ms=self._since_start(self._answered),
            first_event_ms=self._since_start(self._first),
            events=self._events,
            idle_ms=round((over - (self._last or self._began)) * 1000, 1),
            total_ms=round(total * 1000, 1),
            clean=self.clean,
            consecutive_failures=0 if self.clean else before + 1,
            ended_by=self.ended_by or "unknown",
            detail=self.detail[:300],
        )

    def _since_start(self, then: float | None) -> float | None:
        return None if then is None else round((then - self._began) * 1000, 1)


def how(name: str, part: asyncio.Task[object]) -> tuple[str, str, bool]:
    """What a task that watched a stream found: a word, words, whether all is well.

    Raises what is a fault of ours.
    """
    error = part.exception()
    if isinstance(error, StreamEnded):
        return name, str(error), error.clean
    if error is None:
        return name, str(part.result() or name), name in ("slept", "asked")
    if isinstance(error, MooringError):
        # Without its remedy: what failed, Docker or the link, is only now being looked for.
        return name, f"{error.attempted}: {error.why}", False
    if isinstance(error, OSError):
        return name, str(error), False
    raise error
