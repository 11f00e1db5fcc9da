"""What the server does by itself: it forgets what is long over, and nothing else."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from mooring.core.ids import new_id
from mooring.model.event import Changed, Entity, Operation
from mooring.model.report import Engines, RunMark, SetAside
from mooring.server.app import create_app
from mooring.server.db import tables
from mooring.server.upkeep import DAY, forget_old, note_silent_agents
from tests.server.scanned import port, scan, seen
from tests.server.world import (
    Clock,
    Heard,
    Reporter,
    World,
    any_database,
    container,
    docker_machine,
    docker_network,
    engine,
    interface,
    machine,
    subnet,
)

OBSERVED = [
    tables.address,
    tables.container,
    tables.interface,
    tables.neighbour,
    tables.route,
    tables.subnet,
]


async def counts(world: World) -> dict[str, int]:
    return {table.name: await world.count(table) for table in tables.metadata.sorted_tables}


async def let_all_go(world: World, agent: Reporter) -> None:
    """The machine loses everything but an address elsewhere."""
    other = machine(
        interfaces=(interface("eth9", "10.9.0.5/24"),),
        subnets=(subnet("10.9.0.0/24"),),
        routes=(),
        neighbours=(),
    )
    world.clock.forward(1)
    await agent.report(other)
    await agent.report(Engines((engine(),)))


async def full(world: World) -> Reporter:
    agent = await world.agent()
    await agent.poll()
    run = new_id()
    await agent.report(docker_machine(), runs=[RunMark(run, "start", world.clock())])
    await agent.report(
        Engines((engine(container("web"), networks=[docker_network()]),)),
        runs=[RunMark(run, "start", world.clock(), final=True)],
        set_aside=[SetAside("container", "x", "no id")],
    )
    return agent


async def test_what_is_there_is_never_forgotten(world: World) -> None:
    await full(world)
    world.clock.forward(1000 * DAY)
    before = await counts(world)
    await forget_old(world.state)
    after = await counts(world)
    over = {"event", "report", "run"}
    assert {name for name in before if before[name] != after[name]} == over
    assert [after[name] for name in sorted(over)] == [0, 0, 0]


async def test_what_is_gone_is_kept_for_as_long_as_is_said(world: World) -> None:
    agent = await full(world)
    world.state.settings.keep_days = 10
    await let_all_go(world, agent)
    before = await counts(world)
    # A report is kept for a day only: what it said is elsewhere.
    world.clock.forward(10 * DAY - 10)
    await forget_old(world.state)
    after = await counts(world)
    assert {name for name in before if before[name] != after[name]} == {"report"}
    world.clock.forward(20)
    await forget_old(world.state)
    for table in OBSERVED:
        rows = await world.rows(table)
        assert not [row for row in rows if row["gone_at"] is not None], table.name
    assert [row["name"] for row in await world.rows(tables.interface)] == ["eth9"]
    assert [row["cidr"] for row in await world.rows(tables.subnet)] == ["10.9.0.0/24"]
    assert await world.count(tables.host) == 1
    assert await world.count(tables.agent) == 1
    assert await world.count(tables.set_aside) == 0


async def test_runs_that_have_not_ended_are_kept(world: World) -> None:
    agent = await full(world)
    (row,) = await world.items("agents")
    await world.ask("POST", "runs", json={"agent_id": row["id"]})
    run = new_id()
    await agent.progress(run, "running")
    world.clock.forward(1000 * DAY)
    await forget_old(world.state)
    assert sorted(r["state"] for r in await world.items("runs")) == ["pending", "running"]


async def test_reports_are_listed_for_a_day_and_their_numbers_kept_for_ever(world: World) -> None:
    agent = await full(world)
    world.clock.forward(DAY + 1)
    await forget_old(world.state)
    assert await world.items("reports") == []
    assert await agent.report(machine(), number=1) == "seen"


async def test_sessions_that_have_ended_are_forgotten(world: World) -> None:
    owner = {"token": world.state.setup_token, "name": "bob", "password": "correct horse"}
    await world.ask("POST", "setup", by="nobody", json=owner)
    world.clock.forward(29 * DAY)
    await forget_old(world.state)
    assert await world.count(tables.session) == 1
    world.clock.forward(1 * DAY)
    await forget_old(world.state)
    assert await world.count(tables.session) == 0
    assert await world.count(tables.user) == 1


async def test_an_agent_that_fell_silent_is_offline_and_told_once(world: World) -> None:
    agent, other = await world.agent(), await world.agent()
    await agent.poll()
    world.clock.forward(50)
    await other.poll(name="beta")
    world.clock.forward(11)
    (row,) = await world.items("agents", q="alpha")
    with Heard(world.state) as heard:
        await note_silent_agents(world.state)
        await note_silent_agents(world.state)
    assert heard.events == [Changed(Entity.AGENT, Operation.CHANGED, row["id"], world.home)]
    assert [a["state"] for a in await world.items("agents")] == ["offline", "online"]
    with Heard(world.state) as heard:
        await agent.poll()
    assert [a["state"] for a in await world.items("agents")] == ["online", "online"]
    assert heard.events == [Changed(Entity.AGENT, Operation.CHANGED, row["id"], world.home)]


@pytest.mark.parametrize("jump", [3600, -3600])
async def test_nobody_fell_silent_while_the_server_slept_or_its_clock_was_set(
    world: World, jump: float
) -> None:
    world.state.steady = steady = Clock()
    agent = await world.agent()
    await agent.poll()
    run = new_id()
    await agent.progress(run, "running")
    world.clock.forward(jump)
    for _ in range(4):
        await note_silent_agents(world.state)
        world.clock.forward(9)
        steady.forward(9)
    assert (await world.one("agents"))["state"] == "online"
    assert (await world.get(f"runs/{run}"))["state"] == "running"
    world.clock.forward(max(0, -jump) + 11)
    steady.forward(max(0, -jump) + 11)
    await note_silent_agents(world.state)
    assert (await world.one("agents"))["state"] == "offline"


@any_database
async def test_nobody_fell_silent_while_the_database_was_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await world.agent()
    await agent.poll()
    run = new_id()
    await agent.progress(run, "running")

    def away() -> NoReturn:
        raise ConnectionRefusedError

    with monkeypatch.context() as outage:
        outage.setattr(world.state.database, "read", away)
        for _ in range(14):
            world.clock.forward(5)
            with pytest.raises(ConnectionRefusedError):
                await note_silent_agents(world.state)
    world.clock.forward(5)
    await note_silent_agents(world.state)
    assert (await world.one("agents"))["state"] == "online"
    assert (await world.get(f"runs/{run}"))["state"] == "running"
    world.clock.forward(61)
    await note_silent_agents(world.state)
    assert (await world.one("agents"))["state"] == "offline"


async def test_an_agent_that_polls_as_before_tells_nothing(world: World) -> None:
    agent = await world.agent()
    await agent.poll()
    for _ in range(3):
        world.clock.forward(25)
        with Heard(world.state) as heard:
            await agent.poll()
            await note_silent_agents(world.state)
        assert not heard.events


async def test_a_running_server_does_its_upkeep(world: World, logs: list[Any]) -> None:
    """The tasks are there and work; how often is theirs."""
    agent = await world.agent()
    await agent.poll()
    world.clock.forward(61)
    app = create_app(world.state)
    async with app.router.lifespan_context(app):
        for _ in range(200):
            if (await world.one("agents"))["state"] == "offline":
                break
        else:
            raise AssertionError("nobody noticed that the agent is silent")
    assert not [entry for entry in logs if entry["event"] == "turn_failed"]


async def test_a_host_that_scans_do_not_see_any_more_is_forgotten_unless_it_has_a_name(
    world: World,
) -> None:
    agent = await world.agent()
    await agent.report(machine())
    mac = "aa:00:00:00:00:0"
    found = [seen(f"10.0.0.{n}", f"{mac}{n}", port(22)) for n in (1, 2, 3)]
    await agent.report(scan("10.0.0.0/24", *found))
    named = (await world.items("hosts", q=f"{mac}1"))[0]["id"]
    await world.ask("PATCH", f"hosts/{named}", json={"name": "spare"})
    await agent.report(scan("10.0.0.0/24", found[2]))
    world.clock.forward(world.state.settings.keep_days * DAY + 1)
    await forget_old(world.state)
    assert {h["name"] for h in await world.items("hosts")} == {"alpha", "spare", "10.0.0.3"}
