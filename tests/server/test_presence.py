"""Whether an agent is there: known soon after its poll broke or is overdue, and not before."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx2
import pytest

from mooring.core.ids import new_id
from mooring.model.report import RunMark
from mooring.server.presence import BROKEN_AFTER, SILENT_AFTER, Broken, gone
from mooring.server.serve import listen, serving
from mooring.server.upkeep import note_silent_agents
from tests.server.world import Clock, Reporter, World, bearer, machine

NOW = 1000.0


@pytest.mark.parametrize(
    ("heard", "polled", "broke", "listening", "is_gone"),
    [
        (SILENT_AFTER + 1, None, None, 900, True),
        (SILENT_AFTER - 1, None, None, 900, False),
        # The server has been there for less long than that.
        (SILENT_AFTER + 1, None, None, 10, False),
        (20, 20, BROKEN_AFTER + 1, 900, True),
        (20, 20, BROKEN_AFTER + 1, 19, True),
        (20, 20, BROKEN_AFTER - 1, 900, False),
        # The server slept after it broke, and has just woken up.
        (20, 20, BROKEN_AFTER + 1, BROKEN_AFTER - 1, False),
        # It was heard of since.
        (5, 20, BROKEN_AFTER + 1, 900, False),
    ],
)
def test_an_agent_is_gone_when_its_poll_broke_or_is_overdue(
    heard: float, polled: float | None, broke: float | None, listening: float, is_gone: bool
) -> None:
    """All in seconds ago."""
    broken = {}
    if polled is not None and broke is not None:
        broken["a"] = Broken(NOW - polled, NOW - broke)
    found = gone({"a": NOW - heard}, broken, now=NOW, listening_since=NOW - listening)
    assert found == ({"a"} if is_gone else set())


def test_one_that_is_offline_is_not_gone_again() -> None:
    assert gone({}, {"a": Broken(NOW - 20, NOW - 15)}, now=NOW, listening_since=0) == set()


@pytest.fixture
async def url(world: World) -> AsyncIterator[str]:
    """The same world over a socket."""
    listener = listen("127.0.0.1", 0)
    with contextlib.closing(listener):
        async with serving(world.state, listener):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"


async def break_a_poll(world: World, agent: Reporter, url: str, *runs: str) -> None:
    """Poll as an agent does that is killed meanwhile; return once the server knows."""
    body = {"outbox": agent.outbox, "version": "1", "name": "alpha", "wait_s": 25}
    before = len(world.state.bus._subscriptions)
    async with (
        httpx2.AsyncClient(headers=bearer(agent.key), timeout=30) as http,
        asyncio.TaskGroup() as group,
    ):
        asked = http.post(f"{url}/agents/poll", json={**body, "active_runs": runs})
        polling = group.create_task(asked)
        async with asyncio.timeout(20):
            while len(world.state.bus._subscriptions) == before:
                await asyncio.sleep(0.01)
        polling.cancel()
    async with asyncio.timeout(20):
        while not world.state.broken:
            await asyncio.sleep(0.01)
    # What waited for work for it has ended with its connection.
    assert len(world.state.bus._subscriptions) == before


async def state(world: World) -> str:
    await note_silent_agents(world.state)
    return str((await world.one("agents"))["state"])


async def test_an_agent_that_is_killed_while_it_polls_is_offline_soon(
    world: World, url: str
) -> None:
    agent = await world.agent()
    await break_a_poll(world, agent, url)
    assert await state(world) == "online"
    world.clock.forward(BROKEN_AFTER - 1)
    assert await state(world) == "online"
    world.clock.forward(2)
    assert await state(world) == "offline"
    assert not world.state.broken


async def test_an_agent_that_polls_again_after_a_break_was_never_away(
    world: World, url: str
) -> None:
    agent = await world.agent()
    await break_a_poll(world, agent, url)
    world.clock.forward(1)
    await agent.poll()
    world.clock.forward(BROKEN_AFTER + 5)
    assert await state(world) == "online"
    assert not world.state.broken
    titles = [row["title"] for row in await world.items("timeline")]
    assert not [title for title in titles if "fell silent" in title or "is online" in title]


async def test_an_agent_whose_poll_broke_as_the_server_fell_asleep_has_time_to_come_back(
    world: World, url: str
) -> None:
    world.state.steady = steady = Clock()
    agent = await world.agent()
    await break_a_poll(world, agent, url)
    world.clock.forward(3600)
    assert await state(world) == "online"
    world.clock.forward(BROKEN_AFTER + 1)
    steady.forward(BROKEN_AFTER + 1)
    assert await state(world) == "offline"


async def test_the_run_of_an_agent_whose_poll_broke_goes_on_when_it_comes_back(
    world: World, url: str
) -> None:
    agent = await world.agent()
    await agent.report(machine())
    run = new_id()
    await agent.report(machine(), runs=[RunMark(run, "start", world.clock())])
    await agent.progress(run, "running")
    await break_a_poll(world, agent, url, run)
    world.clock.forward(BROKEN_AFTER + 5)
    assert await state(world) == "offline"
    assert (await world.one("runs"))["state"] == "running"
    await agent.poll(active_runs=[run])
    assert await state(world) == "online"
    assert (await world.one("runs"))["state"] == "running"


async def test_a_server_that_has_just_begun_takes_nobody_for_silent(world: World) -> None:
    agent = await world.agent()
    await agent.poll()
    world.clock.forward(600)
    world.state.listening_since = world.clock()
    world.clock.forward(SILENT_AFTER - 1)
    assert await state(world) == "online"
    world.clock.forward(2)
    assert await state(world) == "offline"
