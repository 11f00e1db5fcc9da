"""Discovery runs: asked for, watched, cancelled, lost; complete only when all is stored."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from fastapi import FastAPI

from mooring.core.ids import new_id
from mooring.model.event import Changed, Entity, Operation, RunMoved, RunState
from mooring.model.report import Engines, RunMark
from mooring.server.api import agents as agents_api
from mooring.server.auth import Passwords
from mooring.server.db.engine import Database
from mooring.server.runs import may_follow, remaining
from mooring.server.settings import Settings
from mooring.server.state import State
from mooring.server.upkeep import note_silent_agents
from tests.server.faults import failing
from tests.server.world import Clock, Heard, Reporter, World, any_database, machine

ENDS = [RunState.COMPLETE, RunState.FAILED, RunState.CANCELLED]


async def asked(world: World, agent: Reporter) -> str:
    """A run that somebody asked of an agent which is there."""
    await agent.poll()
    (row,) = await world.items("agents")
    answer = await world.ask("POST", "runs", by="member", json={"agent_id": row["id"]})
    assert answer.status_code == 202
    run: str = answer.json()["id"]
    return run


async def shown(world: World, run: str) -> Any:
    return await world.get(f"runs/{run}")


def final(run: str, at: float = 0) -> list[RunMark]:
    return [RunMark(run, "request", at, final=True)]


# --- which state may follow


def test_a_run_goes_forward_only() -> None:
    order = [RunState.PENDING, RunState.STARTING, RunState.RUNNING]
    for now in order:
        for then in order:
            forward = order.index(then) > order.index(now)
            again = now is then is RunState.RUNNING
            assert may_follow(now, then) == (forward or again), (now, then)


@pytest.mark.parametrize("end", ENDS)
def test_a_run_may_end_from_every_state_and_once(end: RunState) -> None:
    for state in RunState:
        assert may_follow(state, end) == (state not in ENDS)
        assert not may_follow(end, state)


def test_the_estimate_is_of_earlier_runs_and_never_below_nothing() -> None:
    assert remaining([], 5) is None
    assert remaining([10, 2, 30], 4) == 6
    assert remaining([10], 40) == 0


# --- asked for


async def test_a_request_is_answered_at_once_with_the_runs_id(world: World) -> None:
    agent = await world.agent()
    run = await asked(world, agent)
    found = await shown(world, run)
    assert (found["state"], found["trigger"], found["agent_name"]) == (
        "pending",
        "request",
        "alpha",
    )
    assert found["started_at"] is None
    assert found["elapsed_s"] is None
    assert await agent.poll() == {"runs": [run], "cancelled": [], "orders": {}}


async def test_a_waiting_poll_is_answered_at_once_when_a_run_is_asked_for(world: World) -> None:
    agent = await world.agent()
    await agent.poll()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(agent.poll(wait_s=30))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        began = time.monotonic()
        run = await asked(world, agent)
    assert waiting.result() == {"runs": [run], "cancelled": [], "orders": {}}
    assert time.monotonic() - began < 2


async def test_an_agent_is_given_some_of_very_many_runs_and_the_others_as_those_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents_api, "MOST_GIVEN", 3)
    agent = await world.agent()
    asked_for = [await asked(world, agent) for _ in range(5)]
    first = (await agent.poll())["runs"]
    assert first == asked_for[:3]
    # Also those of which it has not said yet that it began them.
    assert (await agent.poll(active_runs=first))["runs"] == first
    for run in first:
        await agent.progress(run, "starting")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(agent.poll(active_runs=first, wait_s=30))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await agent.report(Engines(()), runs=final(first[1]))
    assert waiting.result() == {"runs": asked_for[3:4], "cancelled": [], "orders": {}}


@any_database
async def test_a_waiting_poll_finds_a_run_that_another_server_process_took(
    world: World, one_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents_api, "LOOK_EVERY", 0.1)
    agent = await world.agent()
    await agent.poll()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(agent.poll(wait_s=30))
        await asyncio.sleep(0.2)
        # Another process has a bus of its own.
        mine = world.state
        one_app.state.mooring = State(
            mine.database, Settings(), passwords=mine.passwords, clock=mine.clock
        )
        run = await asked(world, agent)
    assert waiting.result()["runs"] == [run]


@any_database
async def test_a_poll_ends_when_it_has_waited_long_enough(world: World) -> None:
    agent = await world.agent()
    began = time.monotonic()
    assert await agent.poll(wait_s=0.3) == {"runs": [], "cancelled": [], "orders": {}}
    assert 0.3 <= time.monotonic() - began < 3


@any_database
async def test_a_poll_ends_when_the_server_does(world: World) -> None:
    agent = await world.agent()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(agent.poll(wait_s=30))
        await asyncio.sleep(0.2)
        world.state.bus.close()
    assert waiting.result() == {"runs": [], "cancelled": [], "orders": {}}


@any_database
async def test_a_run_of_an_unknown_agent_is_refused(world: World) -> None:
    answer = await world.ask("POST", "runs", json={"agent_id": "nobody"})
    assert answer.status_code == 404
    assert answer.json()["detail"] == "there is no agent with the id 'nobody'"


# --- its life


async def test_a_run_is_complete_when_its_last_report_is_stored(world: World) -> None:
    agent = await world.agent()
    run = await asked(world, agent)
    began = world.clock()
    with Heard(world.state) as heard:
        await agent.progress(run, "starting")
        assert (await shown(world, run))["state"] == "starting"
        await agent.progress(run, "running", phase="interfaces", done=0, total=2)
        world.clock.forward(3)
        found = await shown(world, run)
        assert (found["state"], found["phase"], found["done"], found["total"]) == (
            "running",
            "interfaces",
            0,
            2,
        )
        assert found["elapsed_s"] == 3
        await agent.report(machine(), runs=[RunMark(run, "request", began)])
        await agent.progress(run, "running", phase="containers", done=1, total=2)
        world.clock.forward(1)
        assert (await shown(world, run))["state"] == "running"
        await agent.report(Engines(()), runs=final(run, began))
    found = await shown(world, run)
    assert (found["state"], found["elapsed_s"], found["reason"]) == ("complete", 4, None)
    assert found["finished_at"] is not None
    assert found["summary"]["interfaces"] == 2
    assert found["summary"]["containers"] == 0
    moves = [e.state for e in heard.events if isinstance(e, RunMoved)]
    assert moves == ["starting", "running", "running", "running", "complete"]


async def test_a_run_is_not_complete_when_its_last_report_could_not_be_stored(
    world: World, logs: list[Any]
) -> None:
    agent = await world.agent()
    run = await asked(world, agent)
    await agent.report(machine(), runs=[RunMark(run, "request", 0)])
    with failing(world.state.database, 0):
        assert (await agent.send(Engines(()), runs=final(run))).status_code == 500
    logs.clear()
    assert (await shown(world, run))["state"] == "running"
    await agent.report(Engines(()), number=agent.number, runs=final(run))
    assert (await shown(world, run))["state"] == "complete"


async def test_an_agents_own_run_is_made_by_its_first_word(world: World) -> None:
    agent = await world.agent()
    run = new_id()
    at = "2027-01-15T07:59:00Z"
    answer = await agent.progress(run, "starting", trigger="start", started_at=at)
    assert answer.status_code == 204
    found = await shown(world, run)
    assert (found["state"], found["trigger"], found["requested_at"]) == ("starting", "start", at)


async def test_an_agents_own_run_is_made_by_its_report_when_no_word_came_through(
    world: World,
) -> None:
    agent = await world.agent()
    run = new_id()
    await agent.report(machine(), runs=[RunMark(run, "start", world.clock() - 2)])
    assert (await shown(world, run))["state"] == "running"
    await agent.report(Engines(()), runs=[RunMark(run, "start", world.clock() - 2, final=True)])
    found = await shown(world, run)
    assert (found["state"], found["trigger"], found["elapsed_s"]) == ("complete", "start", 2)


async def test_a_superseded_reports_runs_end_with_the_one_that_took_its_place(
    world: World,
) -> None:
    agent = await world.agent()
    first, second = new_id(), new_id()
    marks = [RunMark(run, "start", world.clock()) for run in (first, second)]
    await agent.report(machine(), runs=marks)
    ends = [RunMark(run, "start", world.clock(), final=True) for run in (first, second)]
    await agent.report(Engines(()), runs=ends)
    assert [(await shown(world, run))["state"] for run in (first, second)] == ["complete"] * 2


@any_database
async def test_a_clock_that_is_ahead_makes_no_run_of_negative_length(world: World) -> None:
    agent = await world.agent()
    run = new_id()
    mark = RunMark(run, "start", world.clock() + 5000, final=True)
    await agent.report(machine(), runs=[mark])
    assert (await shown(world, run))["elapsed_s"] == 0


async def test_a_clock_that_is_behind_makes_no_run_longer_than_since_it_was_asked_for(
    world: World,
) -> None:
    agent = await world.agent()
    run = await asked(world, agent)
    world.clock.forward(10)
    await agent.report(Engines(()), runs=final(run, world.clock() - 31_536_000))
    assert (await shown(world, run))["elapsed_s"] == 10


async def test_an_agent_may_say_that_its_run_failed(world: World) -> None:
    agent = await world.agent()
    run = await asked(world, agent)
    await agent.progress(run, "starting")
    await agent.progress(run, "failed", reason="reading interfaces: no netlink here")
    found = await shown(world, run)
    assert (found["state"], found["reason"]) == ("failed", "reading interfaces: no netlink here")


async def test_another_agents_run_is_left_alone(world: World) -> None:
    one, two = await world.agent(), await world.agent()
    run = await asked(world, one)
    answer = await two.progress(run, "failed")
    assert answer.status_code == 403
    await two.report(machine("beta"), runs=final(run))
    assert (await shown(world, run))["state"] == "pending"


@any_database
async def test_a_run_is_named_by_a_uuid(world: World) -> None:
    agent = await world.agent()
    for bad in ("nothing", "A" * 36, new_id().upper(), "0" * 32):
        assert (await agent.progress(bad, "starting")).status_code == 422


# --- cancelled


@pytest.mark.parametrize("phase", ["pending", "starting", "running"])
async def test_a_run_can_be_cancelled_in_every_phase(world: World, phase: str) -> None:
    agent = await world.agent()
    run = await asked(world, agent)
    if phase != "pending":
        await agent.progress(run, phase)
    answer = await world.ask("POST", f"runs/{run}/cancel", by="member")
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["reason"]) == (
        "cancelled",
        "cancelled by member",
    )
    assert answer.json()["finished_at"] is not None
    # The agent is told, and what it still says of the run changes nothing.
    assert await agent.poll(active_runs=[run]) == {"runs": [], "cancelled": [run], "orders": {}}
    before = await shown(world, run)
    assert (await agent.progress(run, "running", phase="x", done=1)).status_code == 204
    await agent.report(machine(), runs=[RunMark(run, "request", world.clock())])
    await agent.report(Engines(()), runs=final(run))
    assert await shown(world, run) == before
    again = await world.ask("POST", f"runs/{run}/cancel", by="member")
    assert again.status_code == 409
    assert again.json()["detail"] == "the run has ended already: it is cancelled"


async def test_a_waiting_poll_is_answered_at_once_when_its_run_is_cancelled(world: World) -> None:
    agent = await world.agent()
    run = await asked(world, agent)
    await agent.progress(run, "running")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(agent.poll(active_runs=[run], wait_s=30))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await world.ask("POST", f"runs/{run}/cancel")
    assert waiting.result() == {"runs": [], "cancelled": [run], "orders": {}}


async def test_cancelling_and_moving_a_run_at_once_ends_it(world: World) -> None:
    """Whoever comes first: a cancelled run is never brought back, and no cancel is refused."""
    agent = await world.agent()
    for _ in range(5):
        run = new_id()
        await agent.progress(run, "starting")
        cancelled, *_ = await asyncio.gather(
            world.ask("POST", f"runs/{run}/cancel"),
            agent.progress(run, "running"),
            agent.progress(run, "running", done=1),
            agent.report(machine(), runs=[RunMark(run, "start", world.clock())]),
        )
        assert cancelled.status_code == 200
        assert (await shown(world, run))["state"] == "cancelled"


async def test_the_last_report_completes_a_run_that_is_moved_in_the_same_moment(
    world: World,
) -> None:
    agent = await world.agent()
    for _ in range(5):
        run = new_id()
        await agent.progress(run, "starting")
        await asyncio.gather(
            agent.progress(run, "running"),
            agent.progress(run, "running", done=1),
            agent.report(machine(), runs=[RunMark(run, "start", world.clock(), final=True)]),
            agent.progress(run, "running", done=2),
        )
        assert (await shown(world, run))["state"] == "complete"


# --- ended is ended


@pytest.mark.parametrize("end", ["complete", "failed", "cancelled"])
async def test_what_comes_after_the_end_is_ignored(world: World, end: str) -> None:
    agent = await world.agent()
    run = await asked(world, agent)
    await agent.progress(run, "running", phase="p", done=1, total=2)
    if end == "complete":
        await agent.report(machine(), runs=final(run))
    elif end == "failed":
        await agent.progress(run, "failed", reason="because")
    else:
        await world.ask("POST", f"runs/{run}/cancel")
    before = await shown(world, run)
    assert before["state"] == end
    world.clock.forward(5)
    with Heard(world.state) as heard:
        for state in ("starting", "running", "failed"):
            answer = await agent.progress(run, state, phase="q", done=9, reason="late")
            assert answer.status_code == 204
        await agent.report(Engines(()), runs=final(run))
        await agent.poll()
    assert await shown(world, run) == before
    assert not heard.of(RunMoved)


# --- lost


async def test_a_run_that_its_agent_no_longer_knows_failed_at_its_next_poll(world: World) -> None:
    agent = await world.agent()
    lost, kept = await asked(world, agent), new_id()
    await agent.progress(lost, "running")
    await agent.progress(kept, "running")
    with Heard(world.state) as heard:
        await agent.poll(active_runs=[kept])
    found = await shown(world, lost)
    assert (found["state"], found["reason"]) == (
        "failed",
        "the agent alpha was restarted before it had finished",
    )
    assert (await shown(world, kept))["state"] == "running"
    assert Changed(Entity.RUN, Operation.CHANGED, lost, world.home) in heard.events
    # One that it has not been given yet is not lost.
    waiting = await asked(world, agent)
    assert (await agent.poll(active_runs=[kept]))["runs"] == [waiting]


@pytest.mark.parametrize("leaving", [False, True], ids=["killed", "stopped"])
async def test_the_runs_of_an_agent_that_fell_silent_have_failed(
    world: World, leaving: bool
) -> None:
    agent = await world.agent()
    run, waiting = await asked(world, agent), await asked(world, agent)
    await agent.progress(run, "running")
    await agent.poll(active_runs=[run], leaving=leaving)
    world.clock.forward(59)
    await note_silent_agents(world.state)
    assert (await shown(world, run))["state"] == "running"
    world.clock.forward(2)
    await note_silent_agents(world.state)
    found = await shown(world, run)
    assert (found["state"], found["reason"]) == (
        "failed",
        "the agent alpha has not been heard of for over a minute",
    )
    assert (await world.one("agents"))["state"] == "offline"
    # What it has not begun it can still do when it comes back.
    assert (await shown(world, waiting))["state"] == "pending"
    assert (await agent.poll())["runs"] == [waiting]
    with Heard(world.state) as heard:
        await note_silent_agents(world.state)
    assert not heard.events


# --- the server's restart


async def test_runs_survive_a_restart_of_the_server(
    world: World, one_app: FastAPI, passwords: Passwords
) -> None:
    agent = await world.agent()
    pending, running = await asked(world, agent), await asked(world, agent)
    await agent.poll()
    await agent.progress(running, "running", phase="interfaces", done=1, total=2)
    before = {run: await shown(world, run) for run in (pending, running)}

    # The server was away for longer than an agent may be silent, and it is not the agent's fault.
    clock = Clock()
    clock.now = world.clock() + 600
    again = Database(world.state.database.url)
    state = State(again, Settings(), passwords=passwords, clock=clock, steady=clock)
    world.state = one_app.state.mooring = state
    await note_silent_agents(state)
    after = {run: await shown(world, run) for run in (pending, running)}
    volatile = ("elapsed_s", "remaining_s")
    for run, found in after.items():
        assert {k: v for k, v in found.items() if k not in volatile} == {
            k: v for k, v in before[run].items() if k not in volatile
        }
    assert (await agent.poll(active_runs=[running]))["runs"] == [pending]
    await agent.report(Engines(()), runs=final(running))
    assert (await shown(world, running))["state"] == "complete"

    # An agent that does not come back is silent from the server's start on.
    lost = await asked(world, agent)
    await agent.progress(lost, "running")
    clock.forward(61)
    await note_silent_agents(state)
    assert (await shown(world, lost))["state"] == "failed"
    await again.close()


# --- lists, and what is left


@any_database
async def test_what_is_left_is_estimated_from_the_agents_earlier_runs(world: World) -> None:
    agent = await world.agent()
    for seconds, expected in ((4, None), (20, 4), (6, 12)):
        run = new_id()
        await agent.progress(run, "running")
        assert (await shown(world, run))["remaining_s"] == expected
        world.clock.forward(seconds)
        await agent.report(Engines(()), runs=final(run))
        assert (await shown(world, run))["remaining_s"] is None
    run = new_id()
    await agent.progress(run, "running")
    world.clock.forward(2)
    assert (await shown(world, run))["remaining_s"] == 4


async def test_runs_are_listed_by_state_agent_and_network(world: World) -> None:
    agent = await world.agent()
    run = await asked(world, agent)
    world.clock.forward(1)
    other = new_id()
    await agent.progress(other, "running")
    (row,) = await world.items("agents")
    assert [r["id"] for r in await world.items("runs")] == [other, run]
    assert [r["id"] for r in await world.items("runs", state="pending")] == [run]
    assert len(await world.items("runs", agent_id=row["id"], network_id=world.home)) == 2
    assert not await world.items("runs", network_id="another")
    assert (await world.ask("GET", "runs?state=asleep")).status_code == 422
