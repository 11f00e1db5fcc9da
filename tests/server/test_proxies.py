"""Whom a request comes from, behind proxies: decided from texts."""

from __future__ import annotations

import pytest

from mooring.core.errors import UsageError
from mooring.server import proxies, settings

NEAR = proxies.networks("127.0.0.1, 10.0.0.0/8 ,2001:db8:1::/48,")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        # Who is not trusted is not believed.
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ("2001:db8:2::1", ["203.0.113.9"], "2001:db8:2::1"),
        # A trusted one that says nothing speaks for itself.
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        # What the browser wrote stands before what the proxy added, and counts for nothing.
        ("127.0.0.1", ["1.1.1.1, 10.0.0.1, 203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        # A chain of trusted ones, and one in which all are.
        ("127.0.0.1", ["1.1.1.1, 203.0.113.9,10.0.0.7 , 10.0.0.8"], "203.0.113.9"),
        ("127.0.0.1", ["203.0.113.9, 10.0.0.7", "10.0.0.8"], "203.0.113.9"),
        ("127.0.0.1", ["10.0.0.6, 10.0.0.7"], "10.0.0.6"),
        # IPv6, in every dress, and ports.
        ("2001:db8:1::5", ["2001:db8:9::1"], "2001:db8:9::1"),
        ("2001:db8:1::5", ["[2001:DB8:9::1]:4711"], "2001:db8:9::1"),
        ("2001:db8:1::5", ["fe80::1%eth0"], "fe80::1"),
        ("127.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("::ffff:127.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("::ffff:192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        # Where it came to a proxy by a Unix socket, and garbage.
        ("127.0.0.1", ["unix:"], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9, unix:, 10.0.0.8"], "10.0.0.8"),
        ("127.0.0.1", ["203.0.113.9, , 10.0.0.8"], "10.0.0.8"),
        ("127.0.0.1", ["unknown"], "127.0.0.1"),
        ("127.0.0.1", ["'; DROP TABLE session"], "127.0.0.1"),
        ("127.0.0.1", ["[]:::%"], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9" + " " * 5000], "203.0.113.9"),
        ("127.0.0.1", ["2" * 5000], "127.0.0.1"),
        ("127.0.0.1", ["\u0661.1.1.1"], "127.0.0.1"),
        ("a socket", ["203.0.113.9"], "a socket"),
    ],
)
def test_the_last_address_that_is_no_trusted_proxys_is_whose_it_is(
    peer: str, forwarded_for: list[str], address: str
) -> None:
    assert proxies.origin(peer, forwarded_for, NEAR) == address


def test_nobody_is_believed_where_nobody_is_trusted() -> None:
    assert proxies.origin("127.0.0.1", ["203.0.113.9"], ()) == "127.0.0.1"
    assert proxies.scheme("127.0.0.1", ["https"], ()) is None


def test_a_request_is_followed_through_so_many_proxies_and_no_more() -> None:
    far = ["203.0.113.9", *(f"10.0.0.{n}" for n in range(1, proxies.MOST_HOPS + 1))]
    assert proxies.origin("127.0.0.1", [",".join(far[:-1])], NEAR) == "203.0.113.9"
    assert proxies.origin("127.0.0.1", [",".join(far)], NEAR) == "10.0.0.1"
    assert proxies.origin("127.0.0.1", ["10.0.0.1," * 100_000 + "10.0.0.2"], NEAR) == "10.0.0.1"


@pytest.mark.parametrize(
    ("peer", "forwarded_proto", "scheme"),
    [
        ("127.0.0.1", ["https"], "https"),
        ("127.0.0.1", [" HTTPS "], "https"),
        ("127.0.0.1", ["https, http"], "https"),
        ("127.0.0.1", ["https", "http"], "https"),
        ("127.0.0.1", ["http"], "http"),
        ("127.0.0.1", [], None),
        ("127.0.0.1", ["javascript"], None),
        ("127.0.0.1", ["x" * 70_000 + ",https"], None),
        ("192.0.2.1", ["https"], None),
        ("a socket", ["https"], None),
    ],
)
def test_only_a_trusted_proxy_says_how_it_was_reached(
    peer: str, forwarded_proto: list[str], scheme: str | None
) -> None:
    assert proxies.scheme(peer, forwarded_proto, NEAR) == scheme


@pytest.mark.parametrize(
    "wrong", ["*", "proxy.example", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "unix:"]
)
def test_a_setting_that_names_no_network_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("MOORING_TRUSTED_PROXIES", f"127.0.0.1,{wrong}")
    with pytest.raises(UsageError) as told:
        settings.read()
    assert told.value.attempted == "reading the environment variable MOORING_TRUSTED_PROXIES"
    assert told.value.why == (
        f"expected addresses and networks such as 127.0.0.1 or 10.0.0.0/8, got {wrong!r}"
    )
    monkeypatch.setenv("MOORING_TRUSTED_PROXIES", ",".join(["127.0.0.1"] * 101))
    with pytest.raises(UsageError, match="expected at most 100, got 101"):
        settings.read()


def test_the_setting_is_read_and_trusts_nobody_when_it_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settings.read().trusted_proxies == ()
    monkeypatch.setenv("MOORING_TRUSTED_PROXIES", "::1, 10.0.0.0/8")
    assert settings.read().trusted_proxies == proxies.networks("10.0.0.0/8,::1")[::-1]
