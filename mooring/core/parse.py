"""Pure. Single values from outside, as text, to values of ours; raises ValueError at nonsense."""

from __future__ import annotations

import ipaddress
import re

from mooring.model.net import IpAddress, IpNetwork


def cut(text: str, most: int) -> str:
    """At most so many characters, and no NUL, which no database takes."""
    return text.replace("\0", "")[:most]


def ip(text: str | None) -> IpAddress | None:
    """An address; None for none, which Go writes as ``<nil>``. A ``/prefix`` is let go."""
    if not text or text == "<nil>":
        return None
    address, _, _ = text[:100].partition("/")
    if "%" in address:
        raise ValueError(f"{address!r} has a zone, which means nothing elsewhere")
    return ipaddress.ip_address(address)


def cidr(text: str) -> IpNetwork:
    """A subnet. Host bits are let go: ``10.0.0.5/24`` is read as ``10.0.0.0/24``."""
    _, slash, _ = text.partition("/")
    if not slash or len(text) > 100 or "%" in text:
        raise ValueError(f"expected a subnet such as 172.18.0.0/16, got {text[:100]!r}")
    return ipaddress.ip_network(text, strict=False)


def mac(text: str | None) -> str | None:
    """A hardware address of 6 to 20 bytes, lower case with colons; None for anything else."""
    plain = (text or "").lower().replace("-", ":")
    return plain if re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5,19}", plain) else None


def interface(name: str | None) -> str | None:
    """A name that Linux takes for an interface (dev_valid_name in net/core/dev.c), else None."""
    return name if name and re.fullmatch(r"[^\s/:\0]{1,15}", name) else None
