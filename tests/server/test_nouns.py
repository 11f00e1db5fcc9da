"""Single things that people read, name and delete."""

from __future__ import annotations

from typing import Any

from mooring.model.event import Changed, Entity, Operation
from mooring.model.report import Engines
from mooring.server.db import tables
from tests.server.world import Heard, World, container, docker_machine, engine, machine


def told(heard: Heard) -> list[tuple[Entity, Operation]]:
    return [(e.entity, e.operation) for e in heard.events if isinstance(e, Changed)]


async def test_an_agent_that_is_deleted_comes_back_when_it_polls_and_its_host_stays(
    world: World,
) -> None:
    agent = await world.agent()
    await agent.poll()
    await agent.report(machine())
    (row,) = await world.items("agents")
    with Heard(world.state) as heard:
        answer = await world.ask("DELETE", f"agents/{row['id']}", by="admin")
    assert answer.status_code == 204
    assert told(heard) == [(Entity.AGENT, Operation.DELETED)]
    assert await world.items("agents") == []
    assert (await world.one("hosts"))["agent_id"] is None
    await agent.poll()
    await agent.report(machine())
    (again,) = await world.items("agents")
    assert again["id"] != row["id"]
    assert (await world.one("hosts"))["agent_id"] == again["id"]


async def test_a_container_is_read_with_its_labels_and_ports(world: World) -> None:
    agent = await world.agent()
    await agent.report(machine())
    web = container("web", labels=(("a", "1"), ("b", "2")), compose_project="shop")
    await agent.report(Engines((engine(web),)))
    found = await world.one("containers", q="shop")
    assert found == await world.get(f"containers/{found['id']}")
    assert (found["labels"], found["compose_project"]) == ({"a": "1", "b": "2"}, "shop")


async def test_the_map_shows_who_is_where(world: World) -> None:
    for n, name in enumerate(("alpha", "beta"), 5):
        agent = await world.agent()
        await agent.report(docker_machine(name, f"10.0.0.{n}"))
    drawn = await world.get("map")
    assert [h["label"] for h in drawn["hosts"]] == ["alpha", "beta"]
    assert sorted(s["label"] for s in drawn["subnets"]) == [
        "10.0.0.0/24",
        "172.17.0.0/16",
        "172.17.0.0/16",
    ]
    lan = next(s["id"] for s in drawn["subnets"] if s["kind"] == "lan")
    assert all(lan in h["subnet_ids"] for h in drawn["hosts"])
    assert await world.get("map", params={"network_id": "other"}) == {
        "subnets": [],
        "hosts": [],
        "total_hosts": 0,
    }


async def test_a_renaming_is_told_and_stands_on_the_timeline(world: World) -> None:
    agent = await world.agent()
    await agent.report(machine())
    host = (await world.one("hosts"))["id"]
    with Heard(world.state) as heard:
        await world.ask("PATCH", f"hosts/{host}", json={"name": "front door"})
    assert told(heard) == [(Entity.HOST, Operation.CHANGED)]
    (latest, *_) = await world.items("timeline", entity_id=host)
    assert latest["title"] == "front door"


async def test_a_deleted_host_takes_its_parts_along_and_all_is_told(world: World) -> None:
    agent = await world.agent()
    await agent.report(docker_machine())
    await agent.report(Engines((engine(container("web")),)))
    (host,) = await world.items("hosts")
    subnets = {s["id"] for s in await world.items("subnets")}
    with Heard(world.state) as heard:
        await world.ask("DELETE", f"hosts/{host['id']}")
    gone: set[Any] = {e.id for e in heard.events if isinstance(e, Changed)}
    assert gone == {host["id"], *subnets}
    for table in (tables.interface, tables.address, tables.container, tables.route):
        assert await world.count(table) == 0
