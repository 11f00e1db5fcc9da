"""The decisions about what a snapshot changes, without a database."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.model.machine import Machine
from mooring.model.net import InterfaceKind, SubnetKind
from mooring.server.merge import (
    Difference,
    Known,
    all_subnets,
    difference,
    hardware_macs,
    recognise,
    settle_subnet,
    shown_name,
    subnet_rows,
)
from mooring.server.topology import l3
from tests.model import nouns
from tests.server.world import interface, loopback, machine, subnet

NAMES = st.sampled_from("abcdef")
WANTED = st.lists(st.fixed_dictionaries({"name": NAMES, "value": st.integers(0, 2)}), max_size=6)
STORED = st.lists(
    st.fixed_dictionaries(
        {"name": NAMES, "value": st.integers(0, 2), "gone_at": st.none() | st.just(1.0)}
    ),
    max_size=6,
    unique_by=lambda row: row["name"],
).map(lambda rows: [{"id": f"id-{row['name']}", **row} for row in rows])


def applied(stored: list[dict[str, Any]], todo: Difference) -> list[dict[str, Any]]:
    """What is stored after doing what is to do."""
    rows = {row["id"]: dict(row) for row in stored}
    for values in todo.new:
        rows[f"new-{values['name']}"] = {"id": f"new-{values['name']}", "gone_at": None, **values}
    for change in todo.changed:
        rows[change.id] |= {**change.values, "gone_at": None}
    for row_id in todo.gone:
        rows[row_id]["gone_at"] = 2.0
    return list(rows.values())


@settings(deadline=None)
@given(STORED, WANTED)
def test_a_difference_once_applied_leaves_nothing_to_do(
    stored: list[dict[str, Any]], wanted: list[dict[str, Any]]
) -> None:
    after = applied(stored, difference(stored, wanted, ("name",)))
    assert difference(after, wanted, ("name",)) == Difference()
    present = {row["name"]: row["value"] for row in after if row["gone_at"] is None}
    first = {values["name"]: values["value"] for values in reversed(wanted)}
    assert present == first


@settings(deadline=None)
@given(STORED, WANTED)
def test_what_is_not_quiet_is_told(
    stored: list[dict[str, Any]], wanted: list[dict[str, Any]]
) -> None:
    loud = difference(stored, wanted, ("name",))
    quiet = difference(stored, wanted, ("name",), frozenset({"value"}))
    assert (loud.new, loud.gone) == (quiet.new, quiet.gone)
    assert loud.loud == (loud != Difference())
    came = {c.id for c in quiet.changed if not c.quiet}
    assert came == {
        row["id"]
        for row in stored
        if row["gone_at"] is not None and row["name"] in {w["name"] for w in wanted}
    }


# --- who is it


def known(name: str, *macs: str, watched: bool = False) -> Known:
    return Known(name, frozenset(macs), watched)


def test_a_machine_is_known_by_its_hardware_and_else_by_being_the_only_one() -> None:
    macs = frozenset({"m1"})
    assert recognise([], macs) is None
    assert recognise([known("a", "m1", watched=True)], macs) == "a"
    assert recognise([known("a", "m2")], macs) == "a"
    assert recognise([known("a", "m2", watched=True)], macs) is None
    assert recognise([known("a", "m2"), known("b", "m1", watched=True)], macs) == "b"
    assert recognise([known("a", "m2", watched=True), known("b", "m3")], macs) == "b"
    assert recognise([known("a", watched=True)], frozenset()) is None


def test_hardware_is_what_is_the_machines_own() -> None:
    kinds = InterfaceKind
    assert hardware_macs(
        [
            loopback(),
            interface("eth0", mac="m1"),
            interface("eth1", mac="m2", master="bond0"),
            interface("bond0", kind=kinds.BOND, mac="m3"),
            interface("br0", kind=kinds.BRIDGE, mac="m4"),
            interface("veth1", kind=kinds.VETH, mac="m5", master="br0"),
            interface("veth2", kind=kinds.VETH, mac="m6"),
            interface("tun0", kind=kinds.TUN),
        ]
    ) == {"m1", "m2", "m6"}


def test_a_host_is_called_as_it_was_named_or_calls_itself_or_is_reached() -> None:
    seen = [loopback(), interface("eth0", "fe80::1/64", "10.0.0.5/24")]
    assert shown_name("given", "own", seen) == "given"
    assert shown_name(None, "own", seen) == "own"
    assert shown_name(None, "", seen) == "10.0.0.5"
    assert shown_name(None, "", [loopback()]) == "a host without a name"


# --- subnets


@settings(deadline=None, max_examples=50)
@given(nouns.machines)
def test_every_address_of_every_machine_has_a_subnet(seen: Machine) -> None:
    held = {s.cidr for s in all_subnets(seen)}
    assert {a.network for i in seen.interfaces for a in i.addresses} <= held
    rows = subnet_rows(all_subnets(seen), "h", "machine")
    places = [(row["scope"], row["cidr"]) for row in rows]
    assert len(places) == len(set(places))
    assert {cidr for _, cidr in places} == {str(cidr) for cidr in held}


def row(kind: SubnetKind, source: str, **more: Any) -> dict[str, Any]:
    own = kind.host_local
    return {
        "scope": "h" if own else "",
        "host_id": "h" if own else None,
        "cidr": "10.0.0.0/24",
        "kind": kind.value,
        "name": None,
        "gateway": None,
        "source": source,
        **more,
    }


def stored(values: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "s", "gone_at": None, **values, **more}


KINDS = st.sampled_from(SubnetKind)
SAID = st.builds(
    row,
    KINDS,
    st.sampled_from(["machine", "containers"]),
    name=st.none() | st.sampled_from("ab"),
    gateway=st.none() | st.sampled_from("cd"),
)


@settings(deadline=None)
@given(SAID, SAID)
def test_what_two_say_of_a_subnet_settles(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Once both were heard, hearing them again and again changes nothing."""
    if one["scope"] != two["scope"]:
        return
    now = stored(one)
    for said in (two, one):
        now = stored(settle_subnet(now, said))
    for said in (two, one, one, two):
        again = stored(settle_subnet(now, said))
        # What comes from one source of one host alone is as it was last said.
        if one["source"] != two["source"] or not one["scope"]:
            assert again == now
        now = again


def test_an_engine_knows_its_own_bridges_better_than_the_kernel() -> None:
    kernel = row(SubnetKind.VIRTUAL_BRIDGE, "machine", gateway="10.0.0.1")
    docker = row(SubnetKind.DOCKER_BRIDGE, "containers", name="shop")
    told = settle_subnet(stored(kernel), docker)
    assert (told["kind"], told["name"], told["gateway"]) == ("docker_bridge", "shop", "10.0.0.1")
    assert settle_subnet(stored(told), kernel) == told


def test_the_kernel_knows_a_lan_better_than_the_engine() -> None:
    lan = row(SubnetKind.LAN, "machine", gateway="10.0.0.1")
    macvlan = row(SubnetKind.MACVLAN, "containers", name="iot")
    told = settle_subnet(stored(lan), macvlan)
    assert (told["kind"], told["source"], told["name"]) == ("lan", "machine", "iot")
    told = settle_subnet(stored(macvlan), lan)
    assert (told["kind"], told["source"], told["name"]) == ("lan", "machine", "iot")


def test_who_cannot_tell_takes_nothing_from_who_can() -> None:
    lan = row(SubnetKind.LAN, "machine", gateway="10.0.0.1")
    vague = row(SubnetKind.UNKNOWN, "machine")
    assert settle_subnet(stored(lan), vague)["kind"] == "lan"
    assert settle_subnet(stored(lan), vague)["gateway"] == "10.0.0.1"
    assert settle_subnet(stored(vague), lan)["kind"] == "lan"
    # What is gone has nothing to say.
    assert settle_subnet(stored(lan, gone_at=1.0), vague) == vague


# --- the map


def test_the_map_leaves_out_what_joins_nothing() -> None:
    subnets = [
        {"id": "lan", "cidr": "10.0.0.0/24", "name": None, "kind": "lan", "host_id": None},
        {"id": "lo", "cidr": "127.0.0.0/8", "name": None, "kind": "loopback", "host_id": "h"},
        {"id": "ll", "cidr": "fe80::/64", "name": None, "kind": "link_local", "host_id": "h"},
        {"id": "ll2", "cidr": "fe80::/64", "name": None, "kind": "link_local", "host_id": "i"},
        {"id": "d", "cidr": "172.17.0.0/16", "name": "b", "kind": "docker_bridge", "host_id": "h"},
    ]
    hosts = [{"id": name, "name": name, "agent": True, "kind": ""} for name in "hij"]
    places = [("h", "lan"), ("h", "lo"), ("h", "ll"), ("h", "d"), ("h", "lan"), ("i", "ll2"),
              ("i", "gone")]  # fmt: skip
    drawn = l3(subnets, hosts, places, 5)
    assert [s["id"] for s in drawn["subnets"]] == ["lan", "ll2", "d"]
    assert drawn["subnets"][2]["label"] == "172.17.0.0/16 (b)"
    assert {h["id"]: h["subnet_ids"] for h in drawn["hosts"]} == {
        "h": ["lan", "d"],
        "i": ["ll2"],
        "j": [],
    }
    assert drawn["total_hosts"] == 5


def test_a_report_without_subnets_still_has_those_of_its_addresses() -> None:
    seen = machine(interfaces=(interface("eth0", "10.0.0.5/24"),), subnets=(subnet("10.1.0.0/16"),))
    assert [str(s.cidr) for s in all_subnets(seen)] == ["10.1.0.0/16", "10.0.0.0/24"]
    assert ipaddress.ip_network("10.0.0.0/24") in {s.cidr for s in all_subnets(seen)}
