from __future__ import annotations

import ipaddress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.discovery.subnets import subnets
from mooring.model.net import (
    Address,
    Interface,
    InterfaceKind,
    InterfaceState,
    Route,
    Subnet,
    SubnetKind,
    network_of,
)

K = InterfaceKind


def nic(
    name: str,
    kind: InterfaceKind = K.ETHERNET,
    *addresses: str,
    master: str | None = None,
    parent: str | None = None,
) -> Interface:
    """An interface; addresses are ``10.0.0.1/24`` or, with a peer, ``10.0.0.1>10.0.0.2/32``."""
    found = []
    for text in addresses:
        ip, _, prefix = text.partition("/")
        own, _, peer = ip.partition(">")
        found.append(
            Address(
                ipaddress.ip_address(own),
                int(prefix),
                ipaddress.ip_address(peer) if peer else None,
            )
        )
    return Interface(
        name=name,
        index=1,
        kind=kind,
        state=InterfaceState.UP,
        addresses=tuple(found),
        master=master,
        parent=parent,
    )


def route(via: str | None, interface: str, to: str | None = None, metric: int = 0) -> Route:
    gateway = ipaddress.ip_address(via) if via else None
    destination = ipaddress.ip_network(to) if to else None
    family = (gateway or destination or ipaddress.ip_address("0.0.0.0")).version
    return Route(family, destination, gateway, interface, metric)


def kind_of(name: str, *interfaces: Interface, routes: tuple[Route, ...] = ()) -> SubnetKind:
    """The kind of the one subnet of the interface of that name."""
    (found,) = [subnet for subnet in subnets(interfaces, routes) if subnet.interface == name]
    return found.kind


def gateways(found: tuple[Subnet, ...]) -> dict[str, str | None]:
    return {str(one.cidr): str(one.gateway) if one.gateway else None for one in found}


# Bridges


def test_a_bridge_with_a_physical_port_is_a_lan() -> None:
    bridge = nic("vmbr0", K.BRIDGE, "10.0.0.2/24")
    tap = nic("tap100i0", K.TAP, master="vmbr0")
    assert kind_of("vmbr0", bridge, nic("eno1", master="vmbr0"), tap) is SubnetKind.LAN


@pytest.mark.parametrize("port", [K.BOND, K.TEAM, K.WIRELESS, K.VLAN, K.INFINIBAND])
def test_a_bridge_with_any_port_that_leads_out_is_a_lan(port: InterfaceKind) -> None:
    bridge = nic("br0", K.BRIDGE, "10.0.0.2/24")
    assert kind_of("br0", bridge, nic("p0", port, master="br0")) is SubnetKind.LAN


@pytest.mark.parametrize("port", [None, K.VETH, K.TAP, K.DUMMY])
def test_a_bridge_that_leads_nowhere_is_virtual(port: InterfaceKind | None) -> None:
    bridge = nic("virbr0", K.BRIDGE, "192.168.122.1/24")
    ports = [nic("p0", port, master="virbr0")] if port else []
    assert kind_of("virbr0", bridge, nic("eth0"), *ports) is SubnetKind.VIRTUAL_BRIDGE


@pytest.mark.parametrize("name", ["docker0", "docker_gwbridge", "br-0123456789ab"])
def test_a_bridge_of_dockers_form_is_dockers(name: str) -> None:
    bridge = nic(name, K.BRIDGE, "172.17.0.1/16")
    veth = nic("veth1", K.VETH, master=name)
    assert kind_of(name, bridge, veth, nic("eth0")) is SubnetKind.DOCKER_BRIDGE


@pytest.mark.parametrize("name", ["podman0", "podman1", "podman12", "cni-podman0"])
def test_a_bridge_of_podmans_form_is_podmans(name: str) -> None:
    assert kind_of(name, nic(name, K.BRIDGE, "10.88.0.1/16")) is SubnetKind.PODMAN_BRIDGE


@pytest.mark.parametrize(
    "name",
    [
        "br-lan",
        "br-0123456789a",
        "br-0123456789abc",
        "br-0123456789AB",
        "br-0123456789xy",
        "docker-lan",
        "docker1",
        "mydocker0",
        "podman",
        "podmanx",
        "br0",
    ],
)
def test_a_bridge_of_nearly_that_form_is_only_virtual(name: str) -> None:
    assert kind_of(name, nic(name, K.BRIDGE, "172.17.0.1/16")) is SubnetKind.VIRTUAL_BRIDGE


@pytest.mark.parametrize("name", ["docker-lan", "docker0", "br-lan", "br-0123456789ab", "tun0"])
@pytest.mark.parametrize("kind", [K.ETHERNET, K.WIRELESS, K.BOND])
def test_what_leads_out_is_a_lan_whatever_its_name(name: str, kind: InterfaceKind) -> None:
    assert kind_of(name, nic(name, kind, "10.0.0.2/24")) is SubnetKind.LAN


def test_a_bridge_named_docker0_with_a_physical_port_is_a_lan() -> None:
    bridge = nic("docker0", K.BRIDGE, "172.17.0.1/16")
    assert kind_of("docker0", bridge, nic("eth1", master="docker0")) is SubnetKind.LAN


def test_inside_a_container_the_bridge_with_the_default_route_is_a_lan() -> None:
    bridge = nic("br0", K.BRIDGE, "10.0.3.7/24")
    out = route("10.0.3.1", "br0")
    inside = nic("eth0", K.VETH, master="br0")
    assert kind_of("br0", bridge, inside, routes=(out,)) is SubnetKind.LAN


def test_a_default_route_through_a_container_does_not_make_dockers_bridge_a_lan() -> None:
    bridge = nic("docker0", K.BRIDGE, "172.17.0.1/16")
    out = route("172.17.0.2", "docker0")
    assert kind_of("docker0", bridge, nic("eth0"), routes=(out,)) is SubnetKind.DOCKER_BRIDGE


def test_a_bridge_that_a_vxlan_extends_is_an_overlay() -> None:
    bridge = nic("br5", K.BRIDGE, "10.5.0.1/24")
    ports = (nic("vx5", K.VXLAN, master="br5"), nic("veth0", K.VETH, master="br5"))
    assert kind_of("br5", bridge, *ports, nic("eth0")) is SubnetKind.OVERLAY


def test_a_bridge_on_the_vlan_of_a_virtual_bridge_is_virtual() -> None:
    lower = nic("virbr0", K.BRIDGE)
    vlan = nic("virbr0.7", K.VLAN, parent="virbr0", master="br7")
    upper = nic("br7", K.BRIDGE, "10.7.0.1/24")
    assert kind_of("br7", lower, vlan, upper) is SubnetKind.VIRTUAL_BRIDGE


def test_an_address_on_a_bridges_port_is_on_the_bridges_link() -> None:
    bridge = nic("docker0", K.BRIDGE)
    veth = nic("veth1", K.VETH, "172.17.9.1/24", master="docker0")
    assert kind_of("veth1", bridge, veth) is SubnetKind.DOCKER_BRIDGE
    dsl = nic("eth0", K.ETHERNET, "10.0.0.2/24", master="vmbr0")
    assert kind_of("eth0", nic("vmbr0", K.BRIDGE), dsl) is SubnetKind.LAN


# Links other than bridges


@pytest.mark.parametrize("kind", [K.WIREGUARD, K.PPP, K.TUN, K.TUNNEL, K.TAP])
def test_tunnels_of_whatever_name_are_vpns(kind: InterfaceKind) -> None:
    assert kind_of("eth7", nic("eth7", kind, "10.8.0.2/24"), nic("eth0")) is SubnetKind.VPN


def test_a_single_address_in_a_vpn_is_of_the_vpn() -> None:
    assert kind_of("tailscale0", nic("tailscale0", K.TUN, "100.64.1.2/32")) is SubnetKind.VPN
    assert kind_of("ppp0", nic("ppp0", K.PPP, "10.9.0.1>10.9.0.2/32")) is SubnetKind.VPN


def test_a_tap_with_room_for_two_is_a_virtual_machines() -> None:
    assert kind_of("tap0", nic("tap0", K.TAP, "172.16.0.1/30")) is SubnetKind.POINT_TO_POINT


@pytest.mark.parametrize("kind", [K.VLAN, K.MACVLAN, K.IPVLAN])
def test_what_is_stacked_lies_on_its_parents_link(kind: InterfaceKind) -> None:
    upper = nic("x0", kind, "10.0.7.2/24", parent="below")
    assert kind_of("x0", nic("below"), upper) is SubnetKind.LAN
    assert kind_of("x0", nic("below", K.BOND), upper) is SubnetKind.LAN
    assert kind_of("x0", nic("below", K.BRIDGE), upper) is SubnetKind.VIRTUAL_BRIDGE
    assert kind_of("x0", nic("below", K.DUMMY), upper) is SubnetKind.LOOPBACK


@pytest.mark.parametrize("kind", [K.VLAN, K.MACVLAN, K.IPVLAN])
def test_what_is_stacked_on_something_out_of_sight_is_on_a_lan(kind: InterfaceKind) -> None:
    assert kind_of("eth0", nic("eth0", kind, "10.0.7.2/24")) is SubnetKind.LAN


def test_in_a_container_a_veth_is_the_lan() -> None:
    assert kind_of("eth0", nic("eth0", K.VETH, "172.17.0.2/16")) is SubnetKind.LAN


def test_on_a_host_a_veth_is_a_private_link_unless_it_is_the_way_out() -> None:
    veth = nic("veth0", K.VETH, "10.200.0.1/24")
    assert kind_of("veth0", nic("eth0"), veth) is SubnetKind.VIRTUAL_BRIDGE
    out = route("10.200.0.2", "veth0")
    assert kind_of("veth0", nic("eth0"), veth, routes=(out,)) is SubnetKind.LAN
    pair = nic("veth0", K.VETH, "10.200.0.0/31")
    assert kind_of("veth0", nic("eth0"), pair) is SubnetKind.POINT_TO_POINT


def test_a_vxlan_of_its_own_is_an_overlay() -> None:
    assert kind_of("flannel.1", nic("flannel.1", K.VXLAN, "10.244.0.0/32")) is SubnetKind.OVERLAY


@pytest.mark.parametrize("kind", [K.LOOPBACK, K.DUMMY, K.VRF])
def test_addresses_of_the_machine_itself_are_apart_from_any_link(kind: InterfaceKind) -> None:
    assert kind_of("x", nic("x", kind, "10.255.0.1/32")) is SubnetKind.LOOPBACK


def test_a_port_of_a_vrf_is_what_it_would_be_without() -> None:
    vrf = nic("blue", K.VRF)
    assert kind_of("eth1", vrf, nic("eth1", K.ETHERNET, "10.1.0.2/24", master="blue")) is (
        SubnetKind.LAN
    )


def test_an_encrypted_link_is_its_parents() -> None:
    macsec = nic("macsec0", K.OTHER, "10.0.9.1/24", parent="eth0")
    assert kind_of("macsec0", nic("eth0"), macsec) is SubnetKind.LAN


def test_a_pair_on_an_unknown_link_is_point_to_point_and_more_is_unknown() -> None:
    assert kind_of("x", nic("x", K.OTHER, "10.0.0.1/32")) is SubnetKind.POINT_TO_POINT
    assert kind_of("x", nic("x", K.OTHER, "fd00::/127")) is SubnetKind.POINT_TO_POINT
    assert kind_of("x", nic("x", K.OTHER, "10.0.0.1/24")) is SubnetKind.UNKNOWN


@pytest.mark.parametrize("address", ["10.0.0.9/32", "10.0.0.8/31", "2001:db8::9/128"])
def test_a_single_address_on_a_lan_is_on_the_lan(address: str) -> None:
    assert kind_of("eth0", nic("eth0", K.ETHERNET, address)) is SubnetKind.LAN


# What the address alone says


@pytest.mark.parametrize("kind", list(InterfaceKind))
def test_link_local_and_loopback_addresses_are_so_on_every_link(kind: InterfaceKind) -> None:
    def of(address: str) -> SubnetKind:
        return kind_of("x", nic("x", kind, address))

    assert of("169.254.7.1/16") is SubnetKind.LINK_LOCAL
    assert of("169.254.20.10/32") is SubnetKind.LINK_LOCAL
    assert of("fe80::1/64") is SubnetKind.LINK_LOCAL
    assert of("127.0.0.1/8") is SubnetKind.LOOPBACK
    assert of("127.0.0.53/32") is SubnetKind.LOOPBACK
    assert of("::1/128") is SubnetKind.LOOPBACK


# What becomes a subnet


def test_two_addresses_in_one_network_are_one_subnet() -> None:
    found = subnets([nic("eth0", K.ETHERNET, "10.0.0.2/24", "10.0.0.3/24", "10.0.0.3/32")], ())
    assert [str(one.cidr) for one in found] == ["10.0.0.0/24", "10.0.0.3/32"]


def test_the_network_of_a_point_to_point_link_is_the_peers() -> None:
    found = subnets([nic("ppp0", K.PPP, "10.9.0.1>10.9.0.2/32")], ())
    assert [str(one.cidr) for one in found] == ["10.9.0.2/32"]


def test_the_same_network_on_two_interfaces_is_two_subnets() -> None:
    found = subnets([nic("a", K.ETHERNET, "fe80::1/64"), nic("b", K.ETHERNET, "fe80::2/64")], ())
    assert [(str(one.cidr), one.interface) for one in found] == [
        ("fe80::/64", "a"),
        ("fe80::/64", "b"),
    ]


# Gateways


def test_the_default_router_is_the_gateway_of_its_network_only() -> None:
    found = subnets(
        [nic("eth0", K.ETHERNET, "10.0.0.2/24", "10.1.0.2/24"), nic("eth1", K.VETH, "10.2.0.2/24")],
        [route("10.0.0.1", "eth0")],
    )
    assert gateways(found) == {"10.0.0.0/24": "10.0.0.1", "10.1.0.0/24": None, "10.2.0.0/24": None}


def test_of_two_default_routers_the_lower_metric_is_the_gateway() -> None:
    found = subnets(
        [nic("eth0", K.ETHERNET, "10.0.0.2/24")],
        [route("10.0.0.254", "eth0", metric=200), route("10.0.0.1", "eth0", metric=100)],
    )
    assert gateways(found) == {"10.0.0.0/24": "10.0.0.1"}


def test_a_router_to_elsewhere_is_the_gateway_of_a_lan_without_a_default() -> None:
    found = subnets(
        [nic("eth0", K.ETHERNET, "10.0.0.2/24"), nic("docker0", K.BRIDGE, "172.17.0.1/16")],
        [
            route("10.0.0.254", "eth0", to="10.9.0.0/16"),
            route("172.17.0.5", "docker0", to="10.8.0.0/16"),
        ],
    )
    # A container that leads somewhere is not what the other containers go out by.
    assert gateways(found) == {"10.0.0.0/24": "10.0.0.254", "172.17.0.0/16": None}


def test_an_ipv6_router_by_its_link_local_address_is_the_gateway_of_the_link() -> None:
    found = subnets(
        [nic("eth0", K.ETHERNET, "10.0.0.2/24", "2001:db8::2/64", "fe80::2/64")],
        [route("fe80::1", "eth0"), route("10.0.0.1", "eth0")],
    )
    assert gateways(found) == {
        "10.0.0.0/24": "10.0.0.1",
        "2001:db8::/64": "fe80::1",
        "fe80::/64": "fe80::1",
    }


def test_a_router_on_the_link_is_the_gateway_of_a_single_address() -> None:
    found = subnets(
        [nic("eth0", K.ETHERNET, "198.51.100.7/32", "169.254.1.2/16")],
        [route("172.31.1.1", "eth0")],
    )
    assert gateways(found) == {"198.51.100.7/32": "172.31.1.1", "169.254.0.0/16": None}


# For all machines

names = st.sampled_from(["eth0", "eth1", "docker0", "br-0123456789ab", "vmbr0", "tun0", "lo", "x"])
ips = st.ip_addresses()
addresses = ips.flatmap(
    lambda ip: st.builds(
        Address,
        st.just(ip),
        st.integers(0, ip.max_prefixlen),
        st.none() | st.ip_addresses(v=ip.version),
    )
)
machines = st.lists(
    st.builds(
        Interface,
        name=names,
        index=st.integers(1, 99),
        kind=st.sampled_from(InterfaceKind),
        state=st.just(InterfaceState.UP),
        addresses=st.lists(addresses, max_size=4).map(tuple),
        master=st.none() | names,
        parent=st.none() | names,
    ),
    max_size=8,
    unique_by=lambda interface: interface.name,
)
routings = st.lists(
    st.builds(
        Route,
        family=st.sampled_from([4, 6]),
        destination=st.none() | st.just(ipaddress.ip_network("10.0.0.0/8")),
        gateway=st.none() | ips,
        interface=st.none() | names,
        metric=st.integers(0, 3),
    ),
    max_size=6,
)


@pytest.mark.slow
@given(machines, routings)
def test_every_network_of_every_interface_is_there_exactly_once(
    interfaces: list[Interface], routes: list[Route]
) -> None:
    """Also where interfaces are each other's masters and parents in a circle."""
    found = [(one.cidr, one.interface) for one in subnets(interfaces, routes)]
    expected = {(a.network, one.name) for one in interfaces for a in one.addresses}
    assert len(found) == len(set(found))
    assert set(found) == expected


@pytest.mark.slow
@given(machines, routings)
def test_a_gateway_is_a_router_of_that_interface_and_family(
    interfaces: list[Interface], routes: list[Route]
) -> None:
    routers = {(route.interface, route.gateway) for route in routes}
    for subnet in subnets(interfaces, routes):
        if subnet.gateway is not None:
            assert (subnet.interface, subnet.gateway) in routers
            assert subnet.gateway.version == subnet.cidr.version


@pytest.mark.slow
@given(machines, routings, st.randoms(use_true_random=False))
def test_the_order_of_interfaces_changes_nothing_but_the_order(
    interfaces: list[Interface], routes: list[Route], random: Random
) -> None:
    before = set(subnets(interfaces, routes))
    random.shuffle(interfaces)
    assert set(subnets(interfaces, routes)) == before


@given(st.text("abcdefxyz0123456789-", min_size=1, max_size=15))
def test_no_name_makes_an_ethernet_anything_but_a_lan(name: str) -> None:
    assert kind_of(name, nic(name, K.ETHERNET, "10.0.0.2/24")) is SubnetKind.LAN


@given(addresses)
def test_the_network_of_an_address_is_what_ipaddress_says(address: Address) -> None:
    whole = address.peer or address.ip
    expected = ipaddress.ip_network((whole, address.prefix), strict=False)
    assert address.network == network_of(whole, address.prefix) == expected
