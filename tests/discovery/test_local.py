from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.core import netlink
from mooring.core.errors import MooringError
from mooring.core.netlink import Dump, Netlink, NetlinkError
from mooring.discovery import local, rtnetlink
from mooring.model.machine import Machine
from mooring.model.net import (
    Address,
    Interface,
    InterfaceKind,
    InterfaceState,
    NeighbourState,
    Route,
    SubnetKind,
)
from tests.lab.netns import Namespace, add_bridges, add_veths, namespace, namespaces
from tests.parts import need

pytestmark = pytest.mark.real

ip = ipaddress.ip_address
net = ipaddress.ip_network

MIX = (
    "link add br0 type bridge",
    "link add brempty type bridge",
    "link add p0 type veth peer name eth0",
    "link set p0 master br0 mtu 1400",
    "link add far0 type veth peer name far1",
    "link add mv0 link eth0 type macvlan mode bridge",
    "link add vt0 link eth0 type macvtap",
    "link add vx0 type vxlan id 7 dev eth0 dstport 4789",
    "link add ifbx type ifb",
    "tuntap add dev tun0 mode tun",
    "tuntap add dev tap0 mode tap",
    "link set br0 up",
    "link set p0 up",
    "link set eth0 up",
    "link set far0 up",
    "link set mv0 up",
    "link set tun0 up",
    "addr add 10.1.0.2/24 dev eth0",
    "addr add 10.1.0.3/24 dev eth0",
    "addr add 10.1.0.9/32 dev eth0 label eth0:vip",
    "addr add 10.2.0.0/31 dev eth0",
    "addr add 10.3.0.1 peer 10.3.0.2/32 dev tun0",
    "addr add 100.64.0.7/32 dev tun0",
    "addr add fd00:1::2/64 dev eth0 nodad",
    "addr add fd00:9::1/128 dev eth0 nodad",
    "addr add fd00:3::1 peer fd00:3::2/128 dev tun0 nodad",
    "addr add 10.4.0.1/16 dev br0",
    "addr add 10.5.0.1/24 dev brempty",
    "addr add 10.255.0.1/32 dev lo",
    "addr add 169.254.8.1/16 dev far0",
    "addr add 10.6.0.1/8 dev far1",
)


@pytest.fixture
def ns() -> Iterator[Namespace]:
    need("netns")
    with namespace() as made:
        yield made


@pytest.fixture(scope="module")
def mixed() -> Iterator[Namespace]:
    need("netns")
    with namespace() as made:
        made.batch(*MIX)
        yield made


def by_name(machine: Machine) -> dict[str, Interface]:
    return {interface.name: interface for interface in machine.interfaces}


def shown_by_ip(told: list[dict[str, Any]]) -> dict[str, Any]:
    """What ``ip -j addr`` shows, in a form to compare."""
    return {
        one["ifname"]: (
            one["ifindex"],
            one["mtu"],
            one["operstate"] if "UP" in one["flags"] else "DISABLED",
            mac_of(one),
            {
                (
                    ip(address["local"]),
                    address["prefixlen"],
                    ip(address["address"]) if "address" in address else None,
                )
                for address in one["addr_info"]
            },
            one.get("master"),
        )
        for one in told
    }


def mac_of(one: dict[str, Any]) -> str | None:
    mac: str | None = one.get("address")
    return None if one["link_type"] not in ("ether", "loopback") or mac == "00:" * 5 + "00" else mac


def shown_by_us(machine: Machine) -> dict[str, Any]:
    states = {InterfaceState.LOWER_DOWN: "LOWERLAYERDOWN"}
    return {
        one.name: (
            one.index,
            one.mtu,
            states.get(one.state, one.state.name),
            one.mac,
            {(address.ip, address.prefix, address.peer) for address in one.addresses},
            one.master,
        )
        for one in machine.interfaces
    }


def networks_shown_by_ip(told: list[dict[str, Any]]) -> set[tuple[Any, str]]:
    return {
        (
            net((address.get("address", address["local"]), address["prefixlen"]), False),
            one["ifname"],
        )
        for one in told
        for address in one["addr_info"]
    }


# Nothing is left out


def test_a_look_holds_all_that_ip_addr_shows(mixed: Namespace) -> None:
    told = mixed.ip_json("addr")
    machine = mixed.call(local.look, "id")
    assert shown_by_us(machine) == shown_by_ip(told)
    found = [(subnet.cidr, subnet.interface) for subnet in machine.subnets]
    assert set(found) == networks_shown_by_ip(told)
    assert len(found) == len(set(found))


def test_a_look_at_this_machine_holds_all_that_ip_addr_shows() -> None:
    need("ip")
    told = json.loads(subprocess.check_output(["ip", "-j", "addr"]))
    machine = local.look("id")
    assert shown_by_us(machine) == shown_by_ip(told)
    assert {(s.cidr, s.interface) for s in machine.subnets} == networks_shown_by_ip(told)


def test_a_look_at_a_thousand_interfaces_holds_them_all(ns: Namespace) -> None:
    add_veths(ns, 400)
    add_bridges(ns, 199)
    told = ns.ip_json("addr")
    machine = ns.call(local.look, "id")
    assert len(machine.interfaces) == 1000
    assert shown_by_us(machine) == shown_by_ip(told)
    assert {(s.cidr, s.interface) for s in machine.subnets} == networks_shown_by_ip(told)


def test_a_look_from_the_event_loop_by_a_thread_sees_the_same(mixed: Namespace) -> None:
    def looped() -> Machine:
        return asyncio.run(asyncio.to_thread(local.look, "id"))  # type: ignore[arg-type]

    assert mixed.call(looped).interfaces == mixed.call(local.interfaces)


def test_links_that_come_and_go_cost_no_other_link_or_address(mixed: Namespace) -> None:
    steady = shown_by_us(mixed.call(local.look, "id"))
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            mixed.batch(
                "link add c0 type veth peer name c1", "addr add 10.77.0.1/24 dev c0", "link del c0"
            )

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        looks = [shown_by_us(mixed.call(local.look, "id")) for _ in range(40)]
    finally:
        stop.set()
        thread.join()
    assert all(steady.items() <= seen.items() for seen in looks)


# What each interface is


def test_each_kind_that_this_kernel_makes_is_told_by_its_driver(mixed: Namespace) -> None:
    kinds = {one.name: one.kind for one in mixed.call(local.interfaces)}
    assert kinds == {
        "lo": InterfaceKind.LOOPBACK,
        "br0": InterfaceKind.BRIDGE,
        "brempty": InterfaceKind.BRIDGE,
        "p0": InterfaceKind.VETH,
        "eth0": InterfaceKind.VETH,
        "far0": InterfaceKind.VETH,
        "far1": InterfaceKind.VETH,
        "mv0": InterfaceKind.MACVLAN,
        "vt0": InterfaceKind.MACVLAN,
        "vx0": InterfaceKind.VXLAN,
        "tun0": InterfaceKind.TUN,
        "tap0": InterfaceKind.TAP,
        "ifbx": InterfaceKind.OTHER,
    }


def test_masters_and_parents_are_named_and_a_veths_other_end_is_neither(mixed: Namespace) -> None:
    seen = {one.name: (one.master, one.parent) for one in mixed.call(local.interfaces)}
    assert seen["p0"] == ("br0", None)
    assert seen["eth0"] == (None, None)
    assert seen["mv0"] == (None, "eth0")
    assert seen["vt0"] == (None, "eth0")
    assert seen["vx0"] == (None, "eth0")


def test_a_parent_in_another_namespace_is_not_taken_for_one_here() -> None:
    need("netns")
    with namespaces(2) as (host, container):
        host.batch("link add eth0 type veth peer name eth1", "link add mv0 link eth0 type macvlan")
        container.batch("link add decoy type bridge", "link add decoy2 type bridge")
        host.batch(f"link set mv0 netns {container.name}")
        container.batch("link set mv0 up", "addr add 10.1.0.7/24 dev mv0")
        machine = container.call(local.look, "id")
    assert by_name(machine)["mv0"].kind is InterfaceKind.MACVLAN
    assert by_name(machine)["mv0"].parent is None
    assert {s.kind for s in machine.subnets if s.interface == "mv0" and s.cidr.version == 4} == {
        SubnetKind.LAN
    }


def test_each_subnet_of_the_mix_has_its_kind(mixed: Namespace) -> None:
    machine = mixed.call(local.look, "id")
    kinds = {str(s.cidr): s.kind for s in machine.subnets if s.kind is not SubnetKind.LINK_LOCAL}
    assert kinds == {
        "127.0.0.0/8": SubnetKind.LOOPBACK,
        "::1/128": SubnetKind.LOOPBACK,
        "10.255.0.1/32": SubnetKind.LOOPBACK,
        "10.1.0.0/24": SubnetKind.LAN,
        "10.1.0.9/32": SubnetKind.LAN,
        "10.2.0.0/31": SubnetKind.LAN,
        "fd00:1::/64": SubnetKind.LAN,
        "fd00:9::1/128": SubnetKind.LAN,
        "10.0.0.0/8": SubnetKind.LAN,
        "10.3.0.2/32": SubnetKind.VPN,
        "100.64.0.7/32": SubnetKind.VPN,
        "fd00:3::2/128": SubnetKind.VPN,
        "10.4.0.0/16": SubnetKind.VIRTUAL_BRIDGE,
        "10.5.0.0/24": SubnetKind.VIRTUAL_BRIDGE,
    }
    assert ("169.254.0.0/16", "far0") in {(str(s.cidr), s.interface) for s in machine.subnets}


def test_a_vlan_where_the_kernel_has_them(ns: Namespace) -> None:
    try:
        ns.batch(
            "link add p0 type veth peer name p1", "link add link p0 name p0.42 type vlan id 42"
        )
    except RuntimeError as error:
        pytest.skip(f"this kernel makes no VLANs: {error}")
    found = by_name(ns.call(local.look, "id"))["p0.42"]
    assert (found.kind, found.vlan, found.parent) == (InterfaceKind.VLAN, 42, "p0")


def test_a_name_of_odd_bytes_is_told_in_text_that_can_be_sent(ns: Namespace) -> None:
    ns.batch("link add x\xf6\x7f type bridge")
    names = [one.name for one in ns.call(local.interfaces)]
    assert names == ["lo", "x\xf6\x7f"]
    assert json.loads(json.dumps(names)) == names


# Routes


def test_routes_are_those_of_the_main_tables(ns: Namespace) -> None:
    add_veths(ns, 2, addressed=False)
    ns.batch(
        "addr add 10.0.0.2/24 dev va0",
        "addr add 10.1.0.2/24 dev va1",
        "addr add fd00:1::2/64 dev va0 nodad",
        "route add default via 10.0.0.1 metric 50",
        "route add default via 10.1.0.1 metric 60",
        "route add 10.8.0.0/16 nexthop via 10.0.0.7 nexthop via 10.1.0.7",
        "route add 10.9.0.0/16 via inet6 fe80::9 dev va0",
        "route add blackhole 10.66.0.0/16",
        "route add 10.77.0.0/16 via 10.0.0.1 table 100",
        "route add default via fe80::1 dev va0 metric 1024",
    )
    machine = ns.call(local.look, "id")
    dynamic = [r for r in machine.routes if r.gateway is not None]
    assert sorted(dynamic, key=str) == sorted(
        [
            Route(4, None, ip("10.0.0.1"), "va0", 50),
            Route(4, None, ip("10.1.0.1"), "va1", 60),
            Route(4, net("10.8.0.0/16"), ip("10.0.0.7"), "va0", 0),
            Route(4, net("10.8.0.0/16"), ip("10.1.0.7"), "va1", 0),
            Route(4, net("10.9.0.0/16"), ip("fe80::9"), "va0", 0),
            Route(6, None, ip("fe80::1"), "va0", 1024),
        ],
        key=str,
    )
    onlink = {(str(r.destination), r.interface) for r in machine.routes if r.gateway is None}
    assert {("10.0.0.0/24", "va0"), ("10.1.0.0/24", "va1"), ("fd00:1::/64", "va0")} <= onlink
    assert not any("10.66" in str(r.destination) for r in machine.routes)
    gateways = {str(s.cidr): str(s.gateway) for s in machine.subnets if s.gateway}
    assert gateways == {
        "10.0.0.0/24": "10.0.0.1",
        "10.1.0.0/24": "10.1.0.1",
        "fd00:1::/64": "fe80::1",
        "fe80::/64": "fe80::1",
    }
    assert ns.call(local.routes) == machine.routes


def test_routes_are_those_that_ip_route_shows(mixed: Namespace) -> None:
    told = mixed.ip_json("-4", "route") + mixed.ip_json("-6", "route")
    expected = {(one["dst"], one.get("dev")) for one in told}
    seen = mixed.call(local.routes)
    found = {
        (str(r.destination).removesuffix("/32").removesuffix("/128"), r.interface) for r in seen
    }
    assert found == expected


def test_a_namespace_without_a_single_route_has_none_and_nothing_is_amiss(ns: Namespace) -> None:
    machine = ns.call(local.look, "id")
    assert machine.routes == ()
    assert all(capability.available for capability in machine.capabilities)


def test_a_table_of_the_whole_internets_size_is_cut_and_said_to_be(
    ns: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "MOST_ROUTES", 10)
    add_veths(ns, 1, addressed=False)
    ns.batch(
        "addr add 10.0.0.2/24 dev va0",
        *(f"route add 10.1.{number}.0/24 via 10.0.0.1" for number in range(30)),
        "route add default via 10.0.0.1",
    )
    machine = ns.call(local.look, "id")
    (routes,) = [one for one in machine.capabilities if one.name == "routes"]
    assert routes.available
    assert "first 10" in routes.detail
    four = [route for route in machine.routes if route.family == 4]
    assert len(four) == 10
    assert Route(4, None, ip("10.0.0.1"), "va0") in four
    assert machine.neighbours == ns.call(local.neighbours)


# Neighbours


def test_neighbours_have_a_state_a_mac_and_the_router_flag(ns: Namespace) -> None:
    add_veths(ns, 1)
    mac = "02:00:00:00:00:09"
    ns.batch(
        f"neigh add 10.0.0.9 lladdr {mac} dev va0 nud permanent",
        f"neigh add 10.0.0.10 lladdr {mac} dev va0 nud stale",
        f"neigh add 10.0.0.11 lladdr {mac} dev va0 nud noarp",
        "neigh add 10.0.0.12 dev va0 nud failed",
        f"neigh add 10.0.0.13 lladdr {mac} dev va0 nud reachable",
        f"neigh add fe80::9 lladdr {mac} dev va0 nud reachable router",
    )
    found = {str(one.ip): one for one in ns.call(local.look, "id").neighbours}
    assert {address: (one.state, one.mac, one.router) for address, one in found.items()} == {
        "10.0.0.9": (NeighbourState.PERMANENT, mac, False),
        "10.0.0.10": (NeighbourState.STALE, mac, False),
        "10.0.0.12": (NeighbourState.FAILED, None, False),
        "10.0.0.13": (NeighbourState.REACHABLE, mac, False),
        "fe80::9": (NeighbourState.REACHABLE, mac, True),
    }
    assert {one.interface for one in found.values()} == {"va0"}


# Failures


def refuse(monkeypatch: pytest.MonkeyPatch, *kinds: int, code: int = errno.EPERM) -> None:
    """Make the kernel refuse some dumps."""
    real = Netlink.dump

    def dump(self: Netlink, kind: int, body: bytes, *, doing: str, most: int | None = None) -> Dump:
        if kind in kinds:
            raise NetlinkError(code, doing)
        return real(self, kind, body, doing=doing, most=most)

    monkeypatch.setattr(Netlink, "dump", dump)


def test_neighbours_denied_cost_nothing_else(
    mixed: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = mixed.call(local.look, "id")
    refuse(monkeypatch, netlink.RTM_GETNEIGH)
    machine = mixed.call(local.look, "id")
    assert (machine.interfaces, machine.subnets) == (whole.interfaces, whole.subnets)
    assert machine.routes == whole.routes
    assert machine.neighbours == ()
    (neighbours,) = [one for one in machine.capabilities if not one.available]
    assert neighbours.name == "neighbours"
    assert neighbours.detail == "listing neighbours: operation not permitted"


def test_routes_denied_cost_only_the_gateways(
    mixed: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = mixed.call(local.look, "id")
    refuse(monkeypatch, netlink.RTM_GETROUTE)
    machine = mixed.call(local.look, "id")
    assert machine.interfaces == whole.interfaces
    assert [s.cidr for s in machine.subnets] == [s.cidr for s in whole.subnets]
    assert [one.name for one in machine.capabilities if not one.available] == ["routes"]


@pytest.mark.parametrize("kind", [netlink.RTM_GETLINK, netlink.RTM_GETADDR])
def test_a_look_without_interfaces_or_addresses_is_an_error_and_never_a_short_look(
    monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    refuse(monkeypatch, kind)
    with pytest.raises(MooringError, match="listing the network interfaces") as raised:
        local.look("id")
    assert "AF_NETLINK" in raised.value.remedy


def test_without_a_netlink_socket_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(self: Netlink) -> None:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(Netlink, "_open", no_socket)
    with pytest.raises(MooringError, match="address family not supported"):
        local.interfaces()


def test_a_link_that_comes_between_the_two_questions_is_not_left_out(
    ns: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = rtnetlink.links
    asked = []

    def links(payloads: Any) -> Any:
        found = real(payloads)
        if not asked:
            ns.batch("link add late0 type bridge", "addr add 10.9.0.1/24 dev late0")
        asked.append(len(found))
        return found

    monkeypatch.setattr(rtnetlink, "links", links)
    machine = ns.call(local.look, "id")
    assert asked == [1, 2]
    assert by_name(machine)["late0"].addresses == (Address(ip("10.9.0.1"), 24),)


# Time


def test_the_bench_measures_and_judges() -> None:
    need("netns")
    bench = Path(__file__).parents[2] / "bench" / "interfaces"
    command = [sys.executable, str(bench), "--counts=10", "--repetitions=2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    assert told["rows"][0]["interfaces"] == 10
    assert told["passed"] is (done.returncode == 0)
    strict = subprocess.run([*command, "--most-ms=0"], capture_output=True, check=False)
    assert strict.returncode == 1


# Radios


def test_a_radio_is_told_by_sysfs_only_if_it_is_the_same_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "wlan0"
    (device / "phy80211").mkdir(parents=True)
    (device / "address").write_text("02:00:00:00:00:01\n")
    monkeypatch.setattr(local, "Path", lambda _: tmp_path)

    def is_radio(name: str, mac: str) -> bool:
        link = rtnetlink.Link(
            index=2,
            name=name,
            kind=InterfaceKind.ETHERNET,
            state=InterfaceState.UP,
            mac=mac,
            mtu=1500,
            master=None,
            parent=None,
            vlan=None,
            hardware=True,
        )
        return local._is_radio(link)

    assert is_radio("wlan0", "02:00:00:00:00:01")
    assert not is_radio("wlan0", "02:00:00:00:00:99")
    assert not is_radio("eth0", "02:00:00:00:00:01")
    (device / "address").unlink()
    assert not is_radio("wlan0", "02:00:00:00:00:01")
