"""Pure. Names the pattern in the records of event streams and in a live look, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mooring.model.forward import LinkState, StreamRecord

RECENT = 20
"""How many of the last streams are looked at."""


class Pattern(StrEnum):
    HEALTHY = "healthy"
    STALE_LINK = "stale_link"
    """The connection was there and nothing came through it any more."""
    DOCKER_SILENT = "docker_not_answering"
    NETWORK = "network_interruption"
    AUTHENTICATION = "authentication"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Look:
    """What a live look found. None where it was not tried, or could not be."""

    state: LinkState
    detail: str = ""
    ssh_ms: float | None = None
    """How long a command took over the link."""
    docker_ms: float | None = None
    docker_detail: str = ""
    now: float = 0.0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    pattern: Pattern
    evidence: tuple[str, ...]
    advice: tuple[str, ...]


_ADVICE = {
    Pattern.HEALTHY: (),
    Pattern.STALE_LINK: (
        "something between here and there forgets idle connections (a NAT, a firewall, a VPN)",
        "on the remote host, in /etc/ssh/sshd_config: ClientAliveInterval 15 and "
        "ClientAliveCountMax 3, then: sudo systemctl reload ssh",
        "Mooring sends a sign of life every 15 s and asks Docker every 15 s; it comes back by itself",
    ),
    Pattern.DOCKER_SILENT: (
        "on the remote host: systemctl status docker; journalctl -u docker --since -10min",
        "forwards that are open go on working; containers that start now are seen when Docker "
        "answers again",
    ),
    Pattern.NETWORK: (
        "see whether the remote host can be reached: ping it, and ssh to it by hand",
        "connections made meanwhile are held for 30 s and served when the link is back",
    ),
    Pattern.AUTHENTICATION: (
        "log in by hand once: ssh USER@HOST true; it must neither ask nor fail",
        "a key that needs a passphrase must be in an SSH agent: ssh-add",
    ),
    Pattern.UNKNOWN: ("the log tells the rest: mooring forward run --log-level debug",),
}

# What ended a stream, and what that speaks for.
_SPEAKS_FOR = {
    "ping_failed": Pattern.STALE_LINK,
    "link_silent": Pattern.STALE_LINK,
    "link_lost": Pattern.NETWORK,
    "docker_silent": Pattern.DOCKER_SILENT,
    "docker_failed": Pattern.DOCKER_SILENT,
    "blocked": Pattern.AUTHENTICATION,
}


def diagnose(records: Sequence[StreamRecord], look: Look) -> Diagnosis:
    """Name what is wrong now, else what went wrong lately, else that nothing did."""
    now = _now(look)
    if now is not None:
        return Diagnosis(now[0], now[1], _ADVICE[now[0]])
    pattern, evidence = _lately(records[-RECENT:])
    if pattern is Pattern.HEALTHY:
        evidence = (*_live(look), *evidence)
    return Diagnosis(pattern, evidence, _ADVICE[pattern])


def _now(look: Look) -> tuple[Pattern, tuple[str, ...]] | None:
    if look.state is LinkState.BLOCKED:
        return Pattern.AUTHENTICATION, (f"the link is blocked: {look.detail}",)
    if look.state in (LinkState.BACKOFF, LinkState.CONNECTING):
        return Pattern.NETWORK, (f"there is no link now: {look.detail or 'it is being made'}",)
    if look.ssh_ms is None and look.state is not LinkState.STOPPED:
        return Pattern.STALE_LINK, ("the link is there, and a command over it did not end in 5 s",)
    if look.docker_ms is None and look.state is not LinkState.STOPPED:
        return Pattern.DOCKER_SILENT, (
            f"the link works (a command took {look.ssh_ms:.0f} ms), and Docker does not answer: "
            f"{look.docker_detail}",
        )
    return None


def _lately(records: Sequence[StreamRecord]) -> tuple[Pattern, tuple[str, ...]]:
    bad = [r for r in records if not r.clean]
    if not bad:
        return Pattern.HEALTHY, (f"{len(records)} event streams ended, all of them cleanly",)
    by_pattern: dict[Pattern, list[StreamRecord]] = {}
    for record in bad:
        by_pattern.setdefault(_pattern(record), []).append(record)
    pattern, its = max(by_pattern.items(), key=lambda found: len(found[1]))
    worst = max(its, key=lambda r: r.consecutive_failures)
    evidence = [f"of the last {len(records)} event streams {len(its)} ended so: {_words(its[-1])}"]
    if worst.consecutive_failures > 1:
        evidence.append(f"up to {worst.consecutive_failures} failures in a row")
    idle = sorted(r.idle_ms for r in its)[len(its) // 2] / 1000
    if pattern is Pattern.STALE_LINK and idle >= 1:
        evidence.append(f"after {idle:.0f} s without an event, in the middle")
    return pattern, tuple(evidence)


def _pattern(record: StreamRecord) -> Pattern:
    known = _SPEAKS_FOR.get(record.ended_by)
    if known is not None:
        return known
    if record.ended_by == "eof":
        # The engine's end of the stream without its closing chunk: it was stopped or restarted.
        return Pattern.DOCKER_SILENT
    return Pattern.UNKNOWN


def _words(record: StreamRecord) -> str:
    ended = record.ended_by.replace("_", " ")
    return f"{ended}" + (f" ({record.detail})" if record.detail else "")


def _live(look: Look) -> tuple[str, ...]:
    if look.ssh_ms is None or look.docker_ms is None:
        return ()
    return (
        f"a command over the link took {look.ssh_ms:.0f} ms, Docker answered in "
        f"{look.docker_ms:.0f} ms",
    )
