"""Pure. Names the pattern in the records of event streams and in a live look, and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mooring.model.forward import Diagnosis, LinkState, Pattern, StreamRecord

RECENT = 20
"""How many of the last streams are looked at."""
LATELY = 3600.0
"""Seconds after which a stream's end is no news while all is well."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a live look found. None where it was not tried, or could not be."""

    state: LinkState
    detail: str = ""
    """Why it is in that state."""
    remedy: str = ""
    """What is known to help against that."""
    ssh_ms: float | None = None
    """How long a command took over the link."""
    docker_ms: float | None = None
    docker_detail: str = ""
    forbidden: str = ""
    """What the remote sshd said to a client that it may connect nowhere."""
    now: float = 0.0
    """Seconds since the epoch."""
    name: str = "NAME"
    """The remote host's, for commands to copy."""
    host: str = "HOST"
    """Where it was reached last, else its name."""
    port: int = 22
    login: str = "USER@HOST"
    """What is said to ``ssh`` to log in there."""
    tried: bool = True
    """False: nothing was tried, and only what is known already counts."""


FORBIDDEN = "the remote sshd prohibits to connect to the containers' ports"

_ADVICE = {
    Pattern.HEALTHY: (),
    Pattern.STALE_LINK: (
        "something between here and there forgets idle connections (a NAT, a firewall, a VPN)",
        (
            "on the remote host, in /etc/ssh/sshd_config: ClientAliveInterval 15 and "
            "ClientAliveCountMax 3, then: sudo systemctl reload ssh"
        ),
        "Mooring asks Docker for an answer every 8 s, and comes back by itself",
    ),
    Pattern.DOCKER_SILENT: (
        "on the remote host: systemctl status docker; journalctl -u docker --since -10min",
        (
            "forwards that are open go on working; containers that start now are seen when "
            "Docker answers again"
        ),
    ),
    Pattern.NETWORK: (
        (
            "what closed it is in the log of the remote host (journalctl -u ssh --since -1h), or "
            "is a proxy, a firewall or a VPN between here and there"
        ),
        "it comes back by itself; connections made meanwhile are held for 30 s and then served",
    ),
    Pattern.AUTHENTICATION: (
        "it must neither ask nor fail: ssh {login} docker version",
        "once it is put right: mooring forward retry (it is also tried every minute)",
    ),
    Pattern.UNKNOWN: ("the log tells the rest: mooring forward run --log-level debug",),
}

_TRIED = "it is tried for ever; connections made meanwhile are held for 30 s"
_NO_LINK = (
    (
        "name can't be resolved",
        "HostName in ~/.ssh/config gives a name its address; see what it has: getent hosts {name}",
        "a name that only a VPN's name server knows needs that VPN",
    ),
    (
        "connection refused",
        (
            "on the remote host: systemctl status ssh; the port is that of the address, or of "
            "~/.ssh/config"
        ),
        "or a firewall rejects it; try from here and from elsewhere: nc -vz {host} {port}",
    ),
    (
        "no answer|timed out|unreachable|no route",
        (
            "see that the remote host is up and this machine's network, or VPN, leads to it: "
            "ping {host}"
        ),
        "or a firewall drops what goes to its port: nc -vz {host} {port}",
    ),
)
"""While there is no link: the words of why, and what to do."""
_FORBIDDEN = (
    (
        "on the remote host, in /etc/ssh/sshd_config: AllowTcpForwarding yes (or local), also in "
        "the Match block that is about this user, and no PermitOpen that leaves the ports out; "
        "sudo sshd -T -C user=USER shows what counts. Then: sudo systemctl reload ssh"
    ),
    "the key's line in ~/.ssh/authorized_keys there: without restrict and no-port-forwarding",
    "then start mooring forward again: a session keeps the rights that it began with",
)

# What ended a stream, and what that speaks for. The word is found once it is known what else
# answered: a ping that failed over a link that works is Docker's fault, and the other way round.
_SPEAKS_FOR = {
    "link_lost": Pattern.NETWORK,
    "link_silent": Pattern.STALE_LINK,
    "docker_silent": Pattern.DOCKER_SILENT,
    "docker_failed": Pattern.DOCKER_SILENT,
    # The engine's end of the stream, and what asked it again was answered: it was restarted.
    "eof": Pattern.DOCKER_SILENT,
    # It took too long once, and then everything answered.
    "ping_failed": Pattern.NETWORK,
    "blocked": Pattern.AUTHENTICATION,
}


def diagnose(records: Sequence[StreamRecord], look: Look) -> Diagnosis:
    """Name what is wrong now, else what went wrong lately, else that nothing did."""
    now = _now(look)
    if now is not None:
        return Diagnosis(*now, _advice(now[0], look))
    recent = [r for r in records if look.now - _ended(r) <= LATELY][-RECENT:]
    if not recent and look.state is LinkState.STOPPED:
        nothing = "it does not run, and nothing was recorded in the last hour"
        return Diagnosis(Pattern.UNKNOWN, (nothing,), ("start it, and ask again",))
    pattern, evidence = _lately(recent)
    if pattern is Pattern.HEALTHY:
        return Diagnosis(pattern, (*_live(look), *evidence), ())
    return Diagnosis(pattern, (*evidence, *_live(look)), _filled(_ADVICE[pattern], look), now=False)


def is_well(diagnosis: Diagnosis) -> bool:
    """Whether nothing is wrong now."""
    return diagnosis.pattern is Pattern.HEALTHY or not diagnosis.now


def _now(look: Look) -> tuple[Pattern, tuple[str, ...]] | None:
    """What is wrong at this moment, if anything is."""
    if look.state is LinkState.STOPPED:
        return None
    if look.state is LinkState.BLOCKED:
        return Pattern.AUTHENTICATION, (f"the link is blocked: {look.detail}",)
    if look.state in (LinkState.BACKOFF, LinkState.CONNECTING):
        return Pattern.NETWORK, (f"there is no link now: {look.detail or 'it is being made'}",)
    if not look.tried:
        if look.docker_detail:
            return Pattern.DOCKER_SILENT, (f"Docker does not answer: {look.docker_detail}",)
        if look.forbidden:
            return Pattern.AUTHENTICATION, (f"{FORBIDDEN} ({look.forbidden})",)
        return None
    if look.ssh_ms is None:
        return Pattern.STALE_LINK, ("the link is there, and a command over it did not end in 5 s",)
    if look.docker_ms is None:
        works = f"the link works (a command took {look.ssh_ms:.0f} ms)"
        return Pattern.DOCKER_SILENT, (f"{works}, and Docker does not: {look.docker_detail}",)
    if look.forbidden:
        said = f"Docker answers, and {FORBIDDEN} ({look.forbidden})"
        return Pattern.AUTHENTICATION, (said,)
    return None


def _filled(advice: tuple[str, ...], look: Look) -> tuple[str, ...]:
    """With what is known of the host in place of words for it."""
    known = {
        "{name}": look.name,
        "{host}": look.host,
        "{port}": str(look.port),
        "{login}": look.login,
    }
    filled = advice
    for word, value in known.items():
        filled = tuple(line.replace(word, value) for line in filled)
    return filled


def _advice(pattern: Pattern, look: Look) -> tuple[str, ...]:
    """What to do about what is wrong now: what is known to help, else what usually does."""
    if pattern is Pattern.NETWORK:
        for words, *advice in _NO_LINK:
            if re.search(words, look.detail):
                return _filled((*advice, _TRIED), look)
    if pattern is Pattern.AUTHENTICATION and look.state is not LinkState.BLOCKED:
        return _FORBIDDEN
    usual = _filled(_ADVICE[pattern], look)
    if not look.remedy:
        return usual
    return look.remedy, *usual[-1:]


def _lately(records: Sequence[StreamRecord]) -> tuple[Pattern, tuple[str, ...]]:
    """What went wrong most often in these records."""
    bad = [r for r in records if not r.clean]
    if not bad:
        ended = f"event streams that ended in the last hour: {len(records)}, each cleanly"
        none = "no event stream has ended in the last hour"
        return Pattern.HEALTHY, (ended if records else none,)
    by_pattern: dict[Pattern, list[StreamRecord]] = {}
    for record in bad:
        by_pattern.setdefault(_SPEAKS_FOR.get(record.ended_by, Pattern.UNKNOWN), []).append(record)
    pattern, its = max(by_pattern.items(), key=lambda found: (len(found[1]), _ended(found[1][-1])))
    worst = max(its, key=lambda r: r.consecutive_failures)
    named, times = pattern.replace("_", " "), f"{len(its)} time{'s' * (len(its) != 1)}"
    evidence = [f"in the last hour: {named}, {times}: {_words(its[-1])}"]
    if worst.consecutive_failures > 1:
        evidence.append(f"up to {worst.consecutive_failures} failures in a row")
    idle = sorted(r.idle_ms for r in its)[len(its) // 2] / 1000
    if pattern is Pattern.STALE_LINK and idle >= 1:
        evidence.append(f"after {idle:.0f} s without an event, in the middle")
    evidence += [
        f"and {other.replace('_', ' ')}, {len(others)}: {_words(others[-1])}"
        for other, others in by_pattern.items()
        if other is not pattern
    ]
    return pattern, tuple(evidence)


def _ended(record: StreamRecord) -> float:
    return record.started_at + record.total_ms / 1000


def _words(record: StreamRecord) -> str:
    ended = record.ended_by.replace("_", " ")
    return f"{ended}" + (f" ({record.detail})" if record.detail else "")


def _live(look: Look) -> tuple[str, ...]:
    if not look.tried and look.docker_ms is not None:
        return (f"Docker answered the last check in {look.docker_ms:.0f} ms",)
    if look.ssh_ms is None or look.docker_ms is None:
        return ()
    link = f"a command over the link took {look.ssh_ms:.0f} ms"
    return (f"{link}, Docker answered in {look.docker_ms:.0f} ms",)
