"""Pure. The life of a link: which state follows which, and how long to wait between tries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mooring.core.backoff import Backoff
from mooring.model.forward import LinkState

STEADY = 30.0
"""Seconds that a link must be live before its earlier failures are forgotten."""
BLOCKED_WAIT = 60.0
"""Seconds between tries while a person must act."""
LOOK_AFTER = 0.5
"""Seconds that a log-in may take before it is looked whether the host can be reached at all."""
BACKOFF = Backoff(first=0.25, cap=30.0)


@dataclass(frozen=True, slots=True)
class Life:
    """Where a link is. ``since`` is when it came there, ``live_since`` when it last became live."""

    state: LinkState = LinkState.CONNECTING
    since: float = 0.0
    live_since: float | None = None
    generation: int = 0
    failures: int = 0
    detail: str = ""


def to(life: Life, state: LinkState, now: float, detail: str = "") -> Life:
    """The link enters a state of its way up: connecting, verifying, syncing, live, suspect.

    A suspicion that was cleared does not make a link a new one: it stays live since it first was.
    """
    if state is LinkState.CONNECTING:
        # Why the last one was lost is the news until this one is made.
        generation = life.generation + 1
        return replace(life, state=state, since=now, live_since=None, generation=generation)
    live = life.live_since
    if state is LinkState.LIVE and live is None:
        live = now
    return replace(life, state=state, since=now, live_since=live, detail=detail)


def lost(life: Life, now: float, detail: str = "", *, blocked: bool = False) -> Life:
    """The link, or the try to make it, failed.

    Failures in a row are counted until the link was live for long enough; the first failure of
    a steady link is retried at once.
    """
    steady = life.live_since is not None and now - life.live_since >= STEADY
    failures = 1 if steady else life.failures + 1
    state = LinkState.BLOCKED if blocked else LinkState.BACKOFF
    return replace(life, state=state, since=now, live_since=None, failures=failures, detail=detail)


def wait(life: Life, chance: Callable[[], float]) -> float:
    """Seconds until the next try: 0 after the first failure, then from 0.25 doubling to 30."""
    if life.state is LinkState.BLOCKED:
        return BLOCKED_WAIT
    return BACKOFF.delay(life.failures - 1, chance)


def look_every(away: float) -> float:
    """Seconds between two looks whether a host can be reached that is away for so many.

    A look costs a packet, where a log-in costs the host a process: so they are frequent, and
    cost an outage at most a 400th of its time.
    """
    return min(5.0, max(0.25, away / 400))


def seen_steady(life: Life, now: float) -> Life:
    """Forget the failures of a link that has been live for long enough."""
    if life.failures and life.live_since is not None and now - life.live_since >= STEADY:
        return replace(life, failures=0)
    return life
