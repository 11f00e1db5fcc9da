"""The pattern in the records of event streams and in a live look."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mooring.forward.diagnose import Look, diagnose, is_well
from mooring.model.forward import LinkState, Pattern, StreamRecord

NOW = 1_000_000.0
FINE = Look(LinkState.LIVE, ssh_ms=3.0, docker_ms=1.0, now=NOW)
STOPPED = Look(LinkState.STOPPED, now=NOW)


def record(ended_by: str, *, ago: float = 60, clean: bool = False, **more: object) -> StreamRecord:
    made = StreamRecord(
        started_at=NOW - ago,
        startup_ms=2.0,
        first_event_ms=None,
        events=0,
        idle_ms=0.0,
        total_ms=0.0,
        clean=clean,
        consecutive_failures=0 if clean else 1,
        ended_by=ended_by,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def test_a_healthy_link_is_said_to_be_healthy_and_how_fast_it_is() -> None:
    found = diagnose([record("stop", clean=True)], FINE)
    assert found.pattern is Pattern.HEALTHY
    assert found.evidence == (
        "a command over the link took 3 ms, Docker answered in 1 ms",
        "event streams that ended in the last hour: 1, each cleanly",
    )
    assert found.advice == ()


@pytest.mark.parametrize(
    ("ended_by", "pattern"),
    [
        ("link_lost", Pattern.NETWORK),
        ("link_silent", Pattern.STALE_LINK),
        ("docker_silent", Pattern.DOCKER_SILENT),
        ("docker_failed", Pattern.DOCKER_SILENT),
        ("eof", Pattern.DOCKER_SILENT),
        ("a word of a later version", Pattern.UNKNOWN),
    ],
)
def test_what_ended_the_streams_lately_is_named(ended_by: str, pattern: Pattern) -> None:
    found = diagnose([record(ended_by)], FINE)
    assert found.pattern is pattern
    assert found.advice


def test_what_went_wrong_lately_is_not_said_to_be_wrong_now() -> None:
    lately = diagnose([record("link_lost", detail="the remote side closed it")], FINE)
    assert (lately.pattern, lately.now) == (Pattern.NETWORK, False)
    assert lately.evidence[0] == (
        "in the last hour: network interruption, 1 time: link lost (the remote side closed it)"
    )
    assert is_well(lately)
    assert is_well(diagnose([], FINE))


def test_what_is_wrong_now_is_said_to_be_so() -> None:
    found = diagnose([record("link_lost")], Look(LinkState.BACKOFF, "no route to host", now=NOW))
    assert found.now
    assert not is_well(found)


def test_what_happened_most_often_is_named_and_the_rest_mentioned() -> None:
    records = [record("link_silent"), record("link_silent"), record("eof", detail="broke off")]
    found = diagnose(records, FINE)
    assert found.pattern is Pattern.STALE_LINK
    assert found.evidence == (
        "in the last hour: stale link, 2 times: link silent",
        "and docker not answering, 1: eof (broke off)",
        "a command over the link took 3 ms, Docker answered in 1 ms",
    )


def test_of_what_happened_as_often_the_later_is_named() -> None:
    records = [record("link_lost", ago=60), record("eof", ago=30)]
    assert diagnose(records, FINE).pattern is Pattern.DOCKER_SILENT


def test_what_is_more_than_an_hour_ago_is_no_news_while_all_is_well() -> None:
    assert diagnose([record("link_lost", ago=3700)], FINE).pattern is Pattern.HEALTHY
    long_lived = record("link_lost", ago=9000, total_ms=8_000_000)
    assert diagnose([long_lived], FINE).pattern is Pattern.NETWORK


def test_failures_in_a_row_and_the_idle_time_are_evidence_of_a_stale_link() -> None:
    records = [record("link_silent", idle_ms=901_000, consecutive_failures=n) for n in (1, 2, 3)]
    evidence = diagnose(records, FINE).evidence
    assert "up to 3 failures in a row" in evidence
    assert "after 901 s without an event, in the middle" in evidence


@pytest.mark.parametrize(
    ("look", "pattern", "said"),
    [
        (Look(LinkState.BLOCKED, "the key was denied"), Pattern.AUTHENTICATION, "the key was"),
        (Look(LinkState.BACKOFF, "no route to host"), Pattern.NETWORK, "no route to host"),
        (Look(LinkState.CONNECTING), Pattern.NETWORK, "it is being made"),
        (Look(LinkState.LIVE), Pattern.STALE_LINK, "did not end in 5 s"),
        (
            Look(LinkState.SUSPECT, ssh_ms=2.0, docker_detail="no answer"),
            Pattern.DOCKER_SILENT,
            "the link works (a command took 2 ms), and Docker does not: no answer",
        ),
    ],
)
def test_what_is_wrong_now_comes_before_what_went_wrong(
    look: Look, pattern: Pattern, said: str
) -> None:
    found = diagnose([record("eof")] * 3, look)
    assert found.pattern is pattern
    assert said in found.evidence[0]
    assert found.advice


def test_the_remotes_client_alive_interval_is_advised_for_a_stale_link() -> None:
    advice = " ".join(diagnose([record("link_silent")], FINE).advice)
    assert "ClientAliveInterval" in advice


def test_records_alone_are_enough_when_nothing_runs() -> None:
    assert diagnose([record("link_silent")], STOPPED).pattern is Pattern.STALE_LINK


def test_of_a_host_that_nobody_looks_at_nothing_is_claimed() -> None:
    assert diagnose([], STOPPED).pattern is Pattern.UNKNOWN
    assert diagnose([record("eof", ago=4000)], STOPPED).pattern is Pattern.UNKNOWN
    assert diagnose([], FINE).pattern is Pattern.HEALTHY


@pytest.mark.parametrize(
    ("detail", "help"),
    [
        (
            "connecting to ssh://b: its name can't be resolved: x",
            "see what it has: getent hosts build.example",
        ),
        ("connecting to ssh://b: connection refused", "nc -vz build.example 2299"),
        ("connecting to ssh://b: no answer within 10 s", "ping build.example"),
        ("connecting to ssh://b: network is unreachable", "VPN"),
        ("keeping the link: the remote side closed it", "journalctl -u ssh"),
    ],
)
def test_what_helps_depends_on_why_there_is_no_link(detail: str, help: str) -> None:  # noqa: A002
    found = diagnose(
        [], Look(LinkState.BACKOFF, detail, name="build.example", host="build.example", port=2299)
    )
    assert found.pattern is Pattern.NETWORK
    assert help in " ".join(found.advice)


def test_a_remote_sshd_that_forbids_forwarding_is_told_with_the_line_to_change() -> None:
    found = diagnose([], replace(FINE, forbidden="administratively prohibited"))
    assert found.pattern is Pattern.AUTHENTICATION
    assert "administratively prohibited" in found.evidence[0]
    assert "/etc/ssh/sshd_config: AllowTcpForwarding yes" in found.advice[0]


def test_a_docker_that_is_not_there_is_told_with_what_starts_it() -> None:
    look = replace(FINE, docker_ms=None, docker_detail="no socket", remedy="start it there")
    found = diagnose([], look)
    assert found.pattern is Pattern.DOCKER_SILENT
    assert found.advice[0] == "start it there"


def test_what_is_known_to_help_comes_first() -> None:
    look = Look(LinkState.BLOCKED, "the host key has changed", "ssh-keygen -R build")
    assert diagnose([], look).advice[0] == "ssh-keygen -R build"
