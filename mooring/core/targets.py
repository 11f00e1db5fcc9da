"""Pure. What somebody typed as a target of a scan in, a network out, or what is wrong with it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from mooring.core.errors import UsageError
from mooring.model.net import IpNetwork

MAX_ADDRESSES = 1 << 16
"""IPv4 addresses that one scan may ask: a /16."""


def target_of(text: str) -> IpNetwork:
    """A CIDR, or an address as a network of one.

    Raises:
        UsageError: it is neither, or has host bits set.
    """
    attempted = f"reading the target {text!r}"
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        pass
    else:
        _check_kind(attempted, network)
        return network
    try:
        with_bits = ipaddress.ip_interface(text)
    except ValueError:
        remedy = "name a network (192.168.1.0/24) or an address (192.168.1.7)"
        raise UsageError(attempted, "it is no network and no address", remedy) from None
    why = f"{with_bits.ip} has bits set beyond the prefix of {with_bits.network.prefixlen}"
    remedy = f"{with_bits.network} is the network, {with_bits.ip} the one host"
    raise UsageError(attempted, why, remedy)


def _check_kind(attempted: str, network: IpNetwork) -> None:
    """Raises ``UsageError`` when no host can have an address of it, or none that can be asked."""
    if network.is_multicast:
        raise UsageError(
            attempted, "its addresses are of groups, not of hosts", "name the network of the hosts"
        )
    if network.version == 6 and network.is_link_local:
        raise UsageError(
            attempted,
            "its addresses hold on one link only, and it does not say on which",
            "name the IPv6 or IPv4 network of that link: its neighbours are found with it",
        )


def check_size(what: object, networks: Iterable[IpNetwork]) -> None:
    """Raises ``UsageError`` when networks, none within another, have too many addresses."""
    count = sum(n.num_addresses for n in networks if n.version == 4)
    if count > MAX_ADDRESSES:
        raise UsageError(
            f"scanning {what}",
            f"{count:,} addresses, and one scan asks {MAX_ADDRESSES:,} at the most (a /16)",
            "name smaller networks, those that are really in use",
        )
