"""Forwards: a remote host, the ports that its containers publish, and where they are reached."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class LinkState(StrEnum):
    """How the link to a remote host is; in the order in which it is gone through."""

    CONNECTING = "connecting"
    VERIFYING = "verifying"
    """Connected; it is being tried whether commands run and Docker answers."""
    SYNCING = "syncing"
    """Docker answers; its containers are being listed."""
    LIVE = "live"
    SUSPECT = "suspect"
    """Something failed or hung; it is being tried what."""
    BACKOFF = "backoff"
    """Lost; waiting before the next try."""
    BLOCKED = "blocked"
    """A person must act (authentication, host key, rights); tried again slowly."""
    STOPPED = "stopped"


class ForwardState(StrEnum):
    LISTENING = "listening"
    HELD = "held"
    """The link is down: connections are accepted and wait for it."""
    CONFLICT = "conflict"
    """The local port is taken, by another program or by a newer container."""
    UNSUPPORTED = "unsupported"
    LINGERING = "lingering"
    """Its container has just stopped; the port is let go if it does not start again at once."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where on the remote host a forward leads. ``host`` is as the remote host itself dials it."""

    host: str
    port: int

    def __str__(self) -> str:
        return _joined(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Place:
    """Where on this machine a forward listens: what two forwards cannot share."""

    protocol: str
    """tcp or udp."""
    ip: str
    port: int

    @property
    def address(self) -> str:
        return _joined(self.ip, self.port)

    def __str__(self) -> str:
        return f"{self.address}/{self.protocol}"


def _joined(host: str, port: int) -> str:
    """``127.0.0.1:80``, ``[::1]:80``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A forward that shall be: for which container, from where, to where."""

    place: Place
    target: Target
    container_id: str
    container: str
    container_port: int
    since: float
    """When the container started, in seconds since the epoch by the remote Docker's clock."""
    alias: bool = False
    """A port by which the container was reached before its random port changed."""


@dataclass(frozen=True, slots=True)
class Unmet:
    """A published port that is not forwarded, and why."""

    protocol: str
    port: int
    container_id: str
    container: str
    state: ForwardState
    detail: str
    since: float = 0.0
    """When its container started, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Forward:
    """One forward as it is now, for ``status`` and for the server."""

    local: str
    remote: str
    protocol: str
    container: str
    state: ForwardState
    since: float
    connections: int = 0
    bytes_in: int | None = 0
    """From the remote host; None where the transport does not let us count."""
    bytes_out: int | None = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """What became of one stream of Docker's events (F7)."""

    started_at: float
    startup_ms: float | None
    """From asking for the stream until Docker answered; None when it never did."""
    first_event_ms: float | None
    events: int
    idle_ms: float
    """Since the last event, or since the start, when it ended."""
    total_ms: float
    clean: bool
    consecutive_failures: int
    ended_by: str
    """A word for what ended it: stop, eof, link_lost, ping_failed, docker_silent, …"""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to a forward or to the link."""

    at: float
    what: str
    """opened, closed, retargeted, conflict, link_live, link_lost, link_blocked, stopped."""
    place: str = ""
    container: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """The last loss of the link."""

    at: float
    pattern: str
    seconds: float | None
    """How long the link was away; None while it still is."""


@dataclass(frozen=True, slots=True)
class RemoteHost:
    """One remote host as it is now."""

    host: str
    state: LinkState
    since: float
    generation: int
    """How many times the link was made."""
    consecutive_failures: int
    docker: str
    """The engine's version, or why it did not answer."""
    ping_ms: float | None
    last_drop: Drop | None
    forwards: tuple[Forward, ...]
    detail: str = ""


class Pattern(StrEnum):
    """What is wrong with a link, as its streams and a look at it show (F7)."""

    HEALTHY = "healthy"
    STALE_LINK = "stale_link"
    """The connection was there and nothing came through it any more."""
    DOCKER_SILENT = "docker_not_answering"
    NETWORK = "network_interruption"
    AUTHENTICATION = "authentication"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    pattern: Pattern
    evidence: tuple[str, ...]
    advice: tuple[str, ...]
    now: bool = True
    """Whether it is so now; False for what went wrong in the last hour and is over."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How values spread: how many were at most each bound and above the one before."""

    bounds: tuple[float, ...] = ()
    """Growing; the last count is of the values above the last bound."""
    counts: tuple[int, ...] = ()
    """One more than there are bounds."""
    total: float = 0.0
    """The sum of the values."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What has happened at one remote host since the program that forwards it was started."""

    since: float
    """When that was, in seconds since the epoch."""
    outages: tuple[tuple[str, int], ...] = ()
    """By pattern."""
    away_s: float = 0.0
    drift: int = 0
    """Forwards that a list found changed and no event had told of: 0 if all is well."""
    flaps: int = 0
    connections: int = 0
    held: int = 0
    """Connections that found no link and waited for it."""
    failed: int = 0
    """Connections that were reset: refused there, held for too long, or one too many."""
    bytes_in: int = 0
    """From the remote host, where the transport lets us count."""
    bytes_out: int = 0
    listening: Spread = Spread()
    """Seconds from a container's start event to its listening port."""


@dataclass(frozen=True, slots=True)
class Reported:
    """All that a report says of one remote host."""

    remote: RemoteHost
    diagnosis: Diagnosis
    totals: Totals
    history: tuple[Moment, ...] = ()
    """The last of it, oldest first; at most ``MAX_REPORTED_HISTORY``."""


MAX_REPORTED_HISTORY = 200


@dataclass(frozen=True, slots=True)
class Forwards:
    """Every remote host that one program forwards: the body of a forwards report."""

    remotes: tuple[Reported, ...]
