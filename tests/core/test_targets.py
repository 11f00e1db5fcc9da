"""What a person types as a target of a scan."""

from __future__ import annotations

import ipaddress

import pytest

from mooring.core.errors import UsageError
from mooring.core.targets import target_of


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.168.1.0/24", "192.168.1.0/24"),
        ("192.168.1.7", "192.168.1.7/32"),
        ("fd00::/64", "fd00::/64"),
        ("2001:db8::7", "2001:db8::7/128"),
    ],
)
def test_a_network_or_an_address_is_a_target(text: str, network: str) -> None:
    assert target_of(text) == ipaddress.ip_network(network)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("the-router", "no network and no address"),
        ("192.168.1.7/24", "has bits set beyond the prefix of 24"),
        ("224.0.0.0/24", "groups, not of hosts"),
        ("ff02::1", "groups, not of hosts"),
        ("fe80::1", "on one link only"),
        ("fe80::/64", "on one link only"),
    ],
)
def test_what_is_no_target_is_refused_with_the_reason_and_what_to_name(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        target_of(text)
    assert refused.value.remedy
