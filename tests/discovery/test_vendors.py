"""MAC vendors: the longest prefix that IEEE gave away, and what no vendor gave."""

from __future__ import annotations

import pytest

from mooring.discovery.vendors import vendor_of


@pytest.mark.parametrize(
    ("mac", "vendor"),
    [
        ("b8:27:eb:12:34:56", "Raspberry Pi Foundation"),
        ("00:00:0c:01:02:03", "Cisco Systems, Inc"),
        ("B8:27:EB:12:34:56", "Raspberry Pi Foundation"),
        ("70:b3:d5:f2:f0:01", "TELEPLATFORMS"),
        ("02:42:ac:11:00:02", "Docker"),
        ("52:54:00:12:34:56", "QEMU/KVM"),
        ("de:ad:be:ef:00:01", "locally administered"),
        ("ff:ff:ff:ff:ff:ff", ""),
        ("00:00:00", "XEROX CORPORATION"),
        ("", ""),
        ("no mac", ""),
    ],
)
def test_a_mac_tells_who_made_it(mac: str, vendor: str) -> None:
    assert vendor_of(mac) == vendor
