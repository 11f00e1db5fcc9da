"""What a machine's network is made of: interfaces, addresses, subnets, routes, neighbours."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def network_of(ip: IpAddress, prefix: int) -> IpNetwork:
    """The network of ``prefix`` bits in which an address lies.

    By number: ``ip_network`` makes a text of the address and reads it again, at four times the
    cost, which a machine with a thousand interfaces notices.
    """
    if isinstance(ip, ipaddress.IPv4Address):
        return ipaddress.IPv4Network((int(ip), prefix), strict=False)
    return ipaddress.IPv6Network((int(ip), prefix), strict=False)


class InterfaceKind(StrEnum):
    """What an interface is, as its driver says and never as its name suggests."""

    LOOPBACK = "loopback"
    ETHERNET = "ethernet"
    WIRELESS = "wireless"
    BRIDGE = "bridge"
    BOND = "bond"
    TEAM = "team"
    VLAN = "vlan"
    VXLAN = "vxlan"
    VETH = "veth"
    MACVLAN = "macvlan"
    IPVLAN = "ipvlan"
    DUMMY = "dummy"
    TUN = "tun"
    TAP = "tap"
    WIREGUARD = "wireguard"
    PPP = "ppp"
    TUNNEL = "tunnel"
    """Tunnels of the kernel other than those above: gre, ipip, sit, vti, xfrm, ip6tnl, geneve."""
    CAN = "can"
    VCAN = "vcan"
    VXCAN = "vxcan"
    VRF = "vrf"
    INFINIBAND = "infiniband"
    OTHER = "other"


class InterfaceState(StrEnum):
    """The operational state (RFC 2863), with administratively down told apart."""

    UP = "up"
    DOWN = "down"
    DISABLED = "disabled"
    """Administratively down."""
    DORMANT = "dormant"
    LOWER_DOWN = "lower_down"
    UNKNOWN = "unknown"


class SubnetKind(StrEnum):
    LAN = "lan"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link_local"
    VPN = "vpn"
    DOCKER_BRIDGE = "docker_bridge"
    PODMAN_BRIDGE = "podman_bridge"
    VIRTUAL_BRIDGE = "virtual_bridge"
    """A bridge without a way out by itself: libvirt's, LXD's, or of containers not yet known."""
    MACVLAN = "macvlan"
    """A Docker network of driver macvlan or ipvlan: it lies on the LAN of its parent."""
    OVERLAY = "overlay"
    POINT_TO_POINT = "point_to_point"
    """A /32, /127 or /128 on a link that is neither a LAN nor known to be a VPN."""
    UNKNOWN = "unknown"

    @property
    def host_local(self) -> bool:
        """Whether another host's subnet of the same CIDR is another subnet.

        Every Docker host has its own 172.17.0.0/16 and every host its own 127.0.0.0/8.
        """
        return self in _HOST_LOCAL


_HOST_LOCAL = frozenset(
    {
        SubnetKind.LOOPBACK,
        SubnetKind.LINK_LOCAL,
        SubnetKind.DOCKER_BRIDGE,
        SubnetKind.PODMAN_BRIDGE,
        SubnetKind.VIRTUAL_BRIDGE,
        SubnetKind.POINT_TO_POINT,
    }
)


class NeighbourState(StrEnum):
    REACHABLE = "reachable"
    STALE = "stale"
    PERMANENT = "permanent"
    FAILED = "failed"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Address:
    """An address on an interface. ``prefix`` is its length in bits, 0 to 32 or 0 to 128."""

    ip: IpAddress
    prefix: int
    peer: IpAddress | None = None
    """The other end of a point-to-point link, where the kernel knows one."""

    @property
    def network(self) -> IpNetwork:
        """The subnet in which the address lies (of the peer, on a point-to-point link)."""
        return network_of(self.peer or self.ip, self.prefix)


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface. ``index`` is the kernel's and holds until the next reboot only."""

    name: str
    index: int
    kind: InterfaceKind
    state: InterfaceState
    mac: str | None = None
    """Lower case with colons, ``02:42:ac:11:00:02``; None where the link has no such address."""
    mtu: int = 0
    """Bytes; 0 where it is not known."""
    addresses: tuple[Address, ...] = ()
    master: str | None = None
    """The bridge, bond, team or VRF that it is enslaved to, by name."""
    parent: str | None = None
    """The interface below a VLAN, macvlan or tunnel, by name, if it is in the same namespace."""
    vlan: int | None = None
    """The 802.1Q tag of a VLAN interface, 1 to 4094."""


@dataclass(frozen=True, slots=True)
class Subnet:
    cidr: IpNetwork
    kind: SubnetKind
    interface: str | None = None
    """The interface through which it was seen, by name."""
    name: str | None = None
    """The name that its maker gave it, such as a Docker network's."""
    gateway: IpAddress | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the main table. ``destination`` None is the default route."""

    family: int
    """4 or 6."""
    destination: IpNetwork | None
    gateway: IpAddress | None
    interface: str | None
    metric: int = 0


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry of the kernel's ARP or NDP table."""

    ip: IpAddress
    interface: str
    state: NeighbourState
    mac: str | None = None
    router: bool = False
