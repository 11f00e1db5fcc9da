"""A report of forwards to JSON and back: single bad parts are set aside, shown texts are cut."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from mooring.model import wire, wire_forward, wire_reader
from mooring.model.forward import (
    MAX_REPORTED_HISTORY,
    Diagnosis,
    Drop,
    Forward,
    Forwards,
    ForwardState,
    LinkState,
    Moment,
    Pattern,
    RemoteHost,
    Reported,
    Spread,
    Totals,
)
from mooring.model.report import Report
from tests.model import nouns
from tests.model.test_wire import few, read

LINK = Reported(
    RemoteHost(
        "ssh://b", LinkState.LIVE, 1.0, 1, 0, "docker 28", 1.5, Drop(1.0, "stale_link", 0.5), ()
    ),
    Diagnosis(Pattern.HEALTHY, ("all is well",), ()),
    Totals(1.0, (("stale_link", 1),), listening=Spread((1.0, 2.0), (1, 2, 3), 9.0)),
    (Moment(1.0, "opened", "127.0.0.1:80/tcp", "web"),),
)
PORT = Forward("127.0.0.1:80", "127.0.0.1:80", "tcp", "web", ForwardState.LISTENING, 1.0)


def links(*reported: Reported) -> dict[str, Any]:
    spoilt: dict[str, Any] = json.loads(
        wire.encode(Report("forwards", "o", 1, 1.0, Forwards(reported or (LINK,))))
    )
    return spoilt


@few
@given(nouns.reported)
def test_every_remote_host_comes_back_as_it_was(reported: Reported) -> None:
    back = wire.decode(wire.encode(Report("forwards", "o", 1, 0.0, Forwards((reported,)))))
    assert back.body == Forwards((reported,))
    assert not back.set_aside


def test_a_diagnosis_that_does_not_say_whether_it_is_so_now_is_of_now() -> None:
    lately = replace(LINK, diagnosis=Diagnosis(Pattern.NETWORK, ("once",), (), now=False))
    report = links(lately)
    back = wire.decode(json.dumps(report).encode()).body
    assert isinstance(back, Forwards)
    assert not back.remotes[0].diagnosis.now
    report["forwards"]["remotes"][0]["diagnosis"].pop("now")
    back = wire.decode(json.dumps(report).encode()).body
    assert isinstance(back, Forwards)
    assert back.remotes[0].diagnosis.now


SPOILT: dict[str, tuple[tuple[Any, ...], Any, str, dict[str, Any] | None]] = {
    # Where, what, which kind is set aside, and what else stands there then.
    "an unknown diagnosis": (
        ("diagnosis", "pattern"),
        "gremlins",
        "diagnosis",
        {"diagnosis": Diagnosis(Pattern.UNKNOWN, (), ())},
    ),
    "totals that are none": (("totals", "drift"), -1, "totals", {"totals": Totals(1.0)}),
    "a last drop that is none": (("remote", "last_drop"), 7, "last drop", None),
    "bounds that shrink": (("totals", "listening", "bounds"), [2, 1], "spread", None),
    "counts too few": (("totals", "listening", "counts"), [1], "spread", None),
    "an outage that is none": (("totals", "outages", 0), ["x", -1], "outage", None),
    "an outage with a NUL": (("totals", "outages", 0), ["\0", 1], "outage", None),
    "a moment without time": (("history", 0, "at"), None, "moment", {"history": ()}),
    "a moment of nothing": (("history", 0, "what"), "", "moment", {"history": ()}),
    "a remote host without address": (("remote", "host"), "", "remote host", {}),
    "a remote host in no state": (("remote", "state"), "odd", "remote host", {}),
    "a remote host that is a number": (("remote",), 5, "remote host", {}),
    "a NUL in an address": (("remote", "host"), "ssh://\0", "remote host", {}),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_bad_part_of_a_remote_host_is_set_aside_and_costs_nothing_else(name: str) -> None:
    where, what, kind, instead = SPOILT[name]
    report = links(LINK, replace(LINK, remote=replace(LINK.remote, host="ssh://c")))
    part = report["forwards"]["remotes"][0]
    for step in where[:-1]:
        part = part[step]
    part[where[-1]] = what
    back = read(report)
    assert [aside.kind for aside in back.set_aside] == [kind]
    assert isinstance(back.body, Forwards)
    *first, last = back.body.remotes
    assert last.remote.host == "ssh://c"
    if instead == {}:
        assert first == []
    elif instead:
        assert first == [replace(LINK, **instead)]
    else:
        assert first[0].remote.host == "ssh://b"


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "odd"},
        {"local": "x" * 101},
        {"container": "x" * 254},
        {"container": "\0"},
        {"connections": -1},
        {"bytes_in": 2**60},
        {"since": "noon"},
    ],
)
def test_a_bad_forward_is_set_aside_with_its_remote_hosts_name(changes: dict[str, Any]) -> None:
    report = links(replace(LINK, remote=replace(LINK.remote, forwards=(PORT, PORT))))
    report["forwards"]["remotes"][0]["remote"]["forwards"][0] |= changes
    back = read(report)
    assert isinstance(back.body, Forwards)
    assert back.body.remotes[0].remote.forwards == (PORT,)
    (aside,) = back.set_aside
    assert (aside.kind, aside.reason[:12]) == ("forward", "at ssh://b: ")


def test_texts_that_are_only_shown_are_cut_and_never_refused() -> None:
    report = links()
    one = report["forwards"]["remotes"][0]
    one["remote"]["detail"] = one["remote"]["docker"] = "a\0" + "x" * 9000
    one["diagnosis"]["evidence"] = one["diagnosis"]["advice"] = ["y" * 9000]
    one["history"][0]["detail"] = "z" * 9000
    back = read(report)
    assert back.set_aside == ()
    assert isinstance(back.body, Forwards)
    (remote,) = back.body.remotes
    assert remote.remote.detail.startswith("axxx")
    assert {
        len(text)
        for text in (
            remote.remote.detail,
            remote.remote.docker,
            *remote.diagnosis.evidence,
            *remote.diagnosis.advice,
            remote.history[0].detail,
        )
    } == {wire_forward.TEXT}


def test_of_too_many_the_rest_is_set_aside_as_one() -> None:
    report = links()
    (one,) = report["forwards"]["remotes"]
    one["history"] = [{"at": n, "what": "opened"} for n in range(MAX_REPORTED_HISTORY + 3)]
    one["totals"]["outages"] = [["x", 1]] * (wire_forward.MAX_OUTAGES + 4)
    port = wire.to_builtins(PORT)
    one["remote"]["forwards"] = [port] * (wire_reader.MAX_ITEMS + 5)
    more = [
        {**one, "remote": {**one["remote"], "host": f"ssh://{n}", "forwards": [port]}}
        for n in range(wire_forward.MAX_REMOTES)
    ]
    report["forwards"]["remotes"] += more
    back = read(report)
    assert isinstance(back.body, Forwards)
    assert len(back.body.remotes) == wire_forward.MAX_REMOTES
    first, second = back.body.remotes[:2]
    assert len(first.remote.forwards) == wire_reader.MAX_ITEMS
    # There is one bound for the forwards of all remote hosts together.
    assert second.remote.forwards == ()
    assert len(first.history) == MAX_REPORTED_HISTORY
    # The newest come last, and are kept.
    assert first.history[-1].at == MAX_REPORTED_HISTORY + 2
    assert len(first.totals.outages) == wire_forward.MAX_OUTAGES
    asides = {(a.kind, a.item) for a in back.set_aside}
    assert {
        ("remote host", "1 more"),
        ("forward", "5 more"),
        ("moment", "3 more"),
        ("outage", "4 more"),
    } <= asides


def test_a_second_remote_host_of_one_address_is_set_aside() -> None:
    back = read(links(LINK, LINK))
    assert back.body == Forwards((LINK,))
    assert [a.kind for a in back.set_aside] == ["remote host"]
