"""A report of a scanned block to JSON and back: single bad parts are set aside, all is bounded."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from mooring.model import wire, wire_scan
from mooring.model.report import MAX_BYTES, Report, SetAside
from mooring.model.scan import MAX_HOSTS, MAX_PORTS, Depth, Scan, ScannedHost, Sign
from mooring.model.service import (
    MAX_EVIDENCE,
    MAX_SEEN,
    MAX_SERVICES,
    Evidence,
    Means,
    OpenPort,
    Protocol,
    Service,
)
from tests.model import nouns
from tests.model.test_wire import few, read, refused

NGINX = Service(
    "nginx", "nginx", "web", "1.22.1", 0.9, (Evidence(Means.HTTP_HEADER, "server: nginx", 0.9),)
)
PORT = OpenPort(Protocol.TCP, 80, (NGINX,), False, "nginx/1.22.1", asked=True)
HOST = ScannedHost(
    ipaddress.ip_address("10.0.0.5"),
    (Sign.ARP,),
    "02:00:00:00:00:05",
    "Acme",
    ("alpha.local",),
    0.3,
    Depth.LIGHT,
    (PORT,),
)
OTHER = replace(HOST, ip=ipaddress.ip_address("10.0.0.6"), names=(), ports=())
SCAN = Scan(
    ipaddress.ip_network("10.0.0.0/24"),
    ipaddress.ip_network("10.0.0.0/22"),
    (HOST, OTHER),
    True,
    ((22, 22), (80, 90)),
)


def written(scan: Scan = SCAN) -> dict[str, Any]:
    report = Report(f"scan:{scan.block}", "o", 1, 1.0, scan)
    spoilt: dict[str, Any] = json.loads(wire.encode(report))
    return spoilt


@few
@given(nouns.scans())
def test_every_scan_comes_back_as_it_was(scan: Scan) -> None:
    back = read(written(scan))
    assert back.body == scan
    assert not back.set_aside


def with_host(**changes: Any) -> dict[str, Any]:
    report = written()
    report["scan"]["hosts"][1].update(changes)
    return report


def with_port(**changes: Any) -> dict[str, Any]:
    """The first host with a second port."""
    report = written()
    ports = report["scan"]["hosts"][0]["ports"]
    ports.append({**ports[0], "number": 81, **changes})
    return report


def without_other() -> Scan:
    return replace(SCAN, hosts=(HOST,))


def and_port(**changes: Any) -> Scan:
    port = replace(PORT, number=81, **changes)
    return replace(SCAN, hosts=(replace(HOST, ports=(PORT, port)), OTHER))


SERVICE = {"name": "x", "title": "X", "category": "web"}

BAD: dict[str, tuple[dict[str, Any], str, str, Scan]] = {
    # What came; which kind is set aside, and why; what is read all the same.
    "a host outside of the block": (
        with_host(ip="10.0.1.6"),
        "host",
        "10.0.1.6 does not lie in 10.0.0.0/24",
        without_other(),
    ),
    "a host of the other family": (
        with_host(ip="fe80::1"),
        "host",
        "fe80::1 does not lie in 10.0.0.0/24",
        without_other(),
    ),
    "a host twice": (with_host(ip="10.0.0.5"), "host", "a second host with", without_other()),
    "an address that is none": (with_host(ip="10.0.0"), "host", "does not app", without_other()),
    "a sign from nowhere": (with_host(signs=["smell"]), "host", "'smell'", without_other()),
    "a MAC in capitals": (with_host(mac="02:0A:00:00:00:01"), "host", "$.mac", without_other()),
    "a port twice": (
        with_port(number=80),
        "port",
        "of 10.0.0.5: a second port with the place 80/tcp",
        SCAN,
    ),
    "port 0": (with_port(number=0), "port", "of 10.0.0.5: Expected `int` >= 1", SCAN),
    "a port beyond all": (with_port(number=65536), "port", "Expected `int` <= 65535", SCAN),
    "a protocol from nowhere": (with_port(protocol="sctp"), "port", "'sctp'", SCAN),
    "a service without a name": (
        with_port(services=[{**SERVICE, "name": ""}]),
        "service",
        "of 10.0.0.5: 81: Expected `str` of length >= 1",
        and_port(services=()),
    ),
    "a service surer than sure": (
        with_port(services=[{**SERVICE, "confidence": 1.5}]),
        "service",
        "<= 1.0 - at `$.confidence`",
        and_port(services=()),
    ),
    "evidence from nowhere": (
        with_port(
            services=[{**SERVICE, "evidence": [{"means": "a", "seen": "", "confidence": 1}]}]
        ),
        "evidence",
        "Invalid enum value 'a'",
        and_port(services=(Service("x", "X", "web"),)),
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_one_bad_part_is_set_aside_with_its_reason_and_costs_nothing_else(bad: str) -> None:
    report, kind, reason, kept = BAD[bad]
    got = read(report)
    assert [aside.kind for aside in got.set_aside] == [kind]
    assert reason in got.set_aside[0].reason
    assert got.body == kept


@pytest.mark.parametrize("bad", [[81, 80], [0, 5], [1, 65536], "22", [22], None])
def test_a_range_of_ports_that_is_none_is_set_aside(bad: object) -> None:
    report = written()
    report["scan"]["looked_at"].append(bad)
    got = read(report)
    assert got.body == SCAN
    assert [aside.kind for aside in got.set_aside] == ["range"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"block": "10.0.0.1/24"}, "has host bits set"),
        ({"block": "10.0.0.0/8"}, "expected a block of at most a /24, got 10.0.0.0/8"),
        ({"block": "everything"}, "does not appear to be"),
        ({"subnet": "fe80::%1/64"}, "has a zone"),
        ({"hosts": None}, "Expected `array`"),
    ],
    ids=str,
)
def test_a_scan_of_no_block_is_refused_with_the_reason(
    change: dict[str, object], reason: str
) -> None:
    report = written()
    report["scan"].update(change)
    assert reason in refused(json.dumps(report).encode())


# --- bounds


def test_a_host_that_is_open_on_all_ports_is_told_with_the_first_and_the_others_as_one() -> None:
    ports = tuple(OpenPort(Protocol.TCP, number) for number in range(1, 65536))
    got = read(written(replace(SCAN, hosts=(replace(HOST, ports=ports),))))
    assert isinstance(got.body, Scan)
    assert len(got.body.hosts[0].ports) == MAX_PORTS
    left = 65535 - MAX_PORTS
    assert got.set_aside == (SetAside("port", f"{left} more", "of 10.0.0.5: too many to be read"),)


def test_more_hosts_than_a_block_may_hold_are_set_aside_as_one() -> None:
    block = ipaddress.ip_network("fd00::/64")
    hosts = tuple(replace(OTHER, ip=block[n]) for n in range(MAX_HOSTS + 5))
    got = read(written(Scan(block, block, hosts, False)))
    assert isinstance(got.body, Scan)
    assert len(got.body.hosts) == MAX_HOSTS
    assert [aside.item for aside in got.set_aside] == ["5 more"]


def test_services_evidence_and_names_without_end_are_bounded_and_texts_cut() -> None:
    loud = {"means": "banner", "seen": "s\0" * 300, "confidence": 1}
    service = {**SERVICE, "title": "t" * 5000, "version": "v" * 5000, "evidence": [loud] * 25}
    many = [{**service, "name": f"n{n}"} for n in range(25)]
    report = with_host(names=["n" * 5000] * 500, vendor="v" * 5000, services=many)
    report["scan"]["hosts"][0]["ports"][0]["says"] = "x" * 5000
    got = read(report)
    assert isinstance(got.body, Scan)
    first, second = got.body.hosts
    assert len(first.ports[0].says) == MAX_SEEN
    assert second.names == ("n" * 253,)
    assert len(second.services) == MAX_SERVICES
    assert len(second.services[0].evidence) == MAX_EVIDENCE
    assert len(second.services[0].evidence[0].seen) == MAX_SEEN
    assert {aside.kind for aside in got.set_aside} == {"service", "evidence"}
    assert len(wire.encode(got)) < MAX_BYTES


def test_ranges_without_end_are_set_aside_as_one() -> None:
    report = written()
    report["scan"]["looked_at"] = [[1, 1]] * (wire_scan.MAX_RANGES + 7)
    got = read(report)
    assert [aside.item for aside in got.set_aside] == ["7 more"]
