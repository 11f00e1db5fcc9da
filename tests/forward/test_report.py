"""What a report says of a remote host, and what in it is news at once. Pure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mooring.forward.condition import NO_STARTS, added
from mooring.forward.diagnose import Look
from mooring.forward.report import Known, counted, outline, reported, stopped
from mooring.model.forward import (
    Drop,
    Forward,
    Forwards,
    ForwardState,
    LinkState,
    Moment,
    Pattern,
    RemoteHost,
    Spread,
    StreamRecord,
    Totals,
)

NOW = 1_800_000_000.0
ENGINE = "docker 28.0.1 at unix:///var/run/docker.sock"
WEB = Forward(
    "127.0.0.1:80", "127.0.0.1:80", "tcp", "web", ForwardState.LISTENING, NOW - 60, 3, 10, 20
)
HOST = RemoteHost(
    host="ssh://build",
    state=LinkState.LIVE,
    since=NOW - 60,
    generation=1,
    consecutive_failures=0,
    docker=ENGINE,
    ping_ms=1.5,
    last_drop=None,
    forwards=(WEB,),
)
BROKEN = StreamRecord(NOW - 100, 2.0, None, 0, 40_000.0, 40_000.0, False, 1, "link_silent")
KNOWN = Known(HOST, Look(LinkState.LIVE, now=NOW), (), (), Totals(NOW - 60, away_s=2.0))


def in_state(state: LinkState, detail: str = "", docker: str = ENGINE) -> Known:
    remote = replace(HOST, state=state, detail=detail, docker=docker)
    return replace(KNOWN, remote=remote, look=Look(state, detail, now=NOW))


# --- the diagnosis, without trying anything


def test_a_link_that_is_live_and_had_no_trouble_is_healthy() -> None:
    diagnosis = reported(KNOWN).diagnosis
    assert diagnosis.pattern is Pattern.HEALTHY
    assert diagnosis.evidence[0] == "Docker answered the last check in 2 ms"


def test_a_live_link_is_said_to_be_what_its_last_streams_ended_of() -> None:
    diagnosis = reported(replace(KNOWN, records=(BROKEN,))).diagnosis
    assert diagnosis.pattern is Pattern.STALE_LINK
    assert any("ClientAliveInterval" in line for line in diagnosis.advice)


@pytest.mark.parametrize("state", [LinkState.VERIFYING, LinkState.SUSPECT])
def test_a_docker_that_is_waited_for_is_what_is_wrong(state: LinkState) -> None:
    why = "no answer within 5 s"
    known = in_state(state, f"asking Docker (GET /_ping): {why} (see whether it runs)", why)
    diagnosis = reported(known).diagnosis
    assert diagnosis.pattern is Pattern.DOCKER_SILENT
    assert diagnosis.evidence == (f"Docker does not answer: {why}",)


def test_a_link_that_is_only_suspected_is_not_yet_called_stale() -> None:
    known = in_state(LinkState.SUSPECT, "opening a channel took too long")
    assert reported(known).diagnosis.pattern is Pattern.HEALTHY


@pytest.mark.parametrize(
    ("state", "pattern"),
    [
        (LinkState.BLOCKED, Pattern.AUTHENTICATION),
        (LinkState.BACKOFF, Pattern.NETWORK),
        (LinkState.CONNECTING, Pattern.NETWORK),
        (LinkState.STOPPED, Pattern.UNKNOWN),
    ],
)
def test_a_link_that_is_not_there_is_said_so(state: LinkState, pattern: Pattern) -> None:
    assert reported(in_state(state, "no route to host")).diagnosis.pattern is pattern


# --- totals and history


def test_an_outage_counts_while_it_lasts() -> None:
    away = replace(HOST, state=LinkState.BACKOFF, last_drop=Drop(NOW - 5, Pattern.NETWORK, None))
    assert reported(replace(KNOWN, remote=away, away_since=NOW - 5)).totals.away_s == 7.0
    over = replace(away, last_drop=Drop(NOW - 50, Pattern.NETWORK, 2.0))
    assert reported(replace(KNOWN, remote=over)).totals.away_s == 2.0


def test_the_last_of_the_history_is_reported() -> None:
    moments = tuple(Moment(NOW + n, "opened") for n in range(300))
    assert reported(replace(KNOWN, history=moments)).history == moments[-200:]


def test_starts_are_counted_between_bounds() -> None:
    spread = Spread((1.0, 2.0), (0, 0, 0))
    for value in (0.5, 1.0, 1.5, 2.5):
        spread = added(spread, value)
    assert spread == Spread((1.0, 2.0), (2, 1, 1), 5.5)
    assert sum(added(NO_STARTS, 0.004).counts) == 1


def test_the_last_report_says_that_nothing_is_forwarded() -> None:
    (last,) = stopped(Forwards((reported(KNOWN),))).remotes
    assert (last.remote.state, last.remote.forwards) == (LinkState.STOPPED, ())


# --- what is news


def body(known: Known) -> Forwards:
    return Forwards((reported(known),))


def with_forward(**changed: object) -> Known:
    return replace(KNOWN, remote=replace(HOST, forwards=(replace(WEB, **changed),)))


AT_ONCE = {
    "a forward's state": with_forward(state=ForwardState.HELD),
    "a forward's detail": with_forward(detail="refused"),
    "a forward that is gone": replace(KNOWN, remote=replace(HOST, forwards=())),
    "the link's state": in_state(LinkState.SUSPECT),
    "an outage": replace(KNOWN, totals=replace(KNOWN.totals, outages=(("stale_link", 1),))),
    "a moment": replace(KNOWN, history=(Moment(NOW, "conflict"),)),
}
LATER = {
    "a connection": with_forward(connections=4),
    "bytes": with_forward(bytes_in=11),
    "the time away": replace(KNOWN, totals=replace(KNOWN.totals, away_s=3.0)),
    "a total": replace(KNOWN, totals=replace(KNOWN.totals, held=1)),
}


@pytest.mark.parametrize("known", AT_ONCE.values(), ids=AT_ONCE)
def test_what_there_is_is_news_at_once(known: Known) -> None:
    assert outline(body(known)) != outline(body(KNOWN))


@pytest.mark.parametrize("known", LATER.values(), ids=LATER)
def test_what_is_counted_is_news_after_a_while(known: Known) -> None:
    assert outline(body(known)) == outline(body(KNOWN))
    assert counted(body(known)) != counted(body(KNOWN))


def test_another_ping_is_no_news() -> None:
    pinged = replace(KNOWN, remote=replace(HOST, ping_ms=9.0))
    assert reported(pinged).diagnosis.evidence != reported(KNOWN).diagnosis.evidence
    assert counted(body(pinged)) == counted(body(KNOWN))
