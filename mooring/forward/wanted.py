"""Pure. Which forwards shall be, from a remote host's containers and a person's rules."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from mooring.model.container import Container, PublishedPort
from mooring.model.forward import ForwardState, Place, Target, Unmet, Wanted
from mooring.model.net import IpAddress

EPHEMERAL = range(32768, 61000)
"""The ports that Docker gives where none was asked for (Linux' ip_local_port_range)."""

Sticky = Mapping[tuple[str, str, int], int]
"""By container name, protocol and container port: the local port by which it was first reached."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a person wants of the published ports.

    A pattern is a container's name (with * and ?), ``label=KEY`` or ``label=KEY=VALUE``, or
    ``port=N`` or ``port=N-M``. Without ``include`` everything is in; ``exclude`` is stronger.
    ``remap`` is by remote host port.
    """

    bind: str = "127.0.0.1"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    remap: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wish:
    """All that shall be forwarded, one per place, and what can't be."""

    forwards: tuple[Wanted, ...] = ()
    unmet: tuple[Unmet, ...] = ()


def wanted(
    containers: Iterable[Container],
    rules: Rules,
    started: Mapping[str, float],
    sticky: Sticky,
) -> Wish:
    """The forwards for the running containers.

    ``started`` are the times at which containers are known to have started, by id; one that is
    missing is taken to have started when it was created. When two claim one place the newest
    start wins; an alias yields to any port that is really published.
    """
    claims: list[Wanted] = []
    unmet: list[Unmet] = []
    for container in containers:
        if container.state not in ("running", "paused", "restarting"):
            continue
        since = started.get(container.id, container.created_at or 0.0)
        for port in _published(container.ports):
            if left_out(container, port, rules):
                continue
            if port.protocol not in ("tcp", "udp"):
                unmet.append(
                    _unmet(container, port, since, f"{port.protocol} can't be forwarded over SSH")
                )
                continue
            claims += _claims(container, port, since, rules, sticky)
    kept, lost = _settle(claims)
    return Wish(tuple(kept), tuple(unmet + lost))


def _published(ports: Iterable[PublishedPort]) -> list[PublishedPort]:
    """The published ports, each once.

    Docker lists a port for IPv4 and again for IPv6, with another host port where it chose it
    itself: both lead to the same place, so the one for IPv4 stays.
    """
    kept: dict[tuple[str, int, str], list[PublishedPort]] = defaultdict(list)
    for port in ports:
        if port.host_port:
            where = "any" if _any(port.host_ip) else str(port.host_ip)
            kept[port.protocol, port.container_port, where].append(port)
    found = []
    for same in kept.values():
        fours = [p for p in same if p.host_ip is None or p.host_ip.version == 4]
        found += fours or same
    return list(dict.fromkeys(found))


def _any(ip: IpAddress | None) -> bool:
    return ip is None or ip.is_unspecified


def _claims(
    container: Container, port: PublishedPort, since: float, rules: Rules, sticky: Sticky
) -> list[Wanted]:
    assert port.host_port is not None
    local = rules.remap.get(port.host_port, port.host_port)
    first = sticky.get((container.name, port.protocol, port.container_port))
    places = [(local, False)]
    if first is not None and first != local and port.host_port in EPHEMERAL:
        places.append((first, True))
    return [
        Wanted(
            place=Place(port.protocol, rules.bind, number),
            target=Target(_dialled(port.host_ip), port.host_port),
            container_id=container.id,
            container=container.name,
            container_port=port.container_port,
            since=since,
            alias=alias,
        )
        for number, alias in places
    ]


def _dialled(ip: IpAddress | None) -> str:
    """What the remote host itself dials to reach a port published on this address."""
    if ip is None or ip == ipaddress.IPv4Address(0):
        return "127.0.0.1"
    return "::1" if ip.is_unspecified else str(ip)


def _settle(claims: list[Wanted]) -> tuple[list[Wanted], list[Unmet]]:
    """One claim per place; the others are shown with who has it."""
    by_place: dict[Place, list[Wanted]] = defaultdict(list)
    for claim in claims:
        by_place[claim.place].append(claim)
    kept, lost = [], []
    for place, rivals in by_place.items():
        # Down to the target, so that two looks at the same choose the same.
        rivals.sort(key=lambda c: (not c.alias, c.since, c.container_id, _by_target(c.target)))
        winner = rivals.pop()
        kept.append(winner)
        for loser in rivals:
            same = loser.container_id == winner.container_id
            if loser.alias or (same and loser.container_port == winner.container_port):
                continue
            detail = f"{place} goes to {winner.container}, which started later"
            if same:
                detail = f"{place} goes to its port {winner.container_port}"
            lost.append(
                Unmet(
                    place.protocol,
                    loser.target.port,
                    loser.container_id,
                    loser.container,
                    ForwardState.CONFLICT,
                    detail,
                    loser.since,
                )
            )
    return kept, lost


def _by_target(target: Target) -> tuple[bool, str, int]:
    """Of one container's own, the one that listens everywhere or on loopback is the last."""
    return target.host == "127.0.0.1", target.host, target.port


def remembered(sticky: Sticky, wish: Wish) -> dict[tuple[str, str, int], int]:
    """The sticky ports, with those that Docker has now chosen for the first time."""
    new = dict(sticky)
    for f in wish.forwards:
        if not f.alias and f.target.port in EPHEMERAL:
            new.setdefault((f.container, f.place.protocol, f.container_port), f.place.port)
    return new


# --- rules


def left_out(container: Container, port: PublishedPort, rules: Rules) -> str | None:
    """Why the rules leave a port out, in words; None when they let it in."""
    for pattern in rules.exclude:
        if _fits(pattern, container, port):
            return f"--exclude {pattern} leaves it out"
    if rules.include and not any(_fits(p, container, port) for p in rules.include):
        return f"--include {' --include '.join(rules.include)} does not name it"
    return None


def _fits(pattern: str, container: Container, port: PublishedPort) -> bool:
    kind, _, rest = pattern.partition("=")
    if kind == "label":
        name, equals, value = rest.partition("=")
        labels = dict(container.labels)
        return name in labels and (not equals or labels[name] == value)
    if kind == "port" and port.host_port:
        low, _, high = rest.partition("-")
        return int(low) <= port.host_port <= int(high or low)
    return fnmatchcase(container.name, pattern)


def _unmet(container: Container, port: PublishedPort, since: float, detail: str) -> Unmet:
    return Unmet(
        port.protocol,
        port.host_port or 0,
        container.id,
        container.name,
        ForwardState.UNSUPPORTED,
        detail,
        since,
    )
