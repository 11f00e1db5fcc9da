"""What a network scan finds: the hosts of one block of addresses, their ports and services."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mooring.model.net import IpAddress, IpNetwork
from mooring.model.service import OpenPort, Service

BLOCK_PREFIX = 24
"""IPv4 is scanned, and reported, in blocks of 256 addresses; an IPv6 subnet is one block."""

MAX_HOSTS = 1024
"""Hosts that a block may hold: as many IPv6 neighbours are told of one subnet."""

MAX_PORTS = 1024
"""Open ports that are told of one host: one with more answers on whatever port it is asked."""

ALL_OPEN = "not asked: the host takes connections on every port, as a firewall or a trap does"
"""What is said of the ports that are kept of such a host."""

MANY = 8
"""A hardware address that answers for more addresses than this is a router's, which answers for
others (proxy ARP): by it nobody is known."""

MAX_TARGETS = 256
"""Networks that one order names."""

MAX_ALLOWED = 1000
"""Networks that an agent says it may scan; one that is in more does not say."""


class Sign(StrEnum):
    """By what a host is known to be there."""

    ARP = "arp"
    NDP = "ndp"
    """An IPv6 neighbour answered."""
    NEIGHBOUR = "neighbour"
    """The kernel's own table held it."""
    ICMP = "icmp"
    TCP = "tcp"
    MDNS = "mdns"
    SELF = "self"
    """The scanner's own machine."""


class Depth(StrEnum):
    """Which ports are looked at."""

    NONE = "none"
    """Only who is there."""
    LIGHT = "light"
    """The ports that services of the catalogue are usually found on."""
    FULL = "full"
    """1 to 65535."""


@dataclass(frozen=True, slots=True)
class ScannedHost:
    """A host, as one scan saw it."""

    ip: IpAddress
    signs: tuple[Sign, ...]
    mac: str | None = None
    """Lower case with colons; None where a router lies between."""
    vendor: str = ""
    """Who made its network interface, by the MAC's first bits."""
    names: tuple[str, ...] = ()
    """What it calls itself (mDNS), the likeliest first, without the dot at the end."""
    round_trip_ms: float | None = None
    depth: Depth = Depth.NONE
    """How far its ports have been looked at; those outside are as they were last seen."""
    ports: tuple[OpenPort, ...] = ()
    all_open: bool = False
    """Whether it takes connections on every port that it is asked, of which these are some."""
    services: tuple[Service, ...] = ()
    """What is known of the host and of no port of it: by mDNS, by the MAC's vendor."""


@dataclass(frozen=True, slots=True)
class Scan:
    """The body of a scan report: all that one scan knows so far of one block of addresses.

    Its subject is ``scan:`` and the block's CIDR.
    """

    block: IpNetwork
    subnet: IpNetwork
    """The subnet that the block lies in, as the scanner knows it; else the block itself."""
    hosts: tuple[ScannedHost, ...]
    whole: bool
    """All addresses of the block were asked, reliably: whoever is not in ``hosts`` is not there."""
    looked_at: tuple[tuple[int, int], ...] = ()
    """The TCP ports that were looked at on each host whose depth is not none: ranges, inclusive."""


@dataclass(frozen=True, slots=True)
class ScanOrder:
    """What a run of kind scan shall do. An empty ``targets``: the subnets that are attached."""

    targets: tuple[IpNetwork, ...] = ()
    depth: Depth = Depth.LIGHT
