"""Pure. What a run is to do: read at the door, and whether an agent can be asked for it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from mooring.core.errors import UsageError
from mooring.core.targets import check_size, target_of
from mooring.model.net import IpNetwork
from mooring.server.merge import Row, Values
from mooring.server.runs import LOOK

_NEEDS = {"look": "discovery", "scan": "scan"}
_CANNOT = {
    "look": "does not look at its machine",
    "scan": "does not scan networks",
}
_REMEDY = {
    "look": "ask an agent of that machine with the duty discovery",
    "scan": "ask another, or start it again without --no-scan",
}


def read_order(kind: str, targets: Sequence[str], depth: str) -> Values | None:
    """The order as it is kept, each target once; None for a look. Raises ``UsageError``."""
    if kind == LOOK:
        if targets:
            why = "a look is at the agent's own machine, and has no targets"
            raise UsageError("reading what is to be done", why, "ask for a run of kind scan")
        return None
    networks = list(dict.fromkeys(target_of(text) for text in targets))
    for network in networks:
        check_size(network, [network])
        if network.version == 6 and network.prefixlen < 128 and network.prefixlen < 48:
            why = "an IPv6 network is never asked address by address, and this is no subnet"
            raise UsageError(f"scanning {network}", why, "name subnets, or single addresses")
    check_size(" and ".join(map(str, networks)), _collapsed(networks))
    return {"targets": [str(network) for network in networks], "depth": depth}


def refusal(agent: Row, kind: str) -> str | None:
    """Why this agent can't be asked for such a run, and what to do; None if it can."""
    if _NEEDS[kind] in agent["duties"]:
        return None
    duties = " and ".join(agent["duties"]) or "nothing"
    return f"{agent['name']} {_CANNOT[kind]}: its duty is {duties}; {_REMEDY[kind]}"


def outside(order: Values | None, allowed: Sequence[str] | None) -> str | None:
    """What of an order the agent may not scan, as far as it said what it may; None if nothing."""
    if order is None or allowed is None:
        return None
    scannable = inside(order["targets"], allowed)
    for target in order["targets"]:
        if target not in scannable:
            ranges = _collapsed(ipaddress.ip_network(text) for text in allowed)
            known = ", ".join(map(str, ranges)) or "none at all"
            return (
                f"{target} is outside of the networks that the agent may scan: {known}; "
                f"if it is yours to scan, start the agent with --allow-scan {target}"
            )
    return None


def inside(targets: Sequence[str], allowed: Sequence[str] | None) -> list[str]:
    """Those of the targets that the agent may scan, as far as it said what it may."""
    if allowed is None:
        return list(targets)
    ranges = _collapsed(ipaddress.ip_network(text) for text in allowed)
    return [
        text for text in targets if any(_within(ipaddress.ip_network(text), one) for one in ranges)
    ]


def _within(inner: IpNetwork, outer: IpNetwork) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _collapsed(networks: Iterable[IpNetwork]) -> list[IpNetwork]:
    every = list(networks)
    found: list[IpNetwork] = []
    for version in (4, 6):
        found += ipaddress.collapse_addresses(n for n in every if n.version == version)  # type: ignore[type-var]
    return found
