"""Whose report it is: names, machines known again, and keys of the right network."""

from __future__ import annotations

from mooring.core.ids import new_id
from mooring.model.event import Changed, Entity, Operation
from mooring.model.net import InterfaceKind
from mooring.model.report import Engines, RunMark
from tests.server.world import (
    NOON,
    Heard,
    World,
    container,
    engine,
    interface,
    loopback,
    mac,
    machine,
)

# --- names


async def test_a_name_that_a_person_gave_survives_reports(world: World) -> None:
    agent = await world.agent()
    await agent.report(machine())
    host = await world.one("hosts")
    renamed = await world.ask("PATCH", f"hosts/{host['id']}", by="member", json={"name": " Bob "})
    assert renamed.json()["name"] == "Bob"
    await agent.report(machine("other-name", identity="identity of alpha"))
    after = await world.one("hosts")
    assert (after["name"], after["named"], after["hostname"]) == ("Bob", True, "other-name")
    await world.ask("PATCH", f"hosts/{host['id']}", by="member", json={"name": None})
    after = await world.one("hosts")
    assert (after["name"], after["named"]) == ("other-name", False)


async def test_a_host_without_a_name_is_called_by_its_address(world: World) -> None:
    agent = await world.agent()
    await agent.report(machine("", identity="x"))
    assert (await world.one("hosts"))["name"] == "10.0.0.5"


# --- who is it


async def test_an_agent_installed_anew_finds_its_host_and_inherits_its_runs(world: World) -> None:
    old = await world.agent()
    await old.poll()
    run = new_id()
    await old.report(machine(), runs=[RunMark(run, "start", NOON)])
    await old.report(Engines(()), runs=[RunMark(run, "start", NOON, final=True)])
    await old.poll(leaving=True)
    before = await world.one("hosts")
    (gone,) = await world.items("agents")

    new = await world.agent()
    with Heard(world.state) as heard:
        await new.report(machine())
    assert (await world.one("hosts"))["id"] == before["id"]
    known = await world.one("agents")
    assert known["id"] != gone["id"]
    assert Changed(Entity.AGENT, Operation.DELETED, gone["id"], world.home) in heard.events
    assert (await world.one("runs"))["agent_id"] == known["id"]


async def test_a_clone_of_a_disk_is_another_host_while_the_first_is_online(world: World) -> None:
    first, clone = await world.agent(), await world.agent()
    await first.poll()
    await first.report(machine("alpha"))
    await clone.poll()
    await clone.report(
        machine(
            "alpha",
            (loopback(), interface("eth0", "10.0.0.6/24", mac=mac("clone"))),
        )
    )
    hosts = await world.items("hosts")
    assert [h["name"] for h in hosts] == ["alpha", "alpha"]
    assert len(await world.items("agents")) == 2


async def test_a_second_agent_on_one_machine_reports_the_same_host(world: World) -> None:
    first, second = await world.agent(), await world.agent()
    await first.poll()
    await first.report(machine())
    await second.poll()
    await second.report(machine())
    assert len(await world.items("hosts")) == 1
    assert len(await world.items("agents")) == 2


async def test_a_card_in_a_bridge_tells_that_an_agent_installed_anew_is_on_the_same_machine(
    world: World,
) -> None:
    """The old one was killed a moment ago and counts as online still."""
    hypervisor = machine(
        interfaces=(
            interface("eth0", mac="02:00:00:00:00:07", master="vmbr0"),
            interface("vmbr0", "10.0.0.5/24", kind=InterfaceKind.BRIDGE, mac="02:00:00:00:00:07"),
        )
    )
    for _ in range(2):
        agent = await world.agent()
        await agent.poll()
        await agent.report(hypervisor)
    assert len(await world.items("hosts")) == 1


async def test_one_machine_in_two_networks_is_two_hosts(world: World) -> None:
    made = await world.ask("POST", "networks", json={"name": "annex"})
    here, there = await world.agent(), await world.agent(network_id=made.json()["id"])
    await here.report(machine())
    await there.report(machine())
    assert len(await world.items("hosts")) == 2


async def test_a_deleted_host_comes_back_with_the_next_report(world: World) -> None:
    agent = await world.agent()
    await agent.report(machine())
    (host,) = await world.items("hosts")
    assert (await world.ask("DELETE", f"hosts/{host['id']}")).status_code == 204
    assert not await world.items("hosts")
    # Also when it is the containers that are reported first.
    await agent.report(Engines((engine(container("web")),)))
    await agent.report(machine())
    (again,) = await world.items("hosts")
    assert (again["name"], again["container_count"]) == ("alpha", 1)


# --- who may report for whom


async def test_another_networks_key_is_told_both_networks(world: World) -> None:
    made = await world.ask("POST", "networks", json={"name": "annex"})
    agent = await world.agent()
    await agent.report(machine())
    agent.key = await world.key(name="the annex", network_id=made.json()["id"])
    for answer in (
        await agent.send(machine()),
        await agent.post("agents/poll", json={"outbox": agent.outbox, "version": "", "name": "a"}),
        await agent.progress(new_id(), "starting"),
    ):
        assert answer.status_code == 403
        assert answer.json()["detail"] == (
            "the key 'the annex' is for the network 'annex', and the agent 'alpha' belongs to "
            "the network 'home': give the agent a key of its own network"
        )
    assert len(await world.items("agents")) == 1
    assert (await world.one("hosts"))["network_id"] == world.home
