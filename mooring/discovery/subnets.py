"""Pure. Interfaces and routes in, subnets with their kind and gateway out. Reads no first letters.

A subnet's kind follows from what its interface is and what it is joined to. A name counts
in one place only: a bridge that leads nowhere by itself and is called exactly as Docker or Podman
call theirs is taken for one of theirs, until the engine itself says better.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mooring.model.net import (
    Interface,
    InterfaceKind,
    IpAddress,
    IpNetwork,
    Route,
    Subnet,
    SubnetKind,
)

_DOCKER = re.compile(r"docker0|docker_gwbridge|br-[0-9a-f]{12}")
"""Docker's default bridge, Swarm's, and ``br-`` with the first 12 digits of a network's id."""

_PODMAN = re.compile(r"podman[0-9]+|cni-podman[0-9]+")
"""netavark's bridges, and those of Podman's older CNI."""

_UPLINKS = frozenset(
    {
        InterfaceKind.ETHERNET,
        InterfaceKind.WIRELESS,
        InterfaceKind.INFINIBAND,
        InterfaceKind.BOND,
        InterfaceKind.TEAM,
    }
)
"""Kinds that lead out of the machine."""

_STACKED = frozenset({InterfaceKind.VLAN, InterfaceKind.MACVLAN, InterfaceKind.IPVLAN})
"""Kinds that lie on the link of their parent."""

_SWITCHES = frozenset({InterfaceKind.BRIDGE, InterfaceKind.BOND, InterfaceKind.TEAM})
"""Kinds that make one link of their ports; a VRF separates routes and joins nothing."""

_KINDS: Mapping[InterfaceKind, SubnetKind] = {
    InterfaceKind.WIREGUARD: SubnetKind.VPN,
    InterfaceKind.PPP: SubnetKind.VPN,
    InterfaceKind.TUNNEL: SubnetKind.VPN,
    InterfaceKind.TUN: SubnetKind.VPN,
    InterfaceKind.TAP: SubnetKind.VPN,
    InterfaceKind.VXLAN: SubnetKind.OVERLAY,
    # A dummy and a VRF's own device are further loopbacks: nobody else is on their link.
    InterfaceKind.LOOPBACK: SubnetKind.LOOPBACK,
    InterfaceKind.DUMMY: SubnetKind.LOOPBACK,
    InterfaceKind.VRF: SubnetKind.LOOPBACK,
}
"""What the link of an interface is when its kind alone decides."""

_LINK_LOCAL: Mapping[int, IpNetwork] = {
    4: ipaddress.IPv4Network("169.254.0.0/16"),
    6: ipaddress.IPv6Network("fe80::/10"),
}
_LOOPBACK: Mapping[int, IpNetwork] = {
    4: ipaddress.IPv4Network("127.0.0.0/8"),
    6: ipaddress.IPv6Network("::1/128"),
}


def subnets(interfaces: Sequence[Interface], routes: Sequence[Route]) -> tuple[Subnet, ...]:
    """The subnet of every address, once for each interface, in the order of the interfaces.

    The same CIDR on two interfaces is two subnets here (every link has its fe80::/64); joining
    them is for whoever knows other machines too.
    """
    site = Site(interfaces, routes)
    return tuple(subnet for interface in interfaces for subnet in site.subnets_of(interface))


class Site:
    """A machine's interfaces and how they are joined: what makes out the kind of each subnet."""

    def __init__(self, interfaces: Iterable[Interface], routes: Iterable[Route]) -> None:
        self._by_name: dict[str, Interface] = {}
        self._ports: dict[str, list[Interface]] = {}
        self._routes: dict[str, list[Route]] = {}
        for interface in interfaces:
            self._by_name[interface.name] = interface
            if interface.master is not None:
                self._ports.setdefault(interface.master, []).append(interface)
        for route in routes:
            if route.interface is not None and route.gateway is not None:
                self._routes.setdefault(route.interface, []).append(route)
        self._has_uplink = any(interface.kind in _UPLINKS for interface in self._by_name.values())

    def subnets_of(self, interface: Interface) -> Iterator[Subnet]:
        """The subnets of one interface's addresses, each once, in the order of the addresses."""
        if not interface.addresses:
            return
        link = self._kind_of_link(interface, frozenset())
        routers = _Routers(self._routes.get(interface.name, ()))
        networks = tuple(dict.fromkeys(address.network for address in interface.addresses))
        for network in networks:
            kind = _kind_of_network(network) or _kind_of_small(network, interface.kind, link)
            gateway = routers.default_of(network, networks)
            if gateway is None and not kind.host_local:
                gateway = routers.any_in(network)
            yield Subnet(network, kind, interface.name, gateway=gateway)

    def _kind_of_link(self, interface: Interface, seen: frozenset[str]) -> SubnetKind:
        """What the link of an interface is; ``seen`` are those on whose behalf it is asked."""
        seen |= {interface.name}
        below = self._below(interface)
        if below is not None and below.name not in seen:
            return self._kind_of_link(below, seen)
        match interface.kind:
            case InterfaceKind.BRIDGE:
                return self._kind_of_bridge(interface, seen)
            case InterfaceKind.VETH:
                return self._kind_of_veth(interface)
            case kind if kind in _UPLINKS or kind in _STACKED:
                return SubnetKind.LAN
            case kind:
                return _KINDS.get(kind, SubnetKind.UNKNOWN)

    def _below(self, interface: Interface) -> Interface | None:
        """The interface whose link this one shares: its master's as a port, else its parent's."""
        master = self._by_name.get(interface.master or "")
        if master is not None and master.kind in _SWITCHES:
            return master
        if interface.kind in _STACKED or interface.kind is InterfaceKind.OTHER:
            return self._by_name.get(interface.parent or "")
        return None

    def _kind_of_bridge(self, bridge: Interface, seen: frozenset[str]) -> SubnetKind:
        ports = self._ports.get(bridge.name, ())
        if any(self._leads_out(port, seen) for port in ports):
            return SubnetKind.LAN
        if _DOCKER.fullmatch(bridge.name):
            return SubnetKind.DOCKER_BRIDGE
        if _PODMAN.fullmatch(bridge.name):
            return SubnetKind.PODMAN_BRIDGE
        if self._is_way_out(bridge):
            # Inside a container the port that leads out is a veth like any other.
            return SubnetKind.LAN
        if any(port.kind in (InterfaceKind.VXLAN, InterfaceKind.TUNNEL) for port in ports):
            return SubnetKind.OVERLAY
        return SubnetKind.VIRTUAL_BRIDGE

    def _leads_out(self, port: Interface, seen: frozenset[str]) -> bool:
        if port.kind in _UPLINKS:
            return True
        if port.kind not in _STACKED:
            return False
        parent = self._by_name.get(port.parent or "")
        if parent is None:
            return True
        return parent.name not in seen and self._kind_of_link(parent, seen) is SubnetKind.LAN

    def _kind_of_veth(self, veth: Interface) -> SubnetKind:
        """In a container a veth is the way to its LAN; on a host it is a link to a container."""
        if self._is_way_out(veth) or not self._has_uplink:
            return SubnetKind.LAN
        return SubnetKind.VIRTUAL_BRIDGE

    def _is_way_out(self, interface: Interface) -> bool:
        return any(route.destination is None for route in self._routes.get(interface.name, ()))


class _Routers:
    """The next hops behind one interface, the default route's and the lower metric first."""

    def __init__(self, routes: Iterable[Route]) -> None:
        by_metric = sorted(routes, key=lambda route: route.metric)
        self._default = [r.gateway for r in by_metric if r.gateway and r.destination is None]
        self._other = [r.gateway for r in by_metric if r.gateway and r.destination is not None]

    def default_of(self, network: IpNetwork, all_networks: Iterable[IpNetwork]) -> IpAddress | None:
        """The default router within the network, or on its link.

        On its link is one that lies in none of the interface's networks, or in the link-local
        one only: IPv6's way, and that of a /32 whose router is reached directly.
        """
        for router in self._default:
            if router in network:
                return router
        if not self._default or _is_within(network, _LINK_LOCAL):
            return None
        for router in self._default:
            holders = [other for other in all_networks if router in other]
            on_link = all(_is_within(other, _LINK_LOCAL) for other in holders)
            if on_link and router.version == network.version:
                return router
        return None

    def any_in(self, network: IpNetwork) -> IpAddress | None:
        """A router within the network that leads to some other network."""
        return next((router for router in self._other if router in network), None)


def _kind_of_network(network: IpNetwork) -> SubnetKind | None:
    """The kinds that follow from the addresses alone (RFC 1122, 3927, 4291)."""
    if _is_within(network, _LOOPBACK):
        return SubnetKind.LOOPBACK
    if _is_within(network, _LINK_LOCAL):
        return SubnetKind.LINK_LOCAL
    return None


def _kind_of_small(network: IpNetwork, of: InterfaceKind, link: SubnetKind) -> SubnetKind:
    """The link's kind, but for a network too small for more than two ends.

    A tap with room for two is a virtual machine's; one with room for many a VPN's.
    """
    host_bits = network.max_prefixlen - network.prefixlen
    if of is InterfaceKind.TAP and link is SubnetKind.VPN and host_bits <= 2:
        return SubnetKind.POINT_TO_POINT
    if link in (SubnetKind.UNKNOWN, SubnetKind.VIRTUAL_BRIDGE) and host_bits <= 1:
        return SubnetKind.POINT_TO_POINT
    return link


def _is_within(network: IpNetwork, ranges: Mapping[int, IpNetwork]) -> bool:
    whole = ranges[network.version]
    return network.prefixlen >= whole.prefixlen and network.network_address in whole
