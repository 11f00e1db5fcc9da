"""Pure. The journal against the kernel: which endpoints are dead, and what of ours nobody wants.

Docker says nothing of old endpoints after a reboot or a forced restart; what it says of new ones
is all there is. So an endpoint is dead when its container's network namespace is, which takes
the pair with it, and an interface with our mark is a leftover when no endpoint or network is
known to which it belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from mooring.can import names
from mooring.model.can import Endpoint, Link, Network

SETTLED = 60.0
"""Seconds after which Docker has moved an end into its container, or never will."""
ABANDONED = 600.0
"""Seconds after which nobody joins an endpoint any more."""


def pairs(links: Iterable[Link]) -> dict[str, Link]:
    """The ends on the host of our pairs, by the ids of their endpoints."""
    return {
        endpoint: link
        for link in links
        if (endpoint := names.marked_endpoint(link.alias)) is not None
    }


class Condition(StrEnum):
    """How an endpoint is."""

    WELL = "well"
    MISSING = "missing"
    """Its pair is not there, and should be."""
    STRAYED = "strayed"
    """Its pair is there, and the end that belongs into its container is not in it."""
    DEAD = "dead"
    """Its container is gone."""


def condition(
    endpoint: Endpoint, pair: Link | None, lives: Callable[[str], bool], now: float
) -> Condition:
    """How it is. ``lives`` tells whether a sandbox's namespace is there.

    ``now`` is in seconds since the machine's start. An end that is in another namespace is proof
    of life, whoever is silent.
    """
    if pair is not None and pair.away:
        return Condition.WELL
    age = now - endpoint.since
    if not endpoint.wired:
        if age > ABANDONED:
            return Condition.DEAD
        return Condition.MISSING if pair is None else Condition.WELL
    if pair is not None and age <= SETTLED:
        return Condition.WELL
    if not lives(endpoint.sandbox):
        return Condition.DEAD
    return Condition.MISSING if pair is None else Condition.STRAYED


def conditions(
    endpoints: Iterable[Endpoint],
    links: Iterable[Link],
    lives: Callable[[str], bool],
    now: float,
) -> dict[str, Condition]:
    """How each endpoint is, by its id."""
    found = pairs(links)
    return {one.id: condition(one, found.get(one.id), lives, now) for one in endpoints}


def leftovers(
    networks: Mapping[str, Network], endpoints: Mapping[str, Endpoint], links: Iterable[Link]
) -> list[Link]:
    """Links with our mark that belong to nothing that is known, and that no container holds.

    A pair with an end in a container is left alone even so: its journal may have been lost.
    """
    links = list(links)
    devices = {network.device for network in networks.values()}
    kept = [link for link in links if names.marked_endpoint(link.alias) and link.away]
    found = [
        link
        for link in links
        if (endpoint := names.marked_endpoint(link.alias)) is not None
        and endpoint not in endpoints
        and not link.away
    ]
    if not any(names.marked_endpoint(link.alias) not in endpoints for link in kept):
        # Nobody who is unknown may be on it.
        found += [
            link for link in links if names.is_bus_mark(link.alias) and link.name not in devices
        ]
    return found
