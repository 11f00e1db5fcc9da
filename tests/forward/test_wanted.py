"""Which forwards shall be, from what a remote Docker lists and what a person wants."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.forward.wanted import Rules, Wish, remembered, wanted
from mooring.model.container import Container, PublishedPort
from mooring.model.forward import ForwardState, Place, Target

HERE = "127.0.0.1"


def port(
    host: int | None, container: int = 80, *, ip: str | None = "0.0.0.0", protocol: str = "tcp"
) -> PublishedPort:
    address = None if ip is None else ipaddress.ip_address(ip)
    return PublishedPort(protocol, container, address, host)


def container(name: str, *ports: PublishedPort, **more: object) -> Container:
    given = {"state": "running", "created_at": 100.0, **more}
    return Container(id=name * 12, name=name, image="image", ports=ports, **given)  # type: ignore[arg-type]


def wish(*containers: Container, rules: Rules | None = None, **more: object) -> Wish:
    rules = rules or Rules()
    return wanted(containers, rules, more.get("started", {}), more.get("sticky", {}))  # type: ignore[arg-type]


def leads(found: Wish) -> dict[int, tuple[str, str]]:
    return {f.place.port: (f.container, str(f.target)) for f in found.forwards}


def test_a_published_port_is_wanted_at_the_same_port_of_loopback() -> None:
    (only,) = wish(container("web", port(8080))).forwards
    assert only.place == Place("tcp", HERE, 8080)
    assert only.target == Target(HERE, 8080)
    assert (only.container, only.container_port, only.since) == ("web", 80, 100.0)


def test_a_port_that_is_exposed_and_not_published_is_not_wanted() -> None:
    assert wish(container("db", port(None, 5432, ip=None))) == Wish()


def test_a_port_that_is_listed_for_ipv4_and_ipv6_is_one_forward() -> None:
    found = wish(container("web", port(8080), port(8080, ip="::")))
    assert leads(found) == {8080: ("web", "127.0.0.1:8080")}


def test_of_random_ports_that_differ_by_family_the_one_of_ipv4_stays() -> None:
    found = wish(container("web", port(49153), port(49154, ip="::")))
    assert leads(found) == {49153: ("web", "127.0.0.1:49153")}


def test_a_port_that_is_published_on_ipv6_alone_is_dialled_there() -> None:
    assert leads(wish(container("web", port(80, ip="::")))) == {80: ("web", "[::1]:80")}


def test_a_port_that_is_published_on_one_address_is_dialled_at_that_address() -> None:
    found = wish(container("web", port(80, ip="192.168.1.5")))
    assert leads(found) == {80: ("web", "192.168.1.5:80")}


def test_a_range_and_two_ports_for_one_of_the_containers_are_all_wanted() -> None:
    found = wish(container("web", *(port(n, n) for n in range(9000, 9010)), port(81), port(82)))
    assert sorted(leads(found)) == [81, 82, *range(9000, 9010)]


@pytest.mark.parametrize("state", ["created", "exited", "dead", "removing"])
def test_a_container_that_does_not_run_has_no_forward(state: str) -> None:
    assert wish(container("web", port(80), state=state)) == Wish()


@pytest.mark.parametrize("state", ["running", "paused", "restarting"])
def test_a_paused_or_restarting_container_keeps_its_forward(state: str) -> None:
    assert leads(wish(container("web", port(80), state=state)))


def test_udp_is_wanted_beside_tcp_on_one_port() -> None:
    found = wish(container("dns", port(53, 53), port(53, 53, protocol="udp")))
    assert {f.place.protocol for f in found.forwards} == {"tcp", "udp"}


def test_sctp_is_shown_as_unsupported() -> None:
    found = wish(container("diameter", port(3868, 3868, protocol="sctp")))
    assert found.forwards == ()
    (unmet,) = found.unmet
    assert unmet.state is ForwardState.UNSUPPORTED
    assert unmet.detail == "sctp can't be forwarded over SSH"


def test_when_two_containers_claim_one_port_the_newest_start_wins() -> None:
    old = container("old", port(80, ip="10.0.0.1"))
    new = container("new", port(80, ip="10.0.0.2"))
    started = {old.id: 300.0, new.id: 200.0}
    found = wish(old, new, started=started)
    assert leads(found) == {80: ("old", "10.0.0.1:80")}
    (unmet,) = found.unmet
    assert (unmet.container, unmet.state) == ("new", ForwardState.CONFLICT)
    assert unmet.detail == "127.0.0.1:80/tcp goes to old, which started later"


def test_one_container_that_publishes_one_port_on_two_addresses_is_no_conflict() -> None:
    both = port(80, ip="10.0.0.1"), port(80, ip="127.0.0.1")
    for ports in (both, both[::-1]):
        found = wish(container("web", *ports))
        assert leads(found) == {80: ("web", "127.0.0.1:80")}
        assert found.unmet == ()


def test_one_container_whose_two_ports_claim_one_place_is_a_conflict_that_is_shown() -> None:
    found = wish(container("web", port(81, 80, ip="10.0.0.1"), port(81, 81)))
    assert leads(found) == {81: ("web", "127.0.0.1:81")}
    assert found.unmet[0].detail == "127.0.0.1:81/tcp goes to its port 81"


# --- random ports


def test_a_random_port_that_changed_is_still_reached_by_its_first_number() -> None:
    first = wish(container("web", port(49153)))
    sticky = remembered({}, first)
    assert sticky == {("web", "tcp", 80): 49153}
    found = wish(container("web", port(49160)), sticky=sticky)
    assert leads(found) == {
        49160: ("web", "127.0.0.1:49160"),
        49153: ("web", "127.0.0.1:49160"),
    }
    assert remembered(sticky, found) == sticky


def test_a_former_number_yields_to_a_container_that_really_has_it() -> None:
    sticky = {("web", "tcp", 80): 49153}
    other = container("other", port(49153), created_at=1.0)
    found = wish(container("web", port(49160)), other, sticky=sticky)
    assert leads(found)[49153] == ("other", "127.0.0.1:49153")
    assert found.unmet == ()


def test_a_number_that_was_asked_for_is_not_remembered() -> None:
    assert remembered({}, wish(container("web", port(8080)))) == {}


# --- rules


def test_a_remapped_port_is_reached_at_another_here() -> None:
    found = wish(container("web", port(80)), rules=Rules(remap={80: 8080}))
    assert leads(found) == {8080: ("web", "127.0.0.1:80")}


def test_another_address_to_bind_to() -> None:
    (only,) = wish(container("web", port(80)), rules=Rules(bind="127.0.0.2")).forwards
    assert only.place.ip == "127.0.0.2"


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        (Rules(include=("web",)), ["web"]),
        (Rules(include=("w*",)), ["web", "worker"]),
        (Rules(exclude=("w?b",)), ["db", "worker"]),
        (Rules(include=("label=tier",)), ["db", "web"]),
        (Rules(include=("label=tier=back",)), ["db"]),
        (Rules(include=("port=5432",)), ["db"]),
        (Rules(exclude=("port=80-90",)), ["db"]),
        (Rules(include=("w*", "db"), exclude=("web",)), ["db", "worker"]),
        (Rules(include=("web",), exclude=("web",)), []),
    ],
)
def test_rules_choose_by_name_label_and_port(rules: Rules, left: list[str]) -> None:
    found = wish(
        container("web", port(80), labels=(("tier", "front"),)),
        container("worker", port(81)),
        container("db", port(5432), labels=(("tier", "back"),)),
        rules=rules,
    )
    assert sorted(f.container for f in found.forwards) == left


# --- whatever a Docker lists

ips = st.sampled_from([None, "0.0.0.0", "::", "10.0.0.1", "10.0.0.2", "fd00::1"])
ports = st.builds(
    lambda host, inner, ip, protocol: port(host, inner, ip=ip, protocol=protocol),
    st.none() | st.sampled_from([80, 81, 49153, 49154]),
    st.integers(80, 82),
    ips,
    st.sampled_from(["tcp", "udp", "sctp"]),
)
containers = st.builds(
    lambda name, ports, state, created: container(name, *ports, state=state, created_at=created),
    st.sampled_from(["a", "b", "c", "d"]),
    st.lists(ports, max_size=5),
    st.sampled_from(["running", "exited"]),
    st.sampled_from([1.0, 2.0]),
)
lists = st.lists(containers, unique_by=lambda c: c.id, max_size=4)


@given(lists)
def test_no_two_forwards_share_a_place_and_no_running_port_is_forgotten(
    listed: list[Container],
) -> None:
    found = wish(*listed)
    places = [f.place for f in found.forwards]
    assert len(places) == len(set(places))
    shown = {(f.container, f.place.protocol, f.container_port) for f in found.forwards}
    shown |= {(u.container, u.protocol, p.container_port) for u in found.unmet
              for c in listed if c.name == u.container for p in c.ports}  # fmt: skip
    for c in listed:
        for p in c.ports:
            if c.state == "running" and p.host_port:
                assert (c.name, p.protocol, p.container_port) in shown


@given(lists, st.randoms())
def test_the_order_of_the_list_does_not_matter(listed: list[Container], random: object) -> None:
    shuffled = list(listed)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert set(wish(*listed).forwards) == set(wish(*shuffled).forwards)
