"""S6: an agent's key belongs to one network, and an agent with a key stays in it."""

from __future__ import annotations

import asyncio
from typing import Any

from mooring.core.ids import new_id
from mooring.server.db import tables
from tests.server.links_and_buses import report_all
from tests.server.world import Reporter, World, any_database, machine


async def expected(world: World, name: str = "nas", network: str | None = None) -> Any:
    """An agent that is made ready, and its key."""
    draft = {"name": name, "network_id": network or world.home}
    answer = await world.ask("POST", "agents", by="admin", json=draft)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def annex(world: World) -> str:
    made = await world.ask("POST", "networks", json={"name": "annex"})
    found: str = made.json()["id"]
    return found


# --- made ready before it is heard of


async def test_an_agent_that_is_awaited_is_here_at_its_first_poll(world: World) -> None:
    made = await expected(world)
    agent, key = made["agent"], made["key"]
    assert (agent["state"], agent["key_count"], agent["duties"]) == ("awaited", 1, [])
    assert key["network_id"] == agent["network_id"] == world.home
    assert [one["id"] for one in key["agents"]] == [agent["id"]]
    reporter = Reporter(world, key["key"])
    await reporter.poll(name="nas-0815.local")
    here = await world.one("agents")
    assert (here["id"], here["state"]) == (agent["id"], "online")
    assert (here["name"], here["named"]) == ("nas", True)
    await reporter.report(machine())
    assert (await world.one("hosts"))["agent_id"] == agent["id"]
    titles = [event["title"] for event in await world.items("timeline", entity_id=agent["id"])]
    assert "Agent nas is here" in titles


async def test_one_machine_takes_the_place_though_all_its_first_words_come_at_once(
    world: World,
) -> None:
    made = await expected(world)
    reporter = Reporter(world, made["key"]["key"])
    await asyncio.gather(
        reporter.poll(), reporter.report(machine()), reporter.progress(new_id(), "running")
    )
    (only,) = await world.items("agents")
    assert only["id"] == made["agent"]["id"]


@any_database
async def test_of_two_machines_with_one_key_the_second_is_another_agent(world: World) -> None:
    made = await expected(world)
    first, second = (Reporter(world, made["key"]["key"]) for _ in range(2))
    await first.poll(name="one")
    await second.poll(name="two")
    assert {agent["name"] for agent in await world.items("agents")} == {"nas", "two"}
    key = await world.get(f"keys/{made['key']['id']}")
    assert {agent["name"] for agent in key["agents"]} == {"nas", "two"}


async def test_an_awaited_agent_that_is_forgotten_takes_its_key_along(world: World) -> None:
    made = await expected(world)
    assert (await world.ask("DELETE", f"agents/{made['agent']['id']}")).status_code == 204
    answer = await Reporter(world, made["key"]["key"]).send(machine())
    assert (answer.status_code, "was revoked" in answer.json()["detail"]) == (401, True)


@any_database
async def test_an_awaited_agent_can_do_nothing_yet(world: World) -> None:
    made = await expected(world)
    asked = await world.ask("POST", "runs", json={"agent_id": made["agent"]["id"]})
    assert asked.status_code == 409
    world.clock.forward(3600)
    assert (await world.one("agents"))["state"] == "awaited"


# --- keys and their agents


async def test_a_keys_agents_are_noted_when_they_use_it(world: World) -> None:
    draft = {"name": "shared", "kind": "agent", "network_id": world.home}
    key = (await world.ask("POST", "keys", json=draft)).json()
    assert key["agents"] == []
    await Reporter(world, key["key"]).poll(name="alpha")
    agent = await world.one("agents")
    assert agent["key_count"] == 1
    (its,) = await world.items("keys", agent_id=agent["id"])
    assert [one["name"] for one in its["agents"]] == ["alpha"]


@any_database
async def test_a_key_that_opens_nothing_does_not_count(world: World) -> None:
    made = await expected(world)
    path = f"keys/{made['key']['id']}"
    another = {"name": "second", "kind": "agent", "agent_id": made["agent"]["id"]}
    assert (await world.ask("POST", "keys", json=another)).json()["network_id"] == world.home
    assert (await world.one("agents"))["key_count"] == 2
    await world.ask("POST", f"{path}/revoke")
    assert (await world.one("agents"))["key_count"] == 1


# --- moving


async def test_an_agent_with_a_key_is_not_moved_and_both_networks_are_named(world: World) -> None:
    made = await expected(world)
    to = await annex(world)
    path = f"agents/{made['agent']['id']}"
    answer = await world.ask("PATCH", path, by="admin", json={"network_id": to})
    assert answer.status_code == 409
    prefix = made["key"]["prefix"]
    assert answer.json()["detail"] == (
        f"nas has a key for the network home (mooring_{prefix}_…), which opens no other: "
        "revoke it before moving the agent to annex, then make it a key there"
    )
    same = await world.ask("PATCH", path, json={"network_id": world.home, "name": "attic"})
    assert (same.status_code, same.json()["name"]) == (200, "attic")


async def test_an_agent_without_a_key_is_moved_with_what_is_its_own(world: World) -> None:
    made = await expected(world)
    reporter = Reporter(world, made["key"]["key"])
    await report_all(reporter)
    to = await annex(world)
    await world.ask("POST", f"keys/{made['key']['id']}/revoke")
    moved = await world.ask("PATCH", f"agents/{made['agent']['id']}", json={"network_id": to})
    assert (moved.status_code, moved.json()["network_id"], moved.json()["host_id"]) == (
        200,
        to,
        None,
    )
    for table in (tables.remote_host, tables.can_bus, tables.can_driver):
        assert {row["network_id"] for row in await world.rows(table)} == {to}
    # What it saw of the old site stays there.
    assert (await world.one("hosts"))["network_id"] == world.home
    draft = {"name": "new", "kind": "agent", "agent_id": made["agent"]["id"]}
    key = (await world.ask("POST", "keys", json=draft)).json()
    assert key["network_id"] == to
    reporter.key = key["key"]
    assert await reporter.report(machine()) == "stored"
    hosts = {host["network_id"] for host in await world.items("hosts")}
    assert hosts == {world.home, to}
    assert len(await world.items("agents")) == 1


async def test_a_key_of_another_network_is_refused_and_both_are_named(world: World) -> None:
    made = await expected(world)
    reporter = Reporter(world, made["key"]["key"])
    await reporter.poll()
    reporter.key = await world.key(name="other", network_id=await annex(world))
    answer = await reporter.send(machine())
    assert answer.status_code == 403
    assert "'annex'" in answer.json()["detail"]
    assert "'home'" in answer.json()["detail"]


@any_database
async def test_a_name_that_was_typed_stays_until_it_is_given_back(world: World) -> None:
    agent = await world.agent()
    await agent.poll(name="alpha")
    path = f"agents/{(await world.one('agents'))['id']}"
    await world.ask("PATCH", path, json={"name": "front door"})
    await agent.poll(name="alpha-2")
    assert (await world.get(path))["name"] == "front door"
    await world.ask("PATCH", path, json={"name": None})
    await agent.poll(name="alpha-2")
    found = await world.get(path)
    assert (found["name"], found["named"]) == ("alpha-2", False)
