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
QUICK = 2
"""How often the wait may double for a link that was live: up to half a second."""
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
    tries: int = 0
    """How many of the last failures were of links that did not become live."""
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
    if state is LinkState.LIVE:
        live = now if live is None else live
        return replace(life, state=state, since=live, live_since=live, detail=detail)
    return replace(life, state=state, since=now, live_since=live, detail=detail)


def lost(life: Life, now: float, detail: str = "", *, blocked: bool = False) -> Life:
    """The link, or the try to make it, failed.

    Failures in a row are counted until the link was live for long enough; the first failure of
    a steady link is retried at once.
    """
    was_live = life.live_since is not None
    return replace(
        life,
        state=LinkState.BLOCKED if blocked else LinkState.BACKOFF,
        since=now,
        live_since=None,
        failures=1 if _steady(life, now) else life.failures + 1,
        tries=0 if was_live else life.tries + 1,
        detail=detail,
    )


def _steady(life: Life, now: float) -> bool:
    return life.live_since is not None and now - life.live_since >= STEADY


def wait(life: Life, chance: Callable[[], float]) -> float:
    """Seconds until the next try: 0 after the first failure, then from 0.25 doubling to 30.

    Only what can't be made is waited for that long: a link that was live is tried again within
    half a second, however often it was cut before.
    """
    if life.state is LinkState.BLOCKED:
        return BLOCKED_WAIT
    return BACKOFF.delay(min(life.failures - 1, QUICK + life.tries), chance)


def look_every(away: float) -> float:
    """Seconds between two looks whether a host can be reached that is away for so many.

    A look costs a packet, where a log-in costs the host a process: so they are frequent, and
    cost an outage at most a 400th of its time.
    """
    return min(5.0, max(0.25, away / 400))


def seen_steady(life: Life, now: float) -> Life:
    """Forget the failures of a link that has been live for long enough."""
    if life.failures and _steady(life, now):
        return replace(life, failures=0)
    return life
