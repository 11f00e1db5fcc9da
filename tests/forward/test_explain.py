"""Why a port is there or not: each answer is a sentence that says what to do next."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest

from mooring.forward.address import meant
from mooring.forward.explain import View, explain, reached, when
from mooring.forward.wanted import Rules
from mooring.model.container import Attachment, Container, PublishedPort
from mooring.model.forward import Forward, ForwardState, LinkState, Moment, RemoteHost

AT = 1_700_000_000.0
LIVE = RemoteHost("ssh://build", LinkState.LIVE, AT, 1, 0, "docker 20", 1.0, None, ())


def forward(local: int, remote: int | None = None, **more: object) -> Forward:
    made = Forward(
        local=f"127.0.0.1:{local}",
        remote=f"127.0.0.1:{remote or local}",
        protocol="tcp",
        container="web",
        state=ForwardState.LISTENING,
        since=AT,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def port(container: int, host: int | None) -> PublishedPort:
    ip = ipaddress.ip_address("0.0.0.0") if host else None
    return PublishedPort("tcp", container, ip, host)


def container(name: str, *ports: PublishedPort, **more: object) -> Container:
    given = {"state": "running", **more}
    return Container(id=name * 12, name=name, image="image", ports=ports, **given)  # type: ignore[arg-type]


def view(*forwards: Forward, host: RemoteHost = LIVE, **more: object) -> View:
    given = {"rules": Rules(), **more}
    return View(replace(host, forwards=forwards), **given)  # type: ignore[arg-type]


def lines(what: str, *views: View, holder: str | None = None) -> tuple[str, ...]:
    found = explain(meant(what), views, holder)
    assert not found.there
    return found.lines


def test_a_port_that_is_there_says_where_it_leads() -> None:
    found = explain(meant("8080"), [view(forward(8080, 80))])
    assert found.there
    assert found.served
    assert found.lines == (
        f"127.0.0.1:8080/tcp leads to web on ssh://build (there 127.0.0.1:80), since {when(AT)}",
    )


def test_a_port_whose_connections_fail_says_how() -> None:
    found = explain(meant("80"), [view(forward(80, detail="connection refused"))])
    assert found.lines[0].endswith("; its last failure: connection refused")
    assert (found.there, found.served) == (True, False)


def test_a_port_whose_link_is_away_says_that_connections_wait_and_why() -> None:
    away = replace(LIVE, state=LinkState.BACKOFF, detail="no route to host")
    assert lines("80", view(forward(80, state=ForwardState.HELD), host=away)) == (
        (
            "127.0.0.1:80/tcp leads to web on ssh://build (there 127.0.0.1:80); there is no link "
            "now: connections are accepted and wait for it"
        ),
        "the link to ssh://build is away, and tried again: no route to host",
    )


def test_a_conflict_names_the_other() -> None:
    taken = forward(80, state=ForwardState.CONFLICT, detail="it is taken by nginx (process 8)")
    assert lines("80", view(taken)) == (
        "web on ssh://build is not reached: it is taken by nginx (process 8)",
    )


def test_a_port_about_to_be_let_go_says_so() -> None:
    assert "has just stopped" in lines("80", view(forward(80, state=ForwardState.LINGERING)))[0]


def test_an_unsupported_protocol_says_so() -> None:
    sctp = Forward(
        "", "3868", "sctp", "aaa", ForwardState.UNSUPPORTED, AT, detail="sctp can't be forwarded"
    )
    assert lines("3868", view(sctp)) == (
        "aaa on ssh://build publishes 3868/sctp: sctp can't be forwarded",
    )


def test_a_remapped_port_says_where_it_is_instead() -> None:
    assert lines("80", view(forward(8080, 80))) == (
        "port 80 of ssh://build (web) is reached at 127.0.0.1:8080",
    )


def test_a_containers_own_port_says_by_which_number_it_is_reached() -> None:
    found = lines("5432", view(forward(49153), containers=(container("web", port(5432, 49153)),)))
    assert found == ("web's own port 5432 on ssh://build is reached at 127.0.0.1:49153",)


def test_a_port_that_is_not_published_says_how_it_would_be() -> None:
    found = lines("5432", view(containers=(container("db", port(5432, None)),)))
    assert found == (
        "db on ssh://build has port 5432/tcp and does not publish it: it needs -p 5432:5432",
    )


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (Rules(exclude=("web",)), "--exclude web leaves it out"),
        (Rules(include=("db", "port=1-9")), "--include db --include port=1-9 does not name it"),
    ],
)
def test_a_port_that_a_rule_leaves_out_names_the_rule(rules: Rules, why: str) -> None:
    seen = view(rules=rules, containers=(container("web", port(80, 80)),))
    expected = f"web on ssh://build publishes 80/tcp, but {why}"
    assert lines("80", seen) == (expected,)
    assert lines("web", seen) == (expected,)


def test_a_port_of_nobody_says_so_and_when_it_was_there_last() -> None:
    history = (
        Moment(AT, "opened", "127.0.0.1:80/tcp", "web"),
        Moment(AT + 60, "closed", "127.0.0.1:80/tcp", "web"),
    )
    other = replace(LIVE, host="ssh://other")
    assert lines("80", view(history=history), view(host=other)) == (
        "no running container on ssh://build, ssh://other publishes port 80",
        f"127.0.0.1:80/tcp led to web on ssh://build until {when(AT + 60)}",
    )


def test_a_place_is_meant_as_status_shows_it() -> None:
    dns = forward(53, protocol="udp")
    other = replace(forward(53), local="127.0.0.2:53")
    for what in ("53", "53/udp", "127.0.0.1:53", "127.0.0.1:53/udp"):
        assert reached(meant(what), [view(dns)])
    for what in ("53/tcp", "127.0.0.2:53", "127.0.0.1:53/tcp"):
        assert not reached(meant(what), [view(dns)])
    assert reached(meant("127.0.0.2:53"), [view(dns), view(other, rules=Rules("127.0.0.2"))])


def test_a_port_of_another_protocol_is_not_taken_for_it() -> None:
    assert lines("80/udp", view(forward(80))) == (
        "no running container on ssh://build publishes port 80/udp",
    )


def test_an_address_at_which_nothing_is_forwarded_says_at_which_it_is() -> None:
    assert lines("127.0.0.9:80", view(forward(80))) == (
        "nothing is forwarded at 127.0.0.9; what is, is at 127.0.0.1",
    )


def test_a_container_that_was_renamed_is_told_with_who_has_its_port_now() -> None:
    history = (
        Moment(AT - 60, "opened", "127.0.0.1:80/tcp", "web"),
        Moment(AT - 50, "closed", "127.0.0.1:80/tcp", "web"),
        Moment(AT, "opened", "127.0.0.1:80/tcp", "web"),
        Moment(AT + 60, "retargeted", "127.0.0.1:80/tcp", "web-2", "to 127.0.0.1:80"),
    )
    assert lines("web", view(forward(80, container="web-2"), history=history)) == (
        "there is no container web on ssh://build",
        f"127.0.0.1:80/tcp led to web on ssh://build until {when(AT + 60)}; now it leads to web-2",
    )


def test_what_listens_here_instead_is_named() -> None:
    assert lines("80", view(), holder="nginx (process 8)")[-1] == (
        "here, nginx (process 8) listens on port 80"
    )


def test_without_a_link_nothing_is_claimed_to_be_known() -> None:
    blocked = replace(LIVE, state=LinkState.BLOCKED, detail="the key was denied")
    assert lines("80", view(host=blocked)) == (
        "it can't be known whether anything has to do with 80: there is no link",
        "the link to ssh://build is blocked until a person acts: the key was denied",
    )


# --- containers


def test_a_container_is_there_when_all_its_forwards_are() -> None:
    taken = forward(81, state=ForwardState.CONFLICT, detail="taken")
    assert reached(meant("web"), [view(forward(80), forward(82))])
    assert not reached(meant("web"), [view(forward(80), taken)])
    assert not reached(meant("web"), [view()])
    assert reached(meant("80"), [view(forward(80), taken)])


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (container("web", state="exited", status="Exited (1)"),
         "web on ssh://build does not run: Exited (1)"),
        (container("web"), "web on ssh://build publishes no port: it needs -p PORT:PORT"),
        (container("web", attachments=(Attachment("host"),)),
         "web on ssh://build uses its host's network, where Docker publishes nothing"),
    ],
)  # fmt: skip
def test_a_container_that_is_not_reached_says_why(seen: Container, why: str) -> None:
    assert lines("web", view(containers=(seen,))) == (why,)


def test_a_container_that_nobody_knows_says_so() -> None:
    assert lines("web", view()) == ("there is no container web on ssh://build",)
