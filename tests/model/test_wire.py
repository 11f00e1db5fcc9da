"""A report to JSON and back: whatever is rightly seen survives, whatever is wrong is set aside."""

from __future__ import annotations

import contextlib
import ipaddress
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mooring.model import wire, wire_reader
from mooring.model.container import Engine, EngineState
from mooring.model.machine import Machine, OperatingSystem
from mooring.model.net import (
    Address,
    Interface,
    InterfaceKind,
    InterfaceState,
    Neighbour,
    NeighbourState,
    Route,
    Subnet,
    SubnetKind,
)
from mooring.model.report import MAX_BYTES, VERSION, Engines, Report, RunMark, SetAside
from tests.model import nouns

few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

GOOD = Interface(
    "eth0",
    2,
    InterfaceKind.ETHERNET,
    InterfaceState.UP,
    "02:00:00:00:00:01",
    1500,
    (Address(ipaddress.ip_address("10.0.0.5"), 24),),
)


def machine(**changes: Any) -> Machine:
    values: dict[str, Any] = {
        "identity": "m1",
        "hostname": "alpha",
        "os": OperatingSystem("Debian", "Linux 6.1", "x86_64"),
        "interfaces": (GOOD,),
        "subnets": (Subnet(ipaddress.ip_network("10.0.0.0/24"), SubnetKind.LAN, "eth0"),),
        "routes": (Route(4, None, ipaddress.ip_address("10.0.0.1"), "eth0"),),
        "neighbours": (
            Neighbour(ipaddress.ip_address("10.0.0.1"), "eth0", NeighbourState.REACHABLE),
        ),
    }
    return Machine(**(values | changes))


def written(body: Machine | Engines | None = None, **changes: Any) -> dict[str, Any]:
    """A good report as it is written, to be spoilt."""
    report = Report("machine", "o1", 1, 1000.0, body or machine())
    spoilt: dict[str, Any] = json.loads(wire.encode(report)) | changes
    return spoilt


def read(written: dict[str, Any]) -> Report:
    return wire.decode(json.dumps(written).encode())


def refused(data: bytes) -> str:
    with pytest.raises(wire.Unreadable) as caught:
        wire.decode(data)
    return str(caught.value)


# --- there and back


@few
@given(nouns.reports)
def test_every_report_comes_back_as_it_was(report: Report) -> None:
    assert wire.decode(wire.encode(report)) == report


@pytest.mark.parametrize(
    ("part", "strategy"),
    [
        ("interfaces", nouns.interfaces),
        ("subnets", nouns.subnets),
        ("routes", nouns.routes),
        ("neighbours", nouns.neighbours),
        ("capabilities", nouns.capabilities),
    ],
)
@few
@given(data=st.data())
def test_every_part_of_a_machine_comes_back_as_it_was(
    part: str, strategy: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    seen = machine(**{part: (data.draw(strategy),)})
    back = wire.decode(wire.encode(Report("machine", "o", 1, 0.0, seen)))
    assert back.body == seen
    assert not back.set_aside


@few
@given(nouns.engines)
def test_every_engine_comes_back_as_it_was(engine: Engine) -> None:
    back = wire.decode(wire.encode(Report("containers", "o", 1, 0.0, Engines((engine,)))))
    assert back.body == Engines((engine,))
    assert not back.set_aside


@few
@given(nouns.run_marks, nouns.set_asides)
def test_run_marks_and_what_the_agent_set_aside_come_back_as_they_were(
    mark: RunMark, aside: SetAside
) -> None:
    report = Report("machine", "o", 1, 0.0, machine(), (mark,), (aside,))
    assert wire.decode(wire.encode(report)) == report


# --- one bad item


def spoil(part: str, **changes: Any) -> dict[str, Any]:
    """The good report with one more item in ``part``: a copy of its first, with changes."""
    report = written()
    body = report["machine"]
    body[part].append({**body[part][0], **changes})
    return report


BAD = {
    "a CIDR that is none": (
        spoil("subnets", cidr="10.0.0.300/33"),
        "subnet",
        "does not appear to be an IPv4 or IPv6 network",
    ),
    "a host bit": (spoil("subnets", cidr="10.0.0.5/24"), "subnet", "has host bits set"),
    "a CIDR with a zone": (spoil("subnets", cidr="fe80::%eth0/64"), "subnet", "has a zone"),
    "a CIDR without end": (spoil("subnets", cidr="1" * 5000), "subnet", "too long for a CIDR"),
    "a number for a CIDR": (spoil("subnets", cidr=167772160), "subnet", "Expected `str`"),
    "a kind from nowhere": (spoil("subnets", kind="wan"), "subnet", "Invalid enum value 'wan'"),
    "a gateway with a zone": (spoil("subnets", gateway="fe80::1%2"), "subnet", "has a zone"),
    "a gateway that is no address": (
        spoil("subnets", gateway="router"),
        "subnet",
        "does not appear to be an IPv4 or IPv6 address",
    ),
    "a second interface of one name": (
        spoil("interfaces"),
        "interface",
        "a second interface with the name eth0",
    ),
    "a negative number": (
        spoil("interfaces", name="eth1", index=-1),
        "interface",
        "Expected `int` >= 0 - at `$.index`",
    ),
    "a huge number": (
        spoil("interfaces", name="eth1", mtu=10**30),
        "interface",
        "Expected `int` <= 4294967295",
    ),
    "a number without end": (
        spoil("interfaces", name="eth1", mtu=10**4000),
        "interface",
        "Expected `int` <= 4294967295",
    ),
    "a fraction": (
        spoil("interfaces", name="eth1", mtu=1500.5),
        "interface",
        "Expected `int`, got `float`",
    ),
    "a MAC in capitals": (
        spoil("interfaces", name="eth1", mac="02:42:AC:11:00:02"),
        "interface",
        "$.mac",
    ),
    "an interface without a name": (spoil("interfaces", name=""), "interface", "length >= 1"),
    "an interface with a name of 10 MB": (
        spoil("interfaces", name="e" * 10_000_000),
        "interface",
        "length <= 253",
    ),
    "a VLAN tag that is none": (
        spoil("interfaces", name="eth1", vlan=5000),
        "interface",
        "Expected `int` <= 4095",
    ),
    "a NUL character": (
        spoil("interfaces", name="e\0th1"),
        "interface",
        "name holds a NUL character",
    ),
    "an address with a zone": (
        spoil("interfaces", name="eth1", addresses=[{"ip": "fe80::1%eth1", "prefix": 64}]),
        "address",
        "on eth1: 'fe80::1%eth1' has a zone",
    ),
    "a prefix longer than the address": (
        spoil("interfaces", name="eth1", addresses=[{"ip": "10.0.0.6", "prefix": 33}]),
        "address",
        "on eth1: expected a prefix from 0 to 32 for 10.0.0.6, got 33",
    ),
    "a negative prefix": (
        spoil("interfaces", name="eth1", addresses=[{"ip": "10.0.0.6", "prefix": -1}]),
        "address",
        "expected a prefix from 0 to 32 for 10.0.0.6, got -1",
    ),
    "a peer of the other family": (
        spoil(
            "interfaces",
            name="eth1",
            addresses=[{"ip": "10.0.0.6", "prefix": 32, "peer": "fe80::1"}],
        ),
        "address",
        "expected a peer of 10.0.0.6 of its own family, got fe80::1",
    ),
    "a family that is none": (spoil("routes", family=5), "route", "expected family 4 or 6, got 5"),
    "a negative metric": (spoil("routes", metric=-1), "route", "Expected `int` >= 0"),
    "a route to a host bit": (
        spoil("routes", destination="10.0.0.1/8"),
        "route",
        "has host bits set",
    ),
    "a neighbour without an address": (spoil("neighbours", ip=""), "neighbour", "does not appear"),
    "a state from nowhere": (spoil("neighbours", state="asleep"), "neighbour", "Invalid enum"),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_one_bad_item_is_set_aside_with_its_reason_and_costs_nothing_else(bad: str) -> None:
    report, kind, reason = BAD[bad]
    got = read(report)
    assert [aside.kind for aside in got.set_aside] == [kind]
    assert reason in got.set_aside[0].reason
    assert len(got.set_aside[0].item) <= wire_reader.SHOWN + 1
    assert isinstance(got.body, Machine)
    kept = machine()
    assert got.body.interfaces[0] == kept.interfaces[0]
    assert got.body.subnets == kept.subnets
    assert got.body.routes == kept.routes
    assert got.body.neighbours == kept.neighbours
    # A bad address costs its interface nothing.
    assert [i.name for i in got.body.interfaces] == ["eth0", "eth1"][: 1 + (kind == "address")]


@pytest.mark.parametrize(
    "item", [None, 5, "text", [], [[[]]], {}, True, {"name": None}], ids=json.dumps
)
@pytest.mark.parametrize("part", ["interfaces", "subnets", "routes", "neighbours"])
def test_an_item_of_another_shape_is_set_aside(part: str, item: object) -> None:
    report = written()
    report["machine"][part].append(item)
    got = read(report)
    assert got.body == machine()
    assert [aside.item for aside in got.set_aside] == [json.dumps(item)]


@pytest.mark.parametrize(
    ("hostname", "reason"),
    [("h" * 10_000_000, "length <= 253"), (7, "Expected `str`"), ("a\0b", "NUL character")],
    ids=["10 MB", "a number", "NUL"],
)
def test_a_bad_hostname_is_set_aside_and_the_machine_kept(hostname: object, reason: str) -> None:
    report = written()
    report["machine"]["hostname"] = hostname
    got = read(report)
    assert got.body == machine(hostname="")
    assert [a.kind for a in got.set_aside] == ["hostname"]
    assert reason in got.set_aside[0].reason


def test_a_bad_operating_system_is_set_aside_and_the_machine_kept() -> None:
    report = written()
    report["machine"]["os"] = {"name": "x" * 501, "kernel": "", "architecture": ""}
    got = read(report)
    assert got.body == machine(os=OperatingSystem("", "", ""))
    assert [a.kind for a in got.set_aside] == ["os"]


def test_invalid_utf8_in_one_item_costs_that_item_only() -> None:
    data = json.dumps(spoil("interfaces", name="eth1")).encode().replace(b"eth1", b"eth\xff")
    got = wire.decode(data)
    assert got.body == machine()
    assert [a.kind for a in got.set_aside] == ["interface"]
    assert "\N{REPLACEMENT CHARACTER}" in got.set_aside[0].item


def test_a_bad_container_costs_its_engine_nothing_else() -> None:
    engine = Engine("unix:///var/run/docker.sock", EngineState.ANSWERED)
    report = written(Engines((engine,)))
    good = {"id": "a" * 64, "name": "web", "image": "nginx", "state": "running"}
    bad_port = {"protocol": "tcp", "container_port": 70_000}
    report["containers"]["engines"][0]["containers"] = [
        good,
        {**good, "name": "web2"},
        {**good, "id": "NOT HEX"},
        {**good, "id": "b" * 64, "created_at": -1},
        {**good, "id": "c" * 64, "labels": [["a", "b\0c"]]},
        {**good, "id": "d" * 64, "ports": [bad_port]},
    ]
    got = read(report)
    assert isinstance(got.body, Engines)
    assert [c.id[0] for c in got.body.engines[0].containers] == ["a", "d"]
    assert [a.kind for a in got.set_aside] == [*["container"] * 4, "port"]


def test_a_run_mark_that_is_none_is_set_aside() -> None:
    good = {"id": "018f2f4e-0000-7000-8000-000000000001", "trigger": "start", "started_at": 1.0}
    marks = [good, {**good, "id": "X" * 36}, {**good, "started_at": "now"}]
    got = read(written(runs=marks))
    assert [mark.id for mark in got.runs] == [good["id"]]
    assert [a.kind for a in got.set_aside] == ["run", "run"]


def test_a_clock_that_is_far_out_costs_no_report() -> None:
    mark = {
        "id": "018f2f4e-0000-7000-8000-000000000001",
        "trigger": "start",
        "started_at": -1e300,
    }
    got = read(written(taken_at=1e300, runs=[mark]))
    assert got.taken_at == 1e11
    assert got.runs[0].started_at == 0
    assert got.body == machine()


def test_what_the_agent_set_aside_is_cut_and_not_refused() -> None:
    told = {"kind": "k" * 100, "item": "i\0" * 5000, "reason": "r" * 5000}
    got = read(written(set_aside=[told, 5]))
    assert got.set_aside[0] == SetAside("k" * 64, "i" * 2000, "r" * 2000)
    assert [a.kind for a in got.set_aside] == ["k" * 64, "set_aside"]


def test_more_items_than_are_read_are_set_aside_as_one() -> None:
    report = written()
    one = report["machine"]["neighbours"][0]
    report["machine"]["neighbours"] = [one] * (wire_reader.MAX_ITEMS + 5)
    got = read(report)
    assert isinstance(got.body, Machine)
    assert len(got.body.neighbours) == wire_reader.MAX_ITEMS
    assert got.set_aside == (SetAside("neighbour", "5 more", "too many to be read"),)


def test_more_addresses_than_are_read_are_set_aside_interface_by_interface() -> None:
    report = written()
    one = report["machine"]["interfaces"][0]
    half = [{"ip": f"10.{n >> 8}.{n & 255}.1", "prefix": 24} for n in range(15_000)]
    report["machine"]["interfaces"] = [
        {**one, "name": name, "addresses": half} for name in ("a", "b")
    ]
    got = read(report)
    assert isinstance(got.body, Machine)
    assert [len(i.addresses) for i in got.body.interfaces] == [15_000, 5_000]
    assert [a.item for a in got.set_aside] == ["10000 more"]


def test_of_very_many_bad_items_only_the_number_is_told() -> None:
    report = written()
    report["machine"]["interfaces"] += [0] * (wire_reader.MAX_ITEMS - 1)
    got = read(report)
    assert got.body == machine()
    assert len(got.set_aside) == wire_reader.MAX_SET_ASIDE + 1
    told = wire_reader.MAX_ITEMS - 1 - wire_reader.MAX_SET_ASIDE
    assert got.set_aside[-1].item == f"{told} more"


# --- no report


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"{",
        b"{} {}",
        b'{"version": NaN}',
        b'\xef\xbb\xbf{"version": 1}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"version": 1, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"version": 1, "subject": "\xff"}',
        b"\x00" * 100,
    ],
    ids=lambda data: repr(data[:25]),
)
def test_what_is_not_json_is_refused_as_such(data: bytes) -> None:
    assert refused(data).startswith(("the report is not JSON", "the report does not fit"))


def test_a_deeply_nested_item_is_refused_and_does_no_harm() -> None:
    data = json.dumps(written()).encode()
    deep = data.replace(b'"hostname": "alpha"', b'"hostname": ' + b"[" * 10**6 + b"]" * 10**6)
    assert refused(deep) == (
        "the report is not JSON: maximum recursion depth exceeded while deserializing an object"
    )


@pytest.mark.parametrize(
    ("version", "remedy"), [(VERSION + 1, "update the server"), (0, "update the agent")]
)
def test_another_version_is_refused_and_says_who_is_to_be_updated(
    version: int, remedy: str
) -> None:
    # The rest of it need not look like anything that this version knows.
    assert refused(json.dumps({"version": version, "what": "else"}).encode()) == (
        f"the report is of version {version} and this server reads version {VERSION}: {remedy}"
    )


@pytest.mark.parametrize("version", [-1, 2**60, 10**400, 1.5, "1", None])
def test_a_version_that_is_none_is_refused(version: object) -> None:
    assert "does not fit its shape" in refused(json.dumps({"version": version}).encode())


def test_a_report_needs_exactly_one_body() -> None:
    none = written()
    del none["machine"]
    both = written(containers={"engines": []})
    for report in (none, both):
        assert refused(json.dumps(report).encode()) == (
            "the report needs one body: one of machine, containers, forwards, can, scan"
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": ""},
        {"subject": "s" * 201},
        {"subject": "a\0b"},
        {"outbox": ""},
        {"outbox": "a\0b"},
        {"number": 0},
        {"number": -5},
        {"number": 2**60},
        {"number": "1"},
        {"number": 1.5},
        {"taken_at": None},
        {"runs": None},
        {"machine": None},
        {"machine": []},
        {"machine": {"identity": "m1"}},
    ],
    ids=lambda changes: json.dumps(changes)[:40],
)
def test_a_report_without_what_makes_it_one_is_refused(changes: dict[str, Any]) -> None:
    assert "does not fit its shape" in refused(json.dumps(written(**changes)).encode())


def test_a_machine_without_an_identity_is_refused() -> None:
    for identity in ("", "a\0b", "x" * 129, None):
        report = written()
        report["machine"]["identity"] = identity
        assert "does not fit its shape" in refused(json.dumps(report).encode())


def test_no_number_in_json_is_infinite() -> None:
    data = json.dumps(written()).replace('"taken_at": 1000.0', '"taken_at": 1e400')
    assert "out of range" in refused(data.encode())


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_whatever_bytes_come_nothing_but_unreadable_is_raised(data: bytes) -> None:
    with contextlib.suppress(wire.Unreadable):
        wire.decode(data)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_becomes_of_one_value_the_rest_is_read_or_the_whole_refused(
    data: st.DataObject,
) -> None:
    report = written()
    places = list(_places(report))
    holder, key = data.draw(st.sampled_from(places))
    holder[key] = data.draw(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
        | st.lists(st.integers(), max_size=2)
        | st.dictionaries(st.text("ab", max_size=2), st.integers(), max_size=2)
    )  # fmt: skip
    try:
        got = read(report)
    except wire.Unreadable:
        return
    # Whatever was read can be written and read again.
    assert wire.decode(wire.encode(got)) == got


def _places(value: Any) -> Any:
    if isinstance(value, dict):
        for key in value:
            yield value, key
            yield from _places(value[key])
    elif isinstance(value, list):
        for index in range(len(value)):
            yield value, index
            yield from _places(value[index])


@pytest.mark.slow
def test_the_largest_report_is_read_in_bounded_time() -> None:
    """16 MiB of the smallest items: what would be eight million objects is set aside as one."""
    report = json.dumps(written()).encode()
    zeros = b"0," * ((MAX_BYTES - len(report)) // 2 - 1) + b"0"
    data = report.replace(b'"neighbours": [', b'"neighbours": [' + zeros + b",")
    assert len(data) <= MAX_BYTES
    got = wire.decode(data)
    assert isinstance(got.body, Machine)
    assert not got.body.neighbours
    assert len(got.set_aside) == wire_reader.MAX_SET_ASIDE + 1
