from __future__ import annotations

import asyncio
import random
import time

import pytest
import structlog.testing

from mooring.core.backoff import Backoff
from mooring.core.errors import MooringError
from mooring.core.tasks import Tasks

QUICK = Backoff(first=0.001, cap=0.004)


class Turns:
    """A turn's body that remembers when it was called, and raises what it is told to."""

    def __init__(self, *raises: BaseException | None) -> None:
        self.raises = list(raises)
        self.times: list[float] = []
        self.enough = asyncio.Event()
        self.wanted = 0

    async def __call__(self) -> None:
        self.times.append(time.monotonic())
        if self.wanted and len(self.times) >= self.wanted:
            self.enough.set()
        error = self.raises.pop(0) if self.raises else None
        if error is not None:
            raise error

    async def reach(self, count: int) -> None:
        self.wanted = count
        if len(self.times) >= count:
            self.enough.set()
        async with asyncio.timeout(5):
            await self.enough.wait()


async def test_a_turn_is_repeated():
    turn = Turns()
    async with Tasks("t") as tasks:
        tasks.supervise("loop", turn)
        await turn.reach(5)


async def test_between_two_turns_lies_the_time_asked_for():
    turn = Turns()
    async with Tasks("t") as tasks:
        tasks.supervise("loop", turn, every=0.05)
        await turn.reach(3)
    gaps = [b - a for a, b in zip(turn.times, turn.times[1:], strict=False)]
    assert all(gap >= 0.045 for gap in gaps)


@pytest.mark.parametrize(
    "error",
    [
        MooringError("asking", "no answer"),
        ValueError("a bug"),
        ExceptionGroup("several", [ValueError(), OSError()]),
        asyncio.CancelledError("something that it waited for"),
        TimeoutError(),
    ],
)
async def test_whatever_a_turn_raises_the_loop_goes_on(error):
    turn = Turns(error, None, error)
    async with Tasks("t") as tasks:
        tasks.supervise("loop", turn, backoff=QUICK)
        await turn.reach(5)


async def test_the_same_failure_again_and_again_is_told_less_and_less_often():
    away = MooringError("asking", "no answer")
    turn = Turns(*[away] * 9, MooringError("asking", "refused"), None, away)
    with structlog.testing.capture_logs() as told:
        async with Tasks("t") as tasks:
            tasks.supervise("loop", turn, backoff=QUICK)
            await turn.reach(14)
    shouted = [e["failures"] for e in told if e["log_level"] == "warning"]
    assert shouted == [1, 2, 4, 8, 10, 1]


async def test_failures_in_a_row_wait_longer_and_longer_and_a_success_begins_anew(monkeypatch):
    monkeypatch.setattr(random, "random", lambda: 1.0)
    failed = MooringError("asking", "no answer")
    turn = Turns(failed, failed, failed, failed, failed, None, failed)
    with structlog.testing.capture_logs() as told:
        async with Tasks("t") as tasks:
            tasks.supervise("loop", turn, backoff=Backoff(first=0.001, cap=0.008))
            await turn.reach(8)
    failures = [(e["failures"], e["retry_in_s"]) for e in told if e["event"] == "turn_failed"]
    assert [n for n, _ in failures] == [1, 2, 3, 4, 5, 1]
    gaps = [b - a for a, b in zip(turn.times, turn.times[1:], strict=False)]
    assert all(gap >= least for gap, least in zip(gaps, [0.001, 0.002, 0.004, 0.008], strict=False))


async def test_after_a_failure_a_seldom_turn_is_tried_again_soon():
    turn = Turns(MooringError("looking", "not now"))
    async with Tasks("t") as tasks:
        tasks.supervise("loop", turn, every=3600, backoff=QUICK)
        await turn.reach(2)


async def test_a_failure_that_explains_itself_is_logged_in_words_and_another_with_its_trace():
    turn = Turns(MooringError("asking", "no answer"), ValueError("a bug"))
    with structlog.testing.capture_logs() as told:
        async with Tasks("t") as tasks:
            tasks.supervise("loop", turn, backoff=QUICK)
            await turn.reach(3)
    said, unexpected = (e for e in told if e["event"] == "turn_failed")
    assert (said["log_level"], said["reason"]) == ("warning", "asking: no answer")
    assert unexpected["log_level"] == "error"
    assert isinstance(unexpected["exc_info"], ValueError)
    assert said["task"] == unexpected["task"] == "t.loop"


async def test_hurry_ends_a_wait_at_once_and_only_that_one():
    turn = Turns()
    hurry = asyncio.Event()
    async with Tasks("t") as tasks:
        tasks.supervise("loop", turn, every=3600, hurry=hurry)
        await turn.reach(1)
        turn.enough.clear()
        hurry.set()
        await turn.reach(2)
        await asyncio.sleep(0.02)
    assert len(turn.times) == 2
    assert not hurry.is_set()


async def test_hurry_ends_the_wait_after_a_failure_too():
    turn = Turns(MooringError("asking", "no answer"))
    hurry = asyncio.Event()
    async with Tasks("t") as tasks:
        tasks.supervise("loop", turn, backoff=Backoff(first=3600, cap=3600), hurry=hurry)
        await turn.reach(1)
        turn.enough.clear()
        hurry.set()
        await turn.reach(2)


async def test_leaving_cancels_every_task_and_waits_for_their_cleaning_up():
    ended = []

    async def body(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended.append(name)

    async with Tasks("t") as tasks:
        tasks.start("a", body("a"))
        tasks.start("b", body("b"))
        await asyncio.sleep(0)
    assert sorted(ended) == ["a", "b"]


async def test_a_loop_is_ended_while_it_waits_and_while_it_works():
    works, waits = Turns(), Turns()

    async def long() -> None:
        await works()
        await asyncio.Event().wait()

    async with asyncio.timeout(2):
        async with Tasks("t") as tasks:
            tasks.supervise("works", long)
            tasks.supervise("waits", waits, every=3600)
            await works.reach(1)
            await waits.reach(1)


async def test_a_turn_that_answers_cancelling_with_another_error_ends_its_loop():
    turns = 0

    async def stubborn() -> None:
        nonlocal turns
        turns += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("in the clean-up") from None

    with structlog.testing.capture_logs() as told:
        async with asyncio.timeout(2):
            async with Tasks("t") as tasks:
                tasks.supervise("loop", stubborn, backoff=QUICK)
                await asyncio.sleep(0.01)
    assert turns == 1
    assert [e["event"] for e in told] == ["task_failed"]


async def test_a_turn_that_swallows_its_cancelling_ends_its_loop():
    async def deaf() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    async with asyncio.timeout(2):
        async with Tasks("t") as tasks:
            tasks.supervise("loop", deaf, every=3600)
            await asyncio.sleep(0.01)


async def test_tasks_are_named_after_their_owner():
    async def name() -> str:
        task = asyncio.current_task()
        assert task is not None
        return task.get_name()

    async with Tasks("agent") as tasks:
        assert await tasks.start("look", name()) == "agent.look"


async def test_what_a_task_raises_that_nobody_waits_for_is_logged_when_it_happens():
    async def fail() -> None:
        raise ValueError("a bug")

    with structlog.testing.capture_logs() as told:
        async with Tasks("t") as tasks:
            tasks.start("job", fail())
            await asyncio.sleep(0.01)
            assert [(e["event"], e["task"]) for e in told] == [("task_failed", "t.job")]


async def test_what_an_awaited_task_raises_is_for_whoever_started_it_to_tell():
    async def fail() -> None:
        raise ConnectionResetError("the link is gone")

    with structlog.testing.capture_logs() as told:
        async with Tasks("t") as tasks:
            job = tasks.start("job", fail(), awaited=True)
            await asyncio.wait([job])
            assert isinstance(job.exception(), ConnectionResetError)
    assert told == []


async def test_leaving_with_an_error_ends_the_tasks_and_hands_the_error_on():
    turn = Turns()
    started = []

    async def use() -> None:
        async with Tasks("t") as tasks:
            started.append(tasks.supervise("loop", turn, every=3600))
            await turn.reach(1)
            raise OSError("outside")

    with pytest.raises(OSError, match="outside"):
        await use()
    assert started[0].cancelled()
