"""Who the hosts of a scanned block are, decided without a database."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mooring.server.scans import MANY, Known, recognise
from tests.server.scanned import seen

MACS = st.sampled_from([None, *(f"aa:00:00:00:00:0{n}" for n in range(4))])
IPS = [f"10.0.0.{n}" for n in range(1, 7)]
FOUND = st.lists(
    st.builds(seen, st.sampled_from(IPS), MACS), max_size=6, unique_by=lambda host: host.ip
)


def known_after(found: list[object]) -> list[Known]:
    """What is stored once all hosts of a block were taken for new."""
    hosts: dict[str, tuple[set[str], set[str]]] = {}
    for who in recognise(found, []):  # type: ignore[arg-type]
        macs, ips = hosts.setdefault(who.key, (set(), set()))
        macs |= {who.mac} - {None}  # type: ignore[arg-type]
        ips.add(str(who.seen.ip))
    return [Known(key, frozenset(macs), frozenset(ips)) for key, (macs, ips) in hosts.items()]


@given(FOUND)
def test_who_was_found_is_found_again(found: list[object]) -> None:
    first = recognise(found, [])  # type: ignore[arg-type]
    again = recognise(found, known_after(found))  # type: ignore[arg-type]
    assert [who.id for who in again] == [who.key for who in first]


@given(FOUND, FOUND)
def test_a_hardware_address_is_never_of_two_hosts(before: list[object], now: list[object]) -> None:
    by_mac: dict[str, set[str]] = {}
    for who in recognise(now, known_after(before)):  # type: ignore[arg-type]
        if who.mac:
            by_mac.setdefault(who.mac, set()).add(who.key)
    assert all(len(keys) == 1 for keys in by_mac.values())


def test_hosts_that_turn_out_to_be_one_machine_are_one_host_from_then_on() -> None:
    known = [Known("a", ips=frozenset({IPS[0]})), Known("b", ips=frozenset({IPS[1]}))]
    mac = "aa:00:00:00:00:01"
    now = recognise([seen(ip, mac) for ip in (IPS[2], IPS[1], IPS[0])], known)
    assert {who.id for who in now} == {"b"}


def test_an_agent_that_is_away_is_not_whoever_has_its_address_now() -> None:
    away = Known("h", frozenset({"aa:00:00:00:00:01"}), frozenset({IPS[0]}), reports=True)
    here = Known("h", away.macs, away.ips, reports=True, online=True)
    other = [seen(IPS[0], "aa:00:00:00:00:02")]
    assert [who.id for who in recognise(other, [away])] == [None]
    assert [who.id for who in recognise(other, [here])] == ["h"]
    assert [who.id for who in recognise([seen(IPS[0])], [away])] == ["h"]


def test_a_router_that_answers_for_others_keeps_its_own_address() -> None:
    router = Known("r", frozenset({"aa:00:00:00:00:01"}), frozenset({"10.0.0.1"}))
    many = [seen(f"10.0.0.{n}", "aa:00:00:00:00:01") for n in range(1, MANY + 2)]
    whos = recognise(many, [router])
    assert [who.id for who in whos] == ["r"] + [None] * MANY
    assert len({who.key for who in whos}) == MANY + 1
