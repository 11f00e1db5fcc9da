"""Pure. The kernel's rtnetlink payloads in, interfaces, routes and neighbours out. Asks nobody.

Layouts and numbers are those of linux/if_link.h, if_addr.h, rtnetlink.h, neighbour.h and
if_arp.h. Requests to the kernel and the reading of its answers stand side by side here, so that
what is asked for and what is read cannot drift apart.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mooring.core import nlmsg
from mooring.model.net import (
    Address,
    Interface,
    InterfaceKind,
    InterfaceState,
    IpAddress,
    IpNetwork,
    Neighbour,
    NeighbourState,
    Route,
    network_of,
)

AF_UNSPEC, AF_INET, AF_INET6 = 0, 2, 10

_IFINFOMSG = struct.Struct("=BxHiII")  # family, ARPHRD type, index, IFF flags, change
_IFADDRMSG = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_RTMSG = struct.Struct("=BBBBBBBBI")  # family, dst, src, tos, table, protocol, scope, type, flags
_RTNEXTHOP = struct.Struct("=HBBi")  # length, flags, hops, index
_NDMSG = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK = 1, 3, 4, 5
_IFLA_MASTER, _IFLA_OPERSTATE, _IFLA_LINKINFO = 10, 16, 18
_IFLA_EXT_MASK, _IFLA_LINK_NETNSID = 29, 37
_IFLA_INFO_KIND, _IFLA_INFO_DATA = 1, 2
_IFLA_VLAN_ID, _IFLA_VXLAN_LINK, _IFLA_TUN_TYPE = 1, 3, 3
_RTEXT_FILTER_SKIP_STATS = 1 << 3
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY = 1, 4, 5, 6
_RTA_MULTIPATH, _RTA_TABLE, _RTA_VIA = 9, 15, 18
_RT_TABLE_MAIN, _RTN_UNICAST, _RTM_F_CLONED = 254, 1, 0x200
_NDA_DST, _NDA_LLADDR = 1, 2
_NUD_REACHABLE, _NUD_STALE, _NUD_DELAY, _NUD_PROBE = 0x02, 0x04, 0x08, 0x10
_NUD_FAILED, _NUD_NOARP, _NUD_PERMANENT = 0x20, 0x40, 0x80
_NTF_ROUTER = 0x80
_IFF_UP = 0x1
_IFF_TUN = 1
_ARPHRD_ETHER = 1

ASK_LINKS = _IFINFOMSG.pack(AF_UNSPEC, 0, 0, 0, 0) + nlmsg.u32(
    _IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS
)
ASK_ADDRESSES = _IFADDRMSG.pack(AF_UNSPEC, 0, 0, 0, 0)
ASK_NEIGHBOURS = _NDMSG.pack(AF_UNSPEC, 0, 0, 0, 0)


def ask_routes(family: int) -> bytes:
    """The main table of one family. Kernels before 4.20 give all tables; ``routes`` sorts out."""
    return _RTMSG.pack(family, 0, 0, 0, _RT_TABLE_MAIN, 0, 0, 0, 0)


_K = InterfaceKind
_BY_DRIVER: Mapping[str, InterfaceKind] = {
    **{kind: _K(kind) for kind in ("bridge", "bond", "team", "vlan", "vxlan", "veth", "macvlan")},
    **{kind: _K(kind) for kind in ("ipvlan", "dummy", "wireguard", "ppp", "vrf", "vcan", "vxcan")},
    **dict.fromkeys(("gre", "gretap", "ip6gre", "ip6gretap", "erspan", "ip6erspan"), _K.TUNNEL),
    **dict.fromkeys(("ipip", "sit", "ip6tnl", "vti", "vti6", "xfrm", "geneve"), _K.TUNNEL),
    **dict.fromkeys(("gtp", "bareudp", "ovpn", "ovpn-dco"), _K.TUNNEL),
    "can": _K.CAN,
    "macvtap": _K.MACVLAN,
    "ipvtap": _K.IPVLAN,
    "netkit": _K.VETH,
    "openvswitch": _K.BRIDGE,
    "ipoib": _K.INFINIBAND,
    "dsa": _K.ETHERNET,
    "virt_wifi": _K.WIRELESS,
}
"""By IFLA_INFO_KIND. What is neither here nor ``tun`` is OTHER (ifb, nlmon, batadv, hsr, …)."""

_BY_LINK_TYPE: Mapping[int, InterfaceKind] = {
    _ARPHRD_ETHER: _K.ETHERNET,
    32: _K.INFINIBAND,
    280: _K.CAN,
    512: _K.PPP,
    **dict.fromkeys((768, 769, 776, 778, 823), _K.TUNNEL),  # ipip, ip6tnl, sit, gre, ip6gre
    772: _K.LOOPBACK,
    **dict.fromkeys((801, 802, 803), _K.WIRELESS),
}
"""By ARPHRD type, for devices whose driver has no name for its kind: hardware, mostly."""

_STATES: Mapping[int, InterfaceState] = {
    1: InterfaceState.DOWN,  # not present
    2: InterfaceState.DOWN,
    3: InterfaceState.LOWER_DOWN,
    4: InterfaceState.DOWN,  # testing: carries nothing of ours
    5: InterfaceState.DORMANT,
    6: InterfaceState.UP,
}
"""By IFLA_OPERSTATE (RFC 2863); 0 and unknown numbers are UNKNOWN."""

_NO_LOWER = frozenset({_K.VETH, _K.VXCAN})
"""Kinds of which IFLA_LINK names the other end and not what lies below."""


@dataclass(frozen=True, slots=True)
class Link:
    """One link as the kernel tells it; other links by their index."""

    index: int
    name: str
    kind: InterfaceKind
    state: InterfaceState
    mac: str | None
    mtu: int
    master: int | None
    parent: int | None
    vlan: int | None
    hardware: bool
    """No driver of software named itself: what says whether an Ethernet is a radio is elsewhere."""


def links(payloads: Iterable[bytes]) -> dict[int, Link]:
    """The links by index, in the order of their indexes.

    Raises:
        Malformed: a payload that is not an RTM_NEWLINK's.
    """
    found = {link.index: link for link in map(_link, payloads)}
    return dict(sorted(found.items()))


def _link(payload: bytes) -> Link:
    _, link_type, index, flags, _ = _fixed(_IFINFOMSG, payload)
    told = nlmsg.attributes(payload, _IFINFOMSG.size)
    info = nlmsg.attributes(told.get(_IFLA_LINKINFO, b""))
    driver = nlmsg.as_text(info.get(_IFLA_INFO_KIND))
    # The layout of the data is the driver's own: it is read for the drivers that we know.
    data = info.get(_IFLA_INFO_DATA, b"")
    kind = _kind(driver, link_type, data)
    lower = None
    if kind not in _NO_LOWER and _IFLA_LINK_NETNSID not in told:
        lower = nlmsg.as_int(told.get(_IFLA_LINK))
        if kind is InterfaceKind.VXLAN:
            lower = lower or nlmsg.as_int(nlmsg.attributes(data).get(_IFLA_VXLAN_LINK))
    state = InterfaceState.DISABLED
    if flags & _IFF_UP:
        operational = nlmsg.as_int(told.get(_IFLA_OPERSTATE)) or 0
        state = _STATES.get(operational, InterfaceState.UNKNOWN)
    vlan = None
    if kind is InterfaceKind.VLAN:
        vlan = nlmsg.as_int(nlmsg.attributes(data).get(_IFLA_VLAN_ID)) or None
    return Link(
        index=index,
        name=nlmsg.as_text(told.get(_IFLA_IFNAME)),
        kind=kind,
        state=state,
        mac=_mac(told.get(_IFLA_ADDRESS)),
        mtu=nlmsg.as_int(told.get(_IFLA_MTU)) or 0,
        master=nlmsg.as_int(told.get(_IFLA_MASTER)),
        parent=lower if lower and lower != index else None,
        vlan=vlan,
        hardware=not driver,
    )


def _kind(driver: str, link_type: int, data: bytes) -> InterfaceKind:
    if not driver:
        return _BY_LINK_TYPE.get(link_type, InterfaceKind.OTHER)
    if driver == "tun":
        mode = nlmsg.as_int(nlmsg.attributes(data).get(_IFLA_TUN_TYPE))
        carries_packets = link_type != _ARPHRD_ETHER if mode is None else mode == _IFF_TUN
        return InterfaceKind.TUN if carries_packets else InterfaceKind.TAP
    return _BY_DRIVER.get(driver, InterfaceKind.OTHER)


def addresses(payloads: Iterable[bytes]) -> dict[int, list[Address]]:
    """The addresses by the index of their interface, in the kernel's order (primary first).

    IFA_LOCAL is the own address and IFA_ADDRESS the peer's where they differ; IPv6 sends
    IFA_LOCAL only where there is a peer.

    Raises:
        Malformed: a payload that is not an RTM_NEWADDR's.
    """
    found: dict[int, list[Address]] = {}
    for payload in payloads:
        family, prefix, _, _, index = _fixed(_IFADDRMSG, payload)
        told = nlmsg.attributes(payload, _IFADDRMSG.size)
        peer = _ip(family, told.get(_IFA_ADDRESS))
        own = _ip(family, told.get(_IFA_LOCAL)) or peer
        if own is None or prefix > own.max_prefixlen:
            continue
        address = Address(own, prefix, None if peer == own else peer)
        of_interface = found.setdefault(index, [])
        if address not in of_interface:
            of_interface.append(address)
    return found


def interfaces(
    links: Mapping[int, Link],
    addresses: Mapping[int, list[Address]],
    is_radio: Callable[[Link], bool],
) -> tuple[Interface, ...]:
    """Links and addresses put together; ``is_radio`` tells of a hardware Ethernet if it is one."""
    names = {index: link.name for index, link in links.items()}
    return tuple(
        Interface(
            name=link.name,
            index=link.index,
            kind=(
                InterfaceKind.WIRELESS
                if link.hardware and link.kind is InterfaceKind.ETHERNET and is_radio(link)
                else link.kind
            ),
            state=link.state,
            mac=link.mac,
            mtu=link.mtu,
            addresses=tuple(addresses.get(link.index, ())),
            master=names.get(link.master) if link.master else None,
            parent=names.get(link.parent) if link.parent else None,
            vlan=link.vlan,
        )
        for link in links.values()
    )


def routes(payloads: Iterable[bytes], family: int, names: Mapping[int, str]) -> list[Route]:
    """The unicast routes of a family's main table, one for each next hop of a multipath route.

    A kernel without IPv6 answers a question for it with what else it has, and one before 4.20
    with every table: both are sorted out here.

    Raises:
        Malformed: a payload that is not an RTM_NEWROUTE's.
    """
    found: list[Route] = []
    for payload in payloads:
        of_family, length, _, _, table, _, _, kind, flags = _fixed(_RTMSG, payload)
        if of_family != family or kind != _RTN_UNICAST or flags & _RTM_F_CLONED:
            continue
        told = nlmsg.attributes(payload, _RTMSG.size)
        if (nlmsg.as_int(told.get(_RTA_TABLE)) or table) != _RT_TABLE_MAIN:
            continue
        destination = _network(family, told.get(_RTA_DST), length)
        metric = nlmsg.as_int(told.get(_RTA_PRIORITY)) or 0
        hops = [(told, nlmsg.as_int(told.get(_RTA_OIF)))]
        if _RTA_MULTIPATH in told:
            hops = _next_hops(told[_RTA_MULTIPATH])
        for hop, index in hops:
            gateway = _ip(family, hop.get(_RTA_GATEWAY)) or _via(hop.get(_RTA_VIA))
            interface = names.get(index) if index else None
            found.append(Route(_FAMILIES[family], destination, gateway, interface, metric))
    return found


def neighbours(payloads: Iterable[bytes], names: Mapping[int, str]) -> list[Neighbour]:
    """The ARP and NDP entries that stand for a host: not those of multicast and of NOARP links.

    Raises:
        Malformed: a payload that is not an RTM_NEWNEIGH's.
    """
    found: list[Neighbour] = []
    for payload in payloads:
        family, index, state, flags, _ = _fixed(_NDMSG, payload)
        if state & _NUD_NOARP:
            continue
        told = nlmsg.attributes(payload, _NDMSG.size)
        ip = _ip(family, told.get(_NDA_DST))
        name = names.get(index)
        if ip is None or name is None or ip.is_multicast:
            continue
        mac = _mac(told.get(_NDA_LLADDR))
        found.append(Neighbour(ip, name, _neighbour_state(state), mac, bool(flags & _NTF_ROUTER)))
    return found


_FAMILIES: Mapping[int, int] = {AF_INET: 4, AF_INET6: 6}


def _neighbour_state(state: int) -> NeighbourState:
    if state & _NUD_PERMANENT:
        return NeighbourState.PERMANENT
    if state & _NUD_REACHABLE:
        return NeighbourState.REACHABLE
    if state & (_NUD_STALE | _NUD_DELAY | _NUD_PROBE):
        # Delay and probe are a stale entry in use, whose confirmation is under way (RFC 4861).
        return NeighbourState.STALE
    if state & _NUD_FAILED:
        return NeighbourState.FAILED
    return NeighbourState.OTHER


def _next_hops(data: bytes) -> list[tuple[dict[int, bytes], int | None]]:
    hops: list[tuple[dict[int, bytes], int | None]] = []
    start = 0
    while start < len(data):
        length, _, _, index = _fixed(_RTNEXTHOP, data[start:])
        if length < _RTNEXTHOP.size or start + length > len(data):
            raise nlmsg.Malformed(f"a next hop of {length} bytes in {len(data) - start}")
        hops.append((nlmsg.attributes(data[start : start + length], _RTNEXTHOP.size), index))
        start += length + 3 & ~3
    return hops


def _via(value: bytes | None) -> IpAddress | None:
    """RTA_VIA: a next hop of another family than the route's, as IPv4 by way of IPv6."""
    if value is None or len(value) < 2:
        return None
    return _ip(int(struct.unpack_from("=H", value)[0]), value[2:])


def _network(family: int, value: bytes | None, length: int) -> IpNetwork | None:
    """A destination; None for the default route, which has a length of 0."""
    if length == 0:
        return None
    ip = _ip(family, value)
    if ip is None or length > ip.max_prefixlen:
        raise nlmsg.Malformed(f"a destination of {length} bits without a matching address")
    return network_of(ip, length)


def _ip(family: int, value: bytes | None) -> IpAddress | None:
    if value is None:
        return None
    if family == AF_INET and len(value) == 4:
        return ipaddress.IPv4Address(value)
    if family == AF_INET6 and len(value) == 16:
        return ipaddress.IPv6Address(value)
    return None


def _mac(value: bytes | None) -> str | None:
    """A hardware address: 6 bytes, of FireWire and radios 8, of InfiniBand 20.

    Tunnels put their IP address there (4 or 16 bytes) and loopbacks zeros: neither is one.
    """
    if value is None or len(value) not in (6, 8, 20) or not any(value):
        return None
    return value.hex(":")


def _fixed(layout: struct.Struct, payload: bytes) -> tuple[int, ...]:
    if len(payload) < layout.size:
        raise nlmsg.Malformed(f"{len(payload)} bytes where a structure of {layout.size} should be")
    return layout.unpack_from(payload)
