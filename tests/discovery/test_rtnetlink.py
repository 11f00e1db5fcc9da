"""Kinds and messages that the kernel of the test machine may not be able to make, as bytes."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.core import nlmsg
from mooring.core.nlmsg import Malformed
from mooring.discovery import rtnetlink
from mooring.model.net import (
    Address,
    InterfaceKind,
    InterfaceState,
    Neighbour,
    NeighbourState,
    Route,
)

UP = 0x1
ETHER, LOOPBACK, NONE, CAN, PPP, INFINIBAND = 1, 772, 0xFFFE, 280, 512, 32
V4, V6 = rtnetlink.AF_INET, rtnetlink.AF_INET6
ip4, ip6 = ipaddress.IPv4Address, ipaddress.IPv6Address
net4, net6 = ipaddress.IPv4Network, ipaddress.IPv6Network


def link(
    index: int = 2,
    name: str = "x0",
    *,
    driver: str = "",
    data: bytes = b"",
    kind: int = ETHER,
    flags: int = UP,
    operstate: int = 6,
    extra: bytes = b"",
) -> bytes:
    """An RTM_NEWLINK as the kernel sends it."""
    info = b""
    if driver:
        info = nlmsg.nested(18, nlmsg.text(1, driver), nlmsg.nested(2, data))
    return (
        struct.pack("=BxHiII", 0, kind, index, flags, 0)
        + nlmsg.text(3, name)
        + nlmsg.u32(4, 1500)
        + nlmsg.u8(16, operstate)
        + info
        + extra
    )


def one(payload: bytes) -> rtnetlink.Link:
    (found,) = rtnetlink.links([payload]).values()
    return found


@pytest.mark.parametrize(
    ("driver", "kind"),
    [
        ("bridge", InterfaceKind.BRIDGE),
        ("openvswitch", InterfaceKind.BRIDGE),
        ("bond", InterfaceKind.BOND),
        ("team", InterfaceKind.TEAM),
        ("vxlan", InterfaceKind.VXLAN),
        ("veth", InterfaceKind.VETH),
        ("netkit", InterfaceKind.VETH),
        ("macvlan", InterfaceKind.MACVLAN),
        ("macvtap", InterfaceKind.MACVLAN),
        ("ipvlan", InterfaceKind.IPVLAN),
        ("dummy", InterfaceKind.DUMMY),
        ("wireguard", InterfaceKind.WIREGUARD),
        ("vrf", InterfaceKind.VRF),
        ("gre", InterfaceKind.TUNNEL),
        ("ip6gretap", InterfaceKind.TUNNEL),
        ("sit", InterfaceKind.TUNNEL),
        ("xfrm", InterfaceKind.TUNNEL),
        ("geneve", InterfaceKind.TUNNEL),
        ("can", InterfaceKind.CAN),
        ("vcan", InterfaceKind.VCAN),
        ("vxcan", InterfaceKind.VXCAN),
        ("dsa", InterfaceKind.ETHERNET),
        ("ifb", InterfaceKind.OTHER),
        ("made-up", InterfaceKind.OTHER),
    ],
)
def test_a_kind_is_what_the_driver_says(driver: str, kind: InterfaceKind) -> None:
    assert one(link(driver=driver, name="eth0")).kind is kind


@pytest.mark.parametrize(
    ("link_type", "kind"),
    [
        (ETHER, InterfaceKind.ETHERNET),
        (LOOPBACK, InterfaceKind.LOOPBACK),
        (PPP, InterfaceKind.PPP),
        (CAN, InterfaceKind.CAN),
        (INFINIBAND, InterfaceKind.INFINIBAND),
        (803, InterfaceKind.WIRELESS),
        (769, InterfaceKind.TUNNEL),
        (NONE, InterfaceKind.OTHER),
    ],
)
def test_hardware_is_what_its_link_type_says(link_type: int, kind: InterfaceKind) -> None:
    assert one(link(kind=link_type, name="br-lan")).kind is kind


def test_a_tun_carries_packets_and_a_tap_frames() -> None:
    tun, tap = nlmsg.u8(3, 1), nlmsg.u8(3, 2)
    assert one(link(driver="tun", data=tun, kind=NONE)).kind is InterfaceKind.TUN
    assert one(link(driver="tun", data=tap, kind=ETHER)).kind is InterfaceKind.TAP
    # Kernels before 4.18 do not say which it is: the link type does.
    assert one(link(driver="tun", kind=NONE)).kind is InterfaceKind.TUN
    assert one(link(driver="tun", kind=ETHER)).kind is InterfaceKind.TAP


@pytest.mark.parametrize(
    ("flags", "operstate", "state"),
    [
        (UP, 6, InterfaceState.UP),
        (UP, 2, InterfaceState.DOWN),
        (UP, 3, InterfaceState.LOWER_DOWN),
        (UP, 5, InterfaceState.DORMANT),
        (UP, 0, InterfaceState.UNKNOWN),
        (UP, 77, InterfaceState.UNKNOWN),
        (0, 6, InterfaceState.DISABLED),
        (0, 2, InterfaceState.DISABLED),
    ],
)
def test_administratively_down_is_told_from_down(
    flags: int, operstate: int, state: InterfaceState
) -> None:
    assert one(link(flags=flags, operstate=operstate)).state is state


def test_a_vlan_has_its_tag_and_its_parent() -> None:
    found = one(link(3, driver="vlan", data=nlmsg.u16(1, 42), extra=nlmsg.u32(5, 2)))
    assert (found.kind, found.vlan, found.parent) == (InterfaceKind.VLAN, 42, 2)


def test_a_parent_in_another_namespace_is_no_parent() -> None:
    elsewhere = nlmsg.u32(5, 2) + nlmsg.u32(37, 0)
    assert one(link(3, driver="macvlan", extra=elsewhere)).parent is None


def test_the_other_end_of_a_veth_is_no_parent() -> None:
    assert one(link(3, driver="veth", extra=nlmsg.u32(5, 2))).parent is None
    assert one(link(3, driver="vxcan", extra=nlmsg.u32(5, 2))).parent is None


def test_a_vxlan_names_its_parent_in_its_own_data() -> None:
    assert one(link(3, driver="vxlan", data=nlmsg.u32(3, 2))).parent == 2


def test_a_tunnel_without_a_lower_device_has_no_parent() -> None:
    assert one(link(3, driver="ipip", extra=nlmsg.u32(5, 0))).parent is None


@pytest.mark.parametrize(
    ("address", "mac"),
    [
        (bytes.fromhex("0242AC110002"), "02:42:ac:11:00:02"),
        (bytes(6), None),
        (bytes(4), None),
        (bytes([10, 0, 0, 1]), None),
        (ip6("2001:db8::1").packed, None),
        (bytes.fromhex("80000048") + bytes(15) + b"\1", "80:00:00:48" + ":00" * 15 + ":01"),
        (b"", None),
    ],
)
def test_a_mac_is_neither_an_ip_address_nor_all_zero(address: bytes, mac: str | None) -> None:
    assert one(link(extra=nlmsg.attribute(1, address))).mac == mac


def test_masters_and_parents_are_named() -> None:
    links = rtnetlink.links(
        [
            link(4, "vlan7", driver="vlan", data=nlmsg.u16(1, 7), extra=nlmsg.u32(5, 3)),
            link(2, "eth0", extra=nlmsg.u32(10, 3)),
            link(3, "bond0", driver="bond"),
        ]
    )
    found = rtnetlink.interfaces(links, {}, lambda link: False)
    assert [(i.name, i.master, i.parent) for i in found] == [
        ("eth0", "bond0", None),
        ("bond0", None, None),
        ("vlan7", None, "bond0"),
    ]


def test_a_link_that_a_restless_dump_tells_twice_is_there_once() -> None:
    links = rtnetlink.links([link(2, "old"), link(2, "new")])
    assert [one.name for one in links.values()] == ["new"]


def test_only_hardware_is_asked_whether_it_is_a_radio() -> None:
    links = rtnetlink.links(
        [link(2, "wlan0"), link(3, "veth0", driver="veth"), link(4, "lo", kind=LOOPBACK)]
    )
    asked = []

    def is_radio(link: rtnetlink.Link) -> bool:
        asked.append(link.name)
        return True

    found = rtnetlink.interfaces(links, {}, is_radio)
    assert asked == ["wlan0"]
    assert found[0].kind is InterfaceKind.WIRELESS


def address(family: int, prefix: int, index: int, attributes: bytes) -> bytes:
    return struct.pack("=BBBBI", family, prefix, 0, 0, index) + attributes


def test_the_peer_is_the_peer_and_the_local_address_is_ours() -> None:
    own4, peer4 = ip4("10.9.0.1"), ip4("10.9.0.2")
    own6, peer6 = ip6("fd00::1"), ip6("fd00::2")
    found = rtnetlink.addresses(
        [
            address(V4, 32, 2, nlmsg.attribute(1, peer4.packed) + nlmsg.attribute(2, own4.packed)),
            address(V4, 24, 3, nlmsg.attribute(1, own4.packed) + nlmsg.attribute(2, own4.packed)),
            address(V6, 128, 2, nlmsg.attribute(1, peer6.packed) + nlmsg.attribute(2, own6.packed)),
            address(V6, 64, 3, nlmsg.attribute(1, own6.packed)),
        ]
    )
    assert found == {
        2: [Address(own4, 32, peer4), Address(own6, 128, peer6)],
        3: [Address(own4, 24), Address(own6, 64)],
    }


def test_addresses_that_are_none_are_passed_over() -> None:
    right = ip4("10.0.0.1").packed
    assert rtnetlink.addresses([address(V4, 33, 2, nlmsg.attribute(2, right))]) == {}
    assert rtnetlink.addresses([address(V4, 24, 2, nlmsg.attribute(2, right[:3]))]) == {}
    assert rtnetlink.addresses([address(7, 24, 2, nlmsg.attribute(2, right))]) == {}


def route(
    family: int,
    length: int,
    attributes: bytes = b"",
    *,
    table: int = 254,
    kind: int = 1,
    flags: int = 0,
) -> bytes:
    return struct.pack("=8BI", family, length, 0, 0, table, 3, 0, kind, flags) + attributes


NAMES = {2: "eth0", 3: "eth1"}
ROUTER = nlmsg.attribute(5, ip4("10.0.0.1").packed)


def test_a_route_without_a_destination_is_the_default() -> None:
    told = route(V4, 0, ROUTER + nlmsg.u32(4, 2) + nlmsg.u32(6, 100))
    assert rtnetlink.routes([told], V4, NAMES) == [Route(4, None, ip4("10.0.0.1"), "eth0", 100)]


def test_a_multipath_route_is_one_for_each_next_hop() -> None:
    other = nlmsg.attribute(5, ip4("10.1.0.1").packed)
    hops = b"".join(
        struct.pack("=HBBi", 8 + len(hop), 0, 0, index) + hop
        for index, hop in ((2, ROUTER), (3, other))
    )
    told = route(V4, 16, nlmsg.attribute(1, ip4("10.7.0.0").packed) + nlmsg.attribute(9, hops))
    network = net4("10.7.0.0/16")
    assert rtnetlink.routes([told], V4, NAMES) == [
        Route(4, network, ip4("10.0.0.1"), "eth0"),
        Route(4, network, ip4("10.1.0.1"), "eth1"),
    ]


def test_an_ipv4_route_by_way_of_ipv6_keeps_its_router() -> None:
    via = nlmsg.attribute(18, struct.pack("=H", V6) + ip6("fe80::1").packed)
    told = route(V4, 0, via + nlmsg.u32(4, 2))
    assert rtnetlink.routes([told], V4, NAMES) == [Route(4, None, ip6("fe80::1"), "eth0")]


def test_other_tables_families_types_and_caches_are_left_out() -> None:
    told = [
        route(V4, 0, ROUTER, table=255),
        route(V4, 0, ROUTER + nlmsg.u32(15, 1000), table=252),
        route(V4, 0, ROUTER, kind=6),
        route(V6, 0, flags=0x200),
        route(V6, 0),
    ]
    assert rtnetlink.routes(told, V4, NAMES) == []
    assert rtnetlink.routes([route(V6, 0, flags=0x200)], V6, NAMES) == []


@pytest.mark.parametrize(
    "payload",
    [
        route(V4, 8),
        route(V4, 40, nlmsg.attribute(1, bytes(4))),
        route(V4, 0, nlmsg.attribute(9, struct.pack("=HBBi", 4, 0, 0, 2))),
        route(V4, 0, nlmsg.attribute(9, struct.pack("=HBBi", 400, 0, 0, 2))),
    ],
)
def test_a_route_that_contradicts_itself_is_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed):
        rtnetlink.routes([payload], V4, NAMES)


def neighbour(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, state: int, **more: int) -> bytes:
    family = V4 if ip.version == 4 else V6
    fixed = struct.pack("=BxxxiHBB", family, more.get("index", 2), state, more.get("flags", 0), 1)
    return fixed + nlmsg.attribute(1, ip.packed) + nlmsg.attribute(2, bytes.fromhex("020000000009"))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (0x01, NeighbourState.OTHER),
        (0x02, NeighbourState.REACHABLE),
        (0x04, NeighbourState.STALE),
        (0x08, NeighbourState.STALE),
        (0x10, NeighbourState.STALE),
        (0x20, NeighbourState.FAILED),
        (0x80, NeighbourState.PERMANENT),
        (0x00, NeighbourState.OTHER),
    ],
)
def test_a_neighbour_is_in_a_state(state: int, expected: NeighbourState) -> None:
    (found,) = rtnetlink.neighbours([neighbour(ip4("10.0.0.9"), state)], NAMES)
    assert found == Neighbour(ip4("10.0.0.9"), "eth0", expected, "02:00:00:00:00:09")


def test_an_ipv6_router_is_known_as_one() -> None:
    (found,) = rtnetlink.neighbours([neighbour(ip6("fe80::1"), 0x02, flags=0x80)], NAMES)
    assert found.router


def test_what_stands_for_no_host_is_no_neighbour() -> None:
    told = [
        neighbour(ip4("224.0.0.22"), 0x02),
        neighbour(ip6("ff02::1"), 0x80),
        neighbour(ip4("10.0.0.9"), 0x40),
        neighbour(ip4("10.0.0.9"), 0x02, index=99),
    ]
    assert rtnetlink.neighbours(told, NAMES) == []


@given(st.binary(max_size=120))
def test_any_bytes_are_something_or_malformed(payload: bytes) -> None:
    for read in (
        lambda: rtnetlink.links([payload]),
        lambda: rtnetlink.addresses([payload]),
        lambda: rtnetlink.routes([payload], V4, NAMES),
        lambda: rtnetlink.routes([payload], V6, NAMES),
        lambda: rtnetlink.neighbours([payload], NAMES),
    ):
        try:
            read()
        except Malformed:
            continue
