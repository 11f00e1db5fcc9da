"""How one remote host is: its link's state, what went wrong and when; told, counted and kept.

Changes no link: whoever makes, watches and loses one says so here.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from mooring.core.errors import MooringError
from mooring.forward import life as lives
from mooring.forward.diagnose import Look
from mooring.forward.keep import Keep
from mooring.forward.life import Life
from mooring.forward.news import News
from mooring.forward.stream import Stream
from mooring.model.forward import Drop, Forward, LinkState, Moment, Pattern, RemoteHost, Spread

log = structlog.get_logger(__name__)

MAX_DETAIL = 500
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds from an event to its listening port, between which starts are counted."""
NO_STARTS = Spread(BOUNDS, (0,) * (len(BOUNDS) + 1))


def added(spread: Spread, value: float) -> Spread:
    """With one more value."""
    at = bisect.bisect_left(spread.bounds, value)
    counts = tuple(count + (at == number) for number, count in enumerate(spread.counts))
    return replace(spread, counts=counts, total=spread.total + value)


@dataclass(slots=True)
class Counts:
    """What has happened since the start, for the metrics."""

    outages: dict[str, int] = field(default_factory=dict)
    """By pattern."""
    away_s: float = 0.0
    drift: int = 0
    """Forwards that a list found changed and no event had told of: 0 if all is well."""
    event_to_listening_ms: list[float] = field(default_factory=list)
    """Of the last 1,000 starts."""
    event_to_listening: Spread = NO_STARTS
    """Of all starts, in seconds."""

    def listening(self, milliseconds: float) -> None:
        self.event_to_listening = added(self.event_to_listening, milliseconds / 1000)
        self.event_to_listening_ms.append(round(milliseconds, 2))
        del self.event_to_listening_ms[:-1000]


class Condition:
    """One host's. ``clock`` gives seconds since the epoch."""

    def __init__(self, host: str, keep: Keep, news: News, clock: Callable[[], float]) -> None:
        self.host = host
        self.clock = clock
        self.news = news
        """Tells whenever there would be something new to see."""
        self.counts = Counts()
        self.life = Life(since=clock())
        self.docker = ""
        """What Docker is and where, or why it does not answer."""
        self.ping_ms: float | None = None
        self.fault: MooringError | None = None
        """Why the link was lost last."""
        self.away_since: float | None = None
        """Since when there has been no link, of one that was lost or tried in vain."""
        self._linked = False
        """Whether there ever was a link: only then one can be lost."""
        self._drop: Drop | None = None
        self._keep = keep
        self._unclean = 0

    def to(self, state: LinkState, detail: str = "") -> None:
        """The link comes to a state of its way up, or stops."""
        was_live = self.life.live_since is not None
        self.life = lives.to(self.life, state, self.clock(), detail)
        shown = {"detail": detail} if detail else {}
        log.info(f"link_{state}", host=self.host, generation=self.life.generation, **shown)
        if state is LinkState.LIVE and not was_live:
            self._keep.note(Moment(self.clock(), "link_live", detail=self.docker[:MAX_DETAIL]))
        if state is LinkState.STOPPED:
            self._keep.note(Moment(self.clock(), "stopped"))
        self.news.tell()

    def lose(self, error: MooringError, pattern: Pattern, *, blocked: bool = False) -> None:
        """The link is lost, or could not be made."""
        detail = str(error)
        self.fault = error
        was_up = self.life.live_since is not None
        again = self.life.detail == detail
        self.life = lives.lost(self.life, self.clock(), detail, blocked=blocked)
        if self.away_since is None:
            self.away_since = self.clock()
            self.count(pattern)
            again = False
            if self._linked:
                self._drop = Drop(self.away_since, pattern, None)
        what = "link_blocked" if blocked else "link_lost"
        log.warning(
            what, host=self.host, pattern=pattern, failures=self.life.failures, reason=detail
        )
        if not again:
            # Of a link that there was, only why it is gone is news.
            gone = was_up and pattern in (Pattern.NETWORK, Pattern.STALE_LINK)
            told = error.why if gone else detail
            self._keep.note(Moment(self.clock(), what, detail=told[:MAX_DETAIL]))
        self.news.tell()

    def came_back(self) -> None:
        """Connections pass again."""
        self._linked = True
        if self.away_since is None:
            return
        seconds = round(self.clock() - self.away_since, 3)
        self.away_since = None
        self.counts.away_s += seconds
        if self._drop and self._drop.seconds is None:
            self._drop = replace(self._drop, seconds=seconds)

    def seen_steady(self) -> None:
        """A check was passed."""
        self.life = lives.seen_steady(self.life, self.clock())
        self.news.tell()

    def count(self, pattern: Pattern) -> None:
        self.counts.outages[pattern] = self.counts.outages.get(pattern, 0) + 1

    def record(self, stream: Stream) -> int:
        """A stream of events is over; answers how many in a row have ended uncleanly."""
        record = stream.record(self._unclean)
        self._unclean = record.consecutive_failures
        self._keep.record(record)
        log.info("events_ended", host=self.host, ended_by=record.ended_by, events=record.events)
        return self._unclean

    def look(self) -> Look:
        """What a diagnosis knows without trying anything."""
        detail, remedy = self.life.detail, ""
        if self.fault and detail == str(self.fault):
            detail = f"{self.fault.attempted}: {self.fault.why}"
            remedy = self.fault.remedy
        return Look(self.life.state, detail, remedy, now=self.clock())

    def host_with(self, forwards: tuple[Forward, ...]) -> RemoteHost:
        return RemoteHost(
            host=self.host,
            state=self.life.state,
            since=self.life.since,
            generation=self.life.generation,
            consecutive_failures=self.life.failures,
            docker=self.docker,
            ping_ms=self.ping_ms,
            last_drop=self._drop,
            forwards=forwards,
            detail=self.life.detail,
        )
