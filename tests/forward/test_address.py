"""A remote host, a pattern, a remapping: as people type them, right and wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.core.errors import UsageError
from mooring.forward import address
from mooring.forward.address import Address, Meant, Names, chosen, meant


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ssh://build", Address("build")),
        ("ssh://deploy@build.example", Address("build.example", "deploy")),
        ("ssh://deploy@10.1.2.3:2222", Address("10.1.2.3", "deploy", 2222)),
        ("ssh://build/", Address("build")),
        ("ssh://[2001:db8::1]:22", Address("2001:db8::1", None, 22)),
        ("ssh://root@[fe80::1%eth0]", Address("fe80::1%eth0", "root")),
        ("SSH://build", Address("build")),
        ("ssh://first.last%2Badmin@build", Address("build", "first.last+admin")),
    ],
)
def test_an_address_is_read(text: str, expected: Address) -> None:
    assert address.parse(text) == expected


def test_capital_letters_stay_for_ssh_config_tells_them_apart() -> None:
    assert address.parse("ssh://BuildBox").host == "BuildBox"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ssh://", "there is no host in it"),
        ("ssh://deploy@", "there is no host in it"),
        ("ssh://:22", "there is no host in it"),
        ("build.example", "expected ssh://USER@HOST[:PORT]"),
        ("tcp://build:2375", "expected the scheme ssh, got 'tcp'"),
        ("ssh://build:0", "expected a port from 1 to 65535, got '0'"),
        ("ssh://build:70000", "expected a port from 1 to 65535, got '70000'"),
        ("ssh://build:ssh", "expected a port from 1 to 65535, got 'ssh'"),
        ("ssh://build/run/docker.sock", "expected nothing after the host and port"),
        ("ssh://build?x=1", "expected nothing after the host and port"),
        ("ssh://me:secret@build", "a password can't be given here"),
        ("ssh://2001:db8::1", "'2001:db8::1' has more than one colon"),
        ("ssh://[2001:db8::1", "'[2001:db8::1' has a bracket too few or too many"),
        ("ssh://-oProxyCommand=x", "'-oProxyCommand=x' is not a host's name or address"),
        ("ssh://..", "'..' is not a host's name or address"),
        ("ssh://a b", "'a b' is not a host's name or address"),
        ("ssh://-l@build", "'-l' is not a user's name"),
    ],
)
def test_a_wrong_address_names_its_fault_and_a_remedy(text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        address.parse(text)
    assert caught.value.why == why
    assert caught.value.remedy


def test_a_password_is_not_repeated_in_what_is_advised() -> None:
    with pytest.raises(UsageError) as caught:
        address.parse("ssh://me:secret@build")
    assert "secret" not in caught.value.remedy


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    try:
        parsed = address.parse("ssh://" + text)
    except UsageError:
        return
    assert address.parse(str(parsed)) == parsed


def test_a_remapping_is_read() -> None:
    assert address.remap("80=8080") == (80, 8080)


@pytest.mark.parametrize("text", ["80", "80=", "=80", "80=0", "0=80", "80=65536", "a=b", "1=2=3"])
def test_a_bad_remapping_says_what_was_expected(text: str) -> None:
    with pytest.raises(UsageError, match="two ports from 1 to 65535"):
        address.remap(text)


def test_two_remappings_of_one_port_contradict_each_other() -> None:
    assert address.remaps([(80, 8080), (443, 8443), (80, 8080)]) == {80: 8080, 443: 8443}
    with pytest.raises(UsageError, match="the remote port 80 goes to 8080 already"):
        address.remaps([(80, 8080), (80, 8081)])


@pytest.mark.parametrize(
    "text", ["web", "web-*", "label=tier", "label=tier=front", "port=80", "port=8000-8099"]
)
def test_a_pattern_is_taken_as_it_is(text: str) -> None:
    assert address.pattern(text) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("port=", "expected port=N or port=N-M"),
        ("port=x", "expected port=N or port=N-M"),
        ("port=90-80", "90 is above 80"),
        ("port=1-70000", "expected port=N or port=N-M"),
        ("label=", "expected a container's name"),
        ("lable=tier", "expected a container's name"),
    ],
)
def test_a_bad_pattern_names_its_fault(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        address.pattern(text)


def test_an_address_to_bind_to_is_an_ip_address() -> None:
    assert address.bind("127.0.0.2") == "127.0.0.2"
    assert address.bind("[::1]") == "::1"
    with pytest.raises(UsageError, match=r"localhost is 127\.0\.0\.1"):
        address.bind("localhost")


def test_the_remotes_docker_is_a_socket_there() -> None:
    assert address.docker_host("unix:///run/docker.sock") == "unix:///run/docker.sock"
    for wrong in ("/run/docker.sock", "unix://run", "tcp://127.0.0.1:2375", "unix:///"):
        with pytest.raises(UsageError, match="a socket on the remote host"):
            address.docker_host(wrong)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080", Meant(port=8080)),
        ("5353/udp", Meant(port=5353, protocol="udp")),
        ("127.0.0.2:8080", Meant(port=8080, ip="127.0.0.2")),
        ("[::1]:53/udp", Meant(port=53, ip="::1", protocol="udp")),
        ("web", Meant(container="web")),
        ("shop-web.1", Meant(container="shop-web.1")),
    ],
)
def test_what_status_prints_is_understood(text: str, expected: Meant) -> None:
    assert meant(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize("text", ["", "0", "99999", "80/ip", "nowhere:80", "80:", ":/", "x" * 254])
def test_what_is_neither_a_place_nor_a_name_is_told(text: str) -> None:
    with pytest.raises(UsageError):
        meant(text)


def test_a_host_is_found_by_each_of_its_names() -> None:
    build = Names("ssh://deploy@build.example:2222", "lab")
    known = {build: "build", Names("ssh://other"): "other"}
    for name in (build.host, "deploy@build.example:2222", "build.example", "lab"):
        assert chosen(name, known) == ["build"]
    assert chosen(None, known) == ["build", "other"]
    with pytest.raises(UsageError, match=r"one of: ssh://deploy@build\.example:2222, ssh://other"):
        chosen("elsewhere", known)
