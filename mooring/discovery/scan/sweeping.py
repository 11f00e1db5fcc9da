"""The loop that asks addresses whether anybody is there, until each answered or is given up.

Of one thread. What is asked, and by what, is an asker's: ``arp``, ``echo``.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from mooring.discovery.scan.budget import Bucket
from mooring.discovery.scan.target import Path
from mooring.discovery.scan.turns import Turns

LOOK = 0.05
"""Seconds after which it looks whether to end."""


class Reply(NamedTuple):
    place: int
    """Of the address that answered, among those that are asked."""
    attempt: int
    """The try that it answers."""
    round_trip: float
    """Seconds."""


class Asker(Protocol):
    first_wait: float
    """Seconds until a silent address is asked again where nobody answered yet."""
    least_tries: int
    last_wait: int
    """How many times as long as for the first try it waits for the last one, at the most."""

    def fileno(self) -> int: ...

    def ask(self, place: int, attempt: int) -> bool:
        """Ask one address; False if there is no room for it now."""
        ...

    def hear(self) -> Iterable[Reply]:
        """What came meanwhile."""
        ...


def sweep(
    asker: Asker,
    count: int,
    path: Path,
    bucket: Bucket,
    ending: threading.Event,
    advanced: Callable[[int], None],
) -> None:
    """Ask ``count`` addresses. ``path`` learns of losses and round trips on the way."""
    turns = Turns(count, asker.last_wait)
    poll = select.poll()
    poll.register(asker.fileno(), select.POLLIN)
    while not turns.done and not ending.is_set():
        now = time.monotonic()
        most = bucket.available(now)
        if most > 0 and turns.has_more:
            attempt, chosen = turns.take(most)
            sent = 0
            while sent < len(chosen) and asker.ask(chosen[sent], attempt):
                sent += 1
            bucket.sent(sent, time.monotonic())
            turns.sent(attempt, chosen[:sent], now)
            turns.unsent(attempt, chosen[sent:])
        for reply in asker.hear():
            if turns.answered(reply.place):
                path.round_trip.observe(reply.round_trip)
                path.loss.observe(reply.attempt)
        measured = path.round_trip.smooth is not None
        wait = path.round_trip.wait if measured else asker.first_wait
        tries = max(asker.least_tries, path.loss.tries())
        turns.expire(time.monotonic(), wait, tries)
        advanced(turns.settled)
        if not turns.done:
            until = min(turns.next_expiry(wait, tries) - time.monotonic(), LOOK)
            until = min(until, bucket.ready_in()) if turns.has_more else until
            poll.poll(max(1.0, until * 1000))
