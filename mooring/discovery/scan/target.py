"""Pure. One host's way through its ports: what is asked next, how fast, and what was answered.

Its clock is the caller's. It never sends: it says what to send, and is told what came.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from mooring.discovery.scan.budget import Bucket
from mooring.discovery.scan.timing import Loss, RoundTrip
from mooring.discovery.scan.turns import Turns
from mooring.model.net import IpAddress

LEAST_PACE = 100.0
"""Packets a second below which losing answers slows nobody down."""

MOST_OPEN = 1024
"""Ports that are told of one host."""

_SAMPLE = 100
"""Ports of which nearly all are open: then it takes connections on all."""
_NEARLY_ALL = 0.9

_CONGESTED = 0.1
"""The share of answers that came to a later try only, from which on it is asked more slowly."""
_GROUP = 50
"""Answers that are looked at together for that."""


_SPEAKS = 0.5
"""The share of ports from which on a host counts as one that answers on all."""


class Ports:
    """The ports that all hosts of a scan are asked for, in their order; shared by them."""

    __slots__ = ("numbers", "places")

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = array("H", numbers)
        self.places = array("i", [-1]) * 65536
        for place, number in enumerate(numbers):
            self.places[number] = place


class Path:
    """What is known of the way to a number of hosts: a link, or the routers in between."""

    __slots__ = ("loss", "round_trip")

    def __init__(self) -> None:
        self.round_trip = RoundTrip()
        self.loss = Loss()


class Target:
    """A host whose ports are asked."""

    def __init__(
        self,
        ip: IpAddress,
        ports: Ports,
        path: Path,
        rate: float,
        now: float,
        mac: str | None = None,
    ) -> None:
        self.ip = ip
        self.mac = mac
        self.bucket = Bucket(rate, now)
        self.turns = Turns(len(ports.numbers))
        self.open: list[int] = []
        self.all_open = False
        self.answers = 0
        """Of any kind: a port that is closed says that the host is there."""
        self.fault: OSError | None = None
        """Why something could not be sent to it."""
        self.told = 0
        """How many of the open ports were told already."""
        self._ports = ports
        self._path = path
        self._round_trip = RoundTrip()
        self._loss = Loss()
        self._missing = 0
        self._group_answers = 0
        self._group_late = 0

    @property
    def round_trip_ms(self) -> float | None:
        smooth = self._round_trip.smooth
        return None if smooth is None else smooth * 1000

    @property
    def wait(self) -> float:
        """Seconds until a port that was asked once counts as silent."""
        own = self._round_trip
        return own.wait if own.smooth is not None else self._path.round_trip.wait

    @property
    def tries(self) -> int:
        """How often a silent port is asked: as its own losses and those of the path demand."""
        of_path = self._path.loss.tries()
        return max(of_path, self._loss.tries()) if self._loss.answers >= _GROUP else of_path

    def numbers(self, places: Sequence[int]) -> list[int]:
        """The ports at these places."""
        numbers = self._ports.numbers
        return [numbers[place] for place in places]

    def sent(self, attempt: int, places: Sequence[int], asked: int, now: float) -> None:
        """The first ``asked`` of these places were asked; the others could not be."""
        self.bucket.sent(asked, now)
        self.turns.sent(attempt, places[:asked], now)
        self.turns.unsent(attempt, places[asked:])

    def answered(self, port: int, is_open: bool, attempt: int, round_trip: float | None) -> None:
        """An answer came. ``attempt`` 0: it does not say to which try."""
        place = self._ports.places[port]
        if place < 0 or self.all_open or not self.turns.answered(place):
            return
        self.answers += 1
        if is_open:
            self.open.append(port)
            # The kernel, which knows of no such connection, resets it.
            self.bucket.take(1)
            count = len(self.open)
            nearly_all = count >= _SAMPLE and count >= _NEARLY_ALL * self.turns.begun
            if nearly_all or count >= MOST_OPEN:
                self.all_open = True
                self.turns.give_up()
        if round_trip is not None:
            self._round_trip.observe(round_trip)
            self._path.round_trip.observe(round_trip)
        if attempt:
            self._loss.observe(attempt)
            self._path.loss.observe(attempt)
            self._pace(attempt)
            if attempt > 1:
                self._miss(-1)

    def expire(self, now: float) -> None:
        """Look again at what was asked long enough ago."""
        at_first, given_up = self.turns.expire(now, self.wait, self.tries)
        speaks = self.answers >= _SPEAKS * self.turns.begun
        self._miss((at_first if speaks else 0) - given_up)
        if self.turns.done:
            self._miss(-self._missing)

    def _miss(self, more: int) -> None:
        """So many more ports, or fewer, are silent of which it is not known whether they are lost
        or dropped. A host that drops nearly all tells nothing of losses."""
        more = max(more, -self._missing)
        self._missing += more
        self._loss.missing += more
        self._path.loss.missing += more

    def next_expiry(self) -> float:
        return self.turns.next_expiry(self.wait)

    def _pace(self, attempt: int) -> None:
        """Slow down while answers are lost, and go back to the full rate when they are not."""
        self._group_answers += 1
        self._group_late += attempt > 1
        if self._group_answers >= _GROUP:
            if self._group_late > _CONGESTED * self._group_answers:
                self.bucket.slower(LEAST_PACE)
            else:
                self.bucket.faster()
            self._group_answers = self._group_late = 0
