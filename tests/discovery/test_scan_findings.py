"""What is kept of a scan, whose port is asked next, how long it takes: without a network."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.discovery import scan_estimate
from mooring.discovery.scan.events import Found
from mooring.discovery.scan.plan import Block, Plan
from mooring.discovery.scan_findings import MAX_BYTES, Findings
from mooring.discovery.scan_turns import Turns
from mooring.model import wire
from mooring.model.report import Report
from mooring.model.scan import MAX_HOSTS, MAX_PORTS, Depth, Sign
from mooring.model.service import Evidence, Means, OpenPort, Protocol, Service

LAN, FAR = ip_network("10.0.0.0/24"), ip_network("10.0.1.0/24")
SIX = ip_network("fd00::/64")
PLAN = Plan(
    tuple(Block(cidr, cidr, (cidr,), None) for cidr in (LAN, FAR, SIX)),
)
ALPHA = ip_address("10.0.0.5")


def findings(depth: Depth = Depth.LIGHT) -> Findings:
    return Findings(PLAN, depth, ((1, 1024),))


def found(ip: Any = ALPHA, **more: Any) -> Found:
    return Found(ip, (Sign.ARP,), **more)


def test_only_blocks_of_which_there_is_news_are_reported_and_each_in_its_time() -> None:
    known = findings()
    assert known.news() == []
    known.host(found())
    assert known.news() == [LAN]
    known.snapshot(LAN, 100.0)
    assert known.news() == []
    known.ports(ALPHA, [80])
    assert known.news(101.0, every=2.0) == []
    assert known.news(102.0, every=2.0) == [LAN]
    assert known.news() == [LAN]


def test_what_is_told_again_is_no_news() -> None:
    known = findings()
    known.host(found())
    known.ports(ALPHA, [80])
    known.snapshot(LAN, 0.0)
    known.ports(ALPHA, [80])
    known.answered(ALPHA, [OpenPort(Protocol.TCP, 80)])
    assert known.news() == []


def test_that_a_port_was_asked_is_told_also_when_it_showed_nothing() -> None:
    known = findings()
    known.host(found())
    known.ports(ALPHA, [80, 81])
    known.answered(ALPHA, [OpenPort(Protocol.TCP, 80, asked=True)])
    known.ports(ALPHA, [80])
    scan, _ = known.snapshot(LAN, 0.0)
    assert [(p.number, p.asked) for p in scan.hosts[0].ports] == [(80, True), (81, False)]


def test_a_port_that_was_asked_stays_known_when_it_is_found_again() -> None:
    known = findings()
    known.host(found())
    service = Service("nginx", "nginx", "web")
    known.answered(ALPHA, [OpenPort(Protocol.TCP, 80, (service,))])
    known.ports(ALPHA, [80, 81])
    scan, _ = known.snapshot(LAN, 0.0)
    assert [(p.number, p.services) for p in scan.hosts[0].ports] == [(80, (service,)), (81, ())]


def test_of_a_host_that_is_told_again_the_later_word_stands_with_its_ports() -> None:
    known = findings()
    assert known.host(found())
    known.ports(ALPHA, [80])
    assert not known.host(found(names=("alpha.local",)), "Acme")
    [host] = known.snapshot(LAN, 0.0)[0].hosts
    assert (host.names, host.vendor, len(host.ports)) == (("alpha.local",), "Acme", 1)


def test_hosts_of_nobody_s_block_are_left() -> None:
    known = findings()
    assert not known.host(found(ip_address("192.168.0.1")))
    known.ports(ip_address("192.168.0.1"), [80])
    assert known.news() == []


def test_only_a_block_that_was_asked_reliably_is_whole() -> None:
    known = findings()
    known.host(found())
    known.asked(FAR)
    assert known.news() == [LAN, FAR]
    assert [known.snapshot(cidr, 0.0)[0].whole for cidr in (LAN, FAR, SIX)] == [False, True, False]


def test_more_hosts_than_a_block_may_hold_are_set_aside_with_their_number() -> None:
    known = findings()
    for number in range(MAX_HOSTS + 5):
        known.host(found(SIX[number]))
    scan, aside = known.snapshot(SIX, 0.0)
    assert len(scan.hosts) == MAX_HOSTS
    assert [(a.kind, a.item) for a in aside] == [("host", "5 more")]


def test_more_ports_than_a_host_may_have_are_set_aside_and_none_is_taken_for_closed() -> None:
    known = findings()
    known.host(found())
    known.ports(ALPHA, range(1, MAX_PORTS + 8))
    known.looked(ALPHA, depth=Depth.FULL)
    scan, aside = known.snapshot(LAN, 0.0)
    assert len(scan.hosts[0].ports) == MAX_PORTS
    assert scan.hosts[0].depth is Depth.NONE
    assert [(a.kind, a.item) for a in aside] == [("port", "7 more")]


def test_a_block_whose_ports_all_say_very_much_makes_a_report_that_a_server_takes() -> None:
    known = findings()
    loud = tuple(Evidence(Means.BANNER, "\x01" * 200, 0.5) for _ in range(20))
    services = tuple(Service(f"s{n}", "t", "web", "", 0.5, loud) for n in range(5))
    for number in range(1, 13):
        known.host(found(LAN[number]))
        for port in range(1, 13):
            known.answered(LAN[number], [OpenPort(Protocol.TCP, port, services)])
    scan, aside = known.snapshot(LAN, 0.0)
    data = wire.encode(Report("scan:10.0.0.0/24", "o", 1, 0.0, scan, (), aside))
    assert len(data) < 2 * MAX_BYTES
    assert wire.decode(data).body == scan
    assert aside


# --- whose turn it is


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12)), max_size=12),
    st.integers(1, 8),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_every_port_is_asked_once_and_never_too_many_at_once(
    added: list[tuple[int, int]], most: int, most_of_one: int, chance: Any
) -> None:
    turns = Turns(most, most_of_one)
    wanted: Counter[tuple[Any, int]] = Counter()
    asked: Counter[tuple[Any, int]] = Counter()
    busy: list[Any] = []
    while added or turns.done < turns.total:
        if added and chance.random() < 0.5:
            host, count = added.pop()
            ports = range(count)
            turns.add(LAN[host], ports)
            wanted.update((LAN[host], port) for port in ports)
        while (turn := turns.take()) is not None:
            asked[turn] += 1
            busy.append(turn[0])
        assert len(busy) <= most
        assert all(count <= most_of_one for count in Counter(busy).values())
        if busy:
            turns.finish(busy.pop(chance.randrange(len(busy))))
        else:
            # Nothing is held back while nobody is asked.
            assert turns.done == turns.total
    assert asked == wanted
    assert turns.take() is None


def test_a_host_with_many_ports_holds_up_no_other() -> None:
    turns = Turns(8, 2)
    turns.add(LAN[1], range(1000))
    turns.add(LAN[2], [80])
    assert {turns.take() for _ in range(3)} >= {(LAN[2], 80)}


# --- how long it takes


def test_what_is_left_of_a_phase_follows_from_its_speed() -> None:
    assert scan_estimate.remaining_s(Depth.NONE, "hosts", 50, 200, 10.0) == pytest.approx(30.0)


def test_phases_to_come_are_reckoned_with_their_usual_share() -> None:
    alone = scan_estimate.remaining_s(Depth.NONE, "hosts", 50, 200, 10.0)
    more = scan_estimate.remaining_s(Depth.LIGHT, "hosts", 50, 200, 10.0)
    assert alone is not None
    assert more is not None
    assert more > alone


def test_whoever_does_a_phase_knows_better_what_is_left_of_it() -> None:
    assert scan_estimate.remaining_s(Depth.NONE, "hosts", 50, 200, 10.0, 7.0) == 7.0


def test_at_the_beginning_nothing_is_said_and_at_the_end_nothing_is_left() -> None:
    assert scan_estimate.remaining_s(Depth.LIGHT, "hosts", 0, 254, 0.1) is None
    assert scan_estimate.remaining_s(Depth.LIGHT, "services", 9, 9, 5.0) == 0.0
    assert scan_estimate.remaining_s(Depth.LIGHT, "waiting", 1, 2, 5.0) is None


@given(
    st.sampled_from(Depth),
    st.sampled_from(["hosts", "ports", "services"]),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.floats(0, 1e6),
)
def test_an_estimate_is_never_negative_and_never_without_end(
    depth: Depth, phase: str, done: int, total: int, elapsed: float
) -> None:
    left = scan_estimate.remaining_s(depth, phase, done, total, elapsed)
    assert left is None or 0 <= left < float("inf")
