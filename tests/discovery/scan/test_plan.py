from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.core.errors import UsageError
from mooring.core.targets import target_of
from mooring.discovery.scan.plan import Here, Plan, permitted
from mooring.model.net import Address, Interface, InterfaceKind, InterfaceState, Route

net = ipaddress.ip_network
ip = ipaddress.ip_address


def interface(
    name: str, *addresses: str, kind: InterfaceKind = InterfaceKind.ETHERNET
) -> Interface:
    parts = (one.split("/") for one in addresses)
    return Interface(
        name,
        len(name),
        kind,
        InterfaceState.UP,
        "02:00:00:00:00:01",
        addresses=tuple(Address(ip(address), int(prefix)) for address, prefix in parts),
    )


HERE = Here(
    [
        interface("lo", "127.0.0.1/8", "::1/128", kind=InterfaceKind.LOOPBACK),
        interface("eth0", "192.168.1.7/24", "fd00::7/64", "fe80::7/64"),
        interface("eth1", "10.1.0.1/16"),
        interface("wg0", "10.8.0.2/24", kind=InterfaceKind.WIREGUARD),
        interface("small", "172.30.5.1/27"),
    ],
    [Route(4, None, ip("192.168.1.1"), "eth0")],
)


def asked(plan: Plan) -> set[str]:
    return {str(one) for block in plan.blocks for one in block.addresses()}


def why(*targets: str, allowed: tuple[str, ...] = (), interface: str | None = None) -> UsageError:
    with pytest.raises(UsageError) as raised:
        permitted([target_of(t) for t in targets], HERE, [net(a) for a in allowed], interface)
    return raised.value


def test_an_attached_network_is_planned_in_blocks_of_256_without_its_ends() -> None:
    plan = permitted([net("10.1.4.0/23")], HERE)
    assert [str(block.cidr) for block in plan.blocks] == ["10.1.4.0/24", "10.1.5.0/24"]
    assert all(block.whole and block.subnet == net("10.1.0.0/16") for block in plan.blocks)
    assert all(block.link and block.link.name == "eth1" for block in plan.blocks)
    # Within a /16 these are hosts like any other.
    assert {"10.1.4.0", "10.1.4.255", "10.1.5.0"} <= asked(plan)
    lan = permitted([net("192.168.1.0/24")], HERE)
    assert len(asked(lan)) == 254
    assert not asked(lan) & {"192.168.1.0", "192.168.1.255"}


def test_a_network_smaller_than_a_block_is_a_block() -> None:
    (block,) = permitted([net("172.30.5.0/27")], HERE).blocks
    assert (block.cidr, block.whole) == (net("172.30.5.0/27"), True)


def test_one_host_lies_in_its_block_which_is_not_whole() -> None:
    plan = permitted([target_of("192.168.1.9")], HERE)
    (block,) = plan.blocks
    assert (block.cidr, block.whole) == (net("192.168.1.0/24"), False)
    assert asked(plan) == {"192.168.1.9"}
    assert plan.block_of(ip("192.168.1.9")) is block
    assert plan.block_of(ip("192.168.1.10")) is None
    assert plan.block_of(ip("10.9.9.9")) is None


def test_without_targets_the_attached_networks_are_taken_that_make_sense() -> None:
    plan = permitted([], HERE)
    networks = {block.subnet for block in plan.blocks}
    assert networks == {net("192.168.1.0/24"), net("fd00::/64"), net("172.30.5.0/27")}
    assert len(plan.left_out) == 2
    assert "10.1.0.0/16 (eth1) has 65,536 addresses" in " ".join(plan.left_out)
    assert "10.8.0.0/24 (wg0) is of kind vpn" in " ".join(plan.left_out)


def test_an_interface_narrows_what_is_attached() -> None:
    assert len(permitted([], HERE, interface="small").blocks) == 1
    assert "10.8.0.0/24" not in str(why("192.168.1.0/24", interface="small").remedy)
    failed = why("192.168.1.0/24", interface="eth9")
    assert "no such interface" in failed.why
    assert "eth0" in failed.remedy


@pytest.mark.parametrize("target", ["10.0.0.0/8", "0.0.0.0/0", "10.0.0.0/15"])
def test_more_addresses_than_a_scan_asks_are_refused_before_anything_else(target: str) -> None:
    failed = why(target)
    assert "65,536 at the most" in failed.why
    assert "smaller" in failed.remedy


def test_many_small_networks_are_too_many_together() -> None:
    failed = why("10.1.0.0/16", "192.168.1.0/24")
    assert "65,792 addresses" in failed.why


def test_host_bits_are_explained_with_both_that_may_have_been_meant() -> None:
    with pytest.raises(UsageError) as raised:
        target_of("192.168.1.9/24")
    assert "192.168.1.0/24 is the network, 192.168.1.9 the one host" in raised.value.remedy


@pytest.mark.parametrize("text", ["", "router", "10.0.0.300", "10.0.0.0/33", "1.2.3.4/x", "::/200"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no network and no address"):
        target_of(text)


def test_an_address_outside_is_refused_with_what_is_allowed_and_how_to_allow_it() -> None:
    failed = why("192.168.2.5")
    assert "192.168.1.0/24" in failed.why
    assert "10.1.0.0/16" in failed.why
    assert failed.remedy.endswith("--allow 192.168.2.5/32")


def test_the_part_of_a_target_that_is_outside_is_named() -> None:
    failed = why("192.168.0.0/23")
    assert failed.why.startswith("192.168.0.0/24 of it is outside")


@pytest.mark.parametrize("target", ["127.0.0.1", "169.254.0.1", "::1"])
def test_loopback_and_link_local_are_not_attached_networks(target: str) -> None:
    assert "outside" in why(target).why


def test_what_is_allowed_is_asked_through_routers_and_what_is_attached_directly() -> None:
    plan = permitted([net("192.168.0.0/23")], HERE, [net("192.168.0.0/16")])
    ways = {str(block.cidr): block.link and block.link.name for block in plan.blocks}
    assert ways == {"192.168.0.0/24": None, "192.168.1.0/24": "eth0"}
    assert len(asked(plan)) == 255 + 254


def test_an_attached_part_of_an_allowed_block_is_a_block_of_its_own() -> None:
    plan = permitted([net("172.30.5.0/24")], HERE, [net("172.30.0.0/16")])
    ways = {str(block.cidr): block.link and block.link.name for block in plan.blocks}
    assert ways == {"172.30.5.0/27": "small", "172.30.5.0/24": None}
    assert plan.block_of(ip("172.30.5.3")) == plan.blocks[0]
    outer = plan.block_of(ip("172.30.5.200"))
    assert outer is not None
    assert outer.link is None
    assert not outer.whole


def test_an_ipv6_subnet_is_one_block_of_which_no_address_is_asked_by_itself() -> None:
    plan = permitted([net("fd00::/64")], HERE)
    (block,) = plan.blocks
    assert not list(block.addresses())
    assert not block.whole
    assert plan.block_of(ip("fd00::99")) is block
    assert asked(permitted([target_of("fd00::99")], HERE)) == {"fd00::99"}
    failed = why("fd99::/64", allowed=("fd99::/64",))
    assert "never asked address by address" in failed.why


def test_the_same_address_is_asked_once() -> None:
    plan = permitted([net("192.168.1.0/24"), net("192.168.1.0/25"), target_of("192.168.1.9")], HERE)
    addresses = [one for block in plan.blocks for one in block.addresses()]
    assert len(addresses) == len(set(addresses)) == 254


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(20, 32))
def test_all_addresses_of_an_allowed_network_are_asked_once_and_each_has_its_block(
    number: int, prefix: int
) -> None:
    target = ipaddress.IPv4Network((number, prefix), strict=False)
    plan = permitted([target], HERE, [net("0.0.0.0/0")])
    addresses = [one for block in plan.blocks for one in block.addresses()]
    assert len(addresses) == len(set(addresses))
    assert len(addresses) >= target.num_addresses - 2 * len(plan.blocks)
    for one in addresses[:50]:
        block = plan.block_of(one)
        assert block is not None
        assert one in block.cidr
