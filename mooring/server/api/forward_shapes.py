"""What the API answers of remote hosts and their forwards."""

from __future__ import annotations

from datetime import datetime

from mooring.model.forward import ForwardState, LinkState, Pattern
from mooring.server.api.base import Shape


class LastDrop(Shape):
    at: datetime
    pattern: str
    seconds: float | None
    """How long the link was away; null while it still is."""


class Diagnosis(Shape):
    pattern: Pattern
    evidence: list[str]
    advice: list[str]
    now: bool = True
    """Whether it is so now; false for what went wrong in the last hour and is over."""


class Spread(Shape):
    """How values spread: how many were at most each bound and above the one before."""

    bounds: list[float]
    counts: list[int]
    """One more than there are bounds: the last is of the values above them all."""
    total: float
    """The sum of the values."""


class Totals(Shape):
    """What has happened since the program that forwards was started."""

    since: datetime
    outages: dict[str, int]
    """By pattern."""
    away_s: float
    """Seconds without a link."""
    drift: int
    """Forwards that a list found changed and no event had told of."""
    flaps: int
    connections: int
    held: int
    """Connections that found no link and waited for it."""
    failed: int
    bytes_in: int
    """From the remote host."""
    bytes_out: int
    listening: Spread
    """Seconds from a container's start event to its listening port."""


class RemoteHost(Shape):
    """A remote host as the program that forwards it said last."""

    id: str
    network_id: str
    agent_id: str
    agent_name: str
    agent_online: bool
    """False: what is said here may have changed since ``agent_last_seen``."""
    agent_last_seen: datetime
    address: str
    """``ssh://user@host``."""
    state: LinkState
    since: datetime
    generation: int
    """How many times the link was made."""
    consecutive_failures: int
    docker: str
    """What the engine is and where, or why it can't be known."""
    ping_ms: float | None
    last_drop: LastDrop | None
    detail: str
    diagnosis: Diagnosis
    totals: Totals
    forward_count: int
    forward_states: dict[str, int]
    """How many forwards are in which state."""
    first_seen: datetime
    last_seen: datetime
    gone_at: datetime | None
    """Since when it is forwarded no longer."""


class Forward(Shape):
    id: str
    remote_host_id: str
    remote_address: str
    agent_id: str
    agent_online: bool
    """False: what is said here may have changed since ``agent_last_seen``."""
    agent_last_seen: datetime
    local: str
    """Where it listens; empty for a port that is not forwarded."""
    remote: str
    protocol: str
    container: str
    state: ForwardState
    since: datetime
    connections: int
    bytes_in: int | None
    """From the remote host; null where that can't be counted."""
    bytes_out: int | None
    detail: str
    first_seen: datetime
    last_seen: datetime
    gone_at: datetime | None


class LinkMoment(Shape):
    """Something that happened to a link or to a forward."""

    id: str
    at: datetime
    what: str
    """opened, closed, retargeted, conflict, link_live, link_lost, link_blocked, stopped."""
    place: str
    container: str
    detail: str
