"""Pure. Whom a request comes from, behind proxies: what they say in, an address and a scheme out.

Only a proxy that is trusted is believed, and of what it hands on only what other trusted ones
said: whatever stands before that, whoever asks may have written.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Literal

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MOST_PROXIES = 100
"""Addresses and networks that can be trusted."""
MOST_HOPS = 20
"""Proxies that one request is followed through."""
_LONGEST = 64
"""Characters of an address with its port, at most."""


def networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks, separated by commas. Raises ``ValueError`` that says what is none."""
    words = [word for part in text.split(",") if (word := part.strip())]
    if len(words) > MOST_PROXIES:
        raise ValueError(f"expected at most {MOST_PROXIES}, got {len(words)}")
    return tuple(_network(word) for word in words)


def origin(peer: str, forwarded_for: Iterable[str], trusted: tuple[Network, ...]) -> str:
    """Whose request it is that came from ``peer``, with these X-Forwarded-For headers.

    The last address that no trusted proxy has. A word that is no address ends the search: whoever
    wrote it is not known, so the request is that of the proxy that handed it on.
    """
    at = _address(peer)
    if at is None:
        return peer
    hops = ",".join(forwarded_for).rsplit(",", MOST_HOPS)[-MOST_HOPS:]
    while _is_in(at, trusted) and hops:
        before = _address(hops.pop())
        if before is None:
            break
        at = before
    return str(at)


def scheme(
    peer: str, forwarded_proto: Iterable[str], trusted: tuple[Network, ...]
) -> Literal["http", "https"] | None:
    """How the browser reached the outermost proxy, with these X-Forwarded-Proto headers; None
    when nobody who is trusted says so."""
    at = _address(peer)
    if at is None or not _is_in(at, trusted):
        return None
    match ",".join(forwarded_proto)[:_LONGEST].partition(",")[0].strip().lower():
        case "https":
            return "https"
        case "http":
            return "http"
    return None


def _network(word: str) -> Network:
    try:
        return ipaddress.ip_network(word)
    except ValueError:
        raise ValueError(
            f"expected addresses and networks such as 127.0.0.1 or 10.0.0.0/8, got {word[:50]!r}"
        ) from None


def _address(word: str) -> _Address | None:
    """An address as proxies write it: perhaps with a port, perhaps in brackets."""
    word = word.strip()
    if len(word) > _LONGEST:
        return None
    if word.startswith("["):
        word = word[1:].partition("]")[0]
    elif word.count(":") == 1:
        word = word.partition(":")[0]
    try:
        found = ipaddress.ip_address(word.partition("%")[0])
    except ValueError:
        return None
    # What listens on :: sees IPv4 in this dress.
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _is_in(address: _Address, among: tuple[Network, ...]) -> bool:
    return any(address in network for network in among)
