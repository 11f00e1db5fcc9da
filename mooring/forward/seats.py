"""Pure. Which of several remote hosts has a place here that more than one wants: the first named.

Never listens: it says who is before whom, and asks those behind to settle again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping

from mooring.model.forward import Place


async def _nothing() -> None:
    return None


class Seats:
    """The remote hosts of one process, in the order in which they were named."""

    def __init__(self) -> None:
        self._seats: list[Seat] = []

    def take(self, host: str) -> Seat:
        """The next seat, behind all that were taken before."""
        seat = Seat(host, len(self._seats), self)
        self._seats.append(seat)
        return seat

    def before(self, rank: int) -> list[Seat]:
        return self._seats[:rank]

    def behind(self, rank: int) -> list[Seat]:
        return self._seats[rank + 1 :]


class Seat:
    """One host's rank, and the places that it claims.

    ``settle`` makes the host's listeners be what it may have now; it is called on hosts behind
    only, so that no two can wait for each other.
    """

    def __init__(self, host: str, rank: int, seats: Seats) -> None:
        self.host = host
        self.settle: Callable[[], Awaitable[object]] = _nothing
        self._rank = rank
        self._seats = seats
        self._claims: Mapping[Place, str] = {}

    def taken(self, place: Place) -> str | None:
        """Who has a place before this host, in words; None when this host may have it."""
        for seat in self._seats.before(self._rank):
            if place in seat._claims:
                return f"{place} goes to {seat._claims[place]} on {seat.host}, which is named first"
        return None

    async def claim(self, claims: Mapping[Place, str]) -> set[Place]:
        """Claim these places (each with its container's name) and no others.

        Hosts behind have let go of them when this returns. Answers the places that are free for
        hosts behind once this host has let go of them itself: see ``freed``.
        """
        gained = claims.keys() - self._claims.keys()
        lost = set(self._claims.keys() - claims.keys())
        self._claims = dict(claims)
        for seat in self._concerned(gained):
            await seat.settle()
        return lost

    async def freed(self, places: set[Place]) -> None:
        """These places were let go of: hosts behind that want one take it."""
        for seat in self._concerned(places):
            await seat.settle()

    def _concerned(self, places: set[Place]) -> Iterator[Seat]:
        for seat in self._seats.behind(self._rank):
            if places & seat._claims.keys():
                yield seat
