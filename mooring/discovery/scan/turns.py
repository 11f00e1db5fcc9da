"""Pure. Things that are asked until they answer or were asked often enough: which come next.

Its clock is the caller's. It never sends: it says what to send, and is told what was and came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from mooring.discovery.scan.timing import MOST_TRIES

NEVER = float("inf")


class Turns:
    """``count`` places to be asked in their order; those that stay silent are asked again.

    What is kept of a place is a byte, and its number while an answer is waited for.
    """

    __slots__ = ("_again", "_answers", "_last_wait", "_next", "_waiting", "settled", "total")

    def __init__(self, count: int, last_wait: int = MOST_TRIES) -> None:
        """``last_wait``: after the last try it waits that many times as long as after the first,
        at the most."""
        self.total = count
        self._last_wait = last_wait
        self.settled = 0
        """Places that answered or are given up."""
        self._answers = bytearray(count)
        self._next = 0
        self._again: deque[tuple[int, list[int]]] = deque()
        self._waiting: list[deque[tuple[float, Sequence[int]]]] = [
            deque() for _ in range(MOST_TRIES + 1)
        ]

    @property
    def begun(self) -> int:
        """Places that were asked once at least."""
        return self._next

    @property
    def has_more(self) -> bool:
        """Something could be asked now."""
        return bool(self._again) or self._next < self.total

    @property
    def done(self) -> bool:
        return not self.has_more and not any(self._waiting)

    def take(self, most: int) -> tuple[int, Sequence[int]]:
        """The next places to be asked, ``most`` of them, and which try it is, from 1.

        Those that were asked before come first, lest they wait for thousands.
        """
        while self._again:
            attempt, places = self._again.popleft()
            silent = iter([place for place in places if not self._answers[place]])
            places = list(islice(silent, most))
            if rest := list(silent):
                self._again.appendleft((attempt, rest))
            if places:
                return attempt, places
        first, self._next = self._next, min(self._next + most, self.total)
        return 1, range(first, self._next)

    def sent(self, attempt: int, places: Sequence[int], now: float) -> None:
        """These places were asked."""
        if places:
            self._waiting[attempt].append((now, places))

    def unsent(self, attempt: int, places: Sequence[int]) -> None:
        """These could not be; they come again."""
        if places:
            self._again.appendleft((attempt, list(places)))

    def answered(self, place: int) -> bool:
        """An answer came; whether it is the first of this place."""
        if self._answers[place]:
            return False
        self._answers[place] = 1
        self.settled += 1
        return True

    def expire(self, now: float, wait: float, tries: int) -> tuple[int, int]:
        """Ask those again that were silent for ``wait`` seconds, longer with each try; give those
        up that were asked ``tries`` times. How many were silent to their first try, and how many
        are given up."""
        at_first = given_up = 0
        for attempt, waiting in enumerate(self._waiting):
            longer = self._longer(attempt, tries)
            while waiting and waiting[0][0] + wait * longer <= now:
                silent = [place for place in waiting.popleft()[1] if not self._answers[place]]
                at_first += len(silent) if attempt == 1 else 0
                if attempt >= tries:
                    given_up += len(silent)
                elif silent:
                    self._again.append((attempt + 1, silent))
        self.settled += given_up
        return at_first, given_up

    def next_expiry(self, wait: float, tries: int = MOST_TRIES) -> float:
        """When ``expire`` has something to do at the earliest."""
        return min(
            (
                one[0][0] + wait * self._longer(attempt, tries)
                for attempt, one in enumerate(self._waiting)
                if one
            ),
            default=NEVER,
        )

    def _longer(self, attempt: int, tries: int) -> int:
        return attempt if attempt < tries else min(attempt, self._last_wait)

    def give_up(self) -> None:
        """Ask nothing more."""
        self._next = self.settled = self.total
        self._again.clear()
        for waiting in self._waiting:
            waiting.clear()
