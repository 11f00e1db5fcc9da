"""A program's reporting, whatever it reports: a key that is not taken, work that it can't do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog.testing

from mooring.core import reporting
from mooring.core.backoff import Backoff
from mooring.core.outbox import Outbox, Waiting
from mooring.core.progress import Line, Progress
from mooring.core.reporting import Reporter
from mooring.core.uplink import Fault, ReportAnswer, Uplink, UplinkError, Work
from mooring.model.report import Engines, RunMark
from mooring.model.scan import Depth, ScanOrder

RUN = "01a1fc21-767b-7291-98a6-27af129db9ad"
OTHER = "01a1fc21-767b-7291-98a6-27af129db9ae"


class Server(Uplink):
    """The far edge: takes reports and answers polls as it is told to."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", "key")
        self.refuses = ""
        """Why the key is not taken."""
        self.work = Work([], [])
        self.polls: list[dict[str, Any]] = []
        self.taken: list[bytes] = []
        self.said: list[tuple[str, Progress]] = []

    def _door(self) -> None:
        if self.refuses:
            raise UplinkError("sending", self.refuses, Fault.KEY)

    async def report(self, data: bytes) -> ReportAnswer:
        self._door()
        self.taken.append(data)
        return ReportAnswer("stored")

    async def poll(self, *given: Any, **more: Any) -> Work:
        self.polls.append(more)
        self._door()
        if not more["leaving"]:
            await asyncio.sleep(0.02)
        work, self.work = self.work, Work([], [])
        return work

    async def progress(self, outbox: str, run: str, progress: Progress) -> None:
        self._door()
        self.said.append((run, progress))


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as told:
        yield told


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as made:
        yield made


@pytest.fixture
def reporter(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reporter:
    monkeypatch.setattr(reporting, "KEY_AGAIN", 0.02)
    monkeypatch.setattr(reporting, "FAREWELL", 10.0)
    backoff = Backoff(first=0.01, cap=0.02)
    return Reporter(Outbox(tmp_path / "box"), server, ("forward",), "laptop", backoff)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


def shouts(logs: list[Any]) -> list[str]:
    return [e["reason"].rpartition(": ")[2] for e in logs if e["event"] == "key_not_taken"]


async def test_what_is_reported_is_delivered_and_heard_of(
    server: Server, reporter: Reporter
) -> None:
    assert reporter.standing.last_heard is None
    async with reporter:
        await reporter.report("containers", Engines(()))
        await until(lambda: server.taken)
        await until(lambda: reporter.standing.waiting == 0)
    assert reporter.standing.last_heard == pytest.approx(time.time(), abs=60)
    assert server.polls[-1] == {"duties": ("forward",), "allowed": None, "leaving": True}


async def test_the_server_is_heard_of_before_what_it_took_is_let_go(
    server: Server, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[float | None] = []
    done = reporter.outbox.done

    def noted(waiting: Waiting) -> None:
        heard.append(reporter.standing.last_heard)
        done(waiting)

    async def never(*_: Any, **__: Any) -> Work:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(reporter.outbox, "done", noted)
    monkeypatch.setattr(reporting, "FAREWELL", 0.1)
    monkeypatch.setattr(server, "poll", never)
    async with reporter:
        await reporter.report("containers", Engines(()))
        await until(lambda: heard)
    assert heard[0] is not None


async def test_what_is_reported_last_is_delivered_before_the_goodbye(
    server: Server, reporter: Reporter
) -> None:
    async with reporter:
        await until(lambda: server.polls)
        await reporter.report("containers", Engines(()))
    assert len(server.taken) == 1
    assert len(reporter.outbox) == 0


async def test_a_key_that_is_not_taken_is_said_on_change_and_when_it_is_taken_all_goes_on(
    server: Server, reporter: Reporter, logs: list[Any]
) -> None:
    server.refuses = "no such key"
    async with reporter:
        await reporter.report("containers", Engines(()))
        await until(lambda: len(server.polls) > 3)
        assert reporter.standing.fault == "no such key"
        server.refuses = "it was revoked"
        before = len(server.polls)
        await until(lambda: len(server.polls) > before + 3)
        server.refuses = ""
        await until(lambda: server.taken)
    assert shouts(logs) == ["no such key", "it was revoked"]
    assert [e["event"] for e in logs].count("key_taken") == 1
    assert reporter.standing.fault == ""


async def test_a_key_that_is_still_not_taken_is_said_again_after_a_while(
    server: Server, reporter: Reporter, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "SHOUT_AGAIN", 0.0)
    server.refuses = "no such key"
    async with reporter:
        await until(lambda: len(shouts(logs)) >= 2)


def order(**said: object) -> dict[str, msgspec.Raw]:
    return {RUN: msgspec.Raw(json.dumps(said).encode())}


class Willing:
    """Takes whatever it is asked for."""

    def __init__(self) -> None:
        self.asked: list[ScanOrder | None] = []

    def active(self) -> list[str]:
        return []

    async def allowed(self) -> list[str]:
        return ["10.0.0.0/8"]

    def begin(self, run: RunMark, order: ScanOrder | None) -> None:
        self.asked.append(order)

    def cancel(self, run: str) -> None:
        return


@pytest.mark.parametrize(
    ("orders", "asked"),
    [
        ({}, None),
        (order(), ScanOrder()),
        (
            order(targets=["10.0.0.0/24", "10.0.0.0/24", "fd00::/64"], depth="full"),
            ScanOrder((ip_network("10.0.0.0/24"), ip_network("fd00::/64")), Depth.FULL),
        ),
    ],
    ids=["a look", "all that is attached", "these"],
)
async def test_what_a_scan_shall_look_at_is_handed_on_with_its_run(
    server: Server,
    reporter: Reporter,
    orders: dict[str, msgspec.Raw],
    asked: ScanOrder | None,
) -> None:
    willing = reporter.worker = Willing()
    server.work = Work([RUN], [], orders)
    async with reporter:
        await until(lambda: willing.asked)
    assert willing.asked == [asked]
    assert server.polls[0]["allowed"] == ["10.0.0.0/8"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (order(targets=["10.0.0.5/24"]), "has host bits set"),
        (order(targets=["everything"]), "does not appear to be"),
        (order(depth="abyss"), "Invalid enum value 'abyss'"),
        (order(targets=["10.0.0.0/24"] * 1000), "length <= 256"),
        ({RUN: msgspec.Raw(b"7")}, "Expected `object`"),
    ],
)
async def test_an_order_that_is_not_understood_fails_its_run_alone(
    server: Server, reporter: Reporter, said: dict[str, msgspec.Raw], reason: str
) -> None:
    willing = reporter.worker = Willing()
    server.work = Work([RUN, OTHER], [], said)
    async with reporter:
        await until(lambda: server.said)
        await until(lambda: willing.asked)
    [(run, progress)] = server.said
    assert (run, progress.state) == (RUN, "failed")
    assert reason in (progress.reason or "")
    assert willing.asked == [None]


async def test_a_run_s_story_is_told_again_when_the_server_was_away(
    server: Server, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [UplinkError("sending", "it is away", Fault.AWAY)] * 3
    take = server.progress

    async def progress(outbox: str, run: str, said: Progress) -> None:
        if failures:
            raise failures.pop()
        await take(outbox, run, said)

    monkeypatch.setattr(server, "progress", progress)
    line = Line(1.0, "scan_began", "The scan began")
    async with reporter:
        reporter.say(RunMark(RUN, "request", 5.0), Progress("running", "", 0.0, lines=(line,)))
        await until(lambda: server.said)
    assert server.said == [(RUN, Progress("running", "request", 5.0, lines=(line,)))]


async def test_a_run_is_worked_on_until_all_is_said_of_it(
    server: Server, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[list[str]] = []
    heard = asyncio.Event()
    take = server.progress

    async def poll(outbox: str, name: str, active: list[str], *wait: float, **more: Any) -> Work:
        named.append(active)
        await asyncio.sleep(0.01)
        return Work([], [])

    async def progress(outbox: str, run: str, said: Progress) -> None:
        await heard.wait()
        await take(outbox, run, said)

    monkeypatch.setattr(server, "poll", poll)
    monkeypatch.setattr(server, "progress", progress)
    async with reporter:
        reporter.say(RunMark(RUN, "request", 5.0), Progress("failed", "", 0.0, reason="no"))
        await until(lambda: len(named) > 3)
        assert named[1:] == [[RUN]] * len(named[1:])
        heard.set()
        await until(lambda: named[-1] == [])
    assert len(server.said) == 1


async def test_a_word_that_the_server_refuses_holds_up_no_other(
    server: Server, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = server.progress

    async def progress(outbox: str, run: str, said: Progress) -> None:
        if run == RUN:
            raise UplinkError("sending", "no", Fault.REFUSED)
        await take(outbox, run, said)

    monkeypatch.setattr(server, "progress", progress)
    async with reporter:
        for run in (RUN, OTHER):
            reporter.say(RunMark(run, "request", 5.0), Progress("running", "", 0.0))
        await until(lambda: server.said)
    assert [run for run, _ in server.said] == [OTHER]


async def test_a_program_that_can_not_look_says_so_of_a_run_that_it_is_asked_for(
    server: Server, reporter: Reporter
) -> None:
    server.work = Work([RUN], [])
    async with reporter:
        await until(lambda: server.said)
    [(run, progress)] = server.said
    assert (run, progress.state) == (RUN, "failed")
    assert progress.reason == "this program only reports, and looks at nothing"


class Quick:
    """Has ended each run by the time that the server answers the poll that told of it."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.now: list[str] = []

    def active(self) -> list[str]:
        return self.now

    async def allowed(self) -> None:
        return None

    def begin(self, run: RunMark, order: object) -> None:
        self.begun.append(run.id)
        self.now = [run.id]

    def cancel(self, run: str) -> None:
        self.now = []


async def test_a_run_that_ends_while_the_server_offers_it_again_is_not_begun_again(
    server: Server, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = reporter.worker = Quick()
    answers = [Work([RUN], []), Work([RUN], [])]

    async def poll(outbox: str, name: str, active: list[str], *wait: float, **more: Any) -> Work:
        await asyncio.sleep(0.01)
        if active:
            quick.now = []
        return answers.pop(0) if answers else Work([], [])

    monkeypatch.setattr(server, "poll", poll)
    async with reporter:
        await until(lambda: not answers and not quick.now)
        await asyncio.sleep(0.05)
    assert quick.begun == [RUN]
