from __future__ import annotations

import ipaddress
import pickle
import socket
import sys
from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from mooring.core.errors import MooringError
from mooring.discovery import portable
from mooring.model.net import Address, Interface, InterfaceKind, InterfaceState
from tests.lab.netns import Namespace, add_bridges, add_veths, namespace
from tests.parts import need

Told = namedtuple("Told", "family address netmask broadcast ptp")
Stats = namedtuple("Stats", "isup duplex speed mtu flags")

LOOK_BOTH_WAYS = """
import pickle
from mooring.discovery import local, portable
print(pickle.dumps((local.interfaces(), portable.interfaces())).hex())
"""


@pytest.fixture
def ns() -> Iterator[Namespace]:
    need("netns")
    with namespace() as made:
        yield made


def told(
    monkeypatch: pytest.MonkeyPatch, addresses: dict[str, list[Told]], stats: dict[str, Stats]
) -> dict[str, Interface]:
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: addresses)
    monkeypatch.setattr(psutil, "net_if_stats", lambda: stats)
    return {interface.name: interface for interface in portable.interfaces()}


@pytest.mark.real
def test_it_tells_of_names_macs_mtus_and_addresses_what_netlink_tells(ns: Namespace) -> None:
    add_veths(ns, 3)
    add_bridges(ns, 2)
    ns.batch("link set va0 mtu 1400", "link set vb2 down")

    def plain(interfaces: tuple[Interface, ...]) -> list[tuple[Any, ...]]:
        return [(i.name, i.index, i.mac, i.mtu, frozenset(i.addresses)) for i in interfaces]

    # psutil reads /proc/net, which is the namespace of a process's first thread.
    shown = ns.run([sys.executable, "-c", LOOK_BOTH_WAYS]).stdout
    ours, theirs = pickle.loads(bytes.fromhex(shown))
    assert plain(theirs) == plain(ours)
    states = {interface.name: interface.state for interface in theirs}
    assert states["va0"] is InterfaceState.UP
    assert states["vb2"] is InterfaceState.DOWN


def test_this_machine_has_its_loopback() -> None:
    (loopback,) = [i for i in portable.interfaces() if i.kind is InterfaceKind.LOOPBACK]
    assert Address(ipaddress.ip_address("127.0.0.1"), 8) in loopback.addresses


def test_a_mac_a_zone_and_a_mask_are_read_as_macos_writes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = told(
        monkeypatch,
        {
            "en0": [
                Told(psutil.AF_LINK, "A4:83:E7:00:00:01", None, None, None),
                Told(socket.AF_INET, "192.168.1.7", "255.255.255.0", "192.168.1.255", None),
                Told(socket.AF_INET6, "fe80::1c%en0", "ffff:ffff:ffff:ffff::", None, None),
            ],
            "utun3": [Told(socket.AF_INET, "10.8.0.2", "255.255.255.255", None, "10.8.0.1")],
        },
        {
            "en0": Stats(True, 2, 0, 1500, "up,broadcast,running"),
            "utun3": Stats(True, 0, 0, 1380, "up,pointopoint,running"),
        },
    )
    assert found["en0"].kind is InterfaceKind.ETHERNET
    assert found["en0"].mac == "a4:83:e7:00:00:01"
    assert found["en0"].addresses == (
        Address(ipaddress.ip_address("192.168.1.7"), 24),
        Address(ipaddress.ip_address("fe80::1c"), 64),
    )
    assert found["utun3"].kind is InterfaceKind.TUN
    assert found["utun3"].addresses == (
        Address(ipaddress.ip_address("10.8.0.2"), 32, ipaddress.ip_address("10.8.0.1")),
    )


def test_windows_without_flags_and_masks_is_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(
        monkeypatch,
        {
            "Ethernet": [
                Told(psutil.AF_LINK, "00-15-5D-00-00-01", None, None, None),
                Told(socket.AF_INET6, "fe80::2", None, None, None),
            ],
            "Loopback Pseudo-Interface 1": [
                Told(socket.AF_INET, "127.0.0.1", "255.0.0.0", None, None)
            ],
        },
        {
            "Ethernet": Stats(False, 2, 1000, 1500, ""),
            "Loopback Pseudo-Interface 1": Stats(True, 2, 1073, 1500, ""),
        },
    )
    assert found["Ethernet"].mac == "00:15:5d:00:00:01"
    assert found["Ethernet"].state is InterfaceState.DOWN
    assert found["Ethernet"].addresses == (Address(ipaddress.ip_address("fe80::2"), 128),)
    assert found["Loopback Pseudo-Interface 1"].kind is InterfaceKind.LOOPBACK


def test_an_interface_that_only_one_of_the_questions_knows_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = told(
        monkeypatch,
        {"new0": [Told(socket.AF_INET, "10.0.0.1", "255.255.255.0", None, None)]},
        {"bare0": Stats(True, 0, 0, 1500, "up,running")},
    )
    assert found["new0"].state is InterfaceState.UNKNOWN
    assert found["bare0"].addresses == ()


def test_what_it_cannot_tell_is_said() -> None:
    available = {one.name: one.available for one in portable.capabilities()}
    assert available == {"interfaces": True, "routes": False, "neighbours": False}


def test_a_refusal_says_what_was_attempted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(psutil, "net_if_addrs", refused)
    with pytest.raises(MooringError, match="listing the network interfaces: operation not"):
        portable.interfaces()
